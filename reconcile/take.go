package reconcile

import (
	"fmt"
	"slices"
	"strings"

	"understudy/config"
	"understudy/fsm"
)

// Reason is why something does not happen, and the way out.
type Reason struct {
	Text string `json:"text"`
	Way  string `json:"way_out,omitempty"`
}

// String is the reason with its way out behind a dash.
func (r Reason) String() string {
	if r.Way == "" {
		return r.Text
	}
	return r.Text + " — " + r.Way
}

// taking is the answer to: may this node take the group now, and on what proof?
type taking struct {
	OK       bool
	Fence    *Fence   // must succeed first; its success is then the evidence
	Evidence Evidence // for the claim
	Reason   string   // the sentence that `why` prints for ever after
	Pinned   string   // an operator asked for it
	// Rehearsal: he asked for a rehearsal.
	Rehearsal Rehearsal
	Failovers []int64  // for the claim
	Waits     []Reason // why not, when !OK and the group has no other holder that is well
	Down      []Reason // why nobody takes it before a person has cleared it
}

// ours reports whether the claim is held by this boot of this node.
func ours(c Claim, s *Snapshot) bool {
	return c.Epoch > 0 && c.Holder == s.Node && c.BootID == s.BootID && !c.Released
}

// evidence looks for proof that the holder of a claim cannot write any more.
// Silence is not proof, and neither is a lease that has run out.
func evidence(c Claim, s *Snapshot) (Evidence, bool) {
	st := s.Store.Value
	switch {
	case c.Epoch == 0:
		return Evidence{Kind: EvidenceFirst, Detail: "no node has ever claimed it"}, true
	case c.Released:
		return Evidence{Kind: EvidenceReleased, Detail: fmt.Sprintf("%s let go and signed off epoch %d", c.Holder, c.Epoch)}, true
	case c.Holder == s.Node && c.BootID != s.BootID:
		return Evidence{Kind: EvidenceRebooted, Detail: "this host has booted since it claimed"}, true
	case c.Holder == s.Node:
		return Evidence{}, false
	case contradicted(c, s):
		return heardOutlasted(c, s)
	}
	if f, ok := st.Fenced[c.Holder]; ok && f.BootID == c.BootID {
		return Evidence{Kind: EvidenceFenced, Detail: f.Sentence()}, true
	}
	if p := s.Peer(c.Holder); p.State == PeerHeard && p.BootID != "" && p.BootID != c.BootID {
		return Evidence{Kind: EvidenceRebooted, Detail: fmt.Sprintf("%s runs another boot (%s) than the one that claimed (%s)", c.Holder, short(p.BootID), short(c.BootID))}, true
	}
	if w, ok := st.Confirms[c.Holder]; ok && w.BootID == c.BootID {
		return Evidence{Kind: EvidenceConfirmed, Detail: strings.TrimSuffix(fmt.Sprintf("%s confirmed that %s is down: %s", w.By, w.Node, w.Reason), ": ")}, true
	}
	if outlasted(c, st) && s.Peer(c.Holder).State == PeerSilent {
		return Evidence{Kind: EvidenceWatchdog, Detail: fmt.Sprintf("the slot of %s on the disk was still for the ttl and its watchdog's bound, as %s watched", c.Holder, s.Node)}, true
	}
	return Evidence{}, false
}

// outlasted reports that the boot that claimed has no lease and was still on the shared
// disk for longer than its watchdog lets it hold anything.
func outlasted(c Claim, st StoreView) bool {
	return c.BootID != "" && st.Outlasted[c.Holder] == c.BootID && st.Live[c.Holder] == ""
}

