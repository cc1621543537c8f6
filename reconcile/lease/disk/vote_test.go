package disk

import (
	"testing"
	"testing/synctest"
	"time"

	"understudy/reconcile"
)

// A vote that is seen and was never told to be on the disk is gone after the power
// cut. Whoever answered from it before must have had it chosen first.
func TestAVoteThatVanishesAfterItWasRead(t *testing.T) {
	for vote := range 12 {
		synctest.Test(t, func(t *testing.T) {
			p := newPlatter(t)
			x, hx := join(t, p, "x", "x1")
			y, _ := join(t, p, "y", "y1")
			id, err := x.Grant(t.Context(), "x", "x1", time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			before := make([]byte, len(p.data))
			writes := 0
			hx.faults(func(w bool, off int64, n int) fate {
				if !w {
					return fate{}
				}
				if writes++; writes == vote+1 {
					p.mu.Lock()
					copy(before, p.data)
					p.mu.Unlock()
					return fate{err: errIO, keep: n / sector} // it arrives in the cache of the disk
				}
				return fate{}
			})
			_, _ = x.Take(t.Context(), id, reconcile.Claim{Group: "g", Holder: "x", BootID: "x1", Epoch: 1, Reason: "r"}, 0)
			hx.die()
			first, err := y.View(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if writes > vote { // the cache is lost: the slots of x are as they were
				p.mu.Lock()
				copy(p.data[y.header.headAt(0, 0):y.header.headAt(2, 0)], before[y.header.headAt(0, 0):])
				p.mu.Unlock()
			}
			second, err := y.View(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if first.Claims["g"].Revision != second.Claims["g"].Revision || first.Revision > second.Revision {
				t.Errorf("write %d: revision %d with %+v, then %d with %+v", vote, first.Revision, first.Claims, second.Revision, second.Claims)
			}
		})
	}
}

// What only one slot holds is carried on by every incarnation that takes it.
func TestIncarnationsCarryOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlatter(t)
		x, hx := join(t, p, "x", "x0")
		id, err := x.Grant(t.Context(), "x", "x0", time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := x.Take(t.Context(), id, reconcile.Claim{Group: "g", Holder: "x", BootID: "x0", Epoch: 1}, 0); err != nil {
			t.Fatal(err)
		}
		for range 5 { // each dies before it has changed anything
			hx.die()
			x, hx = join(t, p, "x", "x1")
		}
		if v, err := x.View(t.Context()); err != nil || v.Claims["g"].Holder != "x" {
			t.Errorf("%+v, %v", v, err)
		}
	})
}
