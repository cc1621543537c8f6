package reconcile

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"understudy/config"
	"understudy/fsm"
)

// diff gives the steps from what the snapshot shows to what the goal is. It
// touches only what g names, and plans nothing about what could not be read.
func diff(c *config.Config, g *config.Group, s *Snapshot, d Decision, take taking) Plan {
	b := builder{c: c, g: g, s: s, inv: d.Inventory, claim: s.Store.Value.Claims[g.Name], dirty: d.Dirty}
	b.plan = Plan{
		Group: g.Name, Policy: g.Policy, Node: s.Node,
		From: d.Transition.From, To: d.Transition.To, Event: d.Transition.Event,
		Goal: d.Goal, Why: d.Because, Waits: take.Waits,
	}
	switch d.Goal {
	case Hold:
		if take.OK {
			b.plan.Why = take.Reason
			b.plan.To = fsm.Takeover
			if d.Facts.Home || d.Facts.Rotating {
				b.plan.To = fsm.Owner
			}
		}
		if d.Transition.Event == fsm.Held {
			b.plan.Waits = mustStay(c, g, s, b.claim, d.Dirty)
		}
		b.hold(take)
		if len(b.plan.Blocked) > 0 {
			b.plan.Steps = nil // half of a taking up is not run, and so not printed
		}
	case Clean:
		b.clean()
		b.plan.Blocked = append(b.plan.Blocked, take.Down...)
	case Leave:
		if d.Transition.Event == fsm.Unsure {
			b.plan.Waits = append(b.plan.Waits, Reason{Text: d.Because})
			b.unread(d.Unread)
		}
	}
	for i := range b.plan.Steps {
		b.plan.Steps[i].N = i + 1
	}
	return b.plan
}

// builder collects the steps of one plan.
type builder struct {
	c     *config.Config
	g     *config.Group
	s     *Snapshot
	inv   Inventory
	claim Claim
	dirty string // see Decision.Dirty
	named bool   // the group's host name is set by a step
	plan  Plan
}

func (b *builder) add(s Step, why string) {
	b.plan.Steps = append(b.plan.Steps, Planned{Step: s, Why: why})
}

func (b *builder) block(text, way string) {
	b.plan.Blocked = append(b.plan.Blocked, Reason{Text: text, Way: way})
}

// hold takes up in the one order there is: evidence, claim, storage, addresses,
// then the applications in their order (guide, "DCE Failover Actions": resources
// first, each step complete before the next).
func (b *builder) hold(take taking) {
	for _, i := range b.inv.Unread() {
		b.block(fmt.Sprintf("%s %s could not be read: %s", i.Kind, i.Name, i.Detail), "nothing is planned about what is unknown")
	}
	b.aggregatesUnread()
	if len(b.plan.Blocked) > 0 {
		return
	}
	ev := take.Evidence
	switch {
	case take.Fence != nil:
		b.add(*take.Fence, b.claim.Holder+" is silent and holds the claim")
		fallthrough
	case take.OK:
		b.add(TakeClaim{Group: b.g.Name, Was: b.claim, Epoch: b.claim.Epoch + 1, Evidence: ev, Reason: take.Reason, Pinned: take.Pinned, Rehearsal: take.Rehearsal, Failovers: take.Failovers}, ev.Detail)
	case b.s.Memory[b.g.Name].Lost == b.claim.Epoch:
		ev = Evidence{Kind: EvidenceOwn, Detail: "this boot let it go when its lease was lost, and nobody took it"}
		b.add(TakeClaim{Group: b.g.Name, Was: b.claim, Epoch: b.claim.Epoch + 1, Evidence: ev, Reason: ev.Detail, Pinned: b.claim.Pinned, Rehearsal: b.claim.Rehearsal, Failovers: failovers(b.g, b.s, b.claim)}, ev.Detail)
	case b.endsDirty():
		return
	}

	if b.g.Shed != nil && !take.OK {
		b.shed()
		return
	}
	if take.OK && take.Rehearsal != NoRehearsal || !take.OK && b.claim.Rehearsal != NoRehearsal {
		b.rehearse(ev, take)
		return
	}
	m := b.s.Memory[b.g.Name]
	brokenOff := !take.OK && m.Whole != b.claim.Epoch
	anew := (take.OK || brokenOff || m.Lost == b.claim.Epoch) && b.plan.Event != fsm.Held
	// A plan of this role that ended without an error has left no start behind.
	orderly := m.Role == fsm.Standby && m.Error == ""
	restart := b.stopWhatMust(brokenOff && !orderly)
	up := b.takingUp(take)
	if anew {
		b.beforeTakingUp(up, !brokenOff)
	}
	b.storage(take.OK || brokenOff && b.plan.Event != fsm.Held)
	b.addresses(ev, take.OK)
	b.applications(restart)
	if anew && len(b.plan.Waits) == 0 {
		b.afterTakingUp(up)
	}
}

