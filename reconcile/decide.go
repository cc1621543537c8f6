package reconcile

import (
	"fmt"
	"slices"

	"understudy/config"
	"understudy/fsm"
)

// Decision is all that one pass finds for one group on one node.
type Decision struct {
	Transition fsm.Transition // role before, event, role after, and the sentence of the table
	Because    string         // what in the snapshot made the event, for people
	Facts      fsm.Facts
	Inventory  Inventory
	Goal       Goal
	Plan       Plan
	Phase      Phase
	// Dirty is the application that only a reboot of this host ends, "" if there is
	// none; AtBarrier says that nothing else is left to be done here.
	Dirty     string
	AtBarrier bool
	// Unread is what could not be read here although this node has claim and lease, ""
	// if nothing is so.
	Unread string
	Frozen bool        // an operator has it left alone
	Status GroupStatus // what this node tells the others
}

// Goal is what a role implies for the host.
type Goal int

// The goals.
const (
	Leave Goal = iota // touch nothing: something that decides is unknown
	Clean             // nothing of the group may be here
	Hold              // all of the group must be here
)

// String is the goal's word.
func (g Goal) String() string { return [...]string{"leave", "clean", "hold"}[g] }

// Decide is one pass of one group: snapshot in, role and plan out. It is the
// only way to a plan, for the resident service, `plan` and what-if alike.
func Decide(c *config.Config, g *config.Group, s *Snapshot) Decision {
	if IsExternal(c) {
		return decideExternal(c, g, s)
	}
	d := Decision{Inventory: takeInventory(c, g, s)}
	d.Dirty = stays(g, s, d.Inventory)
	d.Unread = unreadHere(g, s, d.Inventory)
	d.Facts = fsm.Facts{
		Home:     g.Home() == s.Node,
		Rotating: g.Policy == config.Rotating,
		Clean:    d.Inventory.Clean() && s.Memory[g.Name].SavedHostname == "" && d.Dirty == "",
	}
	event, because := classify(c, g, s, d.Inventory, d.Dirty)
	event, because = stilled(event, because, g, s)
	d.Because = because
	role := s.Memory[g.Name].Role
	facts := d.Facts
	aside, out := setAside(c, g, s)
	facts.Clean = facts.Clean && !out
	tr, err := fsm.Next(role, event, facts)
	if err != nil { // the table is total: a test proves it
		tr = fsm.Transition{From: role, Event: event, To: role, Why: err.Error()}
	}
	d.Transition = tr

	var take taking
	if tr.To == fsm.Standby && event != fsm.Unsure {
		if r, frozen := Frozen(s, g.Name); frozen {
			take = taking{Waits: []Reason{frozenWait(g, r)}}
		} else {
			take = mayTake(c, g, s)
		}
	}
	d.Goal = Want(tr.To, event, take.OK)
	d.Plan = diff(c, g, s, d, take)
	if out {
		d.stayOut(aside)
	}
	d.freeze(g, s)
	d.AtBarrier = atBarrier(d)
	d.Phase = phase(g, s, d)
	d.Status = status(c, g, s, d, take)
	return d
}

// Want says what a role implies. A standby holds only in order to take over.
func Want(r fsm.Role, e fsm.Event, mayTake bool) Goal {
	switch {
	case e == fsm.Unsure:
		return Leave
	case r.Holds():
		return Hold
	case r == fsm.Standby && mayTake:
		return Hold
	}
	return Clean
}

// Classify turns a snapshot into the one event that fsm is offered, and says
// what in the snapshot made it. The order is that of fsm.Events.
func Classify(c *config.Config, g *config.Group, s *Snapshot) (fsm.Event, string) {
	if IsExternal(c) {
		event, because := look(c, g, s).classify()
		return stilled(event, because, g, s)
	}
	inv := takeInventory(c, g, s)
	event, because := classify(c, g, s, inv, stays(g, s, inv))
	return stilled(event, because, g, s)
}

