package disk

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"understudy/reconcile"
	"understudy/reconcile/lease"
)

// steps is what a node does before it loses its power, on a state that takes more
// than one block; it says after each step what is promised from then on.
func steps(ctx context.Context, s *Store, promised func(what string, holds func(reconcile.StoreView) bool)) error {
	id, err := s.Grant(ctx, "x", "x1", time.Minute)
	if err != nil {
		return err
	}
	promised("lease", func(v reconcile.StoreView) bool { return v.Live["x"] == "x1" })
	long := bulky(7000)
	rev, err := s.Take(ctx, id, reconcile.Claim{Group: "g", Holder: "x", BootID: "x1", Epoch: 1, Reason: long}, 0)
	if err != nil {
		return err
	}
	promised("claim", func(v reconcile.StoreView) bool { return v.Claims["g"].Epoch >= 1 && v.Claims["g"].Reason == long })
	if err := s.Renew(ctx, id); err != nil {
		return err
	}
	if _, err := s.Take(ctx, id, reconcile.Claim{Group: "g", Holder: "x", BootID: "x1", Epoch: 1, Reason: long, Released: true}, rev); err != nil {
		return err
	}
	promised("release", func(v reconcile.StoreView) bool { return v.Claims["g"].Released })
	return nil
}

// bulky is a text that does not compress to less than about n bytes.
func bulky(n int) string {
	var b strings.Builder
	x := uint32(1)
	for b.Len() < n*4/3 {
		x = x*1664525 + 1013904223
		b.WriteByte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"[x>>26])
	}
	return b.String()
}

// The power goes at every write, after every sector of it: whatever was promised
// before that is there for the other node, and for the next boot.
func TestPowerCutAtEverySectorOfEveryWrite(t *testing.T) {
	cuts := 0
	for write := 1; ; write++ {
		reached, sectors := false, 1
		for keep := 0; keep < sectors; keep++ {
			synctest.Test(t, func(t *testing.T) {
				p := newPlatter(t)
				h := &path{p: p}
				n := 0
				h.faults(func(w bool, _ int64, size int) fate {
					if !w {
						return fate{}
					}
					if n++; n != write {
						return fate{}
					}
					reached, sectors = true, size/sector
					return fate{err: errIO, keep: keep}
				})
				type promise struct {
					what  string
					holds func(reconcile.StoreView) bool
				}
				var kept []promise
				o := quick
				o.Node, o.Boot = "x", "x1"
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				s, err := Open(ctx, h, o)
				if err == nil {
					_ = steps(ctx, s, func(what string, holds func(reconcile.StoreView) bool) {
						if !h.dead() && n < write {
							kept = append(kept, promise{what, holds})
						}
					})
					s.Close()
				}
				h.die()
				cuts++
				y, _ := join(t, p, "y", "y1")
				x, _ := join(t, p, "x", "x2")
				for _, s := range []*Store{y, x, y} {
					v, err := s.View(t.Context())
					if err != nil {
						t.Fatalf("write %d, %d sectors: %v", write, keep, err)
					}
					for _, k := range kept {
						if k.what == "lease" && v.Live["x"] == "" {
							continue // it may have run out meanwhile
						}
						if !k.holds(v) {
							t.Fatalf("write %d, %d sectors: the %s is lost: %+v", write, keep, k.what, v)
						}
					}
				}
				if _, err := y.Grant(t.Context(), "y", "y1", time.Minute); err != nil {
					t.Fatalf("write %d, %d sectors: nothing can be changed any more: %v", write, keep, err)
				}
			})
		}
		if !reached {
			break
		}
	}
	t.Logf("%d power cuts", cuts)
	if cuts < 100 {
		t.Errorf("only %d power cuts", cuts)
	}
}

