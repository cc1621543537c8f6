package reconcile

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"understudy/config"
	"understudy/fsm"
)

// The parts of DFS that run in the kernel cannot be stopped and hold the shared
// disks, so that only a reboot of the host lets go of them (guide, "DFS
// Reintegration Actions"). A host on which such an application has been started
// is dirty until it has another boot id. A dirty host can serve as often as it
// likes, and it can stop serving; it cannot prove a release. When it is to let go
// it stops the applications, gives the address away, and stands at the barrier:
// its claim stays, so that another node takes over on the evidence of another
// boot, of a fence, or of a person's word.

// rebootPatience is how long a node that fell silent at the barrier is given to
// come back as another boot before it is fenced: it is being rebooted, and a fence
// would leave it off.
const rebootPatience = 3 * time.Minute

// stays is the application of g that only a reboot of this host ends, "" if there
// is none. What is on record counts, and what is seen: a record may have been
// lost. A record that cannot be read is taken for one that says so.
func stays(g *config.Group, s *Snapshot, inv Inventory) string {
	recorded := recordedDirty(g, s)
	for _, a := range g.Applications {
		if !a.RebootToRelease {
			continue
		}
		if st := inv.State(AppItem, a.Name); recorded || st == Present || st == Wrong {
			return a.Name
		}
	}
	if recorded {
		return "an application of an earlier file"
	}
	return ""
}

// recordedDirty reports that something was started in this boot that only a
// reboot ends, or that the record of it could not be read.
func recordedDirty(g *config.Group, s *Snapshot) bool {
	m := s.Memory[g.Name]
	return m.DirtyErr != "" && rebootToRelease(g) || s.BootID != "" && (m.Dirty == s.BootID || m.Ran == s.BootID)
}

// Stays gives a memory that keeps what a decision saw to run: it may have been stopped
// at the next look, and a stop does not make a host clean.
//
// It keeps as well in which boot this node came to the barrier for no failure.
func (d Decision) Stays(g *config.Group, s *Snapshot, m Memory) Memory {
	m.Rested = d.Status.Rested
	runs := slices.ContainsFunc(g.Applications, func(a config.Application) bool {
		st := d.Inventory.State(AppItem, a.Name)
		return a.RebootToRelease && (st == Present || st == Wrong)
	})
	if runs {
		m.Ran = s.BootID
	}
	return m
}

// rebootToRelease reports whether g declares an application that only a reboot
// ends.
func rebootToRelease(g *config.Group) bool {
	return slices.ContainsFunc(g.Applications, func(a config.Application) bool { return a.RebootToRelease })
}

// byHand reports that a dirty node must be rebooted by a person.
func byHand(g *config.Group, dirty string) bool {
	return dirty != "" && g.Reboot != config.RebootByUnderstudy
}

// rebootEnds names a group that this node holds, that only a reboot lets go of as
// well, and that would not go to the same node of its own accord; "" if there is none.
// A reboot for the sake of one group going home must not end it: with a home each, two
// such groups would reboot the two nodes in turn for ever.
func rebootEnds(c *config.Config, g *config.Group, s *Snapshot, to string) string {
	for i := range c.Groups {
		o := &c.Groups[i]
		if o.Name == g.Name || !ours(s.Store.Value.Claims[o.Name], s) || !rebootToRelease(o) {
			continue
		}
		if p := o.Priority(to); o.Policy != config.Cascading || p < 0 || p > o.Priority(s.Node) || o.Fallback.Kind == config.FallbackNever {
			return o.Name
		}
	}
	return ""
}

// staysForOthers says why a group does not go home although the node could reboot by
// itself.
func staysForOthers(c *config.Config, g *config.Group, s *Snapshot, claim Claim) []Reason {
	if claim.Pinned != "" || !mayFallBack(g, s.At) {
		return nil
	}
	for _, name := range g.Nodes[:g.Priority(s.Node)] {
		if o := rebootEnds(c, g, s, name); o != "" && isReady(s.Peer(name), g) {
			return []Reason{{
				Text: fmt.Sprintf("%s is back, has higher priority and is ready, but %s would have to reboot and %s is served here", name, s.Node, o),
				Way:  fmt.Sprintf("understudy move %s %s, when %s may be down", g.Name, name, o),
			}}
		}
	}
	return nil
}

// since says why a node is dirty.
func since(app, where string) string { return fmt.Sprintf("%s has run %s since its boot", app, where) }

// sinceHere says why this host is dirty, or may be.
func (b *builder) sinceHere() string {
	if m := b.s.Memory[b.g.Name]; m.DirtyErr != "" && m.Dirty != b.s.BootID && m.Ran != b.s.BootID && b.inv.State(AppItem, b.dirty) == Absent {
		return fmt.Sprintf("whether %s has run here since its boot is unknown (%s)", b.dirty, m.DirtyErr)
	}
	return since(b.dirty, "here")
}

