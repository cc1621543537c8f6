package loop

import (
	"fmt"

	"understudy/reconcile"
)

// guarded asks the watchdog before a step on shared storage; from then on it counts
// this host as one that holds something.
func (l *Loop) guarded() error {
	if l.opt.Guard == nil {
		return nil
	}
	if err := l.opt.Guard.Begin(); err != nil {
		return fmt.Errorf("%w: %w", ErrUnguarded, err)
	}
	return nil
}

// guard tells the watchdog what one pass has found to be held here, and returns it.
func (l *Loop) guard(s *reconcile.Snapshot, decisions map[string]reconcile.Decision) reconcile.Holding {
	flying := map[string]bool{}
	for group, f := range l.flights {
		if f.plan.Goal == reconcile.Hold && group != reconcile.NodeGroup {
			flying[group], l.had[group] = true, true
		}
	}
	for group, d := range decisions {
		switch {
		case d.Transition.To.Holds() && !d.Facts.Clean:
			l.had[group] = true
		case d.Facts.Clean && !flying[group]:
			delete(l.had, group)
		}
	}
	h := reconcile.Holds(l.config(), s, decisions, l.had, flying)
	if l.opt.Guard != nil {
		l.opt.Guard.Holding(h)
	}
	return h
}
