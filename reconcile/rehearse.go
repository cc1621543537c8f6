package reconcile

import (
	"fmt"
	"slices"
	"strings"

	"understudy/config"
	"understudy/fsm"
)

// A rehearsal takes a group up on a node, with claim and evidence like any taking up,
// and starts none of its applications: file systems and addresses only, no host name,
// no purge, no hook (guide, "DCE and DFS Integration on Standby/Takeover Node", step 5:
// it proves that the node can have the disks). Then the group is let go with proof
// (step 11) and goes back to where it was. What is on record is the claim: whoever
// takes the group over from a rehearsal that broke down begins a claim of his own.

// Rehearsal says how a claim is held.
type Rehearsal string

// The kinds of rehearsal.
const (
	NoRehearsal Rehearsal = ""
	RehearseOne Rehearsal = "once" // let go as soon as all of it has been up
	// RehearseHold: kept until it is moved, so that people can install and configure
	// what the group serves (guide, step 5 on the highest priority node).
	RehearseHold Rehearsal = "hold"
)

// rehearsing reports whether the claim is this boot's and a rehearsal.
func rehearsing(claim Claim, s *Snapshot) bool {
	return ours(claim, s) && claim.Rehearsal != NoRehearsal
}

// missing lists what is not here as it should be; the applications have no part in a
// rehearsal.
func missing(inv Inventory, claim Claim) []Item {
	out := inv.Missing()
	if claim.Rehearsal != NoRehearsal {
		out = slices.DeleteFunc(slices.Clone(out), func(i Item) bool { return i.Kind == AppItem })
	}
	return out
}

// rehearsed says why the holder of a claim lets go because of a rehearsal, "" if it
// does not: it is to be held here otherwise than it is, or the rehearsal has passed.
func rehearsed(g *config.Group, s *Snapshot, claim Claim) string {
	if req, ok := s.Store.Value.Requests[g.Name]; ok && req.Epoch == claim.Epoch && req.To == s.Node && req.Rehearse != claim.Rehearsal {
		what := "rehearses it here"
		if req.Rehearse == NoRehearsal {
			what = "ends the rehearsal"
		}
		return strings.TrimSuffix(fmt.Sprintf("%s %s: %s", req.By, what, req.Reason), ": ")
	}
	if claim.Rehearsal == RehearseOne && s.Memory[g.Name].Whole == claim.Epoch {
		return "the rehearsal has passed: all of it but its applications was up here"
	}
	return ""
}

// afterRehearsal leaves a group whose rehearsal has been signed off to the node that
// had it before. ok is false if that node would not take it now; mine tells that it is
// this one.
func afterRehearsal(g *config.Group, s *Snapshot, claim Claim) (r Reason, mine, ok bool) {
	switch {
	case claim.Rehearsal == NoRehearsal || !claim.Released || claim.From == "" || g.Priority(claim.From) < 0:
		return Reason{}, false, false
	case claim.From == s.Node:
		return Reason{}, true, true
	}
	if p := s.Peer(claim.From); takes(p, g) || claim.From == claim.Holder && returns(p, g) {
		return Reason{Text: fmt.Sprintf("%s had it before the rehearsal on %s and is to take it", claim.From, claim.Holder)}, false, true
	}
	return Reason{}, false, false
}

// returns reports whether a node that has just let a group go with proof is about to
// stand by again, so that it can take it anew in another way.
func returns(p Peer, g *config.Group) bool {
	st := p.Status.Group(g.Name)
	return p.State == PeerHeard && p.Status.Lease && !p.Status.Stopping && st.Role == fsm.Rejoining && !st.Unfit && !st.Dirty
}

// rehearse takes up what a rehearsal has: file systems and addresses. If a file system
// must be mounted anew, what a person has started on it is stopped before.
func (b *builder) rehearse(ev Evidence, take taking) {
	broken := slices.ContainsFunc(b.g.Filesystems, func(fs config.Filesystem) bool { return b.inv.State(MountItem, fs.Mount) != Present })
	for _, a := range slices.Backward(b.g.Applications) {
		if broken && b.inv.State(AppItem, a.Name) != Absent {
			b.add(Stop{Group: b.g.Name, App: a, Environment: b.environment(a)}, "a file system below it is not as it should be")
		}
	}
	b.storage(take.OK || b.s.Memory[b.g.Name].Whole != b.claim.Epoch && b.plan.Event != fsm.Held)
	b.addresses(ev, take.OK)
}

// endsDirty ends a rehearsal on the node that is to serve, where a person has started
// meanwhile what only a reboot ends: it cannot be let go with proof first. The claim,
// which stays this node's, is taken anew; the applications are the next plan's.
func (b *builder) endsDirty() bool {
	req, ok := b.s.Store.Value.Requests[b.g.Name]
	if !ok || b.dirty == "" || !rehearsing(b.claim, b.s) || req.Epoch != b.claim.Epoch || req.To != b.s.Node || req.Rehearse != NoRehearsal {
		return false
	}
	ev := Evidence{Kind: EvidenceOwn, Detail: "this boot holds it for a rehearsal, and has run " + b.dirty}
	pinned := strings.TrimSuffix("by "+req.By+": "+req.Reason, ": ")
	b.add(TakeClaim{Group: b.g.Name, Was: b.claim, Epoch: b.claim.Epoch + 1, Evidence: ev, Reason: "moved here " + pinned, Pinned: pinned}, ev.Detail)
	return true
}

// rehearsalWaits says that the group is held without its applications.
func rehearsalWaits(g *config.Group, s *Snapshot, claim Claim) []Reason {
	if !rehearsing(claim, s) {
		return nil
	}
	if claim.Rehearsal == RehearseHold {
		return []Reason{{Text: "it is held for a rehearsal, without its applications", Way: fmt.Sprintf("to end it and serve: understudy move %s NODE", g.Name)}}
	}
	return []Reason{{Text: "it is rehearsed here, without its applications", Way: "it is let go by itself when all of it has been up"}}
}
