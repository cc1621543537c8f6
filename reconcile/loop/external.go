package loop

import (
	"context"
	"errors"
	"fmt"
	"time"

	"understudy/config"
	"understudy/reconcile"
	"understudy/reconcile/journal"
)

// Where another manager moves addresses and disks there is no lease whose deadline
// guards a step; the gate is a look, made right before it.

// ErrNotHere says that the group was not surely here when a step was to begin. It is
// not final: the next look may show it.
var ErrNotHere = errors.New("the group's file systems and addresses are not surely here")

// RebootNeededError says that the applications are stopped and that the kernel holds
// the group's disks until this host is rebooted.
type RebootNeededError struct{ Group, App string }

// Error names the way out.
func (e *RebootNeededError) Error() string {
	return fmt.Sprintf("cannot let go of the disks of %s: everything is stopped, but %s has run since the boot of this host and holds them — shut it down or reboot it", e.Group, e.App)
}

// external reports whether another manager moves what the groups stand on.
func (l *Loop) external() bool { return reconcile.IsExternal(l.config()) }

// pollWord is the time between two looks of who waits for a word to be carried out,
// if nothing else makes the loop look.
const pollWord = 50 * time.Millisecond

// gate looks once more, from beginning to end, and lets a step begin if the group is
// still wanted up here. A pass that finds it gone has cancelled ctx as well.
func (l *Loop) gate(ctx context.Context, group string) error {
	for range 2 { // the pass between the two began after the first
		if err := l.do(ctx, func() {}); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if d := l.state.Load().Decisions[group]; d.Goal != reconcile.Hold {
		return fmt.Errorf("%w: %s", ErrNotHere, d.Because)
	}
	return nil
}

// recall takes over what a decision tells beside the role. When the group comes or
// goes, nothing waits for the next attempt of a plan of before.
func (l *Loop) recall(g *config.Group, s *reconcile.Snapshot, d reconcile.Decision, m reconcile.Memory) reconcile.Memory {
	if !l.external() {
		return m
	}
	if was := l.last[g.Name].Goal; was != d.Goal && was != reconcile.Leave && d.Goal != reconcile.Leave {
		m.Retry, l.backoff[g.Name] = time.Time{}, 0
	}
	return reconcile.Remember(l.config(), g, s, m)
}

// listening is when a group that has come may be started, zero if nothing waits for it.
func (l *Loop) listening(group string, at time.Time) time.Duration {
	m := l.memory[group]
	if !l.external() || m.Came.IsZero() || m.Whole > 0 {
		return 0
	}
	return reconcile.Listening(l.config(), m, at)
}

// Release is the other manager's word that it is about to take a group away. It
// returns when nothing of what understudy brings is left here, and from then on
// nothing is started before the group has been away or Acquire is called. A group
// that is not here is released already. The error at the end of ctx says what is
// left; the word holds all the same. A *[RebootNeededError]: all is stopped, and the
// kernel keeps the disks.
func (l *Loop) Release(ctx context.Context, group string) error {
	st := l.state.Load()
	if st == nil {
		return errors.New("the service has only just begun to look — ask again")
	}
	err := l.do(ctx, func() {
		l.word(group, "another manager takes the group away")
		m := l.memory[group]
		m.Released, m.Retry = st.Snapshot.BootID, time.Time{}
		l.memory[group], l.backoff[group] = m, 0
		l.persist()
	})
	if err != nil {
		return err
	}
	return l.await(ctx, "release "+group, group, func(d reconcile.Decision, m reconcile.Memory) (bool, error) {
		switch {
		case d.Goal != reconcile.Clean:
			return false, nil
		case d.Dirty != "" && d.AtBarrier && m.SavedHostname == "":
			return true, &RebootNeededError{Group: group, App: d.Dirty}
		}
		return d.Facts.Clean, nil
	})
}

// Acquire is the other manager's word that it has brought a group: what was released
// or failed before is tried again. It returns when the group is served, or with the
// reason why it is not when it has failed or ctx ends.
func (l *Loop) Acquire(ctx context.Context, group string) error {
	err := l.do(ctx, func() {
		l.word(group, "another manager has brought the group")
		m := l.memory[group]
		m.Released, m.Failed, m.Error, m.ErrorVerb, m.Retry, m.Restarts = "", "", "", "", time.Time{}, nil
		l.memory[group], l.backoff[group] = m, 0
		l.persist()
	})
	if err != nil {
		return err
	}
	return l.await(ctx, "acquire "+group, group, func(d reconcile.Decision, m reconcile.Memory) (bool, error) {
		if m.Failed != "" {
			return true, errors.New(m.Failed)
		}
		return d.Phase == reconcile.Serving && d.Plan.Empty(), nil
	})
}

func (l *Loop) word(group, text string) {
	l.opt.Log.Info("word of another manager", "group", group, "reason", text)
	l.append(journal.Record{Kind: journal.Note, Group: group, Why: text})
}

// await waits until what a pass has found is as wanted and no plan of the group is in
// flight.
func (l *Loop) await(ctx context.Context, what, group string, done func(reconcile.Decision, reconcile.Memory) (bool, error)) error {
	tick := time.NewTicker(pollWord)
	defer tick.Stop()
	left := "nothing was seen yet"
	for {
		var d reconcile.Decision
		var m reconcile.Memory
		var f *flight
		var step string
		err := l.do(ctx, func() {
			d, m, f = l.last[group], l.memory[group], l.flights[group]
			if f != nil {
				sp := f.plan.Steps[max(f.step.Load(), 1)-1].Step.Spec()
				step = sp.Verb + " " + sp.Object
			}
		})
		if err == nil && f == nil {
			if ok, err := done(d, m); ok {
				return err
			}
		}
		if err == nil {
			left = waitsFor(d, m, step)
			select {
			case <-tick.C:
				continue
			case <-ctx.Done():
			}
		}
		return fmt.Errorf("cannot %s in time: %s (%w)", what, left, context.Cause(ctx))
	}
}

// waitsFor is what stands in the way, for people.
func waitsFor(d reconcile.Decision, m reconcile.Memory, step string) string {
	text := d.Because
	switch {
	case step != "":
		text = "it is at: " + step
	case len(d.Plan.Blocked) > 0:
		text = d.Plan.Blocked[0].String()
	case len(d.Plan.Waits) > 0 && d.Facts.Clean: // nothing is left to be stopped
		text = d.Plan.Waits[0].String()
	}
	if m.Error != "" {
		text += "; last failure: " + m.Error
	}
	return text
}
