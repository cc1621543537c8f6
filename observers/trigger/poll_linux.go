package trigger

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// File calls fire once when it has begun to watch and then after every change
// that the kernel signals on path, a file of proc(5) that supports poll(2)
// (/proc/self/mountinfo, /proc/sys/kernel/hostname). Several changes may be one
// call. It returns the context's error when ctx ends.
//
// The runtime's own poller waits. A poll(2) of our own on a descriptor made by
// os.Open would lose events, because the runtime has registered it with its
// epoll instance, which takes the one-shot signal first (measured). For the same
// reason there is one Read for the whole watch: each begins by forgetting a
// signal that came since the last one ended (measured: lost within 100 changes).
func File(ctx context.Context, path string, fire func()) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("cannot watch %s: %w", path, err)
	}
	defer f.Close()
	conn, err := f.SyscallConn()
	if err != nil {
		return fmt.Errorf("cannot watch %s: %w", path, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = f.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	err = conn.Read(func(uintptr) bool { fire(); return false })
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("cannot wait for a change of %s: %w", path, err)
}

// Exit returns nil when the process has ended, including all of its threads, and
// the context's error if ctx ends first. same is asked once, after the process
// has been pinned, whether pid is still the process that is meant; if it is not,
// that process has ended. See pidfd_open(2).
func Exit(ctx context.Context, pid int, same func() bool) error {
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot watch process %d: %w", pid, err)
	}
	f := os.NewFile(uintptr(fd), "pidfd")
	defer f.Close()
	if !same() {
		return nil
	}
	conn, err := f.SyscallConn()
	if err != nil {
		return fmt.Errorf("cannot watch process %d: %w", pid, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = f.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	err = conn.Read(func(fd uintptr) bool {
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(p, 0)
		return err == nil && n > 0
	})
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("cannot wait for the end of process %d: %w", pid, err)
	}
	return nil
}
