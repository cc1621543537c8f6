//go:build linux || aix

package act

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// flights runs calls into the kernel that may never return. The zero value is
// ready for use.
type flights struct {
	mu sync.Mutex
	m  map[string]*flight
}

type flight struct {
	since     time.Time
	abandoned bool // nobody waits for it any more
	ended     bool
	over      chan struct{} // closed when its name is free again
}

// do runs call in a goroutine of its own and waits for it until ctx ends. what
// names it, in the words that follow "cannot". A call of the same name that
// somebody else waits for is waited for first; while an abandoned one has not
// come back, do refuses to begin another. late, if not nil, is called with the
// result of an abandoned call when it does come back.
func (f *flights) do(ctx context.Context, what string, call func() error, late func(error)) error {
	if ctx.Err() != nil {
		return stopped(ctx, what)
	}
	me := &flight{since: time.Now(), over: make(chan struct{})}
	f.mu.Lock()
	for other := f.m[what]; other != nil; other = f.m[what] {
		abandoned := other.abandoned
		f.mu.Unlock()
		if !abandoned {
			select {
			case <-other.over:
				f.mu.Lock()
				continue
			case <-ctx.Done():
				return stopped(ctx, what)
			}
		}
		return fmt.Errorf("cannot %s: an earlier attempt is still hanging in the kernel, since %s — look at the storage or network path behind it",
			what, time.Since(other.since).Round(time.Second))
	}
	if f.m == nil {
		f.m = make(map[string]*flight)
	}
	f.m[what] = me
	f.mu.Unlock()

	result := make(chan error, 1)
	go func() {
		err := call()
		f.mu.Lock()
		me.ended = true
		abandoned := me.abandoned
		f.mu.Unlock()
		if abandoned && late != nil {
			late(err)
		}
		f.mu.Lock()
		delete(f.m, what)
		close(me.over)
		f.mu.Unlock()
		result <- err
	}()
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
	}
	f.mu.Lock()
	ended := me.ended
	me.abandoned = !ended
	f.mu.Unlock()
	if ended {
		return <-result
	}
	return fmt.Errorf("cannot %s: still hanging in the kernel after %s: %w", what, time.Since(me.since).Round(time.Millisecond), context.Cause(ctx))
}

// stopped is the error of a step whose context has ended.
func stopped(ctx context.Context, what string) error {
	return fmt.Errorf("cannot %s: stopped: %w", what, context.Cause(ctx))
}

// pause waits for d or until ctx ends, and reports whether d has passed.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// share gives a context that ends after part/whole of the time that ctx has left,
// but not later than most. A ctx without a deadline counts as most·whole/part.
func share(ctx context.Context, part, whole int, most time.Duration) (context.Context, context.CancelFunc) {
	d := most
	if until, ok := ctx.Deadline(); ok {
		if left := time.Until(until) * time.Duration(part) / time.Duration(whole); left < d {
			d = left
		}
	}
	return context.WithTimeout(ctx, d)
}
