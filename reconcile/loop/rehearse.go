package loop

import (
	"time"

	"understudy/reconcile"
	"understudy/reconcile/journal"
)

// proven remembers that this node has let a group go with proof after all of it had
// been up here: it can take it up.
func (l *Loop) proven(o outcome, m *reconcile.Memory) {
	for _, s := range o.flight.plan.Steps {
		if off, ok := s.Step.(reconcile.SignOff); ok && off.Epoch == m.Whole && off.Epoch > 0 {
			m.Rehearsed = time.Now().UTC().Truncate(time.Millisecond)
			if l.rehearsal(o.group) {
				l.append(journal.Record{Kind: journal.Note, Group: o.group, Why: "the rehearsal has passed: all of it but its applications was up here, and has been let go with proof"})
			}
		}
	}
}

// rehearsal reports whether the claim of a group, as last seen, is a rehearsal.
func (l *Loop) rehearsal(group string) bool {
	st := l.state.Load()
	return st != nil && st.Snapshot.Store.Value.Claims[group].Rehearsal != reconcile.NoRehearsal
}
