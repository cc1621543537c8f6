package act

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// mountTable reads the mount table of this process.
func mountTable() ([]*mountinfo.Info, error) { return readTable("/proc/self/mountinfo") }

// readTable reads a mount table until two readings in a row are equal: the
// kernel hands it out in pieces, and a change between two of them can drop a
// line (resource-agents issue 1337).
func readTable(path string) ([]*mountinfo.Info, error) {
	var last []byte
	for range 20 {
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("cannot read the mount table: %w", err)
		}
		if last != nil && bytes.Equal(b, last) {
			t, err := mountinfo.GetMountsFromReader(bytes.NewReader(b), nil)
			if err != nil {
				return nil, fmt.Errorf("cannot read the mount table %s: %w", path, err)
			}
			return t, nil
		}
		last = b
	}
	return nil, fmt.Errorf("cannot read the mount table %s: it changes all the time", path)
}

// devno is a device number as mountinfo shows it.
type devno struct{ major, minor uint32 }

func (d devno) String() string { return fmt.Sprintf("%d:%d", d.major, d.minor) }

// toDevno takes a dev_t of stat(2) apart.
func toDevno(dev uint64) devno { return devno{unix.Major(dev), unix.Minor(dev)} }

// blockDevice is the number of the block device at path.
func blockDevice(path string) (devno, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return devno{}, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFBLK {
		return devno{}, fmt.Errorf("%s is not a block device", path)
	}
	return toDevno(st.Rdev), nil
}

// carries reports whether a line of the mount table is a mount of the device.
// File systems of several devices (btrfs) show a number of their own, so that
// there the source is looked up.
func carries(m *mountinfo.Info, dev devno) bool {
	if uint32(m.Major) == dev.major && uint32(m.Minor) == dev.minor {
		return true
	}
	if m.Major != 0 || !strings.HasPrefix(m.Source, "/dev/") {
		return false
	}
	d, err := blockDevice(m.Source)
	return err == nil && d == dev
}

// topAt is the uppermost mount at a point, nil if there is none.
func topAt(table []*mountinfo.Info, point string) *mountinfo.Info {
	var at []*mountinfo.Info
	for _, m := range table {
		if m.Mountpoint == point {
			at = append(at, m)
		}
	}
	for i := len(at) - 1; i >= 0; i-- {
		if !slices.ContainsFunc(at, func(o *mountinfo.Info) bool { return o != at[i] && o.Parent == at[i].ID }) {
			return at[i]
		}
	}
	return nil
}

// readOnly reports whether a mount is read-only for this point or altogether.
func readOnly(m *mountinfo.Info) bool {
	has := func(opts string) bool { return slices.Contains(strings.Split(opts, ","), "ro") }
	return has(m.Options) || has(m.VFSOptions)
}

// below reports whether path is dir or lies below it. Both are clean.
func below(path, dir string) bool {
	return path == dir || dir == "/" || strings.HasPrefix(path, dir+"/")
}

// elsewhere is a mount table of another mount namespace.
type elsewhere struct {
	pid     int    // of one process in it
	command string // of that process
	table   []*mountinfo.Info
}

// otherTables reads the mount table of every other mount namespace in which a
// visible process lives. What could not be read is in the error; the tables are
// good all the same.
func otherTables() ([]elsewhere, error) {
	own, err := os.Readlink("/proc/self/ns/mnt")
	if err != nil {
		return nil, fmt.Errorf("cannot read this process's mount namespace: %w", err)
	}
	pids, err := allPIDs()
	if err != nil {
		return nil, err
	}
	var out []elsewhere
	var unread []error
	seen := map[string]bool{own: true}
	for _, pid := range pids {
		dir := "/proc/" + strconv.Itoa(pid)
		ns, err := os.Readlink(dir + "/ns/mnt")
		if err != nil {
			if !ended(pid, err) {
				unread = append(unread, fmt.Errorf("cannot read the mount namespace of pid %d: %w", pid, err))
			}
			continue
		}
		if seen[ns] {
			continue
		}
		table, err := readTable(dir + "/mountinfo")
		if err != nil {
			if !ended(pid, err) {
				unread = append(unread, fmt.Errorf("cannot read the mounts of pid %d: %w", pid, err))
			}
			continue // another process of that namespace may do
		}
		seen[ns] = true
		out = append(out, elsewhere{pid, commandOf(pid), table})
	}
	return out, errors.Join(unread...)
}
