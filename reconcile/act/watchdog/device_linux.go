package watchdog

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// device is a watchdog through its ioctls (linux/watchdog.h).
type device struct{ fd int }

var _ Device = (*device)(nil)

// open opens a watchdog, which starts it.
func open(path string) (Device, error) {
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	switch {
	case errors.Is(err, unix.EBUSY):
		return nil, fmt.Errorf("cannot open %s: another program feeds it — see RuntimeWatchdogSec of systemd, watchdogd and sbd", path)
	case errors.Is(err, unix.ENOENT):
		return nil, fmt.Errorf("cannot open %s: there is none — load the driver of the board's watchdog, or softdog", path)
	case err != nil:
		return nil, fmt.Errorf("cannot open %s: %w", path, err)
	}
	return &device{fd}, nil
}

// ioctl passes a pointer to an int in and out, as the watchdog's calls have it.
func (d *device) ioctl(request uint, v int32) (int32, error) {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(d.fd), uintptr(request), uintptr(unsafe.Pointer(&v)))
	switch errno {
	case 0:
		return v, nil
	case unix.EOPNOTSUPP, unix.ENOTTY:
		return 0, ErrNotSupported
	}
	return 0, errno
}

// Support implements Device.
func (d *device) Support() (Support, error) {
	info, err := unix.IoctlGetWatchdogInfo(d.fd)
	if err != nil {
		return Support{}, fmt.Errorf("WDIOC_GETSUPPORT: %w", err)
	}
	id, _, _ := bytes.Cut(info.Identity[:], []byte{0})
	s := Support{
		Identity:   string(id),
		SetTimeout: info.Options&unix.WDIOF_SETTIMEOUT != 0,
		Pretimeout: info.Options&unix.WDIOF_PRETIMEOUT != 0,
		MagicClose: info.Options&unix.WDIOF_MAGICCLOSE != 0,
	}
	if boot, err := d.ioctl(unix.WDIOC_GETBOOTSTATUS, 0); err == nil {
		s.Reset = boot&unix.WDIOF_CARDRESET != 0
	}
	return s, nil
}

// SetTimeout implements Device.
func (d *device) SetTimeout(t time.Duration) error {
	_, err := d.ioctl(unix.WDIOC_SETTIMEOUT, int32(t/time.Second))
	return err
}

// Timeout implements Device.
func (d *device) Timeout() (time.Duration, error) {
	v, err := d.ioctl(unix.WDIOC_GETTIMEOUT, 0)
	return time.Duration(v) * time.Second, err
}

// SetPretimeout implements Device.
func (d *device) SetPretimeout(t time.Duration) error {
	_, err := d.ioctl(unix.WDIOC_SETPRETIMEOUT, int32(t/time.Second))
	return err
}

// Left implements Device.
func (d *device) Left() (time.Duration, error) {
	v, err := d.ioctl(unix.WDIOC_GETTIMELEFT, 0)
	return time.Duration(v) * time.Second, err
}

// Feed implements Device. The argument is a dummy that the call wants.
func (d *device) Feed() Errno {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(d.fd), unix.WDIOC_KEEPALIVE, 0)
	return Errno(errno)
}

// Close implements Device. V is what switches a watchdog off (magic close).
func (d *device) Close(disarm bool) error {
	var err error
	if disarm {
		_, err = unix.Write(d.fd, []byte("V"))
	}
	return errors.Join(err, unix.Close(d.fd))
}

// text is what an errno says.
func (e Errno) text() string { return unix.Errno(e).Error() }

// bootClock is CLOCK_BOOTTIME. Should that fail it is far ahead: nothing is fed.
func bootClock() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return never
	}
	return time.Duration(ts.Nano())
}

// nanosleep is a sleep of this thread; what interrupts it makes it shorter.
func nanosleep(d time.Duration) {
	ts := unix.NsecToTimespec(int64(d))
	_ = unix.Nanosleep(&ts, nil)
}

// raise puts this thread before all that are not of real time, and keeps what it has
// used in memory. Neither is allowed everywhere, and the error says what is not.
func raise() error {
	attr := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_RR, Flags: unix.SCHED_FLAG_RESET_ON_FORK, Priority: 1}
	err := unix.SchedSetAttr(0, &attr, 0)
	if err != nil {
		err = fmt.Errorf("real-time priority: %w", err)
		if nice := unix.Setpriority(unix.PRIO_PROCESS, 0, -20); nice != nil {
			err = errors.Join(err, fmt.Errorf("niceness: %w", nice))
		}
	}
	return err
}

// lockMemory keeps pages that were once used from being swapped out.
func lockMemory() error {
	return unix.Mlockall(unix.MCL_CURRENT | unix.MCL_FUTURE | unix.MCL_ONFAULT)
}

// resetter is the weaker way to a reset: it needs a kernel that still runs.
func resetter(how string) (func() Errno, error) {
	if how == fallbackReboot {
		return func() Errno {
			_, _, errno := unix.Syscall6(unix.SYS_REBOOT, unix.LINUX_REBOOT_MAGIC1, unix.LINUX_REBOOT_MAGIC2, unix.LINUX_REBOOT_CMD_RESTART, 0, 0, 0)
			return Errno(errno)
		}, nil
	}
	f, err := os.OpenFile("/proc/sysrq-trigger", os.O_WRONLY, 0)
	if err != nil {
		return nil, err
	}
	fd, b := int(f.Fd()), []byte("b")
	return func() Errno {
		_, err := unix.Write(fd, b)
		if errno, ok := err.(unix.Errno); ok {
			return Errno(errno)
		}
		_ = f // it stays open
		return 0
	}, nil
}
