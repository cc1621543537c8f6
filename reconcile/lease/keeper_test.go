package lease_test

import (
	"context"
	"errors"
	"log/slog"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"understudy/config"
	"understudy/reconcile"
	"understudy/reconcile/lease"
	"understudy/reconcile/lease/leasetest"
)

var times = config.Lease{TTL: 5 * time.Second, Renew: time.Second, Margin: time.Second}

// host is one machine with a keeper that runs until stop.
type host struct {
	*lease.Keeper
	link *leasetest.Client
	stop func()

	mu    sync.Mutex
	slept time.Duration
}

// suspend lets the boot clock run on by d while everything else stands still.
func (h *host) suspend(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.slept += d
}

func start(t *testing.T, s *leasetest.Store, node, boot string) *host {
	return startWith(t, s, times, node, boot)
}

func startWith(t *testing.T, s *leasetest.Store, times config.Lease, node, boot string) *host {
	h := &host{link: s.Client()}
	began := time.Now()
	h.Keeper = lease.NewKeeper(h.link, times, node, boot, slog.New(slog.DiscardHandler)).WithClock(func() time.Duration {
		h.mu.Lock()
		defer h.mu.Unlock()
		return time.Since(began) + h.slept
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	var once sync.Once
	h.stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Errorf("Run: %v", err)
			}
		})
	}
	t.Cleanup(h.stop)
	return h
}

// bubble runs f in virtual time with an empty store.
func bubble(t *testing.T, f func(t *testing.T, s *leasetest.Store)) {
	synctest.Test(t, func(t *testing.T) {
		s := leasetest.New()
		t.Cleanup(s.Wait) // runs last: after every keeper has stopped
		f(t, s)
	})
}

func (h *host) valid() bool { return h.Lease().Left(time.Now()) > 0 }

func first(group string) reconcile.TakeClaim {
	return reconcile.TakeClaim{Group: group, Epoch: 1, Evidence: reconcile.Evidence{Kind: reconcile.EvidenceFirst}}
}

// after makes the step that replaces c.
func after(c reconcile.Claim, kind reconcile.EvidenceKind) reconcile.TakeClaim {
	return reconcile.TakeClaim{Group: c.Group, Was: c, Epoch: c.Epoch + 1, Evidence: reconcile.Evidence{Kind: kind}}
}

func TestTheLeaseCountsFromTheSending(t *testing.T) {
	bubble(t, func(t *testing.T, s *leasetest.Store) {
		h := start(t, s, "alpha", "a1")
		h.link.Fate(func(string) leasetest.Fate { return leasetest.Fate{Reply: 900 * time.Millisecond} })
		began := time.Now()
		time.Sleep(901 * time.Millisecond)
		if got, want := h.Lease().Until.Sub(began), times.TTL-times.Margin; got != want {
			t.Errorf("own deadline %s after the request was sent, want %s", got, want)
		}
	})
}

