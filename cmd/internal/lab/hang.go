//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Hang makes the storage below a mount point of a host hang: what writes there
// waits and cannot be killed, reading goes on, and the file system cannot be
// unmounted. It ends with [Lab.Unhang] and with the host's power.
func (l *Lab) Hang(ctx context.Context, host, mount string) error {
	return l.ask(ctx, request{Op: "hang", Host: host, Name: mount}, nil)
}

// Unhang lets a host's storage go on. It does nothing when none hangs.
func (l *Lab) Unhang(ctx context.Context, host string) error {
	return l.ask(ctx, request{Op: "unhang", Host: host}, nil)
}

// hang freezes a file system (ioctl_fifreeze(2)): a write there waits in the
// kernel, uninterruptible, as it does for a disk that does not answer. The mount
// point is kept open, from outside the host, so that it can be thawed.
func (h *host) hang(mount string) error {
	h.op.Lock()
	defer h.op.Unlock()
	if !h.on {
		return fmt.Errorf("cannot hang %s of %s: it is off", mount, h.Name)
	}
	mounts, err := readMounts(h.pid)
	if err != nil {
		return fmt.Errorf("cannot hang %s of %s: %w", mount, h.Name, err)
	}
	shared := false
	for _, d := range h.loops {
		for _, point := range mounts[d.device()] {
			shared = shared || point == mount
		}
	}
	if !shared { // never a file system of the machine itself
		return fmt.Errorf("cannot hang %s of %s: no shared disk is mounted there", mount, h.Name)
	}
	f, err := os.OpenFile(fmt.Sprintf("/proc/%d/root%s", h.pid, mount), os.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("cannot hang %s of %s: %w", mount, h.Name, err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil || unix.Major(st.Dev) != loopMajor {
		f.Close()
		return fmt.Errorf("cannot hang %s of %s: no shared disk is mounted there (%v)", mount, h.Name, err)
	}
	if err := unix.IoctlSetInt(int(f.Fd()), fiFreeze, 0); err != nil {
		f.Close()
		return fmt.Errorf("cannot hang %s of %s: %w", mount, h.Name, err)
	}
	h.hung = append(h.hung, f)
	h.s.events.add(h.Name, "storage below %s hangs", mount)
	return nil
}

// unhang thaws what hangs. With the host's power gone the file systems are shut
// down first: what waited there comes back to an error, and nothing is written.
func (h *host) unhang(dead bool) error {
	if !dead {
		h.op.Lock()
		defer h.op.Unlock()
	}
	var errs []error
	for _, f := range h.hung {
		if dead {
			if err := unix.IoctlSetPointerInt(int(f.Fd()), fsShutdown, noLogFlush); err != nil && !errors.Is(err, unix.EIO) {
				errs = append(errs, fmt.Errorf("file system that hangs: %w", err))
			}
		}
		if err := unix.IoctlSetInt(int(f.Fd()), fiThaw, 0); err != nil && !errors.Is(err, unix.EINVAL) {
			errs = append(errs, fmt.Errorf("cannot thaw a file system: %w", err))
		}
		f.Close()
	}
	if len(h.hung) > 0 && !dead {
		h.s.events.add(h.Name, "storage goes on")
	}
	h.hung = nil
	return errors.Join(errs...)
}

// FIFREEZE and FITHAW, _IOWR('X', 119, int) and _IOWR('X', 120, int)
// (include/uapi/linux/fs.h).
const (
	fiFreeze = 0xc0045877
	fiThaw   = 0xc0045878
)