// heardOutlasted is the evidence about a holder that has lost the shared disk and is
// heard all the same: its watchdog has not reset it, so it holds nothing, and it must
// say so. One that says nothing, or that it holds something, has no watchdog that works.
func heardOutlasted(c Claim, s *Snapshot) (Evidence, bool) {
	p := s.Peer(c.Holder)
	if !outlasted(c, s.Store.Value) || p.State != PeerHeard || !p.Status.HoldsNothing {
		return Evidence{}, false
	}
	return Evidence{Kind: EvidenceWatchdog, Detail: fmt.Sprintf("the slot of %s on the disk was still for the ttl and its watchdog's bound, as %s watched, and %s says that it holds nothing", c.Holder, s.Node, c.Holder)}, true
}

// contradicted reports that the very boot that claimed is heard, by this node or
// by another: whatever a record says of its end is not true, or not true yet.
func contradicted(c Claim, s *Snapshot) bool {
	p := s.Peer(c.Holder)
	return (p.State == PeerHeard || p.State == PeerDistant) && p.BootID == c.BootID
}

// stillHeld reports that the store knows no claim and a node of the group is
// heard that does not stand by: the store may have been made anew beneath it.
func stillHeld(g *config.Group, s *Snapshot, claim Claim) (Reason, bool) {
	if claim.Epoch > 0 {
		return Reason{}, false
	}
	for _, name := range g.Nodes {
		if p := s.Peer(name); p.State == PeerHeard && p.Status.Group(g.Name).Role != fsm.Standby {
			return Reason{
				Text: fmt.Sprintf("the group was never claimed, and %s is %s", name, p.Status.Group(g.Name).Role),
				Way:  "it must stand by first, so that nothing of the group is there",
			}, true
		}
	}
	return Reason{}, false
}

// mayTake decides for a node that holds nothing. It is asked only with a valid
// lease and a store that could be read.
func mayTake(c *config.Config, g *config.Group, s *Snapshot) taking {
	claim := s.Store.Value.Claims[g.Name]
	peer := s.Peer(claim.Holder)
	ev, proven := evidence(claim, s)

	if proven && !claim.Released && claim.BootID != "" && s.Store.Value.Live[claim.Holder] == claim.BootID {
		return taking{Waits: []Reason{{
			Text: fmt.Sprintf("%s: %s, and the lease of that boot has not ended yet", claim.Holder, ev.Detail),
			Way:  fmt.Sprintf("it ends within %s, and then the group is taken", c.Lease.TTL),
		}}}
	}
	// A holder that is alive, or may be, keeps it.
	if !proven {
		if r, ok := awaitsBoot(g, s, peer); ok {
			return taking{Waits: append(recorded(claim, s), r)}
		}
	}
	if !proven && (claim.Holder == s.Node || peer.State != PeerSilent) {
		return taking{Waits: append(recorded(claim, s), unheard(claim, peer)...)}
	}
	if r, ok := awaitsReturn(c, s, claim, peer); ok && !proven {
		return taking{Waits: append(recorded(claim, s), r)}
	}
	if r, ok := order(s, Stopped, g.Name); ok && !asked(g, s, claim) {
		return taking{Waits: []Reason{{
			Text: fmt.Sprintf("%s was stopped with it, to be down: %s", r.By, r.Reason),
			Way:  fmt.Sprintf("it is taken when understudy starts again on %s, or: understudy clear %s", r.By, g.Name),
		}}}
	}
	if r, ok := staysDown(g, s, claim, ev); ok {
		return taking{Down: []Reason{r}}
	}
	if r, ok := unfit(c, g, s); !ok {
		return taking{Waits: []Reason{r}}
	}
	if m := s.Memory[g.Name]; s.At.Before(m.Retry) && !(proven && m.ErrorVerb == "fence") {
		return taking{Waits: []Reason{{Text: m.Error, Way: retryWay(m, claim)}}}
	}
	if r, ok := stillHeld(g, s, claim); ok {
		return taking{Waits: []Reason{r}}
	}
	if r, ok := betterThanUs(c, g, s, claim, ev, proven); ok {
		return taking{Waits: []Reason{r}}
	}

	t := taking{OK: true, Evidence: ev, Failovers: counted(g, s, claim, ev)}
	if req, ok := s.Store.Value.Requests[g.Name]; ok && req.To == s.Node && req.Epoch == claim.Epoch {
		t.Pinned = strings.TrimSuffix("by "+req.By+": "+req.Reason, ": ")
		t.Rehearsal = req.Rehearse
	}
	if !proven {
		// Silence all round says more about this node than about the holder. While
		// the store knows the holder's lease, it is switched off only on the word of
		// a third machine that does not hear it either.
		if s.Store.Value.Live[claim.Holder] == claim.BootID && !slices.ContainsFunc(s.Peers, func(p Peer) bool { return p.State == PeerHeard }) {
			return taking{Waits: []Reason{{
				Text: claim.Holder + " is silent here and renews its lease, and no other machine is heard either",
				Way:  "it is fenced when its lease ends; if it does not, look at this node's networks and firewall",
			}}}
		}
		f, r := fence(c, s, claim)
		if f == nil {
			return taking{Waits: []Reason{r}}
		}
		t.Fence = f
		t.Evidence = Evidence{Kind: EvidenceFenced, Detail: FenceRecord{Agent: f.Agents(), Node: f.Node, By: s.Node}.Sentence()}
	}
	t.Reason = takeReason(g, s, claim, t) + lastWord(claim, s)
	return t
}