// stopWhatMust stops applications that cannot go on: one that is half up, those
// after it, and all if a file system below them has gone. It returns the place
// of the first application to be started. After a taking up that was broken off,
// what is down is stopped too: a start command may still run. A stop finds the
// host name that the start had.
func (b *builder) stopWhatMust(brokenOff bool) int {
	first := len(b.g.Applications)
	why := ""
	for i, a := range b.g.Applications {
		if st := b.inv.State(AppItem, a.Name); st != Present {
			first, why = i, a.Name+" is not up, and those after it depend on it"
			break
		}
	}
	for _, fs := range b.g.Filesystems {
		if st := b.inv.State(MountItem, fs.Mount); st == Absent && slices.Contains(b.g.Added, fs.Mount) {
			continue // it was not there when they were started
		} else if st != Present {
			first, why = 0, fs.Mount+" is not as it should be"
			break
		}
	}
	for i := len(b.g.Applications) - 1; i >= first; i-- {
		switch a := b.g.Applications[i]; {
		case b.inv.State(AppItem, a.Name) != Absent:
			b.nameHost("the stop must find the name that the start had")
			b.add(Stop{Group: b.g.Name, App: a, Environment: b.environment(a)}, why)
		case brokenOff && len(a.Start) > 0:
			b.nameHost("the stop must find the name that the start had")
			b.add(Stop{Group: b.g.Name, App: a, Environment: b.environment(a)}, "its start may have been broken off")
		case b.s.Memory[b.g.Name].ErrorVerb == "purge" && len(a.Purge) > 0: // see act: it found what no daemon's declaration names
			b.nameHost("the stop must find the name that the start had")
			b.add(Stop{Group: b.g.Name, App: a, Environment: b.environment(a)}, "something of it may have outlived its daemons")
		}
	}
	return first
}

