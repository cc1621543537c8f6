package addrs

import (
	"context"
	"errors"
	"fmt"

	"understudy/observers/aix"
	"understudy/reconcile"
)

var system = aix.New(nil)

// Read lists every link by index, and every address of every link.
func Read(ctx context.Context) ([]reconcile.Link, []reconcile.Addr, error) {
	return system.Network(ctx)
}

// Watch is not supported on this system.
func Watch(context.Context, func()) error {
	return fmt.Errorf("cannot watch addresses: %w on this system", errors.ErrUnsupported)
}
