package lease

import (
	"context"
	"fmt"
	"time"

	"understudy/reconcile"
)

// RecordFence records that a boot of a node has been switched off, and ends its
// lease. The caller has seen its fence agent confirm it.
func (k *Keeper) RecordFence(ctx context.Context, f reconcile.FenceRecord) error {
	if f.Node == "" || f.BootID == "" {
		return fmt.Errorf("cannot record the fence of %q: its boot is not known", f.Node)
	}
	if err := k.store.PutFence(ctx, f); err != nil {
		return fmt.Errorf("cannot record the fence of %s: %w", f.Node, err)
	}
	poke(k.look)
	return nil
}

// Confirm records an operator's word that a boot of a node is down. As long as
// that boot's lease is live the word is in doubt: Confirm waits for the lease to
// run out, for a ttl and a renewal at most, and fails if it is renewed instead.
func (k *Keeper) Confirm(ctx context.Context, c reconcile.Confirmation) error {
	if c.Node == "" || c.BootID == "" {
		return fmt.Errorf("cannot confirm that %q is down: its boot is not known", c.Node)
	}
	began := k.now()
	for {
		v, err := k.fresh(ctx)
		if err != nil {
			return fmt.Errorf("cannot confirm that %s is down: %w", c.Node, err)
		}
		if v.Live[c.Node] != c.BootID {
			break
		}
		if k.since(began) > k.cfg.TTL+k.cfg.Renew {
			return fmt.Errorf("cannot confirm that %s is down: boot %s still renews its lease — stop it or fence it", c.Node, c.BootID)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("cannot confirm that %s is down: the lease of boot %s is live (%w) — ask again after %s",
				c.Node, c.BootID, context.Cause(ctx), k.cfg.TTL)
		case <-time.After(k.cfg.Renew / 2):
		}
	}
	if err := k.store.PutConfirm(ctx, c); err != nil {
		return fmt.Errorf("cannot confirm that %s is down: %w", c.Node, err)
	}
	poke(k.look)
	return nil
}

// Ask records an operator's request; it ends after r.Lasts, or RequestTTL.
func (k *Keeper) Ask(ctx context.Context, r reconcile.Request) error {
	lasts := r.Lasts
	if lasts <= 0 {
		lasts = RequestTTL
	}
	if err := k.store.PutRequest(ctx, r, lasts); err != nil {
		if r.Order != "" {
			return fmt.Errorf("cannot record that %s is to %s: %w", r.To, r.Order, err)
		}
		return fmt.Errorf("cannot ask for %s on %s: %w", r.Group, r.To, err)
	}
	poke(k.look)
	return nil
}

// Withdraw ends the request for a group, if there is one.
func (k *Keeper) Withdraw(ctx context.Context, group string) error {
	if err := k.store.DeleteRequest(ctx, group); err != nil {
		return fmt.Errorf("cannot withdraw the request for %s: %w", group, err)
	}
	poke(k.look)
	return nil
}

// Leave gives the lease back, and the keeper asks for none again. It refuses
// while this boot has a claim that is not signed off.
func (k *Keeper) Leave(ctx context.Context) error {
	v, err := k.fresh(ctx)
	if err != nil {
		return fmt.Errorf("cannot leave: %w", err)
	}
	for group, c := range v.Claims {
		if k.mine(c) && !c.Released {
			return fmt.Errorf("cannot leave: this node holds %s at epoch %d — release it first", group, c.Epoch)
		}
	}
	// From here on nothing may be taken and nothing renewed; a request under way
	// ends within a renewal interval.
	k.mu.Lock()
	k.leaving = true
	k.id, k.failure = 0, "this node has left"
	k.mu.Unlock()
	poke(k.changes)
	poke(k.rearm)
	select {
	case k.lane <- struct{}{}:
		defer func() { <-k.lane }()
	case <-ctx.Done():
		return fmt.Errorf("cannot leave: %w", context.Cause(ctx))
	}
	if err := k.store.Revoke(ctx, k.node, k.boot); err != nil {
		return fmt.Errorf("cannot give the lease back: %w — it runs out by itself", err)
	}
	return nil
}

// Refresh reads the store now, with a majority, and keeps the answer for View.
func (k *Keeper) Refresh(ctx context.Context) error {
	return k.bounded(ctx, 0, func(ctx context.Context) error {
		_, err := k.fresh(ctx)
		return err
	})
}
