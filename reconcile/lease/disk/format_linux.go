package disk

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"os/exec"
	"strings"

	"golang.org/x/sys/unix"
)

// Format makes the store on a device: a header with the cluster, its nodes and a
// new id, and empty slots. Unless forced it refuses a device on which anything is:
// a signature that blkid(8) knows, wherever on the device, or a byte that is not
// zero where the store would lie. It refuses in any case one that is mounted or
// held by the kernel otherwise. Everything of a store that was there is lost; no
// node may use it meanwhile.
func Format(path string, h Header, key []byte, force bool) error {
	fail := func(err error) error { return fmt.Errorf("cannot make the store on %s: %w", path, err) }
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return fail(err)
	}
	flags := 0
	if st.Mode&unix.S_IFMT == unix.S_IFBLK {
		flags = unix.O_EXCL // of a block device: fails while it is in use (open(2))
	}
	d, err := open(path, flags)
	if err != nil {
		return fail(err)
	}
	defer d.Close()
	h.ID = rand.Text()
	head, err := h.encode(key)
	if err != nil {
		return fail(err)
	}
	have, err := d.size()
	if err != nil {
		return fail(err)
	}
	if have < h.Size() {
		return fail(fmt.Errorf("it has %d bytes, and %d nodes need %d", have, len(h.Nodes), h.Size()))
	}
	if !force {
		if err := unused(d, path, h.Size()); err != nil {
			return fail(fmt.Errorf("%w — if nothing on it is needed, force it", err))
		}
	}
	// The header goes first and comes last: one that is half made is none.
	zero := aligned(BlockSize)
	for off := int64(0); off < h.Size(); off += BlockSize {
		if err := whole(d.WriteAt(zero, off))(BlockSize); err != nil {
			return fail(err)
		}
	}
	b := aligned(BlockSize)
	copy(b, head)
	if err := whole(d.WriteAt(b, 0))(BlockSize); err != nil {
		return fail(err)
	}
	return nil
}

// unused returns an error if anything is on a device.
func unused(d *file, path string, size int64) error {
	out, err := exec.Command("blkid", "--probe", "--output", "export", path).CombinedOutput()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return fmt.Errorf("blkid finds on it: %s", strings.Join(strings.Fields(string(out)), " "))
	case errors.As(err, &exit) && exit.ExitCode() == 2: // nothing found (blkid(8))
	default:
		return fmt.Errorf("whether anything is on it is unknown: blkid: %w", err)
	}
	b := aligned(BlockSize)
	for off := int64(0); off < size; off += BlockSize {
		if err := whole(d.ReadAt(b, off))(BlockSize); err != nil {
			return err
		}
		if off == 0 && bytes.HasPrefix(b, []byte(headerMagic)) {
			return errors.New("it carries the store of a cluster already")
		}
		if bytes.ContainsFunc(b, func(r rune) bool { return r != 0 }) {
			return fmt.Errorf("its block at %d is not empty", off)
		}
	}
	return nil
}