// reset ends a dirty host at once where another node holds the claim and this one
// may still have the disks: two hosts may write, and a stop would write as well. It
// reports whether it does; where the file does not allow it, a person is told to.
//
// Only what understudy started in this boot is gone with it. What the host brings up
// at its boot, and a record that no boot makes readable, would reset it for ever.
func (b *builder) reset() bool {
	if b.dirty == "" || !b.s.Store.OK() || b.claim.Epoch == 0 || b.claim.Released || b.claim.Holder == b.s.Node || !b.hasStorage() {
		return false
	}
	text := fmt.Sprintf("%s and holds the disks, and %s holds the claim", b.sinceHere(), b.claim.Holder)
	way := "reset " + b.s.Node + " at once, without an orderly shutdown: it must not write"
	started := b.s.Memory[b.g.Name].Dirty == b.s.BootID
	switch {
	case started && (b.g.Reboot == config.RebootByUnderstudy || b.g.OnReleaseFailure == config.RebootOnReleaseFailure):
		b.add(Reboot{Group: b.g.Name, Why: text, AtOnce: true}, text)
		return true
	case !started:
		way += "; and see that nothing of the group is mounted or started there at boot"
	}
	b.block(text, way)
	return false
}

// mark puts the record before a start that makes this host dirty.
func (b *builder) mark(a config.Application) {
	m := b.s.Memory[b.g.Name]
	switch {
	case !a.RebootToRelease:
	case m.DirtyErr != "":
		b.block(fmt.Sprintf("cannot start %s: whether it has run since the boot of this host is unknown: %s", a.Name, m.DirtyErr), "mend the state directory, or reboot this host")
	case m.Dirty != b.s.BootID:
		b.add(MarkDirty{Group: b.g.Name, App: a.Name, BootID: b.s.BootID}, "once started, only a reboot of this host lets go of the disks")
	}
}

// barrier ends the letting go of a dirty host: nothing is unmounted, proved or
// signed off. It says what is waited for, and reboots the host where the file says
// so and somebody gains by it. A host that never had the claim is not rebooted:
// what was started there at its boot would be started again.
func (b *builder) barrier(mine bool) {
	if len(b.plan.Blocked) > 0 {
		return // first things first
	}
	node, why := b.s.Node, b.sinceHere()
	automatic := b.g.Reboot == config.RebootByUnderstudy
	next := b.next()
	switch {
	case !mine && b.s.Store.OK():
		r := Reason{Text: fmt.Sprintf("%s must be rebooted before it can stand by: %s", node, why), Way: "reboot " + node}
		if b.s.Memory[b.g.Name].DirtyErr != "" {
			r.Way += ", or mend the record"
		}
		b.plan.Waits = append(b.plan.Waits, r)
	case automatic && mine && next != "" && b.s.Stopping == "":
		b.plan.Waits = append(b.plan.Waits, Reason{Text: fmt.Sprintf("%s reboots: %s and holds the disks", node, why), Way: takesUp(next, b.g.Name, node) + b.also()})
		b.add(Reboot{Group: b.g.Name, Why: why}, "only that lets go of the disks")
	default:
		r := Reason{Text: fmt.Sprintf("%s must be shut down or rebooted: %s and holds the disks", node, why)}
		switch {
		case next != "":
			r.Way = fmt.Sprintf("reboot %s; %s%s", node, takesUp(next, b.g.Name, node), b.also())
		case b.s.Memory[b.g.Name].Failed != "":
			r.Way = fmt.Sprintf("no other node is ready to take %s up; to let it be tried here again: understudy clear %s", b.g.Name, b.g.Name)
		case b.s.Stopping != "":
			r.Way = fmt.Sprintf("shut %s down, or start understudy again to serve here", node)
		default:
			r.Way = "no other node is ready; it serves here again as soon as this node may"
		}
		b.plan.Waits = append(b.plan.Waits, r)
	}
}

func takesUp(node, group, from string) string {
	return fmt.Sprintf("%s takes %s up when %s has another boot id or is proven off", node, group, from)
}

// also names what else a reboot of this host ends, "" for nothing.
func (b *builder) also() string {
	var others []string
	for i := range b.c.Groups {
		if name := b.c.Groups[i].Name; name != b.g.Name && b.s.Store.OK() && ours(b.s.Store.Value.Claims[name], b.s) {
			others = append(others, name)
		}
	}
	if len(others) == 0 {
		return ""
	}
	return "; the reboot ends " + strings.Join(others, " and ") + " there as well"
}

// next is the node that would take the group from this one now, "" if none is
// ready: the one that is asked for, else the first.
func (b *builder) next() string {
	ready := func(name string) bool { return name != b.s.Node && isReady(b.s.Peer(name), b.g) }
	if req, ok := b.s.Store.Value.Requests[b.g.Name]; ok && b.s.Store.OK() && req.Epoch == b.claim.Epoch && ready(req.To) {
		return req.To
	}
	if i := slices.IndexFunc(b.g.Nodes, ready); i >= 0 {
		return b.g.Nodes[i]
	}
	return ""
}

func isReady(p Peer, g *config.Group) bool {
	return p.State == PeerHeard && p.Status.Group(g.Name).Ready
}

