package scsi

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Below finds the SCSI disks below block devices, through partitions, device mapper
// (multipath, LVM, crypt) and md, as /sys shows them. Paths with one designation are
// paths to one disk.
func Below(sys System, devices ...string) ([]Unit, error) {
	w := walk{sys: sys, seen: map[string]bool{}}
	for _, device := range devices {
		info, err := os.Stat(device)
		if err != nil {
			return nil, fmt.Errorf("cannot look at %s: %w", device, errors.Unwrap(err))
		}
		st, ok := info.Sys().(*syscall.Stat_t)
		if !ok || info.Mode()&fs.ModeDevice == 0 || info.Mode()&fs.ModeCharDevice != 0 {
			return nil, fmt.Errorf("cannot find the disks below %s: it is no block device", device)
		}
		if err := w.number(unix.Major(st.Rdev), unix.Minor(st.Rdev)); err != nil {
			return nil, fmt.Errorf("cannot find the disks below %s: %w", device, err)
		}
	}
	return w.done(), nil
}

type walk struct {
	sys   System
	seen  map[string]bool
	units []Unit
}

// done is what was found; where no path works, all of them are to be tried.
func (w *walk) done() []Unit {
	for i := range w.units {
		if u := &w.units[i]; len(u.Up) == 0 {
			u.Up = u.Paths
		}
	}
	return w.units
}

// number begins at a device number: /sys/dev/block/MAJOR:MINOR leads to its folder.
func (w *walk) number(major, minor uint32) error {
	dir, err := filepath.EvalSymlinks(filepath.Join(w.sys.sys(), "dev/block", fmt.Sprintf("%d:%d", major, minor)))
	if err != nil {
		return err
	}
	return w.device(dir, false)
}

// depth bounds how many devices lie upon each other.
const depth = 64

func (w *walk) device(dir string, partly bool) error {
	if _, err := os.Stat(filepath.Join(dir, "partition")); err == nil {
		return w.device(filepath.Dir(dir), true) // its disk's folder has no such file
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if w.seen[dir] {
		return nil
	}
	if w.seen[dir] = true; len(w.seen) > depth*depth {
		return errors.New("there are too many devices")
	}
	slaves, err := os.ReadDir(filepath.Join(dir, "slaves"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, s := range slaves {
		below, err := filepath.EvalSymlinks(filepath.Join(dir, "slaves", s.Name()))
		if err != nil {
			return err
		}
		if err := w.device(below, partly); err != nil {
			return err
		}
	}
	if len(slaves) > 0 {
		return nil
	}
	return w.path(dir, partly)
}

// path adds one path to a disk.
func (w *walk) path(dir string, partly bool) error {
	name := filepath.Base(dir)
	if _, err := os.Stat(filepath.Join(dir, "device/scsi_level")); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w", name, ErrNotSCSI)
	} else if err != nil {
		return err
	}
	b, err := os.ReadFile(filepath.Join(dir, "device/wwid"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENXIO) && !errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("cannot read the designation of %s: %w", name, err)
	}
	id, path := strings.TrimSpace(string(b)), filepath.Join(w.sys.dev(), name)
	// "running", or why it does not (enum scsi_device_state of the kernel).
	state, err := os.ReadFile(filepath.Join(dir, "device/state"))
	up := err != nil || strings.TrimSpace(string(state)) == "running"
	i := slices.IndexFunc(w.units, func(u Unit) bool { return id != "" && u.ID == id })
	if i < 0 {
		w.units = append(w.units, Unit{ID: id})
		i = len(w.units) - 1
	}
	u := &w.units[i]
	u.Paths = append(u.Paths, path)
	if up {
		u.Up = append(u.Up, path)
	}
	u.Partly = u.Partly || partly
	return nil
}
