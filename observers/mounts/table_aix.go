package mounts

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"understudy/observers/aix"
	"understudy/reconcile"
)

// Table reads the mount table. The zero value is ready.
type Table struct{}

var system = aix.New(func(path string) (major, minor uint32, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, 0, err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || info.Mode()&fs.ModeDevice == 0 {
		return 0, 0, fs.ErrNotExist
	}
	return unix.Major(uint64(st.Rdev)), unix.Minor(uint64(st.Rdev)), nil
})

// Read returns the whole mount table.
func (*Table) Read(ctx context.Context) ([]reconcile.Mount, error) { return system.Mounts(ctx) }

// Watch is not supported on this system.
func Watch(context.Context, func()) error {
	return fmt.Errorf("cannot watch mounts: %w on this system", errors.ErrUnsupported)
}
