//go:build !aix

package etcd

import (
	"context"
	"errors"
	"fmt"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	etcdlease "go.etcd.io/etcd/server/v3/lease"
)

// calls are the calls of a store that are under way.
type calls struct {
	// slots bounds them. A member whose disk hangs answers none, and each renewal
	// interval brings another.
	slots chan struct{}
	// elected is closed when the member knows a new leader; nil: nobody says so.
	elected func() <-chan struct{}
	// moved is closed when connections to peers have moved to another network;
	// nil: nobody says so.
	moved func() <-chan struct{}
}

func newCalls() calls { return calls{slots: make(chan struct{}, 64)} }

// await calls f and returns when its context ends, whether f does or not: inside
// a member some waits (for an applied index, for a lock of the back end) have
// limits of their own. What f brings later is dropped.
//
// It calls f again when a new leader is elected, or connections have moved. What
// was sent to the one before, or over the network before, may have been lost, and
// etcd does not repeat it: its client would wait for the whole of its limit. f
// must bear repetition.
func await[T any](ctx context.Context, c *calls, f func(context.Context) (T, error)) (T, error) {
	var zero T
	type answer struct {
		v   T
		err error
	}
	for attempt := ctx; ; attempt = context.WithValue(ctx, repeated{}, true) {
		var elected, moved <-chan struct{}
		if c.elected != nil {
			elected = c.elected()
		}
		if c.moved != nil {
			moved = c.moved()
		}
		select {
		case c.slots <- struct{}{}:
		case <-ctx.Done():
			return zero, fmt.Errorf("cannot reach the store: too many calls hang: %w", context.Cause(ctx))
		}
		once, cancel := context.WithCancel(attempt)
		back := make(chan answer, 1)
		go func() {
			defer func() { <-c.slots }()
			v, err := f(once)
			back <- answer{v, err}
		}()
		select {
		case a := <-back:
			cancel()
			if a.err != nil && ctx.Err() != nil && !gone(a.err) {
				a.err = errors.Join(context.Cause(ctx), a.err)
			}
			return a.v, a.err
		case <-elected:
			cancel()
		case <-moved:
			cancel()
		case <-ctx.Done():
			cancel()
			return zero, fmt.Errorf("no answer from the store: %w", context.Cause(ctx))
		}
	}
}

// gone reports whether err says that a lease is not there: the client's error,
// or the member's own.
func gone(err error) bool {
	return errors.Is(err, rpctypes.ErrLeaseNotFound) || errors.Is(err, etcdlease.ErrLeaseNotFound)
}
