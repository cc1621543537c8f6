package loop

import (
	"maps"
	"slices"
	"time"

	"understudy/config"
	"understudy/fsm"
	"understudy/reconcile"
	"understudy/reconcile/journal"
)

// memoryFile is the name under which memory is kept in the state directory.
const memoryFile = "memory"

// kept is what of reconcile.Memory survives a restart. The role does not: every
// start begins with rejoining. The saved host name has a file of its own.
type kept struct {
	Whole     uint64      `json:"whole"`
	Lost      uint64      `json:"lost,omitempty"`
	Failed    string      `json:"failed,omitempty"`
	Restarts  []time.Time `json:"restarts,omitempty"`
	Cleared   time.Time   `json:"cleared,omitzero"`
	Rehearsed time.Time   `json:"rehearsed,omitzero"`
	Ran       string      `json:"ran,omitempty"` // beside act's own record of what was started
	Rested    string      `json:"rested,omitempty"`

	// With store external; see reconcile.Memory.
	Released string                        `json:"released,omitempty"`
	Left     string                        `json:"left,omitempty"`
	Peers    map[string]reconcile.PeerMark `json:"peers,omitempty"`
}

func (l *Loop) restore() {
	if l.opt.StateDir == "" {
		return
	}
	var all map[string]kept
	if _, err := journal.LoadState(l.opt.StateDir, memoryFile, &all); err != nil {
		l.opt.Log.Warn("memory of the last run was not readable", "err", err)
	}
	for name, k := range all {
		l.memory[name] = reconcile.Memory{Whole: k.Whole, Lost: k.Lost, Failed: k.Failed, Restarts: k.Restarts, Cleared: k.Cleared, Rehearsed: k.Rehearsed, Released: k.Released, Left: k.Left, Peers: k.Peers, Ran: k.Ran, Rested: k.Rested}
	}
}

// persist saves what is kept, if it differs from what was saved last: saving
// waits for the disk, and a takeover must not.
func (l *Loop) persist() {
	if l.opt.StateDir == "" {
		return
	}
	all := map[string]kept{}
	for name, m := range l.memory {
		all[name] = kept{Whole: m.Whole, Lost: m.Lost, Failed: m.Failed, Restarts: m.Restarts, Cleared: m.Cleared, Rehearsed: m.Rehearsed, Released: m.Released, Left: m.Left, Peers: m.Peers, Ran: m.Ran, Rested: m.Rested}
	}
	if maps.EqualFunc(all, l.saved, sameKept) {
		return
	}
	l.saved = all
	if err := journal.SaveState(l.opt.StateDir, memoryFile, all); err != nil {
		l.opt.Log.Error("memory was not saved", "err", err)
	}
}

func sameKept(a, b kept) bool {
	return a.Whole == b.Whole && a.Lost == b.Lost && a.Failed == b.Failed && a.Ran == b.Ran && a.Rested == b.Rested && a.Rehearsed.Equal(b.Rehearsed) && a.Cleared.Equal(b.Cleared) && slices.Equal(a.Restarts, b.Restarts) &&
		a.Released == b.Released && a.Left == b.Left && maps.Equal(a.Peers, b.Peers)
}

func sameMemory(a, b reconcile.Memory) bool {
	return a.Role == b.Role && a.Whole == b.Whole && a.Lost == b.Lost && a.Failed == b.Failed && a.Stuck == b.Stuck && a.Error == b.Error &&
		a.Retry.Equal(b.Retry) && slices.Equal(a.Restarts, b.Restarts) && a.SavedHostname == b.SavedHostname &&
		a.Released == b.Released && a.Left == b.Left && a.From == b.From && a.Came.Equal(b.Came) && a.Partly.Equal(b.Partly) && maps.Equal(a.Peers, b.Peers) &&
		a.Dirty == b.Dirty && a.Ran == b.Ran && a.Rested == b.Rested && a.DirtyErr == b.DirtyErr && a.Unread.Equal(b.Unread)
}

// recallHostname asks act for the host name that is to be put back. It belongs
// to the one rotating group that declares a host name.
func (l *Loop) recallHostname() {
	saved := l.opt.Actor.SavedHostname()
	for _, g := range l.config().Groups {
		m := l.memory[g.Name]
		want := saved
		if g.Hostname == "" || l.flights[g.Name] != nil {
			want = ""
		}
		if m.SavedHostname != want {
			m.SavedHostname = want
			l.memory[g.Name] = m
		}
	}
}

func (l *Loop) publish(s reconcile.Snapshot, d map[string]reconcile.Decision, services reconcile.Services) {
	st := &State{
		Snapshot: s, Decisions: d, Flights: map[string]Flight{},
		Services: services, Notices: l.notices.all(), Hooks: l.events.queue(), Changing: l.changing(),
	}
	for name, f := range l.flights {
		st.Flights[name] = Flight{Plan: f.plan, N: int(f.step.Load()), Since: f.since}
	}
	l.state.Store(st)
}

func (l *Loop) append(r journal.Record) {
	r.At, r.Node = time.Now(), l.opt.Node
	if err := l.opt.Journal.Append(r); err != nil {
		l.opt.Log.Error("journal was not written", "err", err)
	}
}

func (l *Loop) transition(g *config.Group, d reconcile.Decision) {
	t := d.Transition
	l.opt.Log.Info("role changed", "group", g.Name, "from_role", t.From.String(), "role", t.To.String(), "event", t.Event.String(), "reason", d.Because, "rule", t.Why)
	l.append(journal.Record{
		Kind: journal.Decided, Group: g.Name, FromRole: t.From.String(), Role: t.To.String(), Event: t.Event.String(),
		Why: d.Because, Facts: map[string]string{"rule": t.Why},
	})
}

// seen records a new event that changed no role.
func (l *Loop) seen(g *config.Group, d reconcile.Decision) {
	t := d.Transition
	if t.Event != fsm.Held {
		l.opt.Log.Info("situation changed", "group", g.Name, "role", t.To.String(), "event", t.Event.String(), "reason", d.Because)
	}
	l.append(journal.Record{Kind: journal.Seen, Group: g.Name, Role: t.To.String(), Event: t.Event.String(), Why: d.Because})
}

func (l *Loop) note(group, why string, d reconcile.Decision) {
	l.append(journal.Record{Kind: journal.Note, Group: group, Role: d.Transition.To.String(), Event: d.Transition.Event.String(), Why: why})
}
