package lease

import (
	"context"
	"errors"
	"time"
)

// renewals asks for the lease and renews it, by its own ticker.
func (k *Keeper) renewals(ctx context.Context) {
	tick := time.NewTicker(k.cfg.Renew)
	defer tick.Stop()
	for {
		k.renew(ctx)
		select {
		case <-k.again: // before a tick that came meanwhile
			continue
		default:
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-k.again:
		}
	}
}

// renew renews once, or asks for a lease if there is none.
func (k *Keeper) renew(ctx context.Context) {
	select {
	case k.lane <- struct{}{}:
		defer func() { <-k.lane }()
	case <-ctx.Done():
		return
	}
	k.mu.Lock()
	id, left, leaving := k.id, k.leftLocked(), k.leaving
	k.mu.Unlock()
	if leaving {
		return
	}
	if id != 0 {
		sent := k.now()
		err := k.bounded(ctx, left, func(ctx context.Context) error { return k.store.Renew(ctx, id) })
		if !errors.Is(err, ErrNoLease) {
			k.renewed(id, id, sent, err)
			return
		}
		k.lost(id, err)
	}
	sent := k.now()
	var fresh LeaseID
	err := k.bounded(ctx, 0, func(ctx context.Context) (err error) {
		fresh, err = k.store.Grant(ctx, k.node, k.boot, k.cfg.TTL)
		return err
	})
	k.renewed(0, fresh, sent, err)
}

// bounded calls f with at most one renewal interval, and less if the own
// deadline comes earlier.
func (k *Keeper) bounded(ctx context.Context, left time.Duration, f func(context.Context) error) error {
	limit := k.cfg.Renew
	if left > 0 && left < limit {
		limit = left
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return f(ctx)
}

// renewed takes note of the answer to a request that was sent at a moment, when
// was was the lease. The lease counts from there: the store began to count later.
func (k *Keeper) renewed(was, id LeaseID, sent moment, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.leaving || k.id != was {
		return // it was given back, or seen to have ended, while we asked
	}
	before := k.failure
	if err != nil {
		k.failure = err.Error()
		if k.failure != before {
			k.log.Warn("lease not renewed", "err", err)
		}
		poke(k.changes)
		return
	}
	won := k.id != id || k.leftLocked() <= 0
	if k.id != id {
		k.id, k.granted = id, k.now()
	}
	k.sent, k.ever, k.failure = sent, true, ""
	poke(k.rearm)
	if won {
		k.log.Info("lease won", "lease_left", k.leftLocked())
		poke(k.changes)
		poke(k.look)
	} else if before != "" {
		poke(k.changes)
	}
}

// lost takes note that the store has ended the lease.
func (k *Keeper) lost(id LeaseID, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.id != id || id == 0 {
		return
	}
	k.id, k.failure = 0, err.Error()
	k.log.Warn("lease lost", "err", err)
	poke(k.changes)
	poke(k.rearm)
}

// deadline says so when the own deadline passes. It calls nothing that can hang.
// It looks at least once per renewal interval, because a timer sleeps while the
// host is suspended and the lease does not.
func (k *Keeper) deadline(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	valid := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-k.rearm:
		}
		id, left := k.hold()
		if valid && left <= 0 && id != 0 {
			k.log.Warn("own lease deadline passed", "node", k.node)
			poke(k.changes)
		}
		valid = left > 0
		wait := k.cfg.Renew
		if valid && left < wait {
			wait = left
		}
		timer.Reset(wait)
	}
}
