package reconcile

import (
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"understudy/fsm"
)

// silentAlpha is beta's view of the guide's cluster while alpha, which holds the group, is
// silent for some time on every link, and what beta knows of alpha.
func silentAlpha(t *testing.T, age time.Duration) (*scenario, *Snapshot, *Peer) {
	t.Helper()
	file, err := clusterFile(&dfsCluster)
	if err != nil {
		t.Fatal(err)
	}
	sc, err := newScenario(file)
	if err != nil {
		t.Fatal(err)
	}
	sc.w.Down["alpha"] = true
	s := sc.w.View("beta")
	for i := range s.Peers {
		if s.Peers[i].Name == "alpha" {
			for k := range s.Peers[i].Links {
				s.Peers[i].Links[k].Age = age
			}
			return sc, s, &s.Peers[i]
		}
	}
	t.Fatal("beta does not know alpha")
	return nil, nil, nil
}

// TestAwayIsSparedWhileItsLeaseLasts: a holder whose program ended on purpose is to
// come back, and a fence would end what it left up. Its lease is its patience.
func TestAwayIsSparedWhileItsLeaseLasts(t *testing.T) {
	for _, c := range []struct {
		name       string
		away, live bool
		silent     time.Duration
		fence      bool
	}{
		{"away, its lease lasts", true, true, time.Second, false},
		{"away, its lease has ended", true, false, time.Second, true},
		{"silent without a word", false, true, time.Second, true},
		{"back, and not heard", true, true, time.Minute, true}, // its lease is renewed, for ever
	} {
		t.Run(c.name, func(t *testing.T) {
			sc, s, alpha := silentAlpha(t, c.silent)
			g := sc.c.Group("dce")
			alpha.Status.Away = c.away
			s.Store.Value.Live = map[string]string{}
			if c.live {
				s.Store.Value.Live["alpha"] = alpha.BootID
			}
			// Another machine that is well, and does not hear it either.
			s.Peers = append(s.Peers, Peer{Name: "witness", State: PeerHeard, BootID: "w"})
			d := Decide(sc.c, g, s)
			if fences := !d.Plan.Empty() && isA[Fence](d.Plan.Steps[0].Step); fences != c.fence {
				t.Errorf("fences %v, want %v:\n%s", fences, c.fence, text(d.Plan))
			}
			if !c.fence && (len(d.Plan.Waits) != 1 || !strings.Contains(d.Plan.Waits[0].Text, "to be started again")) {
				t.Errorf("does not say what it waits for:\n%s", text(d.Plan))
			}
		})
	}
}

// TestRebootPatience: a holder that fell silent at the barrier is being rebooted, and
// a fence would leave it off. One that fell silent while it served is not spared.
func TestRebootPatience(t *testing.T) {
	for _, c := range []struct {
		name  string
		says  GroupStatus
		age   time.Duration // since it was last heard
		fence bool
	}{
		{"at the barrier, just silent", GroupStatus{Role: fsm.Rejoining, Phase: Waiting, Dirty: true}, 2 * time.Second, false},
		{"at the barrier, still booting", GroupStatus{Role: fsm.Rejoining, Phase: Waiting, Dirty: true}, rebootPatience - time.Second, false},
		{"at the barrier, too long", GroupStatus{Role: fsm.Rejoining, Phase: Waiting, Dirty: true}, rebootPatience, true},
		{"in its stop", GroupStatus{Role: fsm.Rejoining, Phase: Releasing, Dirty: true}, 2 * time.Second, true},
		{"serving", GroupStatus{Role: fsm.Owner, Phase: Serving, Dirty: true}, 2 * time.Second, true},
		{"unsure, and it holds", GroupStatus{Role: fsm.Owner, Phase: Waiting, Dirty: true}, 2 * time.Second, true},
		{"waiting, and clean", GroupStatus{Role: fsm.Rejoining, Phase: Waiting}, 2 * time.Second, true},
		{"never heard on a link", GroupStatus{Role: fsm.Rejoining, Phase: Waiting, Dirty: true}, -1, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			sc, s, alpha := silentAlpha(t, c.age)
			g := sc.c.Group("dce")
			c.says.Group = g.Name
			alpha.Status.Groups = []GroupStatus{c.says}
			d := Decide(sc.c, g, s)
			fences := !d.Plan.Empty() && isA[Fence](d.Plan.Steps[0].Step)
			if fences != c.fence {
				t.Errorf("fences %v, want %v:\n%s", fences, c.fence, text(d.Plan))
			}
			if !c.fence && (len(d.Plan.Waits) != 1 || !strings.Contains(d.Plan.Waits[0].Way, "3 min to boot") || !strings.Contains(d.Plan.Waits[0].Way, "confirm-down alpha")) {
				t.Errorf("does not say what it waits for:\n%s", text(d.Plan))
			}
		})
	}
}

// TestAroundKnowsWhoIsDirty: what-if starts from what the others say of themselves.
func TestAroundKnowsWhoIsDirty(t *testing.T) {
	file, err := clusterFile(&dfsCluster)
	if err != nil {
		t.Fatal(err)
	}
	sc, err := newScenario(file)
	if err != nil {
		t.Fatal(err)
	}
	w := Around(sc.c, sc.w.View("beta"))
	if m := w.Host("alpha").Memory["dce"]; m.Dirty != w.Host("alpha").BootID {
		t.Errorf("alpha is not dirty: %+v", m)
	}
	stages, err := w.Happen(WhatIf{Kind: Move, Group: "dce", Node: "beta", Name: "dce:beta"})
	if err != nil {
		t.Fatal(err)
	}
	if len(stages) != 1 || stages[0].Plan.Node != "alpha" || len(stages[0].Plan.Waits) != 1 || len(stages[0].Plan.Steps) != 3 {
		t.Errorf("stages: %+v", stages)
	}
	// Its boot is the evidence.
	stages, err = w.Happen(WhatIf{Kind: NodeUp, Node: "alpha", Name: "alpha"})
	if err != nil || len(stages) == 0 {
		t.Fatalf("after the reboot: %v %v", stages, err)
	}
	if last := stages[len(stages)-1].Plan; last.Node != "beta" || last.Goal != Hold {
		t.Errorf("after the reboot:\n%s", text(last))
	}
}

// dfsCluster is a scenario without a script.
var dfsCluster = txtar.Archive{Files: []txtar.File{{Name: "cluster", Data: []byte("dfs-cascading\n")}}}
