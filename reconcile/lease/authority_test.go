package lease_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"understudy/config"
	"understudy/reconcile"
	"understudy/reconcile/lease"
	"understudy/reconcile/lease/leasetest"
)

// TestFenceRecordsTheMethodThatWorked: of several agents the one whose status said off
// stands in the record and in the claim's evidence, whatever the plan had to say.
func TestFenceRecordsTheMethodThatWorked(t *testing.T) {
	bubble(t, func(t *testing.T, s *leasetest.Store) {
		a, b := start(t, s, "alpha", "a1"), start(t, s, "beta", "b1")
		synctest.Wait()
		was, err := a.Take(t.Context(), first("g"))
		if err != nil {
			t.Fatal(err)
		}
		a.stop()
		dead := errors.New("no board answers")
		failing := dead
		own := &lease.Authority{
			Keeper: b.Keeper, Node: "beta",
			Peers: func() []reconcile.Peer {
				return []reconcile.Peer{{Name: "alpha", State: reconcile.PeerSilent, BootID: "a1"}}
			},
			Off: func(context.Context, reconcile.Fence) (string, error) { return "fence_outlet", failing },
		}
		fence := reconcile.Fence{Node: "alpha", BootID: "a1", Methods: []config.Fence{{Agent: "fence_board"}, {Agent: "fence_outlet"}}}
		if mine, err := own.Do(t.Context(), fence); !mine || !errors.Is(err, dead) {
			t.Errorf("%v %v", mine, err)
		}
		if v := b.View(); v.Value.Fenced["alpha"].BootID != "" {
			t.Errorf("a fence that failed is on record: %+v", v.Value.Fenced)
		}
		failing = nil
		if _, err := own.Do(t.Context(), fence); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if r := b.View().Value.Fenced["alpha"]; r.Agent != "fence_outlet" || r.BootID != "a1" || r.By != "beta" {
			t.Errorf("%+v", r)
		}
		step := after(was, reconcile.EvidenceFenced)
		step.Evidence.Detail = "fence_board, else fence_outlet off of alpha confirmed by beta"
		got, err := b.Take(t.Context(), step)
		if err != nil || got.Evidence.Detail != "fence_outlet off of alpha confirmed by beta" {
			t.Errorf("%+v %v", got.Evidence, err)
		}
	})
}
