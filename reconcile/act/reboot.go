//go:build linux || aix

package act

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"understudy/reconcile"
)

// writeBackLimit bounds the writing back before a reboot: a disk that does not
// answer must not keep the host up.
const writeBackLimit = 20 * time.Second

// reboot reboots this host through Options.Reboot. It does not return before ctx
// ends: a host that still runs then has not been rebooted. See [reconcile.Reboot].
func (h *Host) reboot(ctx context.Context, s reconcile.Reboot) error {
	fail := func(err error) error { return fmt.Errorf("cannot reboot this host: %w — reboot it by hand", err) }
	if h.opts.Reboot == nil {
		return fail(errors.New("nothing is set up for it"))
	}
	if !s.AtOnce {
		short, cancel := share(ctx, 1, 2, writeBackLimit)
		err := h.flights.do(short, "write back all disks", func() error { unix.Sync(); return nil }, nil)
		cancel()
		if ctx.Err() != nil {
			return stopped(ctx, "reboot this host")
		}
		if err != nil {
			h.log.WarnContext(ctx, "disks were not written back in time", "err", err)
		}
	}
	h.log.WarnContext(ctx, "rebooting this host", "group", s.Group, "reason", s.Why, "at_once", s.AtOnce)
	if err := h.opts.Reboot(ctx, s.AtOnce); err != nil {
		return fail(err)
	}
	<-ctx.Done()
	return fail(fmt.Errorf("it was asked to and still runs: %w", context.Cause(ctx)))
}