// storage activates and mounts what is missing, outer first. Where a file system
// is not as it should be, those below it are taken off as well, inner first: they
// would keep it busy, or it would be mounted over them.
//
// A dirty host keeps what it has mounted: it cannot be taken off for a repair.
func (b *builder) storage(fresh bool) {
	order := outerFirst(b.g.Filesystems)
	redo := map[string]bool{}
	for _, fs := range order {
		redo[fs.Mount] = b.inv.State(MountItem, fs.Mount) != Present || slices.ContainsFunc(order, func(o config.Filesystem) bool {
			return redo[o.Mount] && strings.HasPrefix(fs.Mount, o.Mount+"/")
		})
	}
	for _, fs := range slices.Backward(order) {
		if m, hidden := hider(fs, b.s); redo[fs.Mount] && hidden {
			b.block(fmt.Sprintf("cannot mount %s: %s, mounted at %s later, hides it", fs.Mount, m.Source, m.Point), "unmount both, the later one first")
		} else if redo[fs.Mount] && b.takeOff(fs, "mount "+fs.Mount, "it is not mounted as the file says") && b.dirty != "" {
			b.block(fmt.Sprintf("cannot mount %s anew: %s and may hold it", fs.Mount, since(b.dirty, "here")), "reboot "+b.s.Node)
		}
	}
	b.reserve(fresh || slices.ContainsFunc(b.inv.Items, func(i Item) bool { return i.Kind == VolumeItem && i.State != Present || redo[i.Name] }))
	for _, v := range b.g.Volumes {
		if slices.ContainsFunc(b.g.Filesystems, func(fs config.Filesystem) bool {
			return fs.Volume == v.Name && !fs.Local && b.inv.State(MountItem, fs.Mount) == Absent
		}) {
			b.add(Activate{Volume: v}, "its file systems are not mounted")
		} else if b.exported(v, fresh) {
			b.add(Activate{Volume: v}, "its aggregates are to be exported")
		} else if i := b.inv.item(VolumeItem, v.Name); shared(b.g, v) && i.State != Present {
			b.add(Activate{Volume: v}, i.Detail)
		}
	}
	b.aggregates(fresh)
	for _, fs := range order {
		if !redo[fs.Mount] {
			continue
		}
		why := "it is not mounted"
		if b.inv.State(MountItem, fs.Mount) != Absent {
			why = "it was taken off"
		}
		if fs.Volume == "" && !fs.Local {
			b.add(Activate{Device: fs.Device}, "another host may have written to it")
		}
		b.add(MountFS{FS: fs}, why)
	}
}

// takeOff unmounts a file system of the group wherever it is mounted. What
// somebody else has mounted at our point, or on top of ours, is not ours to touch.
func (b *builder) takeOff(fs config.Filesystem, cannot, why string) bool {
	points := mountsOf(fs, b.s)
	if m, hidden := hider(fs, b.s); hidden && !ofGroup(m, b.g, b.s) {
		b.block(fmt.Sprintf("cannot %s: %s (%s), mounted at %s later, hides it", cannot, m.Source, m.FSType, m.Point), "unmount what is there; it is not in the file, so it is not touched")
		return false
	}
	for _, p := range append([]string{fs.Mount}, points...) {
		if m, ok := strangerAt(p, fs, b.s); ok {
			b.block(fmt.Sprintf("cannot %s: %s (%s) is mounted at %s", cannot, m.Source, m.FSType, p), "unmount what is there; it is not in the file, so it is not touched")
			return false
		}
	}
	for _, p := range slices.Backward(points) {
		b.add(Unmount{FS: fs, Point: p}, why)
	}
	return len(points) > 0
}

func (b *builder) addresses(ev Evidence, taking bool) {
	m := b.s.Memory[b.g.Name]
	for _, a := range b.g.Addresses {
		if b.inv.State(AddressItem, a.Label) == Present {
			continue
		}
		place, ok := placeOf(a, b.c, b.s)
		if !ok {
			b.block(fmt.Sprintf("cannot add %s: no link of this host is on network %s", a.Label, a.Network), "bring the link up with this node's own address")
			continue
		}
		from, swap := swappedFrom(a, place, b.c, b.s)
		if swap {
			b.swapHooks(config.Pre, a, from, place)
		}
		conflict := false
		if i := slices.IndexFunc(b.s.Addrs.Value, func(h Addr) bool {
			return h.Prefix.Addr() == a.Prefix.Addr() && (h.Link != place.Link || h.Conflict)
		}); i >= 0 {
			conflict = b.s.Addrs.Value[i].Conflict
			b.add(DropAddress{Address: a}, b.inv.item(AddressItem, a.Label).Detail)
		}
		probe, why := probeCarefully, "it is not here"
		switch {
		case conflict:
			why = "another host had it on the wire"
		case !taking && m.Whole == b.claim.Epoch && m.Lost != b.claim.Epoch && !slices.Contains(b.g.Added, a.Label):
			probe, why = 0, "it was here until now"
			if swap {
				why = "it was on " + from.Link + " until now"
			}
		case ev.Kind == EvidenceFenced || ev.Kind == EvidenceReleased || ev.Kind == EvidenceRebooted:
			probe = probeAfterOff
		}
		b.add(AddAddress{Address: a, Link: place.Link, Probe: probe, Besides: besides(a, place.Link, b.c, b.s)}, why)
		if swap {
			b.swapHooks(config.Post, a, from, place)
		}
	}
}

