package reconcile

import (
	"testing"
)

// TestExternalRivalsStayDown: two nodes that served one group and have stopped for each
// other both still see all of it. Neither starts again, whether the other's stop has
// ended or not, until one has lost it.
func TestExternalRivalsStayDown(t *testing.T) {
	c := externalCluster(t, "external")
	g := &c.Groups[0]
	w := Steady(c, noon)
	w.Bring(g.Name, "beta")
	for _, a := range g.Applications {
		w.Host("beta").run(g.Name, a)
	}
	beta := w.Host("beta")
	m := beta.Memory[g.Name]
	m.Role, m.Whole = w.Host("alpha").Memory[g.Name].Role, EpochSeen
	beta.Memory[g.Name] = m

	pass := func(stop bool) {
		var views []*Snapshot
		for _, s := range w.Hosts { // both look before either is heard
			views = append(views, w.View(s.Node))
		}
		for i, s := range w.Hosts {
			d := Decide(c, g, views[i])
			for _, p := range d.Plan.Steps {
				if _, ok := p.Step.(Start); ok {
					t.Fatalf("%s starts beside the other: %s", s.Node, d.Because)
				}
				if _, ok := p.Step.(Stop); ok && stop {
					w.Carry(s.Node, g.Name, p.Step)
				}
			}
			if d.Goal == Hold {
				t.Fatalf("%s is %s beside the other: %s", s.Node, d.Transition.To, d.Because)
			}
			m := s.Memory[g.Name]
			m.Role = d.Transition.To
			s.Memory[g.Name] = Remember(c, g, views[i], m)
		}
	}
	pass(false) // each hears that the other holds it
	pass(false) // and that it does not any more, while both still stop
	pass(true)
	pass(true)
	pass(true)
}