func classify(c *config.Config, g *config.Group, s *Snapshot, inv Inventory, dirty string) (fsm.Event, string) {
	if s.Lease.Left(s.At) == 0 {
		if s.Lease.Until.IsZero() && s.At.Sub(s.Since) < c.Lease.TTL {
			return fsm.Unsure, "this node has just started and asks for its lease"
		}
		why := "the lease of this node has run out"
		if s.Lease.Until.IsZero() {
			why = "this node has not got a lease"
		}
		if s.Lease.Err != "" {
			why += ": " + s.Lease.Err
		}
		return fsm.LeaseLost, why
	}
	if !s.Store.OK() {
		return fsm.Unsure, "the store could not be read: " + s.Store.Why().Error()
	}
	claim := s.Store.Value.Claims[g.Name]
	mine := ours(claim, s)
	if claim.Epoch > 0 && !claim.Released && !mine {
		if claim.Holder == s.Node {
			return fsm.HeldElsewhere, "the claim is of an earlier boot of this node"
		}
		return fsm.HeldElsewhere, fmt.Sprintf("%s holds the claim, epoch %d", claim.Holder, claim.Epoch)
	}
	if !mine && inv.Anything() {
		i := inv.Items[slices.IndexFunc(inv.Items, func(i Item) bool { return i.State == Present || i.State == Wrong })]
		return fsm.Stray, fmt.Sprintf("%s %s is here and the claim is not", i.Kind, i.Name)
	}
	if un := inv.Unread(); len(un) > 0 {
		return fsm.Unsure, fmt.Sprintf("%s %s could not be read: %s", un[0].Kind, un[0].Name, un[0].Detail)
	}
	if !mine {
		return fsm.Free, free(claim)
	}
	if why := reservationLost(c, g, s, claim, inv); why != "" {
		return fsm.Yield, why
	}
	if why, _ := mustYield(c, g, s, claim, dirty); why != "" {
		return fsm.Yield, why
	}
	if here, _ := toShed(g, s, inv); len(here) > 0 {
		return fsm.Broken, fmt.Sprintf("%s %s is to go: the changed file has not got it, or has it otherwise", here[0].Kind, here[0].Name)
	}
	if missing := missing(inv, claim); len(missing) > 0 {
		i := missing[0]
		return fsm.Broken, fmt.Sprintf("%s %s: %s", i.Kind, i.Name, i.Detail)
	}
	if why := reservationBroken(c, g, s, claim); why != "" {
		return fsm.Broken, why
	}
	if m := s.Memory[g.Name]; m.SavedHostname != "" {
		return fsm.Broken, "the host name " + m.SavedHostname + " is to be put back"
	}
	return fsm.Held, fmt.Sprintf("claim of epoch %d is ours and everything is here", claim.Epoch)
}

func free(claim Claim) string {
	if claim.Epoch == 0 {
		return "the group was never claimed"
	}
	return fmt.Sprintf("%s signed off epoch %d", claim.Holder, claim.Epoch)
}

func phase(g *config.Group, s *Snapshot, d Decision) Phase {
	switch {
	case len(d.Plan.Blocked) > 0:
		return Blocked
	case d.AtBarrier:
		return Waiting // for the reboot; also while it is under way
	case d.Goal == Hold && len(d.Plan.Steps) > 0:
		return Acquiring
	case d.Transition.To.Holds() && d.Goal == Hold && d.Transition.Event == fsm.Broken:
		return Waiting // for what its applications need on this node
	case d.Transition.To.Holds() && d.Goal == Hold && rehearsing(s.Store.Value.Claims[g.Name], s):
		return Waiting // for the end of the rehearsal
	case d.Transition.To.Holds() && d.Goal == Hold:
		return Serving
	case d.Transition.To.Holds():
		return Waiting // unsure: what is up stays up
	case len(d.Plan.Steps) > 0:
		return Releasing
	case s.Memory[g.Name].Failed != "":
		return Blocked // a person must clear it, whoever serves meanwhile
	case len(d.Plan.Waits) > 0:
		return Waiting
	}
	return Idle
}

func status(c *config.Config, g *config.Group, s *Snapshot, d Decision, take taking) GroupStatus {
	st := GroupStatus{Group: g.Name, Role: d.Transition.To, Phase: d.Phase, Dirty: d.Dirty != "", Rehearsed: s.Memory[g.Name].Rehearsed, Rested: restedBoot(c, g, s, d)}
	switch {
	case len(d.Plan.Blocked) > 0:
		st.Reason = d.Plan.Blocked[0].String()
	case len(d.Plan.Waits) > 0:
		st.Reason = d.Plan.Waits[0].String()
	case d.Transition.Event == fsm.Unsure || d.Transition.Event == fsm.LeaseLost:
		st.Reason = d.Because
	}
	why, fit := unfit(c, g, s)
	st.Unfit = !fit
	if st.Unfit && st.Reason == "" && !d.Transition.To.Holds() {
		st.Reason = why.String()
	}
	st.Ready = fit && !d.Frozen && d.Transition.To == fsm.Standby && d.Facts.Clean && s.Lease.Left(s.At) > 0 && s.Store.OK()
	return st
}