// recorded says that a holder is heard although a record has it off.
func recorded(claim Claim, s *Snapshot) []Reason {
	st := s.Store.Value
	if f, w := st.Fenced[claim.Holder], st.Confirms[claim.Holder]; claim.BootID == "" || f.BootID != claim.BootID && w.BootID != claim.BootID {
		return nil
	}
	return []Reason{{
		Text: fmt.Sprintf("%s is recorded as off and its boot is heard all the same", claim.Holder),
		Way:  "look at the machine and at its fence device: one of the two does not tell the truth",
	}}
}

// awaitsReturn says what is waited for while the program of the holder is away on
// purpose and its groups are up: its lease is what it has to come back. A lease that goes
// on for much longer is renewed: the program is there again, and is silent like any other.
func awaitsReturn(c *config.Config, s *Snapshot, claim Claim, p Peer) (Reason, bool) {
	if silence(p) > 2*c.Lease.TTL {
		return Reason{}, false
	}
	if p.State != PeerSilent || !p.Status.Away || p.BootID != claim.BootID || s.Store.Value.Live[claim.Holder] != claim.BootID {
		return Reason{}, false
	}
	return Reason{
		Text: fmt.Sprintf("understudy on %s ended and left what it holds as it is, to be started again", p.Name),
		Way:  "it is given as long as its lease lasts, then it is fenced",
	}, true
}

// unheard says why a holder that this node does not hear keeps its claim.
func unheard(claim Claim, p Peer) []Reason {
	switch {
	case claim.Holder == "" || p.State == PeerHeard:
		return nil
	case p.Name == "":
		return []Reason{{Text: claim.Holder + " holds the claim and is not in the file", Way: "somebody who has seen it off runs: understudy confirm-down " + claim.Holder}}
	case p.State == PeerDistant:
		return []Reason{{Text: claim.Holder + " is silent here, but another machine hears it", Way: "mend the links between it and this node"}}
	}
	return []Reason{{Text: claim.Holder + " holds the claim and has not been heard yet", Way: "it is listened for until it can be called silent"}}
}

// fence proposes to switch off the silent holder of a claim, or says why not.
func fence(c *config.Config, s *Snapshot, claim Claim) (*Fence, Reason) {
	n := c.Node(claim.Holder)
	if n == nil || len(n.Fences) == 0 {
		return nil, Reason{
			Text: fmt.Sprintf("%s is silent and holds the claim of epoch %d; no fence is declared for it%s", claim.Holder, claim.Epoch, lastWord(claim, s)),
			Way:  fmt.Sprintf("it must sign off or boot again, or somebody who has seen it off runs: understudy confirm-down %s", claim.Holder),
		}
	}
	return &Fence{Node: claim.Holder, BootID: claim.BootID, Methods: n.Fences}, Reason{}
}

