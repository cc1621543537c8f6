package disk

import (
	"context"
	"errors"
	"fmt"
	"math/rand"
	"reflect"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"understudy/reconcile"
	"understudy/reconcile/lease"
)

// event is one finished call.
type event struct {
	began, ended time.Time
	rev          int64  // of the view, or of the claim written; zero: it failed
	take         string // the mark of a Take, "" of a View
	was          int64
	err          error
	view         reconcile.StoreView
}

type history struct {
	mu  sync.Mutex
	all []event
}

func (h *history) add(e event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all = append(h.all, e)
}

// check holds a history against the one order that the revisions name. Every
// change makes a revision, so a history is linearizable if a revision stands for
// one state, revisions never go back in real time, every Take that succeeded is in
// the state of its revision on top of what it asked for, and none that was refused
// is in any.
func (h *history) check(t interface{ Fatalf(string, ...any) }) {
	states := map[int64]reconcile.StoreView{}
	marks := map[string]int64{} // the revision of a claim that was seen
	for _, e := range h.all {
		if e.take != "" || e.err != nil {
			continue
		}
		if s, ok := states[e.rev]; ok && !reflect.DeepEqual(s, e.view) {
			t.Fatalf("revision %d is two states:\n%+v\n%+v", e.rev, s, e.view)
		}
		states[e.rev] = e.view
		for _, c := range e.view.Claims {
			if r, ok := marks[c.Reason]; ok && r != c.Revision {
				t.Fatalf("claim %s was made twice, at %d and %d", c.Reason, r, c.Revision)
			}
			marks[c.Reason] = c.Revision
		}
	}
	takes := map[int64]string{}
	from := map[int64]string{}
	for _, e := range h.all {
		if e.take == "" {
			continue
		}
		seen, shown := marks[e.take]
		switch {
		case e.err == nil:
			if other, ok := takes[e.rev]; ok {
				t.Fatalf("%s and %s both succeeded at revision %d", e.take, other, e.rev)
			}
			takes[e.rev] = e.take
			if other, ok := from[e.was]; ok {
				t.Fatalf("%s and %s both replaced revision %d", e.take, other, e.was)
			}
			from[e.was] = e.take
			if s, ok := states[e.rev]; ok && s.Claims["g"].Reason != e.take {
				t.Fatalf("revision %d shows %q, and %s was written there", e.rev, s.Claims["g"].Reason, e.take)
			}
			if shown && seen != e.rev {
				t.Fatalf("%s was written at %d and shows at %d", e.take, e.rev, seen)
			}
		case (errors.Is(e.err, lease.ErrChanged) || errors.Is(e.err, lease.ErrNoLease)) && shown:
			t.Fatalf("%s was refused (%v) and shows at revision %d", e.take, e.err, seen)
		}
	}
	for _, a := range h.all {
		for _, b := range h.all {
			if a.err == nil && b.err == nil && a.ended.Before(b.began) && b.rev < a.rev {
				t.Fatalf("a call that ended at revision %d was followed by one at %d", a.rev, b.rev)
			}
			// Whoever is told that the store has changed: it must have, by then.
			if a.take != "" && errors.Is(a.err, lease.ErrChanged) && b.err == nil && b.take == "" && b.began.After(a.ended) && b.view.Claims["g"].Revision == a.was {
				t.Fatalf("%s was refused as revision %d had been replaced, and it shows later", a.take, a.was)
			}
		}
	}
}

// churn has a client take the group over and over, and read, until the end.
func churn(ctx context.Context, s lease.Store, node, life string, h *history, r *rand.Rand) {
	var id lease.LeaseID
	for n := 0; ctx.Err() == nil; n++ {
		call := func(f func(context.Context) error) error {
			c, cancel := context.WithTimeout(ctx, 3*time.Second)
			defer cancel()
			return f(c)
		}
		if id == 0 {
			_ = call(func(c context.Context) (err error) {
				id, err = s.Grant(c, node, life, 5*time.Second)
				return err
			})
		}
		e := event{began: time.Now()}
		e.err = call(func(c context.Context) (err error) { e.view, err = s.View(c); return err })
		e.ended, e.rev = time.Now(), e.view.Revision
		h.add(e)
		if e.err == nil && id != 0 && r.Intn(2) == 0 {
			w := event{began: time.Now(), take: fmt.Sprintf("%s %d", life, n), was: e.view.Claims["g"].Revision}
			w.err = call(func(c context.Context) (err error) {
				w.rev, err = s.Take(c, id, reconcile.Claim{Group: "g", Holder: node, BootID: life, Epoch: e.view.Claims["g"].Epoch + 1, Reason: w.take}, w.was)
				return err
			})
			w.ended = time.Now()
			h.add(w)
			if errors.Is(w.err, lease.ErrNoLease) {
				id = 0
			}
		}
		if id != 0 && r.Intn(3) == 0 {
			if err := call(func(c context.Context) error { return s.Renew(c, id) }); errors.Is(err, lease.ErrNoLease) {
				id = 0
			}
		}
		time.Sleep(time.Duration(r.Intn(300)) * time.Millisecond)
	}
}

// long is how long a history is, in virtual time.
const long = 6 * time.Second

// Two nodes, one of which loses its power and comes back again and again, on a disk
// that is slow, fails, tears and hangs: whatever they are told is one order.
func TestHistoriesAreLinearizable(t *testing.T) {
	done := 0
	rapid.Check(t, func(rt *rapid.T) {
		seed := rapid.Int64().Draw(rt, "seed")
		often := rapid.SampledFrom([]float64{0, 0.02, 0.1, 0.3}).Draw(rt, "often")
		crashes := rapid.IntRange(0, 3).Draw(rt, "crashes")
		h := &history{}
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewSource(seed))
			p := newPlatter(t)
			ctx, cancel := context.WithTimeout(t.Context(), long)
			defer cancel()
			var wg sync.WaitGroup
			one := func(node string, lives int, r *rand.Rand) {
				for life := range lives {
					path := &path{p: p}
					s, err := joinBy(t, path, node, fmt.Sprint(node, life))
					if err != nil {
						t.Errorf("%s cannot join: %v", node, err)
						return
					}
					path.faults(trouble(newRand(r.Int63()), often))
					lctx, end := context.WithTimeout(ctx, long/time.Duration(lives))
					churn(lctx, s, node, fmt.Sprint(node, life), h, r)
					end()
					path.die()
					s.Close()
				}
			}
			a, b := rand.New(rand.NewSource(r.Int63())), rand.New(rand.NewSource(r.Int63()))
			wg.Go(func() { one("x", 1, a) })
			wg.Go(func() { one("y", crashes+1, b) })
			wg.Wait()
		})
		for _, e := range h.all {
			if e.err == nil && e.take != "" {
				done++
			}
		}
		h.check(rt)
	})
	if done == 0 {
		t.Error("nothing was ever taken")
	}
	t.Logf("%d claims taken", done)
}
