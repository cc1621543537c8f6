package disk

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"understudy/reconcile"
	"understudy/reconcile/lease"
)

// holder is x, with a claim, as its watchdog changes under it.
type holder struct {
	t     *testing.T
	p     *platter
	s     *Store
	id    lease.LeaseID
	bound atomic.Int64
}

const holderTTL = 4 * time.Second

// start joins as another incarnation of the same boot.
func (h *holder) start(bound time.Duration) {
	h.t.Helper()
	h.bound.Store(int64(bound))
	o := quick
	o.Node, o.Boot = "x", "x1"
	o.Guarded = func() time.Duration { return time.Duration(h.bound.Load()) }
	s, err := Open(h.t.Context(), &path{p: h.p}, o)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { s.Close(); s.lane.wg.Wait() })
	h.s, h.id = s, 0
}

func (h *holder) grant() {
	h.t.Helper()
	id, err := h.s.Grant(h.t.Context(), "x", "x1", holderTTL)
	if err != nil {
		h.t.Fatal(err)
	}
	h.id = id
}

func (h *holder) claim() {
	h.t.Helper()
	if _, err := h.s.Take(h.t.Context(), h.id, reconcile.Claim{Group: "g", Holder: "x", BootID: "x1", Epoch: 1}, 0); err != nil {
		h.t.Fatal(err)
	}
}

func (h *holder) renew() {
	h.t.Helper()
	if err := h.s.Renew(h.t.Context(), h.id); err != nil {
		h.t.Fatal(err)
	}
}

// What a silent holder's slot said last decides whether, and when, its silence is
// evidence: its own bound, as its watchdog was when it wrote.
func TestTheHoldersOwnBoundCounts(t *testing.T) {
	const file, never = 6 * time.Second, 0
	for _, c := range []struct {
		name string
		does func(h *holder)
		want time.Duration // after its last beat; zero: never
	}{
		{"guarded throughout", func(h *holder) { h.start(file); h.grant(); h.claim(); h.renew() }, file},
		{"never guarded, or a slot of an older program", func(h *holder) { h.start(0); h.grant(); h.claim(); h.renew() }, never},
		{"armed late, and silent before it said so", func(h *holder) { h.start(0); h.grant(); h.claim(); h.renew(); h.bound.Store(int64(file)) }, never},
		{"armed late, and said so", func(h *holder) {
			h.start(0)
			h.grant()
			h.claim()
			h.renew()
			h.bound.Store(int64(file))
			h.renew()
		}, file},
		{"its watchdog died", func(h *holder) {
			h.start(file)
			h.grant()
			h.claim()
			h.renew()
			h.bound.Store(0)
			h.renew()
		}, never},
		{"a longer one since", func(h *holder) { h.start(file); h.grant(); h.claim(); h.bound.Store(int64(2 * file)); h.renew() }, 2 * file},
		{"started again with a shorter one, no lease since", func(h *holder) { h.start(2 * file); h.grant(); h.claim(); h.renew(); h.start(file) }, never},
		{"started again twice", func(h *holder) {
			h.start(2 * file)
			h.grant()
			h.claim()
			h.renew()
			h.start(file)
			h.start(file)
		}, never},
		{"started again with a shorter one, and a lease", func(h *holder) {
			h.start(2 * file)
			h.grant()
			h.claim()
			h.renew()
			h.start(file)
			h.grant()
			h.renew()
		}, file},
		{"started again without one, and a lease", func(h *holder) {
			h.start(file)
			h.grant()
			h.claim()
			h.renew()
			h.start(0)
			h.grant()
			h.renew()
		}, never},
		{"started again with one, after a run without", func(h *holder) {
			h.start(0)
			h.grant()
			h.claim()
			h.renew()
			h.start(file)
			h.grant()
			h.renew()
		}, file},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := &holder{t: t, p: newPlatter(t)}
				y := joinBound(t, h.p, "y", "y1", file)
				stop := make(chan struct{})
				watching := make(chan struct{})
				go func() { // y looks all the time, as Watch does
					defer close(watching)
					for {
						select {
						case <-stop:
							return
						case <-time.After(quick.Poll):
							_, _ = y.View(t.Context())
						}
					}
				}()
				c.does(h)
				last := time.Now()
				close(stop)
				<-watching
				for time.Since(last) < 30*time.Second {
					v, err := y.View(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					if v.Outlasted["x"] != "" {
						if took := time.Since(last); c.want == never || took < c.want || took > c.want+time.Second {
							t.Errorf("evidence %s after its last beat, want %s", took, c.want)
						}
						return
					}
					time.Sleep(quick.Poll)
				}
				if c.want != never {
					t.Error("no evidence")
				}
			})
		})
	}
}

// Whoever has not looked for a while does not know what was in between: it watches
// for the whole bound from its next look on.
func TestAGapInTheWatchOfAnEndedLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const bound = 20 * time.Second
		h := &holder{t: t, p: newPlatter(t)}
		y := joinBound(t, h.p, "y", "y1", bound)
		h.start(bound)
		h.grant()
		h.claim()
		h.renew()
		wait(t, y, func(v reconcile.StoreView) bool { return v.Live["x"] == "" })
		time.Sleep(bound)
		took := wait(t, y, func(v reconcile.StoreView) bool { return v.Outlasted["x"] == "x1" })
		if took < bound || took > bound+time.Second {
			t.Errorf("evidence %s after the gap, want %s", took, bound)
		}
	})
}
