package lease_test

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"understudy/reconcile"
	"understudy/reconcile/lease"
	"understudy/reconcile/lease/leasetest"
)

// TestEvidence: alpha's boot a1 holds g at epoch 1; what lets beta take it?
func TestEvidence(t *testing.T) {
	fence := func(boot string) func(*testing.T, *host, *host) {
		return func(t *testing.T, a, b *host) {
			a.stop()
			if err := b.RecordFence(t.Context(), reconcile.FenceRecord{Node: "alpha", BootID: boot}); err != nil {
				t.Fatal(err)
			}
		}
	}
	confirm := func(boot string) func(*testing.T, *host, *host) {
		return func(t *testing.T, a, b *host) {
			a.stop()
			if err := b.Confirm(t.Context(), reconcile.Confirmation{Node: "alpha", BootID: boot}); err != nil {
				t.Fatal(err)
			}
		}
	}
	crash := func(t *testing.T, a, b *host) { a.stop(); time.Sleep(2 * times.TTL) }
	nothing := func(*testing.T, *host, *host) {}
	for _, c := range []struct {
		name    string
		happens func(t *testing.T, a, b *host)
		kind    reconcile.EvidenceKind
		epoch   uint64 // zero: the next
		want    string // "" for success
	}{
		{"no evidence", crash, reconcile.EvidenceNone, 0, "is no evidence"},
		{"an unknown kind", crash, "hearsay", 0, "is no evidence"},
		{"silence is not a first claim", crash, reconcile.EvidenceFirst, 0, "not the first claim"},
		{"not released", crash, reconcile.EvidenceReleased, 0, "has not released"},
		{"released", func(t *testing.T, a, b *host) {
			if err := a.SignOff(t.Context(), "g", 1); err != nil {
				t.Fatal(err)
			}
		}, reconcile.EvidenceReleased, 0, "the store has changed"}, // the loop's claim is the one before the release
		{"fenced", fence("a1"), reconcile.EvidenceFenced, 0, ""},
		{"an epoch too far", fence("a1"), reconcile.EvidenceFenced, 3, "does not follow"},
		{"the same epoch", fence("a1"), reconcile.EvidenceFenced, 1, "does not follow"},
		{"another boot fenced", func(t *testing.T, a, b *host) { fence("a0")(t, a, b); time.Sleep(2 * times.TTL) }, reconcile.EvidenceFenced, 0, "no fence of boot a1"},
		{"nobody fenced, lease gone", crash, reconcile.EvidenceFenced, 0, "no fence of boot a1"},
		{"a fence is no confirmation", fence("a1"), reconcile.EvidenceConfirmed, 0, "nobody has confirmed"},
		{"confirmed", confirm("a1"), reconcile.EvidenceConfirmed, 0, ""},
		{"another boot confirmed", func(t *testing.T, a, b *host) { confirm("a0")(t, a, b); time.Sleep(2 * times.TTL) }, reconcile.EvidenceConfirmed, 0, "nobody has confirmed that boot a1"},
		{"other boot, old one live", nothing, reconcile.EvidenceRebooted, 0, "its lease is live"},
		{"fence claimed, holder live", nothing, reconcile.EvidenceFenced, 0, "its lease is live"},
		{"a silence that nobody has watched", crash, reconcile.EvidenceWatchdog, 0, "has not watched boot a1"},
		{"still, and live", nothing, reconcile.EvidenceWatchdog, 0, "its lease is live"},
		{"rebooted", crash, reconcile.EvidenceRebooted, 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, s *leasetest.Store) {
				a, b := start(t, s, "alpha", "a1"), start(t, s, "beta", "b1")
				synctest.Wait()
				was, err := a.Take(t.Context(), first("g"))
				if err != nil {
					t.Fatal(err)
				}
				c.happens(t, a, b)
				step := after(was, c.kind)
				if c.epoch != 0 {
					step.Epoch = c.epoch
				}
				got, err := b.Take(t.Context(), step)
				switch {
				case c.want == "" && err != nil:
					t.Error(err)
				case c.want == "" && (!reflect.DeepEqual(got, s.Claim("g")) || got.Holder != "beta" || got.Epoch != 2):
					t.Errorf("%+v, store %+v", got, s.Claim("g"))
				case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
					t.Errorf("got %v, want %q", err, c.want)
				case c.want != "" && s.Claim("g").Holder != "alpha":
					t.Errorf("store %+v", s.Claim("g"))
				}
			})
		})
	}
}

