package lease

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"understudy/reconcile"
)

// PutFile writes which file counts, in one transaction, if the store still says what the
// caller looked at and this node's lease is live. ErrChanged: it says something else.
// Any error but that and ErrNoLease leaves the outcome open; the view tells.
func (k *Keeper) PutFile(ctx context.Context, next reconcile.FileRecord, was reconcile.Claim) error {
	fail := func(err error) error { return fmt.Errorf("cannot record which file counts: %w", err) }
	id, left := k.hold()
	if id == 0 || left < k.cfg.Margin {
		return fail(fmt.Errorf("%w, or only %s of it is left", ErrNoLease, max(left, 0).Round(time.Millisecond)))
	}
	ctx, cancel := context.WithTimeout(ctx, left)
	defer cancel()
	c := reconcile.Claim{
		Group: reconcile.FileKey, Holder: k.node, BootID: k.boot, From: was.Holder, Epoch: was.Epoch, Released: true,
		Reason: next.Reason, File: &next, At: time.Now().UTC().Round(0),
	}
	if was.File == nil || was.File.Hash != next.Hash {
		c.Epoch++
	}
	rev, err := k.store.Take(ctx, id, c, was.Revision)
	if err == nil {
		c.Revision = rev
		k.wrote(c)
		return nil
	}
	var there reconcile.Claim
	again := k.bounded(context.WithoutCancel(ctx), 0, func(ctx context.Context) error {
		v, err := k.fresh(ctx)
		there = v.Claims[reconcile.FileKey]
		return err
	})
	if again == nil && there.Revision > was.Revision && there.File != nil && sameJSON(*there.File, next) {
		return nil
	}
	return fail(err)
}

func sameJSON(a, b any) bool {
	x, err := json.Marshal(a)
	y, err2 := json.Marshal(b)
	return err == nil && err2 == nil && bytes.Equal(x, y)
}