// hasStorage reports whether this host may have something of the group's shared
// storage: a mount, or an aggregate, which no mount table shows.
func (b *builder) hasStorage() bool {
	recorded := b.s.Memory[b.g.Name].Dirty == b.s.BootID
	exported := func(a config.Aggregate) bool {
		if !b.s.Volumes.OK() || a.Volume == "" {
			return recorded
		}
		return slices.ContainsFunc(b.s.Volumes.Value, func(v VolumeState) bool { return v.Name == a.Volume && v.Active })
	}
	return slices.ContainsFunc(b.g.Aggregates, exported) || slices.ContainsFunc(b.g.Filesystems, func(fs config.Filesystem) bool {
		return !fs.Local && b.inv.State(MountItem, fs.Mount) != Absent
	})
}

// atBarrier reports that a dirty node has nothing more to do but to be rebooted.
func atBarrier(d Decision) bool {
	return d.Dirty != "" && d.Goal == Clean && len(d.Plan.Blocked) == 0 &&
		!slices.ContainsFunc(d.Plan.Steps, func(p Planned) bool { _, reboot := p.Step.(Reboot); return !reboot })
}

// restedBoot is the boot in which this node comes to the barrier for no failure; see
// Memory.Rested.
func restedBoot(c *config.Config, g *config.Group, s *Snapshot, d Decision) string {
	m := s.Memory[g.Name]
	if d.Goal == Hold {
		return ""
	}
	lost, _ := networkLost(c, g, s)
	toBarrier := d.AtBarrier || slices.ContainsFunc(d.Plan.Steps, func(p Planned) bool { _, reboot := p.Step.(Reboot); return reboot })
	if toBarrier && d.Transition.Event == fsm.Yield && m.Failed == "" && (s.Stopping != "" || lost == "") {
		return s.BootID
	}
	return m.Rested
}

// rests reports that a peer, by its own latest word, stands at the barrier.
func rests(p Peer, g *config.Group) bool {
	st := p.Status.Group(g.Name)
	return st.Dirty && !st.Role.Holds() && st.Phase == Waiting
}

// awaitsBoot says what is waited for while the holder of the claim stands at the
// barrier, or has just left it for its reboot.
func awaitsBoot(g *config.Group, s *Snapshot, p Peer) (Reason, bool) {
	if !rests(p, g) {
		return Reason{}, false
	}
	app := "what it ran"
	for _, a := range g.Applications {
		if a.RebootToRelease {
			app = a.Name
		}
	}
	switch {
	case p.State == PeerHeard:
		return Reason{
			Text: fmt.Sprintf("%s must be shut down or rebooted: %s and holds the disks", p.Name, since(app, "there")),
			Way:  fmt.Sprintf("reboot %s; %s", p.Name, takesUp(s.Node, g.Name, p.Name)),
		}, true
	case p.State == PeerSilent && silence(p) < rebootPatience:
		return Reason{
			Text: fmt.Sprintf("%s stood still to be shut down or rebooted, and is silent", p.Name),
			Way:  fmt.Sprintf("it is given %s to boot before it is fenced; if it is off: understudy confirm-down %s", Human(rebootPatience), p.Name),
		}, true
	}
	return Reason{}, false
}

// silence is the time since a peer was last heard on any network.
func silence(p Peer) time.Duration {
	least := time.Duration(-1)
	for _, l := range p.Links {
		if l.Age >= 0 && (least < 0 || l.Age < least) {
			least = l.Age
		}
	}
	if least < 0 {
		return rebootPatience
	}
	return least
}

// staysForNow says who would get the group by itself if this node need not be
// rebooted by a person first: nobody is left without a service for waiting on one.
func staysForNow(c *config.Config, g *config.Group, s *Snapshot, claim Claim, dirty string) []Reason {
	if dirty == "" {
		return nil
	}
	if !byHand(g, dirty) {
		return staysForOthers(c, g, s, claim)
	}
	why := since(dirty, "here")
	way := func(to string) string {
		return fmt.Sprintf("understudy move %s %s stops it here; then reboot %s", g.Name, to, s.Node)
	}
	var out []Reason
	for _, n := range networks(g) {
		up, down := networkUp(n, c, s)
		if up != Absent {
			continue
		}
		i := slices.IndexFunc(g.Nodes, func(other string) bool {
			p := s.Peer(other)
			return other != s.Node && isReady(p, g) && slices.Contains(p.Status.Networks, n)
		})
		if i < 0 {
			out = append(out, networkDown(n, down))
			continue
		}
		out = append(out, Reason{Text: fmt.Sprintf("network %s is down here (%s) and %s has it, but %s", n, down, g.Nodes[i], why), Way: way(g.Nodes[i])})
	}
	if claim.Pinned == "" && mayFallBack(g, s.At) {
		for _, name := range g.Nodes[:g.Priority(s.Node)] {
			if isReady(s.Peer(name), g) {
				out = append(out, Reason{Text: fmt.Sprintf("%s is back, has higher priority and is ready, but %s", name, why), Way: way(name)})
				break
			}
		}
	}
	return out
}
