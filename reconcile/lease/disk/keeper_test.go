package disk

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"understudy/config"
	"understudy/reconcile"
	"understudy/reconcile/lease"
)

// The whole of a takeover from a holder that freezes, with nothing but the disk:
// the lease's end, the watchdog's bound, the claim, within 1.2 × ttl of the last
// renewal; and what the holder finds when it wakes all the same.
func TestTakeoverByTheWatchdogBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		times := config.Lease{Store: config.StoreDisk, TTL: 10 * time.Second, Renew: time.Second, Margin: 3 * time.Second, Request: time.Second}
		p := newPlatter(t)
		host := func(node, boot string) (*lease.Keeper, *path) {
			h := &path{p: p}
			o := quick
			o.Node, o.Boot, o.TTL, o.Poll, o.WatchdogBound = node, boot, times.TTL, times.Poll(), times.TTL
			s, err := Open(t.Context(), h, o)
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			k := lease.NewKeeper(s, times, node, boot, slog.New(slog.DiscardHandler)).WithClock(func() time.Duration { return time.Since(began) })
			ctx, cancel := context.WithCancel(t.Context())
			var wg sync.WaitGroup
			wg.Go(func() { _ = k.Run(ctx) })
			t.Cleanup(func() { cancel(); wg.Wait(); s.Close(); s.lane.wg.Wait() })
			return k, h
		}
		a, ha := host("x", "x1")
		b, _ := host("y", "y1")
		time.Sleep(3 * time.Second)
		was, err := a.Take(t.Context(), reconcile.TakeClaim{Group: "g", Epoch: 1, Evidence: reconcile.Evidence{Kind: reconcile.EvidenceFirst}})
		if err != nil {
			t.Fatal(err)
		}
		step := reconcile.TakeClaim{Group: "g", Was: was, Epoch: 2, Evidence: reconcile.Evidence{Kind: reconcile.EvidenceWatchdog}}
		if _, err := b.Take(t.Context(), step); err == nil {
			t.Fatal("taken from a holder that renews")
		}
		// Its path to the disk is gone from now on; it is the same as if it froze.
		last := a.Lease().Until.Add(times.Margin - times.TTL) // when the last renewal was sent
		ha.faults(func(bool, int64, int) fate { return fate{before: time.Minute} })
		for {
			time.Sleep(10 * time.Millisecond)
			own := a.Lease().Left(time.Now()) > 0
			if _, err := b.Take(t.Context(), step); err == nil {
				if own {
					t.Error("taken while the holder's own deadline had not passed")
				}
				break
			}
			if time.Since(last) > time.Minute {
				t.Fatal("never taken")
			}
		}
		took := time.Since(last)
		t.Logf("taken %s after the last renewal, ttl %s", took, times.TTL)
		if took > times.TTL*12/10 || took < times.TTL {
			t.Errorf("taken %s after the last renewal, want %s to %s", took, times.TTL, times.TTL*12/10)
		}
		ha.faults(nil)
		time.Sleep(2 * time.Minute) // it wakes
		if v := a.View(); !v.OK() || v.Value.Claims["g"].Holder != "y" {
			t.Errorf("what it sees when it wakes: %+v, %v", v.Value, v.Why())
		}
		if err := a.SignOff(t.Context(), "g", 1); !errors.Is(err, lease.ErrChanged) {
			t.Errorf("it signs off another's claim: %v", err)
		}
	})
}
