package reconcile

import (
	"fmt"
	"slices"
	"time"

	"understudy/config"
	"understudy/fsm"
)

// decideExternal is [Decide] where another manager moves the storage.
func decideExternal(c *config.Config, g *config.Group, s *Snapshot) Decision {
	v := look(c, g, s)
	d := Decision{Inventory: v.inv, Dirty: v.dirty()}
	d.Facts = fsm.Facts{Home: g.Home() == s.Node, Rotating: g.Policy == config.Rotating, Clean: v.clean() && d.Dirty == ""}
	var event fsm.Event
	event, d.Because = v.classify()
	event, d.Because = stilled(event, d.Because, g, s)
	role := v.m.Role
	tr, err := fsm.Next(role, event, d.Facts)
	if err != nil { // the table is total: a test proves it
		tr = fsm.Transition{From: role, Event: event, To: role, Why: err.Error()}
	}
	d.Transition = tr
	d.Goal = Want(tr.To, event, false)
	d.Plan = v.plan(d)
	d.freezeExternal(g, s)
	d.AtBarrier = atBarrier(d)
	d.Phase = phase(g, s, d)
	d.Status = v.status(d)
	return d
}

// plan gives the steps of a decision. None of them touches what is lent.
func (v sight) plan(d Decision) Plan {
	b := builder{c: v.c, g: v.g, s: v.s, inv: v.inv, claim: v.s.Store.Value.Claims[v.g.Name], dirty: d.Dirty}
	b.plan = Plan{
		Group: v.g.Name, Policy: v.g.Policy, Node: v.s.Node,
		From: d.Transition.From, To: d.Transition.To, Event: d.Transition.Event,
		Goal: d.Goal, Why: d.Because, Waits: v.waits(d),
	}
	v.alarm(&b, d)
	switch d.Goal {
	case Hold:
		v.around(&b, func() { v.up(&b) })
		if len(b.plan.Blocked) > 0 {
			b.plan.Steps = nil // half of a taking up is not run, and so not printed
		}
	case Clean:
		v.around(&b, func() { v.down(&b) })
		if d.Dirty != "" {
			v.barrier(&b)
		}
	}
	for i := range b.plan.Steps {
		b.plan.Steps[i].N = i + 1
	}
	return b.plan
}

// up brings what is ours: the node's own file systems, then the applications. After
// a beginning that was broken off, or one that this program does not remember, what
// is down is stopped too: a start command may still run.
func (v sight) up(b *builder) {
	restart := b.stopWhatMust(v.m.Whole == 0 && v.m.Role != fsm.Standby)
	for _, fs := range outerFirst(v.g.Filesystems) {
		if !fs.Local || v.inv.State(MountItem, fs.Mount) == Present {
			continue
		}
		why := "it is not mounted"
		if b.takeOff(fs, "mount "+fs.Mount, "it is not mounted as the file says") {
			why = "it was taken off"
		}
		b.add(MountFS{FS: fs}, why)
	}
	b.applications(restart)
}

// down stops the applications and takes the node's own file systems off, so that the
// other manager can unmount what lies below them.
func (v sight) down(b *builder) {
	again := v.m.ErrorVerb != "" // a step failed: a start command may still run
	b.stops(func(a config.Application) bool {
		st := v.inv.State(AppItem, a.Name)
		return st == Present || st == Wrong || again || st == Unknown && v.served()
	})
	if b.dirty != "" {
		return // see barrier
	}
	for _, fs := range slices.Backward(outerFirst(v.g.Filesystems)) {
		if st := v.inv.State(MountItem, fs.Mount); fs.Local && (st == Present || st == Wrong) {
			b.takeOff(fs, "take "+fs.Mount+" off", "what it lies on goes")
		}
	}
}

// barrier ends the letting go of a dirty host: its own file systems may be held by
// the kernel as well, and only a reboot ends that. The node reboots itself where the
// file says so and the group is taken away.
func (v sight) barrier(b *builder) {
	why := since(b.dirty, "here")
	taken := v.held() == Absent || v.m.Released == v.s.BootID
	if b.g.Reboot == config.RebootByUnderstudy && taken && v.s.Stopping == "" && len(b.plan.Blocked) == 0 {
		b.plan.Waits = append(b.plan.Waits, Reason{Text: fmt.Sprintf("%s reboots: %s and holds the disks", v.s.Node, why)})
		b.add(Reboot{Group: v.g.Name, Why: why}, "only that lets go of the disks")
		return
	}
	if v.held() == Present && v.m.Left == v.s.BootID {
		return // said already; see selfUndead
	}
	way := "the other manager cannot move the disks before that"
	if v.m.Failed != "" {
		way = "to let it be tried here again: understudy clear " + v.g.Name
	}
	b.plan.Waits = append(b.plan.Waits, Reason{Text: fmt.Sprintf("%s must be shut down or rebooted: %s and holds the disks", v.s.Node, why), Way: way})
}

