package aix

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"understudy/config"
	look "understudy/observers/aix"
	"understudy/reconcile"
)

// Host carries out steps on one AIX host. All fields must be set.
type Host struct {
	See *look.System
	Log *slog.Logger
	// Filesystems reads /etc/filesystems.
	Filesystems func() (string, error)
	// Signal sends a signal to a process that is identified by number and start, and
	// is no error if it has ended.
	Signal func(p reconcile.Process, sig syscall.Signal) error
	// Spared are the processes that must not be signalled.
	Spared func() map[int]bool
}

// StartOf is the start of a process as [reconcile.Process] carries it on AIX:
// nanoseconds since 1970.
func StartOf(p look.Psinfo) uint64 { return uint64(p.Start.UnixNano()) }

// carries reports whether a line of the mount table is a mount of a device.
func (h *Host) carries(m reconcile.Mount, device string) (bool, error) {
	if m.Source == device {
		return true, nil
	}
	if m.Major == 0 && m.Minor == 0 || !strings.HasPrefix(device, "/dev/") {
		return false, nil
	}
	major, minor, err := h.See.Device(device)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil // of a volume group that is not known here
	}
	return err == nil && m.Major == major && m.Minor == minor, err
}

// topAt is the uppermost mount at a point: the last one in the table.
func topAt(table []reconcile.Mount, point string) (reconcile.Mount, bool) {
	for _, m := range slices.Backward(table) {
		if m.Point == point {
			return m, true
		}
	}
	return reconcile.Mount{}, false
}

// run runs a command whose output does not matter.
func (h *Host) run(ctx context.Context, argv ...string) error {
	_, err := h.See.Run(ctx, argv...)
	return err
}

// failed reports whether a command ran to its end and failed.
func failed(err error) bool {
	exit := (*look.ExitError)(nil)
	return errors.As(err, &exit)
}

// pause waits for d or until ctx ends, and reports whether d has passed.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// SetHostname sets the host name of the running system (reference of hostname). It
// leaves the name of the node (uname -n) and what is set at the next boot alone.
func (h *Host) SetHostname(ctx context.Context, name string) error {
	return h.run(ctx, "hostname", name)
}

// Left names what of a group's storage and addresses is still on this host. What
// could not be read counts as left.
func (h *Host) Left(ctx context.Context, g config.Group) []string {
	var left []string
	table, err := h.See.Mounts(ctx)
	if err != nil {
		left = append(left, err.Error())
	}
	for _, f := range g.Filesystems {
		for _, m := range table {
			ours, err := h.carries(m, f.Device)
			if err != nil {
				left = append(left, err.Error())
			}
			if ours || m.Point == f.Mount {
				left = append(left, fmt.Sprintf("%s is mounted at %s", m.Source, m.Point))
			}
		}
	}
	_, addrs, err := h.See.Network(ctx)
	if err != nil {
		left = append(left, err.Error())
	}
	for _, a := range g.Addresses {
		for _, on := range addrs {
			if on.Prefix.Addr() == a.Prefix.Addr() {
				left = append(left, fmt.Sprintf("%s is on %s", a.Prefix.Addr(), on.Link))
			}
		}
	}
	return append(left, h.storageLeft(ctx, g)...)
}

// storageLeft names volume groups that are on, which is AIX's own lock on shared
// disks: while a group is off, no device of it can be opened. A device outside of a
// volume group can only be looked at through fuser.
func (h *Host) storageLeft(ctx context.Context, g config.Group) []string {
	var left, groups, plain []string
	add := func(device, volume string) {
		if volume != "" {
			groups = append(groups, volume)
		} else {
			plain = append(plain, device)
		}
	}
	for _, f := range g.Filesystems {
		if !overNetwork(f.Type) && !f.Local { // no other host can have what is local
			add(f.Device, f.Volume)
		}
	}
	for _, a := range g.Aggregates {
		add(a.Device, a.Volume)
	}
	slices.Sort(groups)
	slices.Sort(plain)
	if len(groups) > 0 {
		on, err := h.See.VariedOn(ctx)
		if err != nil {
			left = append(left, fmt.Sprintf("which volume groups are on is unknown (%v)", err))
		}
		for _, name := range slices.Compact(groups) {
			if slices.Contains(on, name) {
				left = append(left, "volume group "+name+" is varied on")
			}
		}
	}
	for _, device := range slices.Compact(plain) {
		users, err := h.See.UsersOf(ctx, device)
		switch {
		case err != nil:
			left = append(left, fmt.Sprintf("who uses %s is unknown (%v)", device, err))
		case len(users) > 0:
			left = append(left, fmt.Sprintf("%s is used by processes %v", device, users))
		}
	}
	return left
}

// overNetwork lists the types of file systems that lie on another host.
func overNetwork(fstype string) bool {
	return slices.Contains([]string{"nfs", "nfs3", "nfs4", "cifs", "autofs"}, fstype)
}

// below reports whether path is dir or lies below it. Both are clean.
func below(path, dir string) bool {
	return path == dir || dir == "/" || strings.HasPrefix(path, dir+"/")
}

func clean(path string) bool {
	return filepath.IsAbs(path) && filepath.Clean(path) == path && path != "/"
}
