package reconcile

import "testing"

// TestPurgeThatFoundSomethingIsPrecededByAStop: a process that no daemon's declaration
// names can outlive the daemons, and keeps the purge from running. The next attempt
// ends it first, or the group would go elsewhere for it.
func TestPurgeThatFoundSomethingIsPrecededByAStop(t *testing.T) {
	c := externalCluster(t, "dce")
	g := &c.Groups[0]
	w := Steady(c, noon)
	alpha := w.Host("alpha")
	for _, a := range g.Applications {
		alpha.setApp(AppState{Group: g.Name, App: a.Name, Daemons: stopped(a)})
	}
	m := alpha.Memory[g.Name]
	m.Error, m.ErrorVerb = "purge: a process of it runs — stop it first", "purge"
	alpha.Memory[g.Name] = m
	d := Decide(c, g, w.View("alpha"))
	stopped := false
	for _, p := range d.Plan.Steps {
		switch p.Step.(type) {
		case Stop:
			stopped = true
		case PurgeFiles:
			if !stopped {
				t.Fatalf("it is purged and not stopped before:\n%s", text(d.Plan))
			}
			return
		}
	}
	t.Fatalf("nothing is purged:\n%s", text(d.Plan))
}