func TestTheDeadlineHasItsOwnTimer(t *testing.T) {
	bubble(t, func(t *testing.T, s *leasetest.Store) {
		h := start(t, s, "alpha", "a1")
		synctest.Wait()
		if !h.valid() {
			t.Fatal("no lease")
		}
		// The renewal of second 1 passes; those of 2 and later hang.
		time.Sleep(1500 * time.Millisecond)
		h.link.Cut()
		until := h.Lease().Until
		time.Sleep(time.Until(until) - time.Nanosecond)
		synctest.Wait()
		drain(h)
		if !h.valid() {
			t.Error("invalid before its deadline")
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		select {
		case <-h.Changes():
		default:
			t.Error("no change when the deadline passed")
		}
		if h.valid() {
			t.Error("valid after its deadline")
		}
		if l := h.Lease(); l.Err == "" {
			t.Error("no reason")
		}
		_, expiry, ok := s.Expiry("alpha")
		if !ok || expiry.Before(until) {
			t.Errorf("the store forgets at %s, we at %s", expiry, until)
		}
		h.link.Heal()
		time.Sleep(2 * times.Renew)
		synctest.Wait()
		if !h.valid() {
			t.Errorf("no lease after the link is back: %+v", h.Lease())
		}
	})
}

func drain(h *host) {
	select {
	case <-h.Changes():
	default:
	}
}

func TestSuspendCounts(t *testing.T) {
	bubble(t, func(t *testing.T, s *leasetest.Store) {
		h := start(t, s, "alpha", "a1")
		synctest.Wait()
		h.link.Cut()
		h.suspend(times.TTL - times.Margin - time.Millisecond)
		if !h.valid() {
			t.Error("invalid a millisecond early")
		}
		h.suspend(time.Millisecond)
		if h.valid() {
			t.Error("still valid after the host slept past its deadline")
		}
		if _, err := h.Take(t.Context(), first("g")); !errors.Is(err, lease.ErrNoLease) {
			t.Errorf("Take: %v", err)
		}
		drain(h)
		time.Sleep(times.Renew)
		synctest.Wait()
		select {
		case <-h.Changes():
		default:
			t.Error("nothing said so within a renewal interval after waking")
		}
	})
}

func TestALostLeaseIsAskedForAgain(t *testing.T) {
	bubble(t, func(t *testing.T, s *leasetest.Store) {
		h := start(t, s, "alpha", "a1")
		time.Sleep(time.Millisecond)
		drain(h)
		s.Expire("alpha")
		synctest.Wait() // the watch, the reading, and the new grant take no time here
		if !h.valid() {
			t.Errorf("not granted again: %+v", h.Lease())
		}
		if boot, _, ok := s.Expiry("alpha"); !ok || boot != "a1" {
			t.Errorf("store: boot %q", boot)
		}
		select {
		case <-h.Changes():
		default:
			t.Error("no change")
		}
	})
}

func TestAFencedBootStaysOut(t *testing.T) {
	bubble(t, func(t *testing.T, s *leasetest.Store) {
		a, b := start(t, s, "alpha", "a1"), start(t, s, "beta", "b1")
		time.Sleep(time.Millisecond)
		if err := b.RecordFence(t.Context(), reconcile.FenceRecord{Node: "alpha", BootID: "a1", By: "beta"}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if a.valid() {
			t.Error("a fenced boot believes in its lease")
		}
		time.Sleep(3 * times.TTL)
		if a.valid() || !strings.Contains(a.Lease().Err, "recorded as ended") {
			t.Errorf("%+v", a.Lease())
		}
		if err := b.RecordFence(t.Context(), reconcile.FenceRecord{Node: "alpha"}); err == nil {
			t.Error("a fence of an unknown boot was recorded")
		}
	})
}

func TestTheViewAges(t *testing.T) {
	bubble(t, func(t *testing.T, s *leasetest.Store) {
		idle := lease.NewKeeper(s.Client(), times, "alpha", "a0", slog.New(slog.DiscardHandler))
		if v := idle.View(); v.OK() || !errors.Is(v.Why(), reconcile.ErrNotRead) {
			t.Errorf("before the first reading: %v", v.Why())
		}
		h := start(t, s, "alpha", "a1")
		time.Sleep(100 * time.Millisecond)
		h.link.Cut()
		at := h.View().At
		time.Sleep(time.Until(at.Add(times.TTL)))
		if !h.View().OK() {
			t.Errorf("unread at exactly one ttl: %v", h.View().Why())
		}
		time.Sleep(times.Renew)
		synctest.Wait()
		if v := h.View(); v.OK() || !errors.Is(v.Why(), context.DeadlineExceeded) || !v.At.Equal(at) {
			t.Errorf("after more than a ttl: %v", v.Why())
		}
		h.link.Heal()
		time.Sleep(2 * times.Renew)
		synctest.Wait()
		if !h.View().OK() {
			t.Errorf("after the link is back: %v", h.View().Why())
		}
	})
}

func TestTakeIsInTheViewAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T, s *leasetest.Store) {
		h := start(t, s, "alpha", "a1")
		synctest.Wait()
		// A reading that began before the claim comes back after it; so do all
		// but the one that Take makes.
		calls := 0
		h.link.Fate(func(op string) leasetest.Fate {
			if op == "View" {
				if calls++; calls != 2 {
					return leasetest.Fate{Reply: 800 * time.Millisecond}
				}
			}
			return leasetest.Fate{}
		})
		time.Sleep(times.TTL/3 + time.Millisecond)
		c, err := h.Take(t.Context(), first("g"))
		if err != nil {
			t.Fatal(err)
		}
		for range 1000 {
			if got := h.View().Value.Claims["g"]; !reflect.DeepEqual(got, c) {
				t.Fatalf("view %+v, taken %+v", got, c)
			}
			time.Sleep(time.Millisecond)
		}
		if !reflect.DeepEqual(s.Claim("g"), c) {
			t.Errorf("store %+v", s.Claim("g"))
		}
	})
}

