package reconcile

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"understudy/config"
	"understudy/fsm"
)

// Frozen is the order that freezes a group, if one is in force.
func Frozen(s *Snapshot, group string) (Request, bool) { return order(s, Freeze, group) }

// Drained is the order that drains a node, if one is in force.
func Drained(s *Snapshot, node string) (Request, bool) { return order(s, Drain, node) }

// Sentence tells an order: "frozen by root: new disks".
func (r Request) Sentence() string {
	word := map[Order]string{Freeze: "frozen", Drain: "drained", Clear: "cleared", Stopped: "stopped", Rejoin: "let in again"}[r.Order]
	return strings.TrimSuffix(word+" by "+r.By+": "+r.Reason, ": ")
}

// stilled is the event that a frozen group is offered in place of one that would
// change it. What another node's claim or a lost lease demands is still done.
func stilled(event fsm.Event, because string, g *config.Group, s *Snapshot) (fsm.Event, string) {
	r, ok := Frozen(s, g.Name)
	if !ok || event != fsm.Broken && event != fsm.Yield || event == fsm.Yield && s.Memory[g.Name].Released == s.BootID && s.BootID != "" {
		return event, because
	}
	return fsm.Unsure, r.Sentence() + "; nothing is done about this: " + because
}

// freeze takes out of a decision what a frozen group goes without.
func (d *Decision) freeze(g *config.Group, s *Snapshot) {
	r, ok := Frozen(s, g.Name)
	if !ok {
		return
	}
	d.Frozen = true
	switch d.Transition.Event {
	case fsm.LeaseLost, fsm.HeldElsewhere:
		if d.Goal == Clean {
			return
		}
	case fsm.Stray:
		d.Plan.Blocked = append(d.Plan.Blocked, Reason{Text: "it is not taken away, as the group is " + r.Sentence() + ": " + d.Because, Way: "understudy thaw " + g.Name})
	case fsm.Yield: // what another manager takes away
		return
	}
	d.Plan.Steps = nil
	if d.Goal != Hold {
		d.Goal, d.Plan.Goal = Leave, Leave
	}
	if len(d.Plan.Waits) == 0 {
		d.Plan.Waits = []Reason{frozenWait(g, r)}
	}
}

// freezeExternal is freeze where another manager moves the storage: what it takes away
// is stopped all the same.
func (d *Decision) freezeExternal(g *config.Group, s *Snapshot) {
	r, ok := Frozen(s, g.Name)
	if !ok {
		return
	}
	d.Frozen = true
	if d.Goal == Clean {
		return
	}
	d.Plan.Steps = nil
	if len(d.Plan.Waits) == 0 {
		d.Plan.Waits = []Reason{frozenWait(g, r)}
	}
}

func frozenWait(g *config.Group, r Request) Reason {
	return Reason{Text: r.Sentence(), Way: "understudy thaw " + g.Name}
}

// Thawed is a snapshot as it would be if a group were not frozen: what would be done.
func Thawed(s *Snapshot, group string) *Snapshot {
	out := *s
	out.Store.Value.Requests = maps.Clone(s.Store.Value.Requests)
	delete(out.Store.Value.Requests, OrderKey(Freeze, group))
	return &out
}

// ByHand is the part of a plan that is still to be carried out by hand after done, the
// steps that were carried out since the last one whose effect a look shows. A plan is
// made anew for every step, and begins with what no look shows.
func ByHand(p Plan, done []Step) []Planned {
	steps := p.Steps
	for _, d := range done {
		if len(steps) > 0 && sameStep(steps[0].Step, d) {
			steps = steps[1:]
		}
	}
	return steps
}

// Traceless reports whether no look shows that a step was carried out.
func Traceless(s Step) bool {
	switch s.(type) {
	case Activate, Deactivate, PurgeFiles, ProveRelease, RunHook, Notify, MarkDirty, SetHostname, Stop:
		return true
	}
	return false
}

func sameStep(a, b Step) bool {
	return Plan{Steps: []Planned{{Step: a}}}.Fingerprint() == Plan{Steps: []Planned{{Step: b}}}.Fingerprint()
}

// drains says why a drained holder lets a group go, "" if it does not, and to whom.
func drains(g *config.Group, s *Snapshot) (why, to string) {
	r, ok := Drained(s, s.Node)
	if !ok {
		return "", ""
	}
	i := slices.IndexFunc(g.Nodes, func(n string) bool { return n != s.Node && isReady(s.Peer(n), g) })
	if i < 0 {
		return "", ""
	}
	return "this node is " + r.Sentence(), g.Nodes[i]
}

// StillStops lists what can still stop a frozen group, or its host, on this node.
func StillStops(c *config.Config, g *config.Group, s *Snapshot) []string {
	if IsExternal(c) {
		return []string{"the other manager: what it takes away is stopped, frozen or not"}
	}
	out := []string{fmt.Sprintf("its holder lets go of it if it cannot renew its lease: %s after the store was last reached", c.Lease.TTL-c.Lease.Margin)}
	if g.OnReleaseFailure == config.RebootOnReleaseFailure {
		out = append(out, `if that fails, the holder resets itself (on_release_failure = "self-fence")`)
	}
	for _, n := range g.Nodes {
		var others []string
		for i := range c.Groups {
			o := &c.Groups[i]
			if _, frozen := Frozen(s, o.Name); o.Name != g.Name && o.Priority(n) >= 0 && !frozen {
				others = append(others, o.Name)
			}
		}
		if node := c.Node(n); node != nil && len(node.Fences) > 0 && len(others) > 0 {
			out = append(out, fmt.Sprintf("%s is fenced if it falls silent with another group: %s", n, strings.Join(others, ", ")))
		}
	}
	return out
}
