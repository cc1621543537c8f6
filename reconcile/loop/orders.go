package loop

import (
	"time"

	"understudy/reconcile"
	"understudy/reconcile/journal"
)

// forgive forgets what of a group has failed here.
func (l *Loop) forgive(group string) {
	m := l.memory[group]
	m.Failed, m.Stuck, m.Error, m.ErrorVerb, m.Retry, m.Restarts = "", "", "", "", time.Time{}, nil
	l.memory[group] = m
	d := l.last[group]
	d.AtBarrier = false // what is wanted now does not wait for what was
	l.last[group] = d
	l.backoff[group] = 0
	l.persist()
}

// heed carries out here what a person has asked of all nodes, once: also one that was
// down meanwhile.
func (l *Loop) heed(s *reconcile.Snapshot) {
	if !s.Store.OK() {
		return
	}
	for _, g := range l.config().Groups {
		at := reconcile.ClearedAt(s, g.Name)
		m := l.memory[g.Name]
		if at.IsZero() || at.Equal(m.Cleared) {
			continue
		}
		if m.Failed != "" || m.Stuck != "" {
			l.append(journal.Record{Kind: journal.Note, Group: g.Name, Why: "cleared by a person, for all nodes"})
		}
		m.Cleared = at
		l.memory[g.Name] = m
		l.forgive(g.Name)
	}
}