// applications starts those from place first on. In a rotating group the host
// name is the group's around the starts, and only there (guide, "DCE Failover
// Actions").
func (b *builder) applications(first int) {
	saved := b.s.Memory[b.g.Name].SavedHostname
	apps := b.startable(b.g.Applications[first:])
	if len(apps) == 0 {
		if saved == "" && b.named {
			saved = b.s.Hostname.Value
		}
		if saved != "" {
			b.add(RestoreHostname{Name: saved}, "the host keeps its own name")
		}
		return
	}
	named := b.g.Hostname != ""
	back := saved
	if named && !b.s.Hostname.OK() {
		b.block("cannot set the host name: the present one could not be read: "+b.s.Hostname.Why().Error(), "nothing is set that cannot be put back")
		return
	}
	if named {
		b.nameHost("the daemons take their name from the host at their start")
		if back == "" {
			back = b.s.Hostname.Value
		}
	}
	for _, a := range apps {
		for _, p := range a.Purge {
			if m, ok := b.mountBelow(p.Path); ok {
				b.add(PurgeFiles{Group: b.g.Name, App: a, Purge: p, Mount: m}, "left behind by the last run")
			} else {
				b.block(fmt.Sprintf("cannot purge %s: it lies on no file system of the group", p.Path), "name a path below a mount of the group")
			}
		}
		b.mark(a)
		b.start(a)
		b.add(Verify{Group: b.g.Name, App: a}, "an exit status is no proof")
		b.notices(a)
	}
	if named || saved != "" {
		b.add(RestoreHostname{Name: back}, "the host keeps its own name")
	}
}

// nameHost sets the group's host name, once in a plan and only where the present
// one could be read: nothing is set that cannot be put back.
func (b *builder) nameHost(why string) {
	if !b.named && b.g.Hostname != "" && b.s.Hostname.OK() {
		b.named = true
		b.add(SetHostname{Name: b.g.Hostname}, why)
	}
}

// mountBelow finds the innermost mount of the group that a path lies on.
func (b *builder) mountBelow(p string) (string, bool) {
	for _, fs := range slices.Backward(outerFirst(b.g.Filesystems)) {
		if strings.HasPrefix(p, strings.TrimSuffix(fs.Mount, "/")+"/") {
			return fs.Mount, true
		}
	}
	return "", false
}

// start starts an application with what keeps it to the group's addresses.
func (b *builder) start(a config.Application) {
	env, err := RPCEnvironment(b.c, b.g, a, b.s)
	if err != nil {
		b.block(err.Error(), rpcWay(err, b.s))
		return
	}
	why := a.Name + " is not up"
	if shared := RPCShared(b.c, b.g, a, b.s); len(shared) > 0 {
		why += fmt.Sprintf("; %s has a service address beside others, which %s cannot tell apart", strings.Join(shared, ", "), strings.Join(a.RPCInterfaces, " and "))
	}
	b.add(Start{Group: b.g.Name, App: a, Environment: env}, why)
}

// environment is what an application's commands are told beside its own. A stop
// goes without what cannot be told: it must not wait for it.
func (b *builder) environment(a config.Application) []config.Option {
	env, err := RPCEnvironment(b.c, b.g, a, b.s)
	if err != nil {
		return nil
	}
	return env
}

// Cost is what a plan takes as a rule.
func (p Plan) Cost() time.Duration {
	var d time.Duration
	for _, s := range p.Steps {
		d += s.Step.Spec().Expect
	}
	return d
}
