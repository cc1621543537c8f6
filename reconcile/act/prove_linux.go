package act

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"understudy/config"
	"understudy/reconcile"
)

// proveRelease proves that nothing of a group is left on this host. What could
// not be read counts as left. See [reconcile.ProveRelease].
func (h *Host) proveRelease(ctx context.Context, s reconcile.ProveRelease) error {
	g := s.Group
	devices, missing := h.devicesOf(g)
	checks := []func(context.Context) []string{
		func(ctx context.Context) []string { return h.appsLeft(ctx, g) },
		func(context.Context) []string { return addressesLeft(g) },
		func(context.Context) []string { return mountsLeft(g, devices) },
		func(context.Context) []string { return usersLeft(devices) },
		func(context.Context) []string { return h.volumesLeft(g) },
		func(context.Context) []string { return missing },
	}
	var left []string
	for _, check := range checks {
		if ctx.Err() != nil {
			return stopped(ctx, "prove the release of "+g.Name)
		}
		got := make(chan []string, 1)
		err := h.flights.do(ctx, "prove the release of "+g.Name, func() error { got <- check(ctx); return nil }, nil)
		if err != nil {
			return err
		}
		left = append(left, <-got...)
	}
	for _, d := range devices {
		if err := h.openExclusively(ctx, d.path); err != nil {
			left = append(left, err.Error())
		}
	}
	if len(left) == 0 {
		h.log.InfoContext(ctx, "release proved", "group", g.Name)
		return nil
	}
	const most = 8
	if len(left) > most {
		left = append(left[:most], fmt.Sprintf("and %d more", len(left)-most))
	}
	return fmt.Errorf("cannot prove that group %s is released: %s — end each, then the proof is repeated", g.Name, strings.Join(left, "; "))
}

// usedDevice is a block device of a group that this host can see.
type usedDevice struct {
	path string
	no   devno
}

// devicesOf lists the shared devices of a group. A logical volume of a volume group
// that is off has no device, which is as it should be; a plain device that
// cannot be seen proves nothing.
func (h *Host) devicesOf(g config.Group) (devices []usedDevice, missing []string) {
	add := func(path, volume string) {
		if slices.ContainsFunc(devices, func(d usedDevice) bool { return d.path == path }) {
			return
		}
		no, err := blockDevice(path)
		switch {
		case err == nil:
			devices = append(devices, usedDevice{path, no})
		case volume != "" && errors.Is(err, os.ErrNotExist):
		default:
			missing = append(missing, fmt.Sprintf("device %s is unknown (%v)", path, err))
		}
	}
	for _, fs := range g.Filesystems {
		if !overNetwork(fs.Type) && !fs.Local { // no other host can have what is local
			add(fs.Device, fs.Volume)
		}
	}
	for _, a := range g.Aggregates {
		add(a.Device, a.Volume)
	}
	return devices, missing
}

// addressesLeft names the links that still have an address of the group.
func addressesLeft(g config.Group) []string {
	ips := make([]netip.Addr, len(g.Addresses))
	for i, a := range g.Addresses {
		ips[i] = a.Prefix.Addr()
	}
	left, err := addressesHere(ips)
	if err != nil {
		left = append(left, err.Error())
	}
	return left
}

// mountsLeft names mounts of the group's devices, in any mount namespace that a
// visible process lives in, and whatever is mounted at its points here.
func mountsLeft(g config.Group, devices []usedDevice) []string {
	own, err := mountTable()
	if err != nil {
		return []string{err.Error()}
	}
	others, err := otherTables()
	var left []string
	if err != nil {
		left = append(left, err.Error())
	}
	for _, fs := range g.Filesystems {
		if m := topAt(own, fs.Mount); m != nil {
			left = append(left, fmt.Sprintf("%s is mounted at %s", m.Source, fs.Mount))
		}
	}
	for _, d := range devices {
		for _, m := range own {
			if carries(m, d.no) && !slices.ContainsFunc(g.Filesystems, func(fs config.Filesystem) bool { return fs.Mount == m.Mountpoint }) {
				left = append(left, fmt.Sprintf("%s is mounted at %s", d.path, m.Mountpoint))
			}
		}
		for _, o := range others {
			for _, m := range o.table {
				if carries(m, d.no) {
					left = append(left, fmt.Sprintf("%s is mounted at %s in the mount namespace of %s %d", d.path, m.Mountpoint, o.command, o.pid))
				}
			}
		}
	}
	return left
}

// usersLeft names loop devices, swap areas and stacked block devices on the
// group's devices.
func usersLeft(devices []usedDevice) []string {
	var left []string
	for _, d := range devices {
		for _, look := range []func(devno) ([]Holder, error){loopsBackedBy, swapsOn} {
			hs, err := look(d.no)
			if err != nil {
				left = append(left, err.Error())
			}
			for _, hd := range hs {
				left = append(left, fmt.Sprintf("%s is used by %s", d.path, hd))
			}
		}
		dir := fmt.Sprintf("/sys/dev/block/%s/holders", d.no)
		entries, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			left = append(left, fmt.Sprintf("who is stacked on %s is unknown (%v)", d.path, err))
		}
		for _, e := range entries {
			left = append(left, fmt.Sprintf("%s is used by block device %s", d.path, filepath.Base(e.Name())))
		}
	}
	return left
}

// openExclusively proves that nobody has a block device mounted, claimed by
// device mapper or md, or as swap: open(2) with O_EXCL fails with EBUSY then, and
// it does so whatever namespace the holder lives in. The last reference to a
// file system is dropped a little after its unmount, so EBUSY is tried again.
func (h *Host) openExclusively(ctx context.Context, path string) error {
	short, cancel := share(ctx, 1, 2, 2*time.Second)
	defer cancel()
	for step := time.Millisecond; ; step = min(2*step, 100*time.Millisecond) {
		err := h.flights.do(ctx, "open "+path+" exclusively", func() error {
			fd, err := unix.Open(path, unix.O_RDONLY|unix.O_EXCL|unix.O_CLOEXEC, 0)
			if err != nil {
				return err
			}
			return unix.Close(fd)
		}, nil)
		if err == nil {
			return nil
		}
		if !errors.Is(err, unix.EBUSY) || !pause(short, step) {
			if errors.Is(err, unix.EBUSY) {
				return fmt.Errorf("%s cannot be opened exclusively (%w): something holds it, perhaps in a namespace without a process", path, err)
			}
			return fmt.Errorf("%s cannot be opened exclusively: %w", path, err)
		}
	}
}
