package lease

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"understudy/reconcile"
)

// Take replaces the claim of a group with one of this node. It asks everything
// once more at the moment of writing: the lease has a margin left, a fresh view
// still shows the claim and the evidence, the epoch is the next one; the store
// then compares claim and lease in the transaction that writes. ErrChanged: the
// evidence is about another claim than the store's. ErrNoLease: too little is
// left of the lease. Any other error leaves the outcome open; the view tells.
func (k *Keeper) Take(ctx context.Context, t reconcile.TakeClaim) (reconcile.Claim, error) {
	fail := func(err error) (reconcile.Claim, error) {
		return reconcile.Claim{}, fmt.Errorf("cannot claim %s: %w", t.Group, err)
	}
	id, left := k.hold()
	if id == 0 || left < k.cfg.Margin {
		return fail(fmt.Errorf("%w, or only %s of it is left", ErrNoLease, max(left, 0).Round(time.Millisecond)))
	}
	ctx, cancel := context.WithTimeout(ctx, left)
	defer cancel()
	v, err := k.fresh(ctx)
	if err != nil {
		return fail(err)
	}
	was := v.Claims[t.Group]
	if was.Revision != t.Was.Revision {
		return fail(fmt.Errorf("%w: it is at epoch %d of %s", ErrChanged, was.Epoch, was.Holder))
	}
	if t.Epoch != was.Epoch+1 {
		return fail(fmt.Errorf("epoch %d does not follow epoch %d — plan again", t.Epoch, was.Epoch))
	}
	if err := k.proven(t, was, v); err != nil {
		return fail(err)
	}
	if t.Evidence.Kind == reconcile.EvidenceFenced { // by the method that worked, of those planned
		t.Evidence.Detail = v.Fenced[was.Holder].Sentence()
	}
	if now, left := k.hold(); now != id || left < k.cfg.Margin {
		return fail(fmt.Errorf("%w, or only %s of it is left", ErrNoLease, max(left, 0).Round(time.Millisecond)))
	}
	c, err := k.put(ctx, id, reconcile.Claim{
		Group: t.Group, Holder: k.node, BootID: k.boot, From: was.Holder, Epoch: t.Epoch,
		Evidence: t.Evidence, Reason: t.Reason, Pinned: t.Pinned, Rehearsal: t.Rehearsal, Failovers: t.Failovers, At: time.Now().UTC().Round(0),
	}, was.Revision)
	if err != nil {
		return fail(err)
	}
	k.log.Info("claim taken", "group", t.Group, "token", c.Epoch, "reason", t.Reason)
	return c, nil
}

// proven reports why the evidence does not hold in v, nil if it does.
func (k *Keeper) proven(t reconcile.TakeClaim, was reconcile.Claim, v reconcile.StoreView) error {
	kind := t.Evidence.Kind
	switch kind {
	case reconcile.EvidenceFirst:
		if was.Epoch != 0 || was.Holder != "" {
			return fmt.Errorf("%w: it is not the first claim, %s holds epoch %d", ErrChanged, was.Holder, was.Epoch)
		}
		return nil
	case reconcile.EvidenceReleased:
		k.mu.Lock()
		signing := k.mine(was) && was.Epoch != 0 && k.signing[t.Group].Epoch == was.Epoch
		k.mu.Unlock()
		if !was.Released && !signing {
			return fmt.Errorf("%w: %s has not released it", ErrChanged, was.Holder)
		}
		return nil
	case reconcile.EvidenceOwn:
		if !k.mine(was) || was.Released {
			return fmt.Errorf("%w: it is not our own claim, epoch %d of %s", ErrChanged, was.Epoch, was.Holder)
		}
		return nil
	}
	// What follows says that the holder's boot has ended.
	if was.Epoch == 0 {
		return fmt.Errorf("evidence %q is about a holder, and nobody holds it", kind)
	}
	if k.mine(was) {
		return fmt.Errorf("this boot holds it already, at epoch %d", was.Epoch)
	}
	if v.Live[was.Holder] == was.BootID {
		return fmt.Errorf("evidence %q says that boot %s of %s has ended, and its lease is live — wait for its end or fence it",
			kind, was.BootID, was.Holder)
	}
	switch kind {
	case reconcile.EvidenceFenced:
		if f := v.Fenced[was.Holder]; f.BootID != was.BootID || f.BootID == "" {
			return fmt.Errorf("no fence of boot %s of %s is recorded", was.BootID, was.Holder)
		}
	case reconcile.EvidenceConfirmed:
		if c := v.Confirms[was.Holder]; c.BootID != was.BootID || c.BootID == "" {
			return fmt.Errorf("nobody has confirmed that boot %s of %s is down", was.BootID, was.Holder)
		}
	case reconcile.EvidenceWatchdog:
		if v.Outlasted[was.Holder] != was.BootID || was.BootID == "" {
			return fmt.Errorf("%w: this node has not watched boot %s of %s be still for the ttl and the watchdog bound", ErrChanged, was.BootID, was.Holder)
		}
	case reconcile.EvidenceRebooted:
		// Which other boot was seen is the keep-alive's word, in the detail. The
		// store knows only that the old one has no lease.
	default:
		return fmt.Errorf("%q is no evidence", kind)
	}
	return nil
}

