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
	for _, path := range devicePaths(cfg) {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		d := reconcile.Device{Path: path}
		info, err := os.Stat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return nil, fmt.Errorf("cannot look at %s: %w", path, err)
		case info.Mode()&fs.ModeDevice != 0 && info.Mode()&fs.ModeCharDevice == 0:
			st, ok := info.Sys().(*syscall.Stat_t)
			if !ok {
				return nil, fmt.Errorf("cannot tell the device number of %s", path)
			}
			d.Present, d.Major, d.Minor = true, unix.Major(uint64(st.Rdev)), unix.Minor(uint64(st.Rdev))
		}
		out = append(out, d)
	}
	return out, nil
}

// devicePaths are the devices of file systems and aggregates, in the order of the
// file and each once.
func devicePaths(cfg *config.Config) []string {
	var out []string
	add := func(path string) {
		if !slices.Contains(out, path) {
			out = append(out, path)
		}
	}
	for _, g := range cfg.Groups {
		for _, f := range g.Filesystems {
			add(f.Device)
		}
		for _, a := range g.Aggregates {
			add(a.Device)
		}
	}
	return out
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
