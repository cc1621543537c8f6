//go:build !linux && !aix

package addrs

import (
	"context"
	"errors"
	"fmt"

	"understudy/reconcile"
)

// Read is not supported on this system.
func Read(context.Context) ([]reconcile.Link, []reconcile.Addr, error) {
	return nil, nil, fmt.Errorf("cannot list addresses: %w on this system", errors.ErrUnsupported)
}

// Watch is not supported on this system.
func Watch(context.Context, func()) error {
	return fmt.Errorf("cannot watch addresses: %w on this system", errors.ErrUnsupported)
}
