//go:build !linux

package trigger

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// File is not supported on this system; the periodic look has to do.
func File(_ context.Context, path string, _ func()) error {
	return fmt.Errorf("cannot watch %s: %w on this system", path, errors.ErrUnsupported)
}

// exitEvery is how often a process is asked for that cannot be watched.
const exitEvery = 250 * time.Millisecond

// Exit returns when same says no: this system has no call that tells of the end of
// another's child.
func Exit(ctx context.Context, _ int, same func() bool) error {
	tick := time.NewTicker(exitEvery)
	defer tick.Stop()
	for same() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return nil
}
