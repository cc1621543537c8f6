//go:build !linux

package trigger

import (
	"context"
	"errors"
	"fmt"
)

// File is not supported on this system; the periodic look has to do.
func File(_ context.Context, path string, _ func()) error {
	return fmt.Errorf("cannot watch %s: %w on this system", path, errors.ErrUnsupported)
}

// Exit is not supported on this system; the periodic look has to do.
func Exit(_ context.Context, pid int, _ func() bool) error {
	return fmt.Errorf("cannot watch process %d: %w on this system", pid, errors.ErrUnsupported)
}
