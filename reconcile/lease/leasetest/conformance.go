package leasetest

import (
	"context"
	"errors"
	"reflect"
	"testing"
	"time"

	"understudy/reconcile"
	"understudy/reconcile/lease"
)

// shortest is the shortest lease every store can keep (etcd counts in seconds
// and keeps at least one and a half election timeouts).
const shortest = 2 * time.Second

// lasting is a lease that no test waits for, on however slow a machine.
const lasting = time.Minute

// Conformance checks what lease.Store promises, in real time and in parallel.
// newStore gives two clients of one empty store, the second on another host
// where there are several.
func Conformance(t *testing.T, newStore func(t *testing.T) (a, b lease.Store)) {
	for _, c := range []struct {
		name string
		test func(*bench)
	}{
		{"grant lists the node as live", grants},
		{"a second grant ends the first lease", regrants},
		{"a lease runs out and is not renewed then", runsOut},
		{"a renewed lease lives on", livesOn},
		{"revoke asks for the boot", revokes},
		{"take compares claim and lease", takes},
		{"one of two takes wins", races},
		{"a fence ends its boot for good", fences},
		{"a confirmed boot is granted nothing", confirms},
		{"a request ends", requests},
		{"a watch hears of every kind of change", watches},
		{"every call ends with its context", ends},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			a, b := newStore(t)
			c.test(&bench{T: t, ctx: ctx, a: a, b: b})
		})
	}
}

type bench struct {
	*testing.T
	ctx  context.Context
	a, b lease.Store
}

