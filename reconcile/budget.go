package reconcile

import (
	"fmt"
	"slices"
	"time"

	"understudy/config"
)

// The budget of failovers: a group that fails wherever it goes is not handed round
// for ever. What a person asks for is not counted, and neither is what follows no
// failure: a fallback, or the hand-over of a node that leaves.

// failovers are the takings after failures that count at this moment.
func failovers(g *config.Group, s *Snapshot, claim Claim) []int64 {
	if cleared(g, s, claim) {
		return nil
	}
	since := s.At.Add(-g.FailoverWindow).Unix()
	return slices.DeleteFunc(slices.Clone(claim.Failovers), func(at int64) bool { return at <= since })
}

// cleared reports whether a person has cleared the group since the claim was written.
func cleared(g *config.Group, s *Snapshot, claim Claim) bool {
	r, ok := order(s, Clear, g.Name)
	return ok && r.Epoch >= claim.Epoch
}

// asked reports whether a person wants the group on this node.
func asked(g *config.Group, s *Snapshot, claim Claim) bool {
	r, ok := s.Store.Value.Requests[g.Name]
	return ok && r.To == s.Node && r.Epoch == claim.Epoch
}

// afterFailure reports whether a taking on this evidence follows a failure. No
// evidence: the holder is to be switched off first.
func afterFailure(s *Snapshot, claim Claim, ev Evidence) bool {
	switch {
	case claim.Epoch == 0:
		return false
	case ev.Kind == EvidenceReleased:
		return claim.GaveUp != ""
	}
	return !rested(s, claim)
}

// rested reports that the boot that claimed had come to the barrier for no failure, by
// its own word or by that of the boot after it: its end was meant. It may have come
// there for another group, and a reboot ends all that is served there.
func rested(s *Snapshot, claim Claim) bool {
	if claim.BootID == "" {
		return false
	}
	if claim.Holder == s.Node {
		for _, m := range s.Memory {
			if m.Rested == claim.BootID {
				return true
			}
		}
		return false
	}
	return slices.ContainsFunc(s.Peer(claim.Holder).Status.Groups, func(st GroupStatus) bool { return st.Rested == claim.BootID })
}

// spent reports whether one more failover would be too many.
func spent(g *config.Group, s *Snapshot, claim Claim) bool {
	return g.Failovers > 0 && len(failovers(g, s, claim)) >= g.Failovers
}

// budgetSpent is the sentence that says so.
func budgetSpent(g *config.Group) string {
	return fmt.Sprintf("it was taken over %d %s after failures within %s", g.Failovers, plural(g.Failovers, "time"), window(g.FailoverWindow))
}

// window is a window as a file has it: 1h, 90m, 10s.
func window(d time.Duration) string {
	switch {
	case d%time.Hour == 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	case d%time.Minute == 0:
		return fmt.Sprintf("%dm", d/time.Minute)
	}
	return d.String()
}

// staysDown says why nobody takes a claim by itself, and reports whether it is so.
func staysDown(g *config.Group, s *Snapshot, claim Claim, ev Evidence) (Reason, bool) {
	way := "mend it, then: understudy clear " + g.Name
	switch {
	case asked(g, s, claim):
	case claim.Down != "" && !cleared(g, s, claim):
		return Reason{Text: claim.Down, Way: way}, true
	case afterFailure(s, claim, ev) && spent(g, s, claim):
		return Reason{Text: fmt.Sprintf("%s, and %s has failed with it: it stays down", budgetSpent(g), claim.Holder), Way: way}, true
	}
	return Reason{}, false
}

// counted is the list for a claim that is about to be written.
func counted(g *config.Group, s *Snapshot, claim Claim, ev Evidence) []int64 {
	kept := failovers(g, s, claim)
	if afterFailure(s, claim, ev) && !asked(g, s, claim) && g.Failovers > 0 {
		kept = append(kept, s.At.Unix())
	}
	if over := len(kept) - g.Failovers; over > 0 { // of a longer budget, before the file was changed
		kept = kept[over:]
	}
	return kept
}

// signOff is the step that ends a letting go. A failure is told, and where the
// budget is spent that nobody is to take the group.
func signOff(c *config.Config, g *config.Group, s *Snapshot, claim Claim, inv Inventory) SignOff {
	out := SignOff{Group: g.Name, Epoch: claim.Epoch, GaveUp: s.Memory[g.Name].Failed}
	if out.GaveUp == "" && s.Stopping == "" {
		if out.GaveUp, _ = networkLost(c, g, s); out.GaveUp == "" {
			out.GaveUp = reservationLost(c, g, s, claim, inv)
		}
	}
	if out.GaveUp != "" && spent(g, s, claim) {
		out.Down = fmt.Sprintf("%s, and %s gave it up: %s", budgetSpent(g), s.Node, out.GaveUp)
	}
	return out
}
