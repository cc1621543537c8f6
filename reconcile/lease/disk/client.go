package disk

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"understudy/reconcile"
	"understudy/reconcile/lease"
)

// Client is a lease.Store that joins the store on a disk when the disk answers,
// and joins it again, as a new incarnation, when the device had to be opened anew:
// a path that was taken away and has come back is another device to the kernel.
// Until it has joined, every call fails at once.
type Client struct {
	open func() (Device, error)
	opts Options

	mu    sync.Mutex
	store *Store // nil: not joined
	why   error  // then
	ready chan struct{}
}

var _ lease.Store = (*Client)(nil)

// NewClient makes a client. It does nothing before Run.
func NewClient(open func() (Device, error), o Options) *Client {
	return &Client{open: open, opts: o, why: errors.New("it has not been tried yet"), ready: make(chan struct{})}
}

// Run joins, and stays joined, until ctx ends; then it returns nil. A call to a
// disk that hangs is not waited for.
func (c *Client) Run(ctx context.Context) error {
	said := ""
	for ctx.Err() == nil {
		s, err := c.join(ctx)
		if err != nil {
			if ctx.Err() == nil && err.Error() != said {
				said = err.Error()
				c.opts.Log.Warn("store on the disk not joined", "err", err)
			}
			c.set(nil, err)
			_ = sleep(ctx, c.opts.Limit)
			continue
		}
		said = ""
		c.opts.Log.Info("store on the disk joined", "slot", s.place)
		c.set(s, nil)
		for ctx.Err() == nil && !s.lane.stale(c.opts.TTL) {
			_ = sleep(ctx, c.opts.Poll)
		}
		if ctx.Err() == nil {
			c.opts.Log.Warn("the disk has failed for a ttl: it is opened anew", "ttl", c.opts.TTL)
		}
		c.set(nil, errors.New("the disk has failed"))
		s.Close()
	}
	return nil
}

func (c *Client) join(ctx context.Context) (*Store, error) {
	dev, err := c.open()
	if err != nil {
		return nil, err
	}
	return Open(ctx, dev, c.opts)
}

func (c *Client) set(s *Store, why error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.store, c.why = s, why
	close(c.ready)
	c.ready = make(chan struct{})
}

// joined is the store as it is joined now, and a channel that closes when that changes.
func (c *Client) joined() (*Store, <-chan struct{}, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.store == nil {
		return nil, c.ready, fmt.Errorf("the store on the disk is not joined: %w", c.why)
	}
	return c.store, c.ready, nil
}

// Grant implements lease.Store.
func (c *Client) Grant(ctx context.Context, node, bootID string, ttl time.Duration) (lease.LeaseID, error) {
	s, _, err := c.joined()
	if err != nil {
		return 0, err
	}
	return s.Grant(ctx, node, bootID, ttl)
}

// Renew implements lease.Store.
func (c *Client) Renew(ctx context.Context, id lease.LeaseID) error {
	return c.with(func(s *Store) error { return s.Renew(ctx, id) })
}

// Revoke implements lease.Store.
func (c *Client) Revoke(ctx context.Context, node, bootID string) error {
	return c.with(func(s *Store) error { return s.Revoke(ctx, node, bootID) })
}

// Take implements lease.Store.
func (c *Client) Take(ctx context.Context, id lease.LeaseID, next reconcile.Claim, was int64) (int64, error) {
	s, _, err := c.joined()
	if err != nil {
		return 0, err
	}
	return s.Take(ctx, id, next, was)
}

// PutFence implements lease.Store.
func (c *Client) PutFence(ctx context.Context, f reconcile.FenceRecord) error {
	return c.with(func(s *Store) error { return s.PutFence(ctx, f) })
}

// PutConfirm implements lease.Store.
func (c *Client) PutConfirm(ctx context.Context, w reconcile.Confirmation) error {
	return c.with(func(s *Store) error { return s.PutConfirm(ctx, w) })
}

// PutRequest implements lease.Store.
func (c *Client) PutRequest(ctx context.Context, r reconcile.Request, ttl time.Duration) error {
	return c.with(func(s *Store) error { return s.PutRequest(ctx, r, ttl) })
}

// DeleteRequest implements lease.Store.
func (c *Client) DeleteRequest(ctx context.Context, group string) error {
	return c.with(func(s *Store) error { return s.DeleteRequest(ctx, group) })
}

// View implements lease.Store.
func (c *Client) View(ctx context.Context) (reconcile.StoreView, error) {
	s, _, err := c.joined()
	if err != nil {
		return reconcile.StoreView{}, err
	}
	return s.View(ctx)
}

// Watch implements lease.Store. It watches on across a new joining.
func (c *Client) Watch(ctx context.Context, changed func()) error {
	for {
		s, other, err := c.joined()
		wctx, cancel := context.WithCancel(ctx)
		var wg sync.WaitGroup
		if err == nil {
			wg.Go(func() { _ = s.Watch(wctx, changed) }) // ends with its context only
		} else {
			changed()
		}
		select {
		case <-other:
		case <-ctx.Done():
		}
		cancel()
		wg.Wait()
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
}

func (c *Client) with(f func(*Store) error) error {
	s, _, err := c.joined()
	if err != nil {
		return err
	}
	return f(s)
}
