package loop

import (
	"fmt"

	"understudy/reconcile"
	"understudy/reconcile/journal"
)

// lastWords says why this host resets itself, before it does: afterwards it can not,
// and what a disk has not written back goes with it.
func (l *Loop) lastWords(group, reason string) {
	if l.opt.LastWords != nil {
		l.opt.LastWords(group, reason)
		return
	}
	l.append(journal.Record{Kind: journal.Note, Group: group, Why: "self-fence: " + reason})
}

// overhear records what a peer says of its own end, in the history of each group that
// it holds: it may be the last that is heard of it.
func (l *Loop) overhear(s *reconcile.Snapshot) {
	for _, p := range s.Peers {
		w := p.LastWord
		if w == l.heard[p.Name] {
			continue
		}
		l.heard[p.Name] = w
		if w.Text == "" {
			continue
		}
		l.opt.Log.Warn("peer said why it ends", "peer", p.Name, "reason", w.Text)
		why, told := fmt.Sprintf("%s said: %s", p.Name, w.Text), false
		for group, c := range s.Store.Value.Claims {
			if s.Store.OK() && c.Holder == p.Name && c.BootID == w.BootID && !c.Released {
				l.append(journal.Record{Kind: journal.Note, Group: group, Why: why})
				told = true
			}
		}
		if !told {
			l.append(journal.Record{Kind: journal.Note, Why: why})
		}
	}
}
