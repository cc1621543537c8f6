package loop

import (
	"context"
	"fmt"

	"understudy/reconcile"
)

// NotFrozenError says that steps by hand are for groups that nothing else touches.
type NotFrozenError struct{ Group string }

// Error names the way out.
func (e *NotFrozenError) Error() string {
	return fmt.Sprintf("cannot carry out one step of %s: it is not frozen, and understudy carries out the rest by itself — understudy freeze %s first", e.Group, e.Group)
}

// StepByHand carries out the next step of what would be done for a frozen group if it
// were not, behind the same gates, and returns when it has ended: the step, and how
// many come after it as things stood before. No step: there is nothing to do, or what
// blocks it.
func (l *Loop) StepByHand(ctx context.Context, group string) (step string, left int, err error) {
	var f *flight
	// What a look that ended before the last step saw is not what the next one is
	// planned from.
	for range 2 {
		if err := l.do(ctx, l.Kick); err != nil {
			return "", 0, err
		}
	}
	err2 := l.do(ctx, func() {
		st, g := l.state.Load(), l.config().Group(group)
		switch d := l.last[group]; {
		case st == nil || g == nil:
			err = fmt.Errorf("cannot find group %s here", group)
			return
		case !d.Frozen:
			err = &NotFrozenError{group}
			return
		case l.flights[group] != nil:
			err = fmt.Errorf("cannot carry out a step of %s: another is under way", group)
			return
		}
		s := st.Snapshot
		p := reconcile.Decide(l.config(), g, reconcile.Thawed(&s, group)).Plan
		if len(p.Blocked) > 0 {
			err = fmt.Errorf("cannot carry out a step of %s: %s", group, p.Blocked[0])
			return
		}
		rest := reconcile.ByHand(p, l.byHand[group])
		if len(rest) == 0 {
			return
		}
		left = len(rest) - 1
		sp := rest[0].Step.Spec()
		step = sp.Verb + " " + sp.Object
		p.Steps = []reconcile.Planned{{N: 1, Step: rest[0].Step, Why: "by hand: " + rest[0].Why}}
		l.launch(l.running, p, ownsAlready(&s, group), true)
		f = l.flights[group]
	})
	if err2 != nil {
		return "", 0, err2
	}
	if f == nil {
		return step, left, err
	}
	select {
	case <-f.ended:
	case <-ctx.Done():
		return step, left, context.Cause(ctx)
	}
	if err2 := l.do(ctx, func() { err = l.handErr[group] }); err2 != nil {
		return step, left, err2
	}
	return step, left, err
}

// handed takes the end of a step by hand into what is remembered. A failure changes
// nothing else: whoever does it by hand decides what comes next.
func (l *Loop) handed(o outcome) {
	l.handErr[o.group] = o.err
	if o.err != nil {
		return
	}
	switch s := o.flight.plan.Steps[0].Step; {
	case reconcile.Traceless(s):
		l.byHand[o.group] = append(l.byHand[o.group], s)
	default:
		delete(l.byHand, o.group)
	}
}