// A renewal that counted keeps the lease for its ttl, whatever the disk does.
func TestNoLeaseEndsEarly(t *testing.T) {
	for seed := range int64(8) {
		synctest.Test(t, func(t *testing.T) {
			p := newPlatter(t)
			x, hx := join(t, p, "x", "x1")
			y, hy := join(t, p, "y", "y1")
			hx.faults(trouble(newRand(seed), 0.25))
			hy.faults(trouble(newRand(seed+100), 0.25))
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			const ttl = 4 * time.Second
			var mu sync.Mutex
			var until time.Time // the lease is live until then
			var wg sync.WaitGroup
			wg.Go(func() {
				var id lease.LeaseID
				for ctx.Err() == nil {
					c, cancel := context.WithTimeout(ctx, time.Second)
					sent := time.Now()
					var err error
					if id == 0 {
						mu.Lock()
						until = time.Time{}
						mu.Unlock()
						id, err = x.Grant(c, "x", "x1", ttl)
					} else {
						err = x.Renew(c, id)
					}
					cancel()
					mu.Lock()
					switch {
					case err == nil:
						until = sent.Add(ttl)
					case errors.Is(err, lease.ErrNoLease):
						id = 0
						if time.Now().Before(until) {
							t.Errorf("seed %d: ended %s early", seed, time.Until(until))
						}
					}
					mu.Unlock()
					time.Sleep(time.Second)
				}
			})
			wg.Go(func() {
				for ctx.Err() == nil {
					c, cancel := context.WithTimeout(ctx, 3*time.Second)
					mu.Lock()
					promised := until
					mu.Unlock()
					v, err := y.View(c)
					cancel()
					if err == nil && v.Live["x"] == "" && time.Now().Before(promised) {
						mu.Lock()
						if until.Equal(promised) {
							t.Errorf("seed %d: not live %s before its end", seed, time.Until(promised))
						}
						mu.Unlock()
					}
					time.Sleep(100 * time.Millisecond)
				}
			})
			wg.Wait()
		})
	}
}

// A disk that hangs makes nobody wait for longer than the limit, has one call in it
// however many are made, and does its late work to no harm.
func TestHungDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlatter(t)
		x, hx := join(t, p, "x", "x1")
		y, _ := join(t, p, "y", "y1")
		id, err := x.Grant(t.Context(), "x", "x1", 5*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		hung := false
		hx.faults(func(write bool, _ int64, _ int) fate {
			if write && !hung {
				hung = true
				return fate{before: time.Minute} // and then it is carried out
			}
			return fate{}
		})
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				began := time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
				defer cancel()
				if err := x.Renew(ctx, id); err == nil {
					t.Error("renewed on a disk that hangs")
				}
				if d := time.Since(began); d > 3*time.Second {
					t.Errorf("waited %s", d)
				}
			})
		}
		synctest.Wait() // the write hangs
		began := time.Now()
		if _, err := x.View(t.Context()); !errors.Is(err, ErrSlow) {
			t.Errorf("View: %v", err)
		}
		if d := time.Since(began); d > quick.Limit+time.Millisecond {
			t.Errorf("View took %s", d)
		}
		wg.Wait()
		if hx.most > 1 {
			t.Errorf("%d calls at once", hx.most)
		}
		gone := func(v reconcile.StoreView) bool { return v.Live["x"] == "" }
		wait(t, y, gone)
		idy, err := y.Grant(t.Context(), "y", "y1", time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		rev, err := y.Take(t.Context(), idy, reconcile.Claim{Group: "g", Holder: "y", BootID: "y1", Epoch: 1}, 0)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute) // the late write has come
		if err := x.Renew(t.Context(), id); !errors.Is(err, lease.ErrNoLease) {
			t.Errorf("a renewal after waking: %v", err)
		}
		if _, err := x.Take(t.Context(), id, reconcile.Claim{Group: "g", Holder: "x", BootID: "x1", Epoch: 2}, rev); !errors.Is(err, lease.ErrNoLease) {
			t.Errorf("a claim after waking: %v", err)
		}
		for _, s := range []*Store{x, y} {
			if v, err := s.View(t.Context()); err != nil || v.Claims["g"].Holder != "y" || !gone(v) {
				t.Errorf("%+v, %v", v, err)
			}
		}
	})
}

