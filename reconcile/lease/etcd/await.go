package etcd

import (
	"context"
	"errors"
	"fmt"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	etcdlease "go.etcd.io/etcd/server/v3/lease"
)

// limiter bounds the calls under way. A member whose disk hangs answers none of
// them, and each renewal interval brings another.
type limiter chan struct{}

func newLimiter() limiter { return make(limiter, 64) }

// await calls f and returns when its context ends, whether f does or not: inside
// a member some waits (for an applied index, for a lock of the back end) have
// limits of their own. What f brings later is dropped.
func await[T any](ctx context.Context, l *limiter, f func(context.Context) (T, error)) (T, error) {
	var zero T
	select {
	case *l <- struct{}{}:
	case <-ctx.Done():
		return zero, fmt.Errorf("cannot reach the store: too many calls hang: %w", context.Cause(ctx))
	}
	type answer struct {
		v   T
		err error
	}
	back := make(chan answer, 1)
	go func() {
		defer func() { <-*l }()
		v, err := f(ctx)
		back <- answer{v, err}
	}()
	select {
	case a := <-back:
		if a.err != nil && ctx.Err() != nil && !gone(a.err) {
			a.err = errors.Join(context.Cause(ctx), a.err)
		}
		return a.v, a.err
	case <-ctx.Done():
		return zero, fmt.Errorf("no answer from the store: %w", context.Cause(ctx))
	}
}

// gone reports whether err says that a lease is not there: the client's error,
// or the member's own.
func gone(err error) bool {
	return errors.Is(err, rpctypes.ErrLeaseNotFound) || errors.Is(err, etcdlease.ErrLeaseNotFound)
}
