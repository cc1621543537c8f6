package reconcile

import "testing"

// TestNoServiceStartsOnALeavingNode: the start would be cut short when understudy ends,
// and the host may be on its way down.
func TestNoServiceStartsOnALeavingNode(t *testing.T) {
	c := externalCluster(t, "guide-mt")
	w := Steady(c, noon)
	alpha := w.Host("alpha")
	for _, sv := range ServicesOn(c, "alpha") {
		alpha.setApp(AppState{Group: NodeGroup, App: sv.Name, Daemons: stopped(sv.Application)})
	}
	if d := DecideServices(c, w.View("alpha")); d.Plan.Empty() {
		t.Fatal("nothing is started on a node that stays")
	}
	alpha.Stopping = "told to stop"
	if d := DecideServices(c, w.View("alpha")); !d.Plan.Empty() || len(d.Plan.Waits) == 0 {
		t.Fatalf("a leaving node: %s", text(d.Plan))
	}
}