func wait(t *testing.T, s *Store, f func(reconcile.StoreView) bool) time.Duration {
	t.Helper()
	began := time.Now()
	for time.Since(began) < time.Minute {
		if v, err := s.View(t.Context()); err == nil && f(v) {
			return time.Since(began)
		}
		time.Sleep(quick.Poll)
	}
	t.Fatal("never")
	return 0
}

// A holder that goes silent: its lease ends, and only then, and with a watchdog
// that every node must have, is its silence evidence; for whoever has watched it
// from its last beat, and later for whoever has not.
func TestOutlasted(t *testing.T) {
	const ttl, bound = 10 * time.Second, 11 * time.Second
	for _, c := range []struct {
		name     string
		bound    time.Duration // by the file of y
		holder   time.Duration // by the file of x
		watching bool          // y is there before x falls silent
		least    time.Duration
		most     time.Duration // zero: never
	}{
		{"watched from its last beat", bound, bound, true, bound, bound + time.Second},
		{"no more than the ttl", 9 * time.Second, 9 * time.Second, true, ttl, ttl + time.Second},
		{"within 1.2 ttl", ttl, ttl, true, ttl, ttl * 12 / 10},
		{"seen first when it was silent", bound, bound, false, bound, bound + 2*ttl},
		{"no watchdog", 0, 0, true, 0, 0},
		{"the holder runs with a file without one", bound, 0, true, 0, 0},
		{"the holder runs with a file with a longer one", ttl, bound, true, bound, bound + time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPlatter(t)
				x := joinBound(t, p, "x", "x1", c.holder)
				open := func() *Store {
					o := quick
					o.Node, o.Boot, o.TTL, o.WatchdogBound = "y", "y1", ttl, c.bound
					y, err := Open(t.Context(), &path{p: p}, o)
					if err != nil {
						t.Fatal(err)
					}
					t.Cleanup(func() { y.Close(); y.lane.wg.Wait() })
					return y
				}
				var y *Store
				if c.watching {
					y = open()
				}
				id, err := x.Grant(t.Context(), "x", "x1", ttl)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := x.Take(t.Context(), id, reconcile.Claim{Group: "g", Holder: "x", BootID: "x1", Epoch: 1}, 0); err != nil {
					t.Fatal(err)
				}
				var sent time.Time
				for range 5 {
					sent = time.Now()
					if err := x.Renew(t.Context(), id); err != nil {
						t.Fatal(err)
					}
					if y != nil {
						if v, err := y.View(t.Context()); err != nil || len(v.Outlasted) > 0 {
							t.Fatalf("%+v, %v", v.Outlasted, err)
						}
					}
					time.Sleep(time.Second)
				}
				if y == nil {
					y = open()
				}
				for time.Since(sent) < time.Minute {
					v, err := y.View(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					if v.Outlasted["x"] == "x1" {
						since := time.Since(sent)
						if c.most == 0 || since < c.least || since > c.most {
							t.Errorf("outlasted %s after the last renewal, want %s to %s", since, c.least, c.most)
						}
						if v.Live["x"] != "" {
							t.Error("outlasted and live")
						}
						return
					}
					time.Sleep(quick.Poll)
				}
				if c.most != 0 {
					t.Error("never outlasted")
				}
			})
		})
	}
}