func TestTakeAgain(t *testing.T) {
	bubble(t, func(t *testing.T, s *leasetest.Store) {
		a, b := start(t, s, "alpha", "a1"), start(t, s, "beta", "b1")
		synctest.Wait()
		one, err := a.Take(t.Context(), first("g"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.Take(t.Context(), after(one, reconcile.EvidenceRebooted)); err == nil {
			t.Error("a boot has rebooted itself")
		}
		if err := a.SignOff(t.Context(), "g", 7); !errors.Is(err, lease.ErrChanged) {
			t.Errorf("signed off another epoch: %v", err)
		}
		if err := b.SignOff(t.Context(), "g", 1); !errors.Is(err, lease.ErrChanged) {
			t.Errorf("signed off another's claim: %v", err)
		}
		if err := a.SignOff(t.Context(), "g", 1); err != nil {
			t.Fatal(err)
		}
		if err := a.SignOff(t.Context(), "g", 1); err != nil {
			t.Errorf("a second sign-off: %v", err)
		}
		synctest.Wait()
		two, err := b.Take(t.Context(), after(b.View().Value.Claims["g"], reconcile.EvidenceReleased))
		if err != nil {
			t.Fatal(err)
		}
		if two.Released || two.Epoch != 2 || two.Holder != "beta" {
			t.Errorf("%+v", two)
		}
		if _, err := a.Take(t.Context(), first("g")); !errors.Is(err, lease.ErrChanged) {
			t.Errorf("a second first claim: %v", err)
		}
		// Nobody else may call it his own; its holder may, and the epoch grows.
		if _, err := a.Take(t.Context(), after(two, reconcile.EvidenceOwn)); !errors.Is(err, lease.ErrChanged) {
			t.Errorf("alpha took beta's claim as its own: %v", err)
		}
		step := after(two, reconcile.EvidenceOwn)
		step.Pinned = "by root"
		if two, err = b.Take(t.Context(), step); err != nil || two.Epoch != 3 || two.Pinned != "by root" || two.Holder != "beta" {
			t.Errorf("%+v, %v", two, err)
		}
		if err := b.SignOff(t.Context(), "g", two.Epoch); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		two = b.View().Value.Claims["g"]
		if _, err := b.Take(t.Context(), after(two, reconcile.EvidenceOwn)); !errors.Is(err, lease.ErrChanged) {
			t.Errorf("a claim that was signed off counts as held: %v", err)
		}
		if two, err = b.Take(t.Context(), after(two, reconcile.EvidenceReleased)); err != nil {
			t.Fatal(err)
		}
		// The next boot of beta finds its own old claim.
		b.stop()
		b2 := start(t, s, "beta", "b2")
		time.Sleep(10 * time.Second) // virtual: until the lease of the old boot has ended
		synctest.Wait()
		if _, err := b2.Take(t.Context(), after(two, reconcile.EvidenceRebooted)); err != nil {
			t.Error(err)
		}
	})
}

func TestTakeNeedsAMarginOfLease(t *testing.T) {
	bubble(t, func(t *testing.T, s *leasetest.Store) {
		h := start(t, s, "alpha", "a1")
		synctest.Wait()
		h.link.Fate(func(op string) leasetest.Fate { return leasetest.Fate{LoseRequest: op == "Renew"} })
		time.Sleep(time.Until(h.Lease().Until) - times.Margin + time.Millisecond)
		if _, err := h.Take(t.Context(), first("g")); !errors.Is(err, lease.ErrNoLease) {
			t.Error(err)
		}
		if s.Claim("g").Epoch != 0 {
			t.Error("taken")
		}
	})
}

func TestALostReplyToTake(t *testing.T) {
	for _, c := range []struct {
		name string
		fate leasetest.Fate
		ok   bool
	}{
		{"it had arrived", leasetest.Fate{LoseReply: true}, true},
		{"it never arrives", leasetest.Fate{LoseRequest: true}, false},
		{"it arrives later", leasetest.Fate{Request: 2 * time.Second}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, s *leasetest.Store) {
				h := start(t, s, "alpha", "a1")
				synctest.Wait()
				h.link.Fate(func(op string) leasetest.Fate {
					if op == "Take" {
						return c.fate
					}
					return leasetest.Fate{}
				})
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				_, err := h.Take(ctx, first("g"))
				if (err == nil) != c.ok {
					t.Errorf("err %v", err)
				}
				if ours := h.View().Value.Claims["g"].Holder == "alpha"; ours != c.ok {
					t.Errorf("the view shows it as ours: %v", ours)
				}
				time.Sleep(2 * times.Renew)
				synctest.Wait()
				if !reflect.DeepEqual(h.View().Value.Claims["g"], s.Claim("g")) {
					t.Error("the view never learnt what came of it")
				}
			})
		})
	}
}

