package disk

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Device is a disk, or a part of one. Both calls may block for as long as the
// disk does not answer. WriteAt returns nil only when the bytes would survive a
// power cut, and they are seen by every read that begins after that, from any
// host. Buffers are whole blocks and aligned to BlockSize.
type Device interface {
	ReadAt(p []byte, off int64) (int, error)
	WriteAt(p []byte, off int64) (int, error)
	Close() error
}

// ErrSlow says that the disk has not answered in time. What was asked of it may
// still happen.
var ErrSlow = errors.New("the disk does not answer in time")

// lane does the input and output of one device, one call at a time. A call that
// does not return is abandoned by whoever waits for it, and nothing else is asked
// of the device until it has returned: there is never more than one abandoned
// call, and no write can overtake an earlier one of the same process.
type lane struct {
	dev   Device
	limit time.Duration // of one call
	turn  chan struct{} // holds one token while a call is under way
	wg    sync.WaitGroup
	once  sync.Once // closes

	mu sync.Mutex
	ok time.Time // when a call last succeeded, or the device was opened
	no bool      // the last call to return has failed
}

func newLane(dev Device, limit time.Duration) *lane {
	return &lane{dev: dev, limit: limit, turn: make(chan struct{}, 1), ok: time.Now()}
}

// do runs f, which calls the device with a buffer of its own, within the limit.
func (l *lane) do(ctx context.Context, f func(Device) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	timer := time.NewTimer(l.limit)
	defer timer.Stop()
	select {
	case l.turn <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ErrSlow, context.Cause(ctx))
	case <-timer.C:
		return fmt.Errorf("%w: an earlier call has not returned", ErrSlow)
	}
	done := make(chan error, 1)
	l.wg.Go(func() {
		err := f(l.dev)
		l.mu.Lock()
		if l.no = err != nil; !l.no {
			l.ok = time.Now()
		}
		l.mu.Unlock()
		<-l.turn
		done <- err
	})
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ErrSlow, context.Cause(ctx))
	case <-timer.C:
		return fmt.Errorf("%w: nothing within %s", ErrSlow, l.limit)
	}
}

// stale reports that calls have failed for a time and none is under way: one
// that hangs is waited for, since another opening would hang as well.
func (l *lane) stale(d time.Duration) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.no && time.Since(l.ok) > d && len(l.turn) == 0
}

// read reads n bytes at off.
func (l *lane) read(ctx context.Context, off int64, n int) ([]byte, error) {
	b := aligned(n)
	err := l.do(ctx, func(d Device) error { return whole(d.ReadAt(b, off))(len(b)) })
	if err != nil {
		return nil, fmt.Errorf("cannot read %d bytes of the disk at %d: %w", n, off, err)
	}
	return b, nil
}

// write writes p at off; p is copied.
func (l *lane) write(ctx context.Context, off int64, p []byte) error {
	b := aligned(len(p))
	copy(b, p)
	err := l.do(ctx, func(d Device) error { return whole(d.WriteAt(b, off))(len(b)) })
	if err != nil {
		return fmt.Errorf("cannot write %d bytes of the disk at %d: %w", len(p), off, err)
	}
	return nil
}

// whole turns a short call into an error.
func whole(n int, err error) func(want int) error {
	return func(want int) error {
		if err == nil && n != want {
			return fmt.Errorf("%d of %d bytes", n, want)
		}
		return err
	}
}

// close closes the device behind the call that is under way, if there is one; it
// does not wait for it.
func (l *lane) close() {
	l.once.Do(func() {
		l.wg.Go(func() {
			l.turn <- struct{}{} // for good: nothing is asked of it any more
			l.dev.Close()        // nothing was left to be written: every write was a synchronous one
		})
	})
}