// put writes a claim. Without a plain answer it reads whether the claim is there.
func (k *Keeper) put(ctx context.Context, id LeaseID, next reconcile.Claim, was int64) (reconcile.Claim, error) {
	rev, err := k.store.Take(ctx, id, next, was)
	if err == nil {
		next.Revision = rev
		k.wrote(next)
		return next, nil
	}
	var there reconcile.Claim
	again := k.bounded(context.WithoutCancel(ctx), 0, func(ctx context.Context) error {
		v, err := k.fresh(ctx)
		there = v.Claims[next.Group]
		return err
	})
	if again == nil && k.mine(there) && there.Epoch == next.Epoch && there.Released == next.Released && there.Revision > was {
		k.wrote(there)
		return there, nil
	}
	return reconcile.Claim{}, err
}

// SignOff marks this boot's claim of a group at an epoch as cleanly released.
// The caller has proved that nothing of the group is left. From the moment of
// the call the view shows it as released, and nothing but a new Take makes it
// ours again: a request whose answer was lost may take effect later. The keeper
// repeats an unanswered one until it knows. ErrChanged: it is another's claim.
func (k *Keeper) SignOff(ctx context.Context, group string, epoch uint64) error {
	return k.LetGo(ctx, reconcile.SignOff{Group: group, Epoch: epoch})
}

// LetGo is SignOff with what the step says beside: why the group was given up.
func (k *Keeper) LetGo(ctx context.Context, st reconcile.SignOff) error {
	group, epoch := st.Group, st.Epoch
	v, err := k.fresh(ctx)
	if err != nil {
		return fmt.Errorf("cannot sign off %s: %w", group, err)
	}
	c := v.Claims[group]
	if !k.mine(c) || c.Epoch != epoch {
		return fmt.Errorf("cannot sign off %s at epoch %d: %w: epoch %d of %s", group, epoch, ErrChanged, c.Epoch, c.Holder)
	}
	if err := k.signOff(ctx, c, st); err != nil {
		return fmt.Errorf("cannot sign off %s: %w", group, err)
	}
	return nil
}

func (k *Keeper) signOff(ctx context.Context, c reconcile.Claim, st reconcile.SignOff) error {
	if c.Released {
		return nil
	}
	id, _ := k.hold()
	if id == 0 {
		return ErrNoLease
	}
	k.mu.Lock()
	_, again := k.signing[c.Group] // an earlier request may be on its way
	k.signing[c.Group] = st
	k.mu.Unlock()
	was := c.Revision
	c.Released, c.GaveUp, c.Down = true, st.GaveUp, st.Down
	if _, err := k.put(ctx, id, c, was); err != nil {
		if definite(err) && !again {
			k.mu.Lock()
			delete(k.signing, c.Group)
			k.mu.Unlock()
		}
		poke(k.look)
		return err
	}
	k.log.Info("claim signed off", "group", c.Group, "token", c.Epoch)
	return nil
}

// finish repeats sign-offs that were never answered.
func (k *Keeper) finish(ctx context.Context) {
	k.mu.Lock()
	open := map[string]reconcile.Claim{}
	signing := maps.Clone(k.signing)
	for group := range signing {
		open[group] = k.view.Claims[group]
	}
	k.mu.Unlock()
	for _, group := range slices.Sorted(maps.Keys(open)) {
		c := open[group]
		err := k.bounded(ctx, 0, func(ctx context.Context) error { return k.signOff(ctx, c, signing[group]) })
		if err != nil {
			k.log.Warn("sign-off repeated without success", "group", group, "err", err)
		}
	}
}
