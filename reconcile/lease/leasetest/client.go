package leasetest

import (
	"context"
	"sync"
	"time"

	"understudy/reconcile"
	"understudy/reconcile/lease"
)

// Fate is what happens to one call on its way. The zero value: nothing.
type Fate struct {
	Request     time.Duration // until it reaches the store
	Reply       time.Duration // until the answer is back
	LoseRequest bool          // it never arrives
	LoseReply   bool          // it arrives, and nobody learns what came of it
}

// Client is one host's way to a store. It implements lease.Store.
type Client struct {
	store *Store

	mu     sync.Mutex
	fate   func(op string) Fate
	down   bool
	healed chan struct{} // closed when the link comes back
}

var _ lease.Store = (*Client)(nil)

// Client makes a link to the store.
func (s *Store) Client() *Client { return &Client{store: s, healed: make(chan struct{})} }

// Fate sets what decides about every call from now on; op is the name of the
// method. nil: nothing happens to any.
func (c *Client) Fate(f func(op string) Fate) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fate = f
}

// Cut takes the link down: neither requests nor replies pass until Heal.
func (c *Client) Cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.down = true
}

// Heal brings the link back.
func (c *Client) Heal() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.down {
		c.down = false
		close(c.healed)
		c.healed = make(chan struct{})
	}
}

func (c *Client) next(op string) (Fate, bool, chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var f Fate
	if c.fate != nil {
		f = c.fate(op)
	}
	return f, c.down, c.healed
}

// isDown reports whether the link is cut now.
func (c *Client) isDown() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.down
}

// call sends f to the store. The request goes on when the caller has given up.
func call[T any](ctx context.Context, c *Client, op string, f func() (T, error)) (T, error) {
	var zero T
	if ctx.Err() != nil {
		return zero, context.Cause(ctx)
	}
	fate, down, _ := c.next(op)
	if down || fate.LoseRequest {
		<-ctx.Done()
		return zero, context.Cause(ctx)
	}
	type answer struct {
		v   T
		err error
	}
	back := make(chan answer, 1)
	c.store.pending.Go(func() {
		time.Sleep(fate.Request)
		var a answer
		c.store.do(func() error {
			a.v, a.err = f()
			return a.err
		})
		time.Sleep(fate.Reply)
		if !fate.LoseReply && !c.isDown() {
			back <- a
		}
	})
	select {
	case a := <-back:
		return a.v, a.err
	case <-ctx.Done():
		return zero, context.Cause(ctx)
	}
}

// Grant implements lease.Store.
func (c *Client) Grant(ctx context.Context, node, bootID string, ttl time.Duration) (lease.LeaseID, error) {
	return call(ctx, c, "Grant", func() (lease.LeaseID, error) { return c.store.grant(node, bootID, ttl) })
}

// Renew implements lease.Store.
func (c *Client) Renew(ctx context.Context, id lease.LeaseID) error {
	return c.do(ctx, "Renew", func() error { return c.store.renew(id) })
}

// Revoke implements lease.Store.
func (c *Client) Revoke(ctx context.Context, node, bootID string) error {
	return c.do(ctx, "Revoke", func() error { c.store.revoke(node, bootID); return nil })
}

// Take implements lease.Store.
func (c *Client) Take(ctx context.Context, id lease.LeaseID, next reconcile.Claim, was int64) (int64, error) {
	return call(ctx, c, "Take", func() (int64, error) { return c.store.take(id, next, was) })
}

// PutFence implements lease.Store.
func (c *Client) PutFence(ctx context.Context, f reconcile.FenceRecord) error {
	return c.do(ctx, "PutFence", func() error {
		c.store.fenced[f.Node] = f
		c.store.changed()
		c.store.revoke(f.Node, f.BootID)
		return nil
	})
}

// PutConfirm implements lease.Store.
func (c *Client) PutConfirm(ctx context.Context, p reconcile.Confirmation) error {
	return c.do(ctx, "PutConfirm", func() error {
		c.store.confirms[p.Node] = p
		c.store.changed()
		return nil
	})
}

// PutRequest implements lease.Store.
func (c *Client) PutRequest(ctx context.Context, r reconcile.Request, ttl time.Duration) error {
	return c.do(ctx, "PutRequest", func() error {
		c.store.requests[r.Group] = request{r, time.Now().Add(ttl)}
		c.store.later(ttl)
		c.store.changed()
		return nil
	})
}

// DeleteRequest implements lease.Store.
func (c *Client) DeleteRequest(ctx context.Context, group string) error {
	return c.do(ctx, "DeleteRequest", func() error {
		if _, ok := c.store.requests[group]; ok {
			delete(c.store.requests, group)
			c.store.changed()
		}
		return nil
	})
}

// View implements lease.Store.
func (c *Client) View(ctx context.Context) (reconcile.StoreView, error) {
	return call(ctx, c, "View", func() (reconcile.StoreView, error) { return c.store.viewed(), nil })
}

// Watch implements lease.Store. A cut link is silent, and says so once when it
// is back.
func (c *Client) Watch(ctx context.Context, changed func()) error {
	wake := make(chan struct{}, 1)
	wake <- struct{}{}
	c.store.mu.Lock()
	c.store.watchers[wake] = true
	c.store.mu.Unlock()
	defer func() {
		c.store.mu.Lock()
		delete(c.store.watchers, wake)
		c.store.mu.Unlock()
	}()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-wake:
		}
		fate, down, healed := c.next("Watch")
		if down {
			select {
			case <-ctx.Done():
				return nil
			case <-healed:
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(fate.Reply):
		}
		if !fate.LoseReply {
			changed()
		}
	}
}

func (c *Client) do(ctx context.Context, op string, f func() error) error {
	_, err := call(ctx, c, op, func() (struct{}, error) { return struct{}{}, f() })
	return err
}
