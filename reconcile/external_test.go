package reconcile

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"understudy/config"
	"understudy/fsm"
)

func externalCluster(t testing.TB, name string) *config.Config {
	t.Helper()
	data, err := os.ReadFile("testdata/clusters/" + name + ".toml")
	if err != nil {
		t.Fatal(err)
	}
	c, err := config.Parse(name, data)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestExternalTouchesNothingLent walks a cluster whose storage somebody else moves
// at random. No plan ever mounts, unmounts, adds, drops, claims or fences; nothing
// is started where not all of the group is surely here, or beside another node that
// is heard to hold it; what runs where the group is surely not whole is stopped by
// the next plan.
func TestExternalTouchesNothingLent(t *testing.T) {
	configs := []*config.Config{externalCluster(t, "external"), externalCluster(t, "external-rotating")}
	rapid.Check(t, func(t *rapid.T) {
		c := rapid.SampledFrom(configs).Draw(t, "cluster")
		g := &c.Groups[0]
		w := Steady(c, noon)
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			s := w.Hosts[rapid.IntRange(0, len(w.Hosts)-1).Draw(t, "host")]
			w.Now = w.Now.Add(time.Duration(rapid.IntRange(0, 90).Draw(t, "seconds")) * time.Second)
			meddle(t, w, g, s)
			seen := w.look(s)
			if rapid.IntRange(0, 4).Draw(t, "hears") == 0 {
				seen.Peers[0].State = rapid.SampledFrom([]PeerState{PeerUnknown, PeerSilent, PeerDistant}).Draw(t, "state")
			}
			d := Decide(c, g, seen)
			held := look(c, g, seen).held()
			for _, p := range d.Plan.Steps {
				switch p.Step.(type) {
				case Stop, SetHostname, RestoreHostname, Verify, Notify, RunHook:
				case PurgeFiles, Start, MarkDirty:
					peer := seen.Peers[0]
					if held != Present || peer.State == PeerHeard && peer.Status.Group(g.Name).Role.Holds() {
						t.Fatalf("%s while held is %s and %s is %s", p.Step.Spec().Verb, held, peer.Name, peer.Status.Group(g.Name).Role)
					}
				default:
					t.Fatalf("step %T", p.Step)
				}
			}
			if d.Inventory.serving() && held == Absent && (len(d.Plan.Steps) == 0 || d.Goal != Clean) {
				t.Fatalf("%s runs with a part of the group gone and is not stopped: %s", s.Node, d.Because)
			}
			m := s.Memory[g.Name]
			m.Role = d.Transition.To
			s.Memory[g.Name] = Remember(c, g, seen, m)
			for _, p := range d.Plan.Steps[:rapid.IntRange(0, len(d.Plan.Steps)).Draw(t, "done")] {
				w.apply(s, g, p.Step)
			}
		}
	})
}

// meddle is what the other manager, a person, or a fault does to a host.
func meddle(t *rapid.T, w *World, g *config.Group, s *Snapshot) {
	switch rapid.IntRange(0, 8).Draw(t, "meddling") {
	case 0:
		w.bring(g, s.Node)
	case 1:
		fs := rapid.SampledFrom(g.Filesystems).Draw(t, "file system")
		lose(s, g, WhatIf{Kind: MountLost, Name: fs.Mount})
	case 2:
		lose(s, g, WhatIf{Kind: AddressLost, Name: g.Addresses[0].Label})
	case 3:
		s.mount(rapid.SampledFrom(g.Filesystems).Draw(t, "file system"))
	case 4:
		s.run(g.Name, g.Applications[0])
	case 5:
		lose(s, g, WhatIf{Kind: DaemonDied, Name: g.Applications[0].Daemons[0].Name})
	case 6:
		s.Mounts.Err = rapid.SampledFrom([]error{nil, fmt.Errorf("input/output error")}).Draw(t, "error")
	case 7:
		m := s.Memory[g.Name]
		m.Released = rapid.SampledFrom([]string{"", s.BootID}).Draw(t, "released")
		s.Memory[g.Name] = m
	case 8:
		s.Devices.Value = slices.Clone(s.Devices.Value)
		s.Devices.Value[0].Present = rapid.Bool().Draw(t, "device")
	}
}

// TestExternalAround: a what-if on a running cluster starts from what its node sees
// and from what the others say.
func TestExternalAround(t *testing.T) {
	c := externalCluster(t, "external-dfs")
	w := Steady(c, noon)
	if w.Host("alpha").Memory["dce"].Dirty == "" {
		t.Fatal("alpha is not dirty at rest")
	}
	for _, node := range []string{"alpha", "beta"} {
		around := Around(c, w.View(node))
		if s := around.seenAt(&c.Groups[0]); s == nil || s.Node != "alpha" {
			t.Fatalf("as %s sees it, the group is on %v", node, s)
		}
		if plans := around.Settle(); len(plans) > 0 {
			t.Errorf("as %s sees it, the cluster is not at rest: %s", node, plans[0].Plan.Why)
		}
		if _, err := around.Happen(WhatIf{Kind: NodeDown, Node: "alpha", Name: "alpha"}); err != nil {
			t.Fatal(err)
		}
		d := Decide(c, &c.Groups[0], around.View("beta"))
		if d.Phase != Waiting || len(d.Plan.Waits) == 0 {
			t.Errorf("as %s sees it, beta is %s after the loss of alpha: %v", node, d.Phase, d.Plan.Waits)
		}
	}
}

// TestExternalTellsBeforeItStarts: two nodes to which a group comes at one moment have
// not heard of each other's luck. Neither starts before its word has reached the other.
func TestExternalTellsBeforeItStarts(t *testing.T) {
	c := externalCluster(t, "external")
	w := Steady(c, noon)
	w.Bring("dce", "beta")
	s := w.View("beta")
	gs := &s.Peers[0].Status.Groups[0]
	gs.Role, gs.Here, gs.Running = fsm.Standby, false, false // its latest word is of before
	d := Decide(c, &c.Groups[0], s)
	if d.Goal != Clean || d.Phase != Waiting || !strings.Contains(d.Status.Reason, "alpha is told first") || !d.Status.Here {
		t.Errorf("%s, %s, here %v: %s", d.Goal, d.Phase, d.Status.Here, d.Status.Reason)
	}
	m := Remember(c, &c.Groups[0], s, s.Memory["dce"])
	s.Memory["dce"] = m
	s.At = s.At.Add(c.Keepalive.Interval)
	if d := Decide(c, &c.Groups[0], s); d.Goal != Hold {
		t.Errorf("nothing was heard in time, and it is %s: %s", d.Goal, d.Status.Reason)
	}
	gs.Here = true // it was heard in time
	if d := Decide(c, &c.Groups[0], s); d.Phase != Blocked {
		t.Errorf("%s, %s: %s", d.Goal, d.Phase, d.Status.Reason)
	}
}
