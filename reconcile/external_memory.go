package reconcile

import (
	"time"

	"understudy/config"
)

// Observed is what stands in the place of the store's word: the claim of a group is
// this node's where all of it is here, and another's where that one says so. What
// else the snapshot's store holds (the operator's words) is kept.
func Observed(c *config.Config, s *Snapshot) Seen[StoreView] {
	out := s.Store.Value
	out.Claims = map[string]Claim{}
	for i := range c.Groups {
		g := &c.Groups[i]
		v := look(c, g, s)
		claim := Claim{Group: g.Name, Epoch: EpochSeen, Evidence: Evidence{Kind: EvidenceSeen}, Reason: "every file system and address of it is seen there"}
		switch held := v.held(); {
		case g.Priority(s.Node) >= 0 && held == Present:
			claim.Holder, claim.BootID = s.Node, s.BootID
		default:
			for _, n := range v.others() {
				if p := s.Peer(n); p.State == PeerHeard && p.Status.Group(g.Name).Here && claim.Holder == "" {
					claim.Holder, claim.BootID = n, p.BootID
				}
			}
		}
		if claim.Holder != "" {
			out.Claims[g.Name] = claim
		}
	}
	return Read(out, s.At)
}

// Remember is what a node keeps in mind after a decision where another manager moves
// the storage; elsewhere m as it is.
func Remember(c *config.Config, g *config.Group, s *Snapshot, m Memory) Memory {
	if !IsExternal(c) {
		return m
	}
	v := look(c, g, s)
	if v.held() == Absent {
		m.Whole, m.Released = 0, "" // it has been taken away: what comes next is a new beginning
		if v.dirty() != "" {
			m.Left = s.BootID
		}
	}
	if m.Whole > 0 {
		m.From = "" // it has arrived
	}
	switch v.held() {
	case Absent:
		m.Came = time.Time{}
	case Present:
		if m.Came.IsZero() {
			m.Came = s.At
		}
	}
	switch {
	case !v.partly():
		m.Partly = time.Time{}
	case m.Partly.IsZero():
		m.Partly = s.At
	}
	for _, n := range v.others() {
		p := s.Peer(n)
		gs := p.Status.Group(g.Name)
		if p.State != PeerHeard || gs.Group == "" {
			continue
		}
		if gs.Here {
			m.From = n
		}
		if mark := (PeerMark{BootID: p.BootID, Dirty: gs.Dirty}); m.Peers[n] != mark {
			peers := map[string]PeerMark{n: mark}
			for k, old := range m.Peers {
				if k != n {
					peers[k] = old
				}
			}
			m.Peers = peers
		}
	}
	return m
}
