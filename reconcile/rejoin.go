package reconcile

import (
	"understudy/config"
)

// setAside says why this node stays out after a fence until a person has looked at it.
// A node that holds the group already goes on: nothing is taken from it for an old
// record.
func setAside(c *config.Config, g *config.Group, s *Snapshot) (Reason, bool) {
	n := c.Node(s.Node)
	if n == nil || n.Rejoin != config.RejoinByHand || !s.Store.OK() || ours(s.Store.Value.Claims[g.Name], s) {
		return Reason{}, false
	}
	f, ok := s.Store.Value.Fenced[s.Node]
	if !ok || f.BootID == s.BootID {
		return Reason{}, false
	}
	if r, ok := order(s, Rejoin, s.Node); ok && r.BootID == f.BootID {
		return Reason{}, false
	}
	return Reason{
		Text: "this node was fenced, and stays out until somebody has looked at it: " + f.Sentence(),
		Way:  "understudy rejoin " + s.Node,
	}, true
}

// stayOut keeps a node that was set aside from standing by: it lets go of what it has,
// and waits.
func (d *Decision) stayOut(r Reason) {
	d.Transition.Why = r.Text
	d.Plan.Waits = append(d.Plan.Waits, r)
}
