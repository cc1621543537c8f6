//go:build !aix

package etcd

import (
	"fmt"
	"testing"
	"time"

	"understudy/reconcile"
	"understudy/reconcile/lease"
)

// benchmarks run on three members in this process, led by the witness as in
// service; alpha asks.
func benchmark(b *testing.B, f func(s lease.Store, id lease.LeaseID, i int) error) {
	k := run(b, 3)
	k.lead("witness")
	s := k.store("alpha")
	id, err := s.Grant(b.Context(), "alpha", "a1", time.Hour)
	if err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	for i := 0; i < b.N; i++ {
		if err := f(s, id, i); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
}

func BenchmarkRenew(b *testing.B) {
	benchmark(b, func(s lease.Store, id lease.LeaseID, _ int) error { return s.Renew(b.Context(), id) })
}

func BenchmarkView(b *testing.B) {
	benchmark(b, func(s lease.Store, _ lease.LeaseID, _ int) error { _, err := s.View(b.Context()); return err })
}

func BenchmarkTake(b *testing.B) {
	var rev int64
	benchmark(b, func(s lease.Store, id lease.LeaseID, i int) (err error) {
		rev, err = s.Take(b.Context(), id, reconcile.Claim{Group: "g", Holder: "alpha", BootID: "a1", Epoch: uint64(i + 1)}, rev)
		return err
	})
}

// BenchmarkTakeover is what a confirmed fence adds to the outage: the record
// with the end of the lease, a fresh view, and the claim.
func BenchmarkTakeover(b *testing.B) {
	var rev int64
	benchmark(b, func(s lease.Store, id lease.LeaseID, i int) (err error) {
		b.StopTimer()
		boot := fmt.Sprint(i)
		if _, err := s.Grant(b.Context(), "beta", boot, 10*time.Second); err != nil {
			return err
		}
		b.StartTimer()
		if err := s.PutFence(b.Context(), reconcile.FenceRecord{Node: "beta", BootID: boot}); err != nil {
			return err
		}
		if _, err := s.View(b.Context()); err != nil {
			return err
		}
		rev, err = s.Take(b.Context(), id, reconcile.Claim{Group: "g", Holder: "alpha", BootID: "a1", Epoch: uint64(i + 1)}, rev)
		return err
	})
}

// BenchmarkLossOfAMember is the time from the death of a member to the first
// claim that the other node takes.
func BenchmarkLossOfAMember(b *testing.B) {
	for _, tick := range []time.Duration{100 * time.Millisecond, 50 * time.Millisecond, 20 * time.Millisecond} {
		for _, leader := range []string{"witness", "alpha"} {
			b.Run(fmt.Sprintf("tick=%s/killed=alpha/leader=%s", tick, leader), func(b *testing.B) {
				c := declare(b, 3)
				c.Lease.Tick, c.Lease.Election = tick, 10*tick
				k := newCluster(b, c)
				for name := range k.dirs {
					k.start(name)
				}
				k.ready()
				s := k.store("beta")
				id, err := s.Grant(b.Context(), "beta", "b1", time.Hour)
				if err != nil {
					b.Fatal(err)
				}
				var rev int64
				b.ResetTimer()
				for i := 0; i < b.N; i++ {
					b.StopTimer()
					if k.members["alpha"] == nil {
						k.start("alpha")
					}
					k.ready()
					k.lead(leader)
					b.StartTimer()
					k.crash("alpha")
					rev, err = s.Take(b.Context(), id, reconcile.Claim{Group: "g", Holder: "beta", BootID: "b1", Epoch: uint64(i + 1)}, rev)
					if err != nil {
						b.Fatal(err)
					}
					b.StopTimer()
					k.stop("alpha")
					b.StartTimer()
				}
			})
		}
	}
}
