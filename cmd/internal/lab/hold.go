//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// kernelHold asks for what the kernel parts of DFS do to a host: see [host.hold].
const kernelHold = "hold"

// hold keeps descriptors of a host's files and devices open outside the host
// until its power goes. Its processes can neither see nor end who holds them, as
// they can not end a kernel.
func (h *host) hold(files []*os.File) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.on {
		return fmt.Errorf("cannot hold anything on %s: it is off", h.Name)
	}
	for _, f := range files {
		fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("cannot hold %s: %w", f.Name(), err)
		}
		h.held = append(h.held, os.NewFile(uintptr(fd), "held by "+h.Name))
	}
	return nil
}

// drop lets go of everything, at the end of a host's life.
func (h *host) drop() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	var errs []error
	for _, f := range h.held {
		// The file system may be dead already, and its last words on this file an error.
		if err := f.Close(); err != nil && !errors.Is(err, syscall.EIO) {
			errs = append(errs, err)
		}
	}
	h.held = nil
	return errors.Join(errs...)
}

// holdInKernel is the host's side: files stay open until this host's power goes.
func holdInKernel(files ...*os.File) error {
	ctx, cancel := within(context.Background(), crashLimit)
	defer cancel()
	return call(ctx, socketsInside+"/"+powerSocket, request{Op: kernelHold}, nil, files...)
}
