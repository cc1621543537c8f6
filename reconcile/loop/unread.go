package loop

import (
	"time"

	"understudy/config"
	"understudy/reconcile"
)

// unread keeps the clock of a group that this node holds and cannot read, and says once
// that it has run out.
func (l *Loop) unread(g *config.Group, s *reconcile.Snapshot, d reconcile.Decision, m *reconcile.Memory) {
	switch {
	case d.Unread == "":
		if left, limited := reconcile.UnreadLeft(g, *m, s.At); limited && left <= 0 {
			l.note(g.Name, "all of it can be read again", d)
		}
		m.Unread = time.Time{}
	case m.Unread.IsZero():
		m.Unread = s.At
	case overdue(d) && !overdue(l.last[g.Name]):
		l.opt.Log.Error("group cannot be read", "group", g.Name, "reason", d.Status.Reason)
		l.note(g.Name, d.Status.Reason, d)
	}
}

// overdue reports that a decision does what is declared for a group that stays unread.
func overdue(d reconcile.Decision) bool {
	return d.Unread != "" && d.Goal == reconcile.Leave && (len(d.Plan.Blocked) > 0 || len(d.Plan.Steps) > 0)
}
