package reconcile

import "testing"

// TestWhatIfKnowsARehearsal: what another node only rehearses it has not started, and
// what only a reboot ends does not hold it there.
func TestWhatIfKnowsARehearsal(t *testing.T) {
	c := externalCluster(t, "dfs-cascading")
	g := &c.Groups[0]
	w := Steady(c, noon)
	claim := w.Store.Claims[g.Name]
	claim.Rehearsal = RehearseHold
	w.Store.Claims[g.Name] = claim
	s := w.View("beta")
	for i := range s.Peers {
		for k := range s.Peers[i].Status.Groups {
			s.Peers[i].Status.Groups[k].Dirty = false
		}
	}
	alpha := Around(c, s).Host("alpha")
	if alpha.Memory[g.Name].Dirty != "" {
		t.Error("the holder is taken for one that only a reboot makes clean")
	}
	for _, a := range g.Applications {
		if st := appItem(g.Name, a, alpha).State; st != Absent {
			t.Errorf("%s is %s on a node that rehearses", a.Name, st)
		}
	}
}
