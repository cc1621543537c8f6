package lease

import (
	"context"
	"errors"
	"maps"
	"reflect"
	"time"

	"understudy/reconcile"
)

// readings reads the store after every change and, because a watch may be silent
// for a reason of its own, three times per ttl.
func (k *Keeper) readings(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			select {
			case <-k.look: // what follows sees it
			default:
			}
		case <-k.look:
		}
		stale := !k.View().OK()
		err := k.bounded(ctx, 0, func(ctx context.Context) error {
			_, err := k.fresh(ctx)
			return err
		})
		wait := k.cfg.TTL / 3
		if err != nil {
			wait = min(wait, k.cfg.Renew)
			if !stale && !k.View().OK() {
				k.log.Warn("store view too old", "err", err)
				poke(k.changes)
			}
		} else {
			k.finish(ctx)
		}
		timer.Reset(wait)
	}
}

// watch pokes the reader after every change of the store.
func (k *Keeper) watch(ctx context.Context) {
	for ctx.Err() == nil {
		if err := k.store.Watch(ctx, func() { poke(k.look) }); err != nil && ctx.Err() == nil {
			k.log.Debug("watch ended", "err", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(k.cfg.Renew):
			poke(k.look)
		}
	}
}

// fresh reads the store now and keeps the answer.
func (k *Keeper) fresh(ctx context.Context) (reconcile.StoreView, error) {
	began := k.now()
	v, err := k.store.View(ctx)
	k.mu.Lock()
	defer k.mu.Unlock()
	if err != nil {
		k.readErr = err
		return reconcile.StoreView{}, err
	}
	// An answer to a question asked before the present view came may be older
	// than it, unless its revision says that it is not.
	if k.read && !began.mono.After(k.applied.mono) && v.Revision < k.view.Revision {
		return v, nil
	}
	changed := !k.read || k.readErr != nil || !same(k.view, v) ||
		k.since(k.viewAt) > k.since(k.granted) // View did not show it: it was older than the lease
	k.view, k.viewAt, k.applied, k.read, k.readErr = v, began, k.now(), true, nil
	for group, st := range k.signing {
		if c := v.Claims[group]; !k.mine(c) || c.Epoch != st.Epoch || c.Released {
			delete(k.signing, group)
			changed = true
		}
	}
	if changed {
		poke(k.changes)
	}
	if k.id != 0 && began.mono.After(k.granted.mono) && v.Live[k.node] != k.boot {
		k.id, k.failure = 0, "the store does not list this boot as live any more"
		k.log.Warn("lease lost", "live_boot", v.Live[k.node])
		poke(k.changes)
		poke(k.rearm)
		if v.Live[k.node] == "" {
			poke(k.again)
		}
	}
	return v, nil
}

// same reports whether two views say the same, whatever their revisions.
func same(a, b reconcile.StoreView) bool {
	a.Revision, b.Revision = 0, 0
	return reflect.DeepEqual(a, b)
}

// wrote puts a claim that the store has just accepted into the view.
func (k *Keeper) wrote(c reconcile.Claim) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if c.Released || k.signing[c.Group].Epoch != c.Epoch {
		delete(k.signing, c.Group)
	}
	if c.Revision > k.view.Claims[c.Group].Revision {
		claims := maps.Clone(k.view.Claims)
		if claims == nil {
			claims = map[string]reconcile.Claim{}
		}
		claims[c.Group] = c
		k.view.Claims = claims
		k.view.Revision = max(k.view.Revision, c.Revision)
		k.applied = k.now()
	}
	poke(k.changes)
}

// definite reports whether the store has answered that it did nothing.
func definite(err error) bool {
	return errors.Is(err, ErrChanged) || errors.Is(err, ErrNoLease) || errors.Is(err, ErrFenced) || errors.Is(err, ErrOtherBoot)
}
