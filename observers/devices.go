//go:build unix

package observers

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"

	"understudy/config"
	"understudy/reconcile"
)

// devices looks at every device that the file names. A path that is not there, or
// is no block device, is absent; a path that cannot be looked at makes the whole
// reading unknown.
func devices(ctx context.Context, cfg *config.Config) ([]reconcile.Device, error) {
	out := []reconcile.Device{}
	for _, g := range cfg.Groups {
		for _, f := range g.Filesystems {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			if slices.ContainsFunc(out, func(d reconcile.Device) bool { return d.Path == f.Device }) {
				continue
			}
			d := reconcile.Device{Path: f.Device}
			info, err := os.Stat(f.Device)
			switch {
			case errors.Is(err, fs.ErrNotExist):
			case err != nil:
				return nil, fmt.Errorf("cannot look at %s: %w", f.Device, err)
			case info.Mode()&fs.ModeDevice != 0 && info.Mode()&fs.ModeCharDevice == 0:
				st, ok := info.Sys().(*syscall.Stat_t)
				if !ok {
					return nil, fmt.Errorf("cannot tell the device number of %s", f.Device)
				}
				d.Present, d.Major, d.Minor = true, unix.Major(uint64(st.Rdev)), unix.Minor(uint64(st.Rdev))
			}
			out = append(out, d)
		}
	}
	return out, nil
}

// LookApps reads the processes of every application anew, for act's own looking
// before and after a step.
func (h *Host) LookApps(ctx context.Context) ([]reconcile.AppState, error) {
	ctx, cancel := context.WithTimeout(ctx, h.limit)
	defer cancel()
	v := h.view.Load()
	s := h.readApps(ctx, v)
	if !s.OK() {
		return nil, s.Why()
	}
	return s.Value, nil
}
