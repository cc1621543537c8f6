package disk

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"understudy/reconcile"
)

// A renewal that comes at any moment while the other node ends the lease: either
// it does not count, or the lease lives.
func TestARenewalWhileTheLeaseIsBeingEnded(t *testing.T) {
	counted := 0
	for at := 1; at <= 12; at++ {
		synctest.Test(t, func(t *testing.T) {
			p := newPlatter(t)
			x, _ := join(t, p, "x", "x1")
			y, hy := join(t, p, "y", "y1")
			const ttl = 2 * time.Second
			id, err := x.Grant(t.Context(), "x", "x1", ttl)
			if err != nil {
				t.Fatal(err)
			}
			if err := x.Renew(t.Context(), id); err != nil {
				t.Fatal(err)
			}
			for began := time.Now(); time.Since(began) < ttl; time.Sleep(quick.Poll) {
				if v, err := y.View(t.Context()); err != nil || v.Live["x"] == "" {
					t.Fatalf("%+v, %v", v, err)
				}
			}
			time.Sleep(quick.Poll)
			calls, renewed := 0, false
			hy.faults(func(bool, int64, int) fate {
				if calls++; calls == at {
					renewed = x.Renew(context.Background(), id) == nil
				}
				return fate{}
			})
			v, err := y.View(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if renewed {
				counted++
				if v.Live["x"] == "" {
					t.Errorf("at call %d: renewed, and ended all the same", at)
				}
			}
			if calls < at && v.Live["x"] != "" {
				t.Errorf("at call %d: it was never ended", at)
			}
		})
	}
	if counted == 0 {
		t.Error("no renewal ever counted")
	}
}

// A node that has just started, and finds the lease of a holder ended, waits for
// the whole bound from there on: it does not know when the last renewal was.
func TestOutlastedAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const bound = 8 * time.Second
		p := newPlatter(t)
		x := joinBound(t, p, "x", "x1", bound)
		y, _ := join(t, p, "y", "y1")
		id, err := x.Grant(t.Context(), "x", "x1", 2*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := x.Take(t.Context(), id, reconcile.Claim{Group: "g", Holder: "x", BootID: "x1", Epoch: 1}, 0); err != nil {
			t.Fatal(err)
		}
		wait(t, y, func(v reconcile.StoreView) bool { return v.Live["x"] == "" })
		again := joinBound(t, p, "y", "y2", bound)
		took := wait(t, again, func(v reconcile.StoreView) bool { return v.Outlasted["x"] == "x1" })
		if took < bound || took > bound+time.Second {
			t.Errorf("outlasted %s after the first look, want %s", took, bound)
		}
	})
}