// Two machines of one name: whichever joins while the other renews gets no lease;
// who finds a stranger in its slot never writes again.
func TestTwoMachinesOfOneName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlatter(t)
		one, _ := join(t, p, "x", "first machine")
		id, err := one.Grant(t.Context(), "x", "first machine", 5*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		two, _ := join(t, p, "x", "second machine")
		if _, err := two.Grant(t.Context(), "x", "second machine", 5*time.Second); !errors.Is(err, lease.ErrOtherBoot) {
			t.Errorf("Grant: %v", err)
		}
		if err := one.Renew(t.Context(), id); err != nil {
			t.Error(err)
		}
		join(t, p, "x", "third machine") // in the slot of the first
		if err := one.Renew(t.Context(), id); !errors.Is(err, ErrClash) {
			t.Errorf("Renew in a slot that a stranger writes: %v", err)
		}
		if _, err := one.View(t.Context()); !errors.Is(err, ErrClash) {
			t.Errorf("View: %v", err)
		}
	})
	// Both at once, in the same slot: at most one has it.
	synctest.Test(t, func(t *testing.T) {
		p := newPlatter(t)
		var wg sync.WaitGroup
		errs := make([]error, 2)
		for i := range errs {
			wg.Go(func() {
				h := &path{p: p}
				h.faults(func(write bool, _ int64, _ int) fate { return fate{before: 10 * time.Millisecond} })
				_, errs[i] = joinBy(t, h, "x", fmt.Sprint(i))
			})
		}
		wg.Wait()
		if slices.IndexFunc(errs, func(err error) bool { return errors.Is(err, ErrClash) }) < 0 {
			t.Errorf("both have the slot: %v", errs)
		}
	})
}

func TestForeignAndDamagedDisks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlatter(t)
		x, _ := join(t, p, "x", "x1")
		if _, err := x.Grant(t.Context(), "x", "x1", time.Minute); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			name string
			with func(o *Options, data []byte)
			want error
		}{
			{"empty", func(_ *Options, d []byte) { clear(d) }, ErrForeign},
			{"another key", func(o *Options, _ []byte) { o.Key = []byte("another") }, ErrForeign},
			{"another cluster", func(o *Options, _ []byte) { o.Cluster = "d" }, ErrForeign},
			{"no slot for the node", func(o *Options, _ []byte) { o.Node = "z" }, ErrForeign},
			{"a bit of the header", func(_ *Options, d []byte) { d[100] ^= 1 }, ErrForeign},
			{"a slot of another disk", func(_ *Options, d []byte) {
				h := Header{Cluster: "c", ID: "another", Nodes: []string{"x", "y"}}
				b := block{Node: "x", seq: 900}
				head, _, err := b.encode(h.slotKey(secret), 0)
				if err != nil {
					t.Fatal(err)
				}
				copy(d[h.headAt(0, 0):], head)
				copy(d[h.headAt(0, 1):], head)
			}, ErrDamaged},
			{"a slot in the place of another", func(_ *Options, d []byte) {
				h := Header{Nodes: []string{"x", "y"}}
				copy(d[h.headAt(2, 0):h.headAt(3, 0)], d[h.headAt(0, 0):h.headAt(1, 0)])
			}, ErrDamaged},
			{"both copies", func(_ *Options, d []byte) {
				h := Header{Nodes: []string{"x", "y"}}
				d[h.headAt(0, 0)+2000] ^= 1
				d[h.headAt(0, 1)+2000] ^= 1
			}, ErrDamaged},
		} {
			q := &platter{data: slices.Clone(p.data)}
			o := quick
			o.Node, o.Boot = "y", "y1"
			c.with(&o, q.data)
			s, err := Open(t.Context(), &path{p: q}, o)
			if !errors.Is(err, c.want) {
				t.Errorf("%s: %v", c.name, err)
			}
			if s != nil {
				s.Close()
			}
		}
		// The disk is made anew beneath a node that runs.
		h := Header{Cluster: "c", ID: "two", Nodes: []string{"x", "y"}}
		b, err := h.encode(secret)
		if err != nil {
			t.Fatal(err)
		}
		p.mu.Lock()
		clear(p.data)
		copy(p.data, b)
		p.mu.Unlock()
		if _, err := x.View(t.Context()); !errors.Is(err, ErrForeign) {
			t.Errorf("View of another disk: %v", err)
		}
	})
}