// lastWord is what the boot that holds a claim said of its own end, as the end of a
// sentence.
func lastWord(claim Claim, s *Snapshot) string {
	if w := s.Peer(claim.Holder).LastWord; w.Text != "" && w.BootID == claim.BootID && !claim.Released {
		return "; it had said: " + w.Text
	}
	return ""
}

func takeReason(g *config.Group, s *Snapshot, claim Claim, t taking) string {
	switch {
	case t.Rehearsal != NoRehearsal:
		return "rehearsed here " + t.Pinned
	case t.Pinned != "":
		return "moved here " + t.Pinned
	case t.Fence != nil:
		return fmt.Sprintf("%s is silent on %s; its fence confirms off", claim.Holder, links(s.Peer(claim.Holder)))
	case t.Evidence.Kind == EvidenceFenced:
		return fmt.Sprintf("%s is off: %s", claim.Holder, t.Evidence.Detail)
	case t.Evidence.Kind == EvidenceFirst && g.Home() == s.Node:
		return "it was never claimed and this is its home"
	case t.Evidence.Kind == EvidenceFirst:
		return "it was never claimed and no node of higher priority is ready"
	case t.Evidence.Kind == EvidenceReleased && g.Home() == s.Node && claim.Holder != s.Node:
		return claim.Holder + " let go and signed off; this is its home"
	}
	return t.Evidence.Detail
}

// links names the networks on which a peer is silent.
func links(p Peer) string {
	var names []string
	for _, l := range p.Links {
		if !slices.ContainsFunc(p.Links, func(o PeerLink) bool { return o.Network == l.Network && o.Heard }) {
			names = appendNew(names, l.Network)
		}
	}
	if len(names) == 0 {
		return "every network"
	}
	return strings.Join(names, " and ")
}

// unfit says why this node could not hold the group now, whoever has it.
func unfit(c *config.Config, g *config.Group, s *Snapshot) (Reason, bool) {
	m := s.Memory[g.Name]
	if s.Stopping != "" {
		return Reason{Text: "this node is leaving: " + s.Stopping}, false
	}
	if r, ok := Drained(s, s.Node); ok {
		return Reason{Text: "this node is " + r.Sentence(), Way: "understudy undrain " + s.Node}, false
	}
	if r, ok := changing(g); ok {
		return r, false
	}
	if r, ok := skewed(c, s); ok {
		return r, false
	}
	if r, out := setAside(c, g, s); out {
		return r, false
	}
	if m.Failed != "" {
		return Reason{Text: m.Failed, Way: "mend it, then: understudy clear " + g.Name}, false
	}
	if recordedDirty(g, s) && !ours(s.Store.Value.Claims[g.Name], s) {
		if m.DirtyErr != "" {
			return Reason{Text: "whether this host must be rebooted is unknown: " + m.DirtyErr, Way: "mend the state directory, or reboot this host"}, false
		}
		return Reason{Text: "this host must be rebooted before it can take the group", Way: "reboot " + s.Node}, false
	}
	for _, n := range networks(g) {
		if up, why := networkUp(n, c, s); up != Present {
			return Reason{Text: fmt.Sprintf("network %s is not usable here: %s", n, why), Way: "mend the link or its address"}, false
		}
	}
	if g.Hostname != "" && !s.Hostname.OK() {
		return Reason{Text: "the host name could not be read: " + s.Hostname.Why().Error(), Way: "nothing is set that cannot be put back"}, false
	}
	if !s.Devices.OK() {
		return Reason{Text: "devices could not be looked at: " + s.Devices.Why().Error()}, false
	}
	there := func(path string) bool {
		return slices.ContainsFunc(s.Devices.Value, func(d Device) bool { return d.Path == path && d.Present })
	}
	for _, fs := range g.Filesystems {
		switch {
		case there(fs.Device):
		case fs.Local:
			return Reason{Text: fmt.Sprintf("%s, the disk of this node's own for %s, is not there", fs.Device, fs.Mount), Way: "make it on this node, as on the others"}, false
		case fs.Volume == "": // another's appears with the activation
			return Reason{Text: fs.Device + " is not there", Way: "attach the disk, or correct the device of " + fs.Mount}, false
		}
	}
	for _, a := range g.Aggregates {
		if a.Volume == "" && !there(a.Device) {
			return Reason{Text: a.Device + " is not there", Way: "attach the disk, or correct the device of the aggregate"}, false
		}
	}
	if r, yes := volumeUnfit(g, s); yes && !IsExternal(c) {
		return r, false
	}
	if r, yes := reservationUnfit(c, g, s); yes {
		return r, false
	}
	if r, yes := withoutClient(c, g, s); yes {
		return r, false
	}
	return Reason{}, true
}

