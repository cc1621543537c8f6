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

// heldUntilProved keeps a group that a plan has had the claim of among those that are
// held, until the proof of release has succeeded: what a look shows is not all that can
// still write.
func (l *Loop) heldUntilProved(o outcome) {
	switch {
	case o.proved:
		delete(l.touched, o.group)
	case o.claimed && o.flight.plan.Goal == reconcile.Hold && o.group != reconcile.NodeGroup && !l.external():
		l.touched[o.group] = true
	}
}

// guard tells the watchdog what one pass has found to be held here, and returns it.
func (l *Loop) guard(s *reconcile.Snapshot, decisions map[string]reconcile.Decision) reconcile.Holding {
	flying := map[string]bool{}
	for group, f := range l.flights {
		if f.plan.Goal == reconcile.Hold && group != reconcile.NodeGroup {
			flying[group], l.had[group] = true, true
		}
	}
	if s.Store.OK() && !l.read && !l.external() {
		// A claim of this boot that an earlier run left behind: its release may have been
		// under way and not proved.
		l.read = true
		for group, c := range s.Store.Value.Claims { // also of a group that only a changed file has
			if c.Epoch > 0 && !c.Released && c.Holder == s.Node && c.BootID == s.BootID {
				l.had[group], l.touched[group] = true, true
			}
		}
	}
	for group, d := range decisions {
		switch {
		case d.Transition.To.Holds() && !d.Facts.Clean:
			l.had[group], l.touched[group] = true, !l.external()
		case d.Facts.Clean && !flying[group] && !l.touched[group]:
			delete(l.had, group)
		}
	}
	h := reconcile.Holds(l.config(), s, decisions, l.had, flying)
	if h == reconcile.HoldsNothing && !l.read && !l.external() {
		h = reconcile.HoldsUnknown // what the run before this one held
	}
	if l.opt.Guard != nil {
		l.opt.Guard.Holding(h)
	}
	return h
}
