package reconcile

import (
	"slices"
	"time"

	"understudy/config"
)

// carryOut carries out a plan on the model until a step fails there. A node that
// has failed to take a group up does not try again, as with the real loop when
// another is ready.
func (w *World) carryOut(s *Snapshot, g *config.Group, p Plan) {
	for _, step := range p.Steps {
		sp := step.Step.Spec()
		name := sp.Verb + " " + sp.Object
		if slices.Contains(w.Fails[s.Node], name) {
			m := s.Memory[g.Name]
			m.ErrorVerb, m.Error = sp.Verb, name+": it failed"
			if p.Goal == Hold {
				m.Failed = "cannot take it up here: " + m.Error
			}
			s.Memory[g.Name] = m
			return
		}
		w.apply(s, g, step.Step)
	}
	m := s.Memory[g.Name]
	m.ErrorVerb, m.Error = "", ""
	s.Memory[g.Name] = m
}

// reboot ends the boot of a host and begins another. What a host has on its own
// disk is there afterwards.
func (w *World) reboot(s *Snapshot) {
	next := w.boot(s.Node, w.Now.Add(-time.Hour))
	for name, m := range s.Memory {
		next.Memory[name] = Memory{
			Whole: m.Whole, Lost: m.Lost, Restarts: m.Restarts, Failed: m.Failed, Dirty: m.Dirty, Ran: m.Ran,
			SavedHostname: m.SavedHostname, Rehearsed: m.Rehearsed, Released: m.Released, Left: m.Left, Rested: m.Rested, Peers: m.Peers,
		}
	}
	*s = *next
}

// atBarrier reports that a host holds a group's claim and waits for its own reboot.
func (w *World) atBarrier(s *Snapshot) bool {
	says := w.says(s)
	return slices.ContainsFunc(says.Groups, func(g GroupStatus) bool {
		claim := w.Store.Claims[g.Group]
		return claim.Holder == s.Node && claim.BootID == s.BootID && !claim.Released && rests(Peer{Status: says}, w.Config.Group(g.Group))
	})
}