// betterThanUs reports whether another node should take a claim that is to be
// had, and why we leave it to that one.
func betterThanUs(c *config.Config, g *config.Group, s *Snapshot, claim Claim, ev Evidence, proven bool) (Reason, bool) {
	settling := s.At.Sub(s.Since) < g.Settle
	known := fmt.Sprintf("it is given %s after the start of this node (settle)", g.Settle)
	// Before anybody is switched off, a node that has just started gives those
	// that it has never heard some time: after a power cut of both, the slower one
	// must not be fenced for booting. One that was heard and fell silent is not
	// booting.
	if !proven && settling && s.Peer(claim.Holder).BootID == "" {
		return Reason{Text: "waiting for " + claim.Holder + ", which holds the claim", Way: known + " before it is fenced"}, true
	}
	if req, ok := s.Store.Value.Requests[g.Name]; ok && req.Epoch == claim.Epoch {
		if req.To == s.Node {
			return Reason{}, false
		}
		if p := s.Peer(req.To); takes(p, g) || req.To == claim.Holder && returns(p, g) {
			return Reason{Text: fmt.Sprintf("%s is to take it, moved by %s", req.To, req.By)}, true
		}
	}
	if r, mine, ok := afterRehearsal(g, s, claim); ok {
		return r, !mine
	}
	for _, name := range g.Nodes[:max(0, g.Priority(s.Node))] {
		p := s.Peer(name)
		switch {
		case takes(p, g):
			return Reason{Text: name + " has higher priority and is ready to take it"}, true
		case (settling || coming(c, g, s, p)) && mayCome(p, g) && !(name == claim.Holder && (ev.Kind == EvidenceFenced || ev.Kind == EvidenceConfirmed || ev.Kind == EvidenceWatchdog)):
			return Reason{Text: "waiting for " + name + ", which has higher priority", Way: known}, true
		}
	}
	return Reason{}, false
}

// takes reports whether a node is heard that would take the group now or is
// taking it: its claim may be written and not be seen here yet.
func takes(p Peer, g *config.Group) bool {
	st := p.Status.Group(g.Name)
	return p.State == PeerHeard && (st.Ready || st.Phase == Acquiring)
}

// coming reports that a node is heard on its way to standing by, and may still
// wait for the lease of its former boot to end.
func coming(c *config.Config, g *config.Group, s *Snapshot, p Peer) bool {
	return p.State == PeerHeard && p.Status.Group(g.Name).Role == fsm.Rejoining && s.At.Sub(s.Since) < g.Settle+c.Lease.TTL
}

// mayCome reports whether a node may be about to be ready: it has not been heard
// since this one started, or is heard and has not come that far.
func mayCome(p Peer, g *config.Group) bool {
	if p.State == PeerHeard {
		return !p.Status.Group(g.Name).Unfit
	}
	return p.BootID == ""
}

// retryWay is the way out of a failed attempt.
func retryWay(m Memory, claim Claim) string {
	if m.ErrorVerb == "fence" {
		return fmt.Sprintf("tried again by itself; if somebody has seen it off: understudy confirm-down %s", claim.Holder)
	}
	return "tried again by itself"
}