// A sign-off whose answer is lost may take effect at any later time: until the
// keeper knows, the claim must not show as held.
func TestALateSignOff(t *testing.T) {
	for _, fate := range []leasetest.Fate{{LoseReply: true}, {LoseRequest: true}, {Request: 1500 * time.Millisecond}, {Request: 2500 * time.Millisecond}} {
		bubble(t, func(t *testing.T, s *leasetest.Store) {
			h := start(t, s, "alpha", "a1")
			synctest.Wait()
			if _, err := h.Take(t.Context(), first("g")); err != nil {
				t.Fatal(err)
			}
			once := true
			h.link.Fate(func(op string) leasetest.Fate {
				if op == "Take" && once {
					once = false
					return fate
				}
				return leasetest.Fate{}
			})
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if err := h.LetGo(ctx, reconcile.SignOff{Group: "g", Epoch: 1, GaveUp: "it does not start", Down: "enough"}); err != nil && fate.LoseReply {
				t.Errorf("it had arrived, and reading again did not show it: %v", err)
			}
			for range 50 {
				if c := h.View().Value.Claims["g"]; !c.Released || c.Down != "enough" {
					t.Fatalf("%+v: it shows as held while its sign-off may be on its way", fate)
				}
				time.Sleep(100 * time.Millisecond)
			}
			if c := s.Claim("g"); !c.Released || c.GaveUp != "it does not start" || c.Down != "enough" {
				t.Errorf("%+v: never signed off, or without its reasons: %+v", fate, c)
			}
		})
	}
}

// The node that signs off may take its claim back meanwhile; the late request
// must then find another claim.
func TestTakeBackDuringALateSignOff(t *testing.T) {
	bubble(t, func(t *testing.T, s *leasetest.Store) {
		h := start(t, s, "alpha", "a1")
		synctest.Wait()
		if _, err := h.Take(t.Context(), first("g")); err != nil {
			t.Fatal(err)
		}
		var ours atomic.Bool
		calls := 0
		h.link.Fate(func(op string) leasetest.Fate {
			if op != "Take" || ours.Load() {
				return leasetest.Fate{}
			}
			if calls++; calls == 1 {
				return leasetest.Fate{Request: 3 * time.Second}
			}
			return leasetest.Fate{LoseRequest: true} // the keeper's own repetition
		})
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if err := h.SignOff(ctx, "g", 1); err == nil {
			t.Fatal("signed off")
		}
		synctest.Wait()
		ours.Store(true)
		c := h.View().Value.Claims["g"]
		if _, err := h.Take(t.Context(), after(c, reconcile.EvidenceReleased)); err != nil {
			t.Fatal(err)
		}
		for range 50 {
			if c := h.View().Value.Claims["g"]; c.Released || c.Epoch != 2 || c.Holder != "alpha" {
				t.Fatalf("%+v", c)
			}
			time.Sleep(100 * time.Millisecond)
		}
		if c := s.Claim("g"); c.Released || c.Epoch != 2 {
			t.Errorf("%+v", c)
		}
	})
}