func (b *bench) ok(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func (b *bench) is(err, want error) {
	b.Helper()
	if !errors.Is(err, want) {
		b.Fatalf("got %v, want %v", err, want)
	}
}

func (b *bench) grant(node, boot string, ttl time.Duration) lease.LeaseID {
	b.Helper()
	id, err := b.a.Grant(b.ctx, node, boot, ttl)
	b.ok(err)
	if id == 0 {
		b.Fatal("a lease with id 0")
	}
	return id
}

// sees demands that the other client sees what the first has written.
func (b *bench) sees(what string, f func(reconcile.StoreView) bool) reconcile.StoreView {
	b.Helper()
	v, err := b.b.View(b.ctx)
	b.ok(err)
	if !f(v) {
		b.Fatalf("%s: not in %+v", what, v)
	}
	return v
}

func grants(b *bench) {
	v := b.sees("empty store", func(v reconcile.StoreView) bool { return len(v.Live)+len(v.Claims) == 0 })
	b.grant("alpha", "a1", lasting)
	w := b.sees("alpha live", func(v reconcile.StoreView) bool { return v.Live["alpha"] == "a1" })
	if w.Revision <= v.Revision {
		b.Fatalf("revision %d after %d", w.Revision, v.Revision)
	}
}

func regrants(b *bench) {
	first := b.grant("alpha", "a1", lasting)
	_, err := b.b.Grant(b.ctx, "alpha", "a2", lasting)
	b.is(err, lease.ErrOtherBoot)
	b.ok(b.a.Renew(b.ctx, first))
	second := b.grant("alpha", "a1", lasting)
	b.is(b.a.Renew(b.ctx, first), lease.ErrNoLease)
	_, err = b.a.Take(b.ctx, first, reconcile.Claim{Group: "g", Holder: "alpha", BootID: "a1", Epoch: 1}, 0)
	b.is(err, lease.ErrNoLease)
	b.ok(b.a.Renew(b.ctx, second))
	b.ok(b.a.Revoke(b.ctx, "alpha", "a1"))
	b.grant("alpha", "a2", lasting)
	b.sees("second boot", func(v reconcile.StoreView) bool { return v.Live["alpha"] == "a2" })
}

func runsOut(b *bench) {
	sent := time.Now()
	id := b.grant("alpha", "a1", shortest)
	b.until("alpha gone", func(v reconcile.StoreView) bool { return v.Live["alpha"] == "" })
	if lived := time.Since(sent); lived < shortest {
		b.Fatalf("lived %s, less than its ttl", lived)
	}
	b.is(b.a.Renew(b.ctx, id), lease.ErrNoLease)
	_, err := b.a.Take(b.ctx, id, reconcile.Claim{Group: "g", Holder: "alpha", BootID: "a1", Epoch: 1}, 0)
	b.is(err, lease.ErrNoLease)
	b.is(b.a.Renew(b.ctx, 0), lease.ErrNoLease)
}

// until waits by the watch, and looks every 100 ms as well.
func (b *bench) until(what string, f func(reconcile.StoreView) bool) {
	b.Helper()
	for {
		v, err := b.b.View(b.ctx)
		if err != nil {
			b.Fatalf("%s: %v", what, err)
		}
		if f(v) {
			return
		}
		select {
		case <-b.ctx.Done():
			b.Fatalf("%s: never", what)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func livesOn(b *bench) {
	id := b.grant("alpha", "a1", 2*shortest)
	tick := time.NewTicker(shortest / 8)
	defer tick.Stop()
	for began := time.Now(); time.Since(began) < 2*shortest*5/4; {
		<-tick.C
		b.ok(b.a.Renew(b.ctx, id))
	}
	b.sees("alpha live", func(v reconcile.StoreView) bool { return v.Live["alpha"] == "a1" })
}

func revokes(b *bench) {
	id := b.grant("alpha", "a2", lasting)
	b.ok(b.b.Revoke(b.ctx, "alpha", "a1"))
	b.ok(b.b.Revoke(b.ctx, "nobody", "x"))
	b.ok(b.a.Renew(b.ctx, id))
	b.ok(b.b.Revoke(b.ctx, "alpha", "a2"))
	b.sees("alpha gone", func(v reconcile.StoreView) bool { return v.Live["alpha"] == "" })
	b.is(b.a.Renew(b.ctx, id), lease.ErrNoLease)
	b.ok(b.b.Revoke(b.ctx, "alpha", "a2"))
}

func takes(b *bench) {
	id := b.grant("alpha", "a1", lasting)
	at := time.Date(2024, 2, 29, 12, 0, 0, 5, time.UTC)
	one := reconcile.Claim{Group: "g", Holder: "alpha", BootID: "a1", Epoch: 1, At: at, Reason: "first — <&>",
		Evidence: reconcile.Evidence{Kind: reconcile.EvidenceFirst, Detail: "d"}, Failovers: []int64{1, 2}, GaveUp: "g", Down: "n"}
	_, err := b.a.Take(b.ctx, id, one, 77)
	b.is(err, lease.ErrChanged)
	rev, err := b.a.Take(b.ctx, id, one, 0)
	b.ok(err)
	one.Revision = rev
	v := b.sees("the claim as written", func(v reconcile.StoreView) bool { return reflect.DeepEqual(v.Claims["g"], one) })
	if rev == 0 || v.Revision < rev {
		b.Fatalf("claim at revision %d in a view at %d", rev, v.Revision)
	}
	_, err = b.a.Take(b.ctx, id, one, 0)
	b.is(err, lease.ErrChanged)
	_, err = b.a.Take(b.ctx, id+12345, one, rev)
	b.is(err, lease.ErrNoLease)
	_, err = b.a.Take(b.ctx, 0, one, rev)
	b.is(err, lease.ErrNoLease)
	// The lease must be the holder's own.
	beta, err := b.b.Grant(b.ctx, "beta", "b1", lasting)
	b.ok(err)
	_, err = b.a.Take(b.ctx, beta, one, rev)
	b.is(err, lease.ErrNoLease)
	two := one
	two.Released = true
	b.ok(b.a.Renew(b.ctx, id))
	rev2, err := b.a.Take(b.ctx, id, two, rev)
	b.ok(err)
	if rev2 <= rev {
		b.Fatalf("revision %d after %d", rev2, rev)
	}
	b.sees("released", func(v reconcile.StoreView) bool { return v.Claims["g"].Released && len(v.Claims) == 1 })
	// A claim survives its holder.
	b.ok(b.a.Revoke(b.ctx, "alpha", "a1"))
	b.sees("claim without holder", func(v reconcile.StoreView) bool { return v.Claims["g"].Revision == rev2 })
}

func races(b *bench) {
	ida := b.grant("alpha", "a1", lasting)
	idb, err := b.b.Grant(b.ctx, "beta", "b1", lasting)
	b.ok(err)
	errs := make(chan error, 2)
	go func() {
		_, err := b.a.Take(b.ctx, ida, reconcile.Claim{Group: "g", Holder: "alpha", BootID: "a1", Epoch: 1}, 0)
		errs <- err
	}()
	go func() {
		_, err := b.b.Take(b.ctx, idb, reconcile.Claim{Group: "g", Holder: "beta", BootID: "b1", Epoch: 1}, 0)
		errs <- err
	}()
	won := 0
	for range 2 {
		switch err := <-errs; {
		case err == nil:
			won++
		default:
			b.is(err, lease.ErrChanged)
		}
	}
	if won != 1 {
		b.Fatalf("%d of two takes of a free group won", won)
	}
}

func fences(b *bench) {
	id := b.grant("alpha", "a1", lasting)
	f := reconcile.FenceRecord{Node: "alpha", BootID: "a1", By: "beta", Agent: "fence_x", At: time.Unix(1, 0).UTC()}
	b.ok(b.b.PutFence(b.ctx, f))
	b.sees("fence record, no live entry", func(v reconcile.StoreView) bool {
		return v.Fenced["alpha"] == f && v.Live["alpha"] == ""
	})
	b.is(b.a.Renew(b.ctx, id), lease.ErrNoLease)
	_, err := b.a.Take(b.ctx, id, reconcile.Claim{Group: "g", Holder: "alpha", BootID: "a1", Epoch: 1}, 0)
	b.is(err, lease.ErrNoLease)
	_, err = b.a.Grant(b.ctx, "alpha", "a1", shortest)
	b.is(err, lease.ErrFenced)
	b.grant("alpha", "a2", lasting)
	// A late record of the old boot leaves the new one alone.
	b.ok(b.b.PutFence(b.ctx, f))
	b.sees("new boot live", func(v reconcile.StoreView) bool { return v.Live["alpha"] == "a2" })
}

func confirms(b *bench) {
	c := reconcile.Confirmation{Node: "alpha", BootID: "a1", By: "root", Reason: "burnt", At: time.Unix(2, 0).UTC()}
	b.ok(b.b.PutConfirm(b.ctx, c))
	b.sees("confirmation", func(v reconcile.StoreView) bool { return v.Confirms["alpha"] == c })
	_, err := b.a.Grant(b.ctx, "alpha", "a1", shortest)
	b.is(err, lease.ErrFenced)
	b.grant("alpha", "a2", lasting)
}

func requests(b *bench) {
	r := reconcile.Request{Group: "g", To: "beta", By: "root", Reason: "r", Epoch: 3, At: time.Unix(3, 0).UTC()}
	b.ok(b.a.PutRequest(b.ctx, r, shortest))
	r.Group = "h"
	b.ok(b.a.PutRequest(b.ctx, r, time.Hour))
	b.sees("a request", func(v reconcile.StoreView) bool { return v.Requests["h"] == r })
	b.ok(b.b.DeleteRequest(b.ctx, "h"))
	b.ok(b.b.DeleteRequest(b.ctx, "never asked"))
	b.until("none left", func(v reconcile.StoreView) bool { return len(v.Requests) == 0 })
}

func watches(b *bench) {
	ctx, cancel := context.WithCancel(b.ctx)
	heard := make(chan struct{}, 1)
	ended := make(chan error, 1)
	go func() {
		ended <- b.b.Watch(ctx, func() {
			select {
			case heard <- struct{}{}:
			default:
			}
		})
	}()
	// hear waits until the watch has said that f holds.
	hear := func(what string, f func(reconcile.StoreView) bool) {
		b.Helper()
		for {
			select {
			case <-heard:
			case <-b.ctx.Done():
				b.Fatalf("the watch never said: %s", what)
			}
			v, err := b.b.View(b.ctx)
			b.ok(err)
			if f(v) {
				return
			}
		}
	}
	hear("it has begun", func(reconcile.StoreView) bool { return true })
	b.grant("beta", "b1", shortest)
	hear("beta has run out", func(v reconcile.StoreView) bool { return v.Live["beta"] == "" })
	id := b.grant("alpha", "a1", lasting)
	hear("alpha live", func(v reconcile.StoreView) bool { return v.Live["alpha"] != "" })
	_, err := b.a.Take(b.ctx, id, reconcile.Claim{Group: "g", Holder: "alpha", BootID: "a1", Epoch: 1}, 0)
	b.ok(err)
	hear("claimed", func(v reconcile.StoreView) bool { return v.Claims["g"].Epoch == 1 })
	b.ok(b.a.PutRequest(b.ctx, reconcile.Request{Group: "g"}, time.Hour))
	hear("requested", func(v reconcile.StoreView) bool { return len(v.Requests) == 1 })
	b.ok(b.a.PutConfirm(b.ctx, reconcile.Confirmation{Node: "gamma", BootID: "c1"}))
	hear("confirmed", func(v reconcile.StoreView) bool { return len(v.Confirms) == 1 })
	cancel()
	if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
		b.Fatalf("the watch ended with %v", err)
	}
}

func ends(b *bench) {
	ctx, cancel := context.WithCancel(b.ctx)
	cancel()
	if _, err := b.a.Grant(ctx, "alpha", "a1", shortest); err == nil {
		b.Error("Grant without a context succeeded")
	}
	if _, err := b.a.View(ctx); err == nil {
		b.Error("View without a context succeeded")
	}
	if err := b.a.Watch(ctx, func() {}); err != nil && !errors.Is(err, context.Canceled) {
		b.Errorf("Watch: %v", err)
	}
}