// waits are what the next change waits for.
func (v sight) waits(d Decision) []Reason {
	var out []Reason
	if v.partly() && v.partlyFor() < partlyLimit {
		out = append(out, v.missing())
	}
	switch d.Transition.Event {
	case fsm.Unsure:
		out = append(out, Reason{Text: d.Because})
	case fsm.Yield:
		if v.m.Released == v.s.BootID && d.Dirty == "" {
			out = append(out, Reason{Text: "it stays down while all of it is still here", Way: "it starts again when it has been away, or at: understudy acquire " + v.g.Name})
		}
	case fsm.Free, fsm.Stray:
		if v.held() == Present {
			out = append(out, v.holdUps()...)
		}
	case fsm.Held, fsm.Broken:
		for _, n := range v.others() {
			if p := v.s.Peer(n); p.State == PeerHeard && p.Status.Group(v.g.Name).Here {
				out = append(out, Reason{Text: n + " sees all of the group too", Way: "take the file systems and addresses away there: it does not start, but one disk on two hosts is destroyed"})
			}
		}
	}
	return out
}

// alarm is what a person must look at.
func (v sight) alarm(b *builder, d Decision) {
	if v.held() == Present && d.Transition.Event == fsm.HeldElsewhere {
		r, _ := v.rival()
		b.block(r.Text, r.Way)
	}
	if v.partly() && v.partlyFor() >= partlyLimit {
		r := v.missing()
		b.block(fmt.Sprintf("%s, for %s and more", r.Text, Human(partlyLimit)), "look at the other manager: it has stopped half way")
	}
}

// partlyFor is how long only a part of what is lent has been here.
func (v sight) partlyFor() time.Duration {
	if v.m.Partly.IsZero() {
		return 0
	}
	return v.s.At.Sub(v.m.Partly)
}

func (v sight) missing() Reason {
	var here, not []Item
	for _, i := range v.lent {
		if i.State == Present {
			here = append(here, i)
		} else {
			not = append(not, i)
		}
	}
	return Reason{
		Text: fmt.Sprintf("only a part of it is here: %s, and not %s", names(here), names(not)),
		Way:  "it is started when the other manager has brought the rest",
	}
}

// dirty is the application that only a reboot of this host ends, "" if none.
func (v sight) dirty() string { return stays(v.g, v.s, v.inv) }

// unfit says why the group could not be started here, whoever brought it.
func (v sight) unfit() (Reason, bool) {
	if v.s.Stopping != "" {
		return Reason{Text: "this node is leaving: " + v.s.Stopping}, true
	}
	if v.m.Failed != "" {
		return Reason{Text: v.m.Failed, Way: "mend it, then: understudy clear " + v.g.Name}, true
	}
	if r, ok := v.selfUndead(); ok {
		return r, true
	}
	if r, yes := withoutClient(v.c, v.g, v.s); yes {
		return r, true
	}
	for _, n := range networks(v.g) {
		if up, why := networkUp(n, v.c, v.s); up != Present {
			return Reason{Text: fmt.Sprintf("network %s is not usable here: %s", n, why), Way: "mend the link or its address"}, true
		}
	}
	if v.g.Hostname != "" && !v.s.Hostname.OK() {
		return Reason{Text: "the host name could not be read: " + v.s.Hostname.Why().Error(), Way: "nothing is set that cannot be put back"}, true
	}
	return Reason{}, false
}

// status is what this node tells the others.
func (v sight) status(d Decision) GroupStatus {
	_, running := v.running()
	st := GroupStatus{
		Group: v.g.Name, Role: d.Transition.To, Phase: d.Phase, Here: v.held() == Present,
		Running: running || v.m.ErrorVerb == "stop", Dirty: d.Dirty != "",
	}
	why, unfit := v.unfit()
	st.Unfit = unfit
	switch {
	case len(d.Plan.Blocked) > 0:
		st.Reason = d.Plan.Blocked[0].String()
	case len(d.Plan.Waits) > 0:
		st.Reason = d.Plan.Waits[0].String()
	case unfit && !d.Transition.To.Holds():
		st.Reason = why.String()
	case d.Transition.Event == fsm.Unsure || d.Transition.Event == fsm.Yield:
		st.Reason = d.Because
	}
	st.Ready = !unfit && d.Transition.To == fsm.Standby && d.Facts.Clean && v.held() == Absent && !v.partly()
	return st
}
