//go:build unix

package site

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"understudy/reconcile/prepare"
)

const (
	// maxText bounds a file whose content is read, in bytes; /etc/services of a
	// distribution has 13 KiB.
	maxText = 4 << 20
	// maxProgram bounds a file of which a checksum is made, in bytes.
	maxProgram = 512 << 20
	// maxEntries is how many entries of a directory are told.
	maxEntries = 4
)

// isNoLink reports that readlink(2) found something else than a link, or that a part
// before the last is no directory.
func isNoLink(err error) bool {
	return errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTDIR)
}

// look reads what is asked of one path.
func look(root string, a prepare.Ask, c *Cache) (prepare.Path, error) {
	if a.Kernel {
		root = "/"
	}
	name, err := Resolve(root, a.Path, !a.Link)
	if err != nil {
		return prepare.Path{}, err
	}
	info, err := os.Lstat(name)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return prepare.Path{}, nil
	}
	if err != nil {
		return prepare.Path{}, fmt.Errorf("cannot look at %s: %w", a.Path, err)
	}
	out := prepare.Path{Kind: prepare.Other, Mode: info.Mode(), Size: info.Size(), UID: -1}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		out.UID = owner(st.Uid)
	}
	switch mode := info.Mode(); {
	case mode.IsRegular():
		out.Kind = prepare.RegularFile
		err = content(name, info, a, &out, c)
	case mode.IsDir():
		out.Kind = prepare.Directory
		if a.List {
			out.Entries, err = entries(name)
		}
	case mode&os.ModeSymlink != 0:
		out.Kind = prepare.Link
		out.Target, err = os.Readlink(name)
	}
	if err != nil {
		return prepare.Path{}, fmt.Errorf("cannot look at %s: %w", a.Path, err)
	}
	return out, nil
}

func content(name string, info os.FileInfo, a prepare.Ask, out *prepare.Path, c *Cache) error {
	if a.Digest && !a.Data {
		if out.Digest = c.digest(name, info); out.Digest != "" {
			return nil
		}
	}
	if !a.Data && !a.Digest {
		return nil
	}
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0) // not a pipe that came in between
	if err != nil {
		return err
	}
	defer f.Close()
	if a.Data {
		if out.Data, err = io.ReadAll(io.LimitReader(f, maxText+1)); err == nil && len(out.Data) > maxText {
			err = fmt.Errorf("it has more than %d bytes", maxText)
		}
		return err
	}
	h := sha256.New()
	n, err := io.Copy(h, io.LimitReader(f, maxProgram+1))
	if err == nil && n > maxProgram {
		err = fmt.Errorf("it has more than %d bytes", maxProgram)
	}
	if err == nil {
		out.Digest = hex.EncodeToString(h.Sum(nil))
		c.keep(name, info, out.Digest)
	}
	return err
}

// entries are some names of a directory. lost+found belongs to every ext4 and is not
// anybody's.
func entries(name string) ([]string, error) {
	d, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	names, err := d.Readdirnames(maxEntries + 1)
	if errors.Is(err, io.EOF) {
		return nil, nil
	}
	return names, err
}