func TestLeave(t *testing.T) {
	bubble(t, func(t *testing.T, s *leasetest.Store) {
		h := start(t, s, "alpha", "a1")
		synctest.Wait()
		c, err := h.Take(t.Context(), first("g"))
		if err != nil {
			t.Fatal(err)
		}
		if err := h.Leave(t.Context()); err == nil {
			t.Fatal("left with a claim")
		}
		if err := h.SignOff(t.Context(), "g", c.Epoch); err != nil {
			t.Fatal(err)
		}
		if err := h.Leave(t.Context()); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if _, _, ok := s.Expiry("alpha"); ok || h.valid() {
				t.Errorf("still live after leaving; %+v", h.Lease())
			}
			time.Sleep(10 * times.TTL)
		}
	})
}

func TestConfirmWaitsForTheLease(t *testing.T) {
	bubble(t, func(t *testing.T, s *leasetest.Store) {
		a, b := start(t, s, "alpha", "a1"), start(t, s, "beta", "b1")
		synctest.Wait()
		c := reconcile.Confirmation{Node: "alpha", BootID: "a1", By: "root", Reason: "smoke"}
		began := time.Now()
		if err := b.Confirm(t.Context(), c); err == nil || !strings.Contains(err.Error(), "still renews") {
			t.Errorf("confirmed a node that lives: %v", err)
		}
		if d := time.Since(began); d > 2*times.TTL {
			t.Errorf("it took %s", d)
		}
		a.stop()
		if err := b.Confirm(t.Context(), c); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if v := b.View().Value; v.Live["alpha"] != "" || v.Confirms["alpha"] != c {
			t.Errorf("%+v", v)
		}
	})
}

func TestRequests(t *testing.T) {
	bubble(t, func(t *testing.T, s *leasetest.Store) {
		h := start(t, s, "alpha", "a1")
		synctest.Wait()
		r := reconcile.Request{Group: "g", To: "beta", By: "root"}
		if err := h.Ask(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if h.View().Value.Requests["g"] != r {
			t.Errorf("%+v", h.View().Value)
		}
		if err := h.Withdraw(t.Context(), "g"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if len(h.View().Value.Requests) != 0 {
			t.Errorf("%+v", h.View().Value)
		}
	})
}

// A renewal that was under way when the lease was seen to have ended comes back
// with good news about nothing.
func TestALateRenewalRevivesNothing(t *testing.T) {
	bubble(t, func(t *testing.T, s *leasetest.Store) {
		h := start(t, s, "alpha", "a1")
		time.Sleep(times.Renew / 2)
		h.link.Fate(func(op string) leasetest.Fate {
			if op == "Renew" {
				return leasetest.Fate{Reply: 600 * time.Millisecond}
			}
			return leasetest.Fate{LoseRequest: op == "Grant"}
		})
		time.Sleep(times.Renew/2 + 100*time.Millisecond) // the renewal has been answered, not heard
		s.Expire("alpha")
		for range 3000 {
			time.Sleep(time.Millisecond)
			if h.valid() {
				t.Fatal("it believes in a lease that it has seen to have ended")
			}
		}
	})
}
