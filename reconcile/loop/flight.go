package loop

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"understudy/config"
	"understudy/fsm"
	"understudy/reconcile"
	"understudy/reconcile/journal"
)

// flight is one plan being carried out.
type flight struct {
	plan   reconcile.Plan
	cancel context.CancelCauseFunc
	since  time.Time
	owned  bool         // the claim was ours when it began
	step   atomic.Int64 // the step that runs now, from 1
	ended  chan struct{}
	hand   bool // one step, by hand
}

// outcome is how a flight ended.
type outcome struct {
	group   string
	flight  *flight
	err     error
	verb    string         // of the step that failed
	step    reconcile.Step // the one that failed
	claimed bool           // the failure came after the claim was ours
	proved  bool           // nothing was left of the group on this host
	at      time.Time
}

// backoffs between attempts of a plan that failed.
const (
	firstBackoff = 500 * time.Millisecond
	lastBackoff  = 30 * time.Second
)

// steer brings plan and flight together: cancel what is no longer wanted, begin
// what is wanted if nothing is in flight.
func (l *Loop) steer(ctx context.Context, g *config.Group, s *reconcile.Snapshot, d reconcile.Decision) {
	if f := l.flights[g.Name]; f != nil {
		switch {
		case l.stopping != "" && f.reboots():
			f.cancel(ErrStopping) // whoever ends this program sees to the host
		case d.Transition.Event == fsm.LeaseLost && f.plan.Goal == reconcile.Hold:
			f.cancel(ErrLeaseLost)
		case d.Transition.Event == fsm.LeaseLost && f.dawdles():
			f.cancel(ErrLeaseLost)
		case d.Goal == reconcile.Clean && d.Transition.Event != fsm.Yield && f.dawdles():
			f.cancel(ErrNoTime)
		case d.Goal != f.plan.Goal && d.Goal != reconcile.Leave:
			f.cancel(ErrGoalChanged)
		}
		return
	}
	m := l.memory[g.Name]
	if d.Plan.Empty() || s.At.Before(m.Retry) {
		return
	}
	if d.Goal == reconcile.Clean && d.Plan.Fingerprint() == l.cleaned[g.Name] {
		// It has run to its end and changed nothing that could be seen.
		l.cleaned[g.Name] = ""
		l.postpone(g.Name, "letting go had no effect that could be seen: "+d.Because, "")
		return
	}
	if d.Goal == reconcile.Hold && !l.mayRestart(g, s, d) {
		l.Kick() // the budget is spent: the next pass yields
		return
	}
	l.begin(ctx, d.Plan, ownsAlready(s, g.Name))
}

// ownsAlready reports whether the claim is this boot's at the plan's beginning.
func ownsAlready(s *reconcile.Snapshot, group string) bool {
	c := s.Store.Value.Claims[group]
	return s.Store.OK() && c.Holder == s.Node && c.BootID == s.BootID && !c.Released && c.Epoch > 0
}

// mayRestart counts a start in place against the group's budget. An acquisition
// is not a restart.
func (l *Loop) mayRestart(g *config.Group, s *reconcile.Snapshot, d reconcile.Decision) bool {
	m := l.memory[g.Name]
	claim := s.Store.Value.Claims[g.Name]
	l.counted[g.Name] = false
	if l.renewed[g.Name] && starts(d.Plan) {
		delete(l.renewed, g.Name) // a changed file asks for it
		return true
	}
	if m.Whole != claim.Epoch || !ownsAlready(s, g.Name) || !starts(d.Plan) || d.Plan.Steps[0].Step.Spec().Verb == claimVerb {
		return true // with a claim of its own: what a lost lease let go is taken up again
	}
	kept := recent(m.Restarts, s.At, g.RestartWindow)
	if len(kept) >= g.Restarts {
		m.Failed = fmt.Sprintf("restarted %d times within %s and broken again: %s", len(kept), g.RestartWindow, d.Because)
		l.memory[g.Name] = m
		l.persist()
		l.note(g.Name, m.Failed, d)
		return false
	}
	m.Restarts = append(kept, s.At)
	l.counted[g.Name] = true
	l.memory[g.Name] = m
	l.persist()
	return true
}

func starts(p reconcile.Plan) bool {
	for _, s := range p.Steps {
		if _, ok := s.Step.(reconcile.Start); ok {
			return true
		}
	}
	return false
}

func (l *Loop) begin(ctx context.Context, p reconcile.Plan, claimed bool) {
	l.launch(ctx, p, claimed, false)
}

func (l *Loop) launch(ctx context.Context, p reconcile.Plan, claimed, hand bool) {
	fctx, cancel := context.WithCancelCause(ctx)
	f := &flight{plan: p, cancel: cancel, since: time.Now(), owned: claimed, hand: hand, ended: make(chan struct{})}
	l.flights[p.Group] = f
	l.opt.Log.Info("plan began", "group", p.Group, "plan", p.Fingerprint(), "steps", len(p.Steps), "goal", p.Goal.String(), "reason", p.Why)
	l.append(journal.Record{Kind: journal.Decided, Group: p.Group, Plan: p.Fingerprint(), Why: p.Why, Of: len(p.Steps), Step: p.Goal.String()})
	go func() {
		defer close(f.ended)
		o := l.fly(fctx, f, claimed)
		cancel(nil)
		select {
		case l.done <- o:
		case <-ctx.Done(): // Run is leaving; land waits for ended
		}
	}()
}

// fly carries out the steps of one plan, in order, each complete before the next.
func (l *Loop) fly(ctx context.Context, f *flight, claimed bool) outcome {
	o := outcome{group: f.plan.Group, flight: f, claimed: claimed}
	for i, p := range f.plan.Steps {
		f.step.Store(int64(i + 1))
		sp := p.Step.Spec()
		began := time.Now()
		err := l.step(ctx, f.plan.Group, p.Step, sp)
		rec := journal.Record{
			Kind: journal.Done, Group: f.plan.Group, Plan: f.plan.Fingerprint(), Step: sp.Verb + " " + sp.Object,
			N: p.N, Of: len(f.plan.Steps), Took: time.Since(began),
		}
		if err != nil {
			rec.Kind, rec.Err = journal.Failed, err.Error()
			l.append(rec)
			l.opt.Log.Warn("step failed", "group", f.plan.Group, "plan", f.plan.Fingerprint(), "step", rec.Step, "step_n", p.N, "step_of", rec.Of, "took", rec.Took, "err", err)
			if sp.Optional && ctx.Err() == nil {
				continue
			}
			o.err, o.verb, o.step = fmt.Errorf("%s %s: %w", sp.Verb, sp.Object, err), sp.Verb, p.Step
			return o
		}
		if n, ok := p.Step.(reconcile.Notify); ok {
			rec.Why = n.Text
			l.notices.add(n, time.Now())
		}
		if i == len(f.plan.Steps)-1 { // how long the group was on its way (guide: recovery time is to be short)
			rec.Facts = map[string]string{journal.PlanTook: time.Since(f.since).Round(time.Millisecond).String()}
		}
		l.append(rec)
		l.opt.Log.Info("step done", "group", f.plan.Group, "plan", f.plan.Fingerprint(), "step", rec.Step, "step_n", p.N, "step_of", rec.Of, "took", rec.Took)
		switch p.Step.(type) {
		case reconcile.TakeClaim:
			o.claimed = true
		case reconcile.ProveRelease:
			o.proved = true
		}
	}
	return o
}

// step is the gate before every step: not cancelled, and on shared storage with
// a lease that outlives what the step needs, read at this moment.
//
// Where another manager moves the storage there is no lease, and a look that began
// at this moment takes its place.
func (l *Loop) step(ctx context.Context, group string, s reconcile.Step, sp reconcile.Spec) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if sp.Storage && l.external() {
		if err := l.gate(ctx, group); err != nil {
			return err
		}
	} else if sp.Storage {
		if left := l.opt.Lease.Lease().Left(time.Now()); left < sp.Needs {
			return fmt.Errorf("%w: %s left, the step needs %s", ErrShortLease, left.Round(time.Millisecond), sp.Needs)
		}
		if err := l.guarded(); err != nil {
			return err
		}
	}
	if r, ok := s.(reconcile.Reboot); ok {
		if err := l.farewell(ctx, r); err != nil {
			return err
		}
	}
	sctx, cancel := context.WithTimeoutCause(ctx, sp.Limit, fmt.Errorf("it took longer than %s", sp.Limit))
	defer cancel()
	err := l.opt.Actor.Do(sctx, s)
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("%w (%w)", context.Cause(ctx), err)
	}
	return err
}

// claimVerb is that of the step that takes a claim.
var claimVerb = reconcile.TakeClaim{}.Spec().Verb

// reserveVerb is that of the step that reserves disks.
var reserveVerb = reconcile.Reserve{}.Spec().Verb

// finished takes the outcome of a flight into what is remembered.
func (l *Loop) finished(o outcome) {
	if l.flights[o.group] == o.flight {
		delete(l.flights, o.group)
	}
	l.heldUntilProved(o)
	if o.group == reconcile.NodeGroup {
		l.servicesLanded(o)
		return
	}
	if o.flight.hand {
		l.handed(o)
		return
	}
	m := l.memory[o.group]
	cancelled := errors.Is(o.err, ErrLeaseLost) || errors.Is(o.err, ErrGoalChanged) || errors.Is(o.err, ErrNoTime) || errors.Is(o.err, ErrStopping)
	switch {
	case o.err == nil:
		l.opt.Log.Info("plan done", "group", o.group, "plan", o.flight.plan.Fingerprint(), "took", time.Since(o.flight.since))
		m.Error, m.ErrorVerb, m.Retry = "", "", time.Time{}
		l.cleaned[o.group] = ""
		if o.flight.plan.Goal == reconcile.Clean {
			l.proven(o, &m)
			l.cleaned[o.group] = o.flight.plan.Fingerprint() // its backoff goes on if this comes again
		} else {
			l.backoff[o.group] = 0
		}
	case cancelled:
		l.opt.Log.Warn("plan cancelled", "group", o.group, "plan", o.flight.plan.Fingerprint(), "reason", o.err.Error())
	default:
		l.postpone(o.group, o.err.Error(), o.verb)
		m = l.memory[o.group]
		switch {
		case errors.Is(o.err, ErrShortLease), errors.Is(o.err, ErrNotHere), errors.Is(o.err, ErrUnguarded):
		case o.verb == claimVerb:
			// What this node has let go it claims anew, and the store does not take that
			// now: nothing here is at fault, and no other node would fare better.
		case o.verb == reserveVerb && o.flight.owned && m.Whole > 0 && m.Whole == l.held[o.group] && !starts(o.flight.plan):
			// All of it runs, and an extra lock is to be put back. A path that comes and
			// goes must not end what is well: it is tried again, and told.
		case o.claimed && o.flight.plan.Goal == reconcile.Hold && !l.tryHere(o, &m):
			// Half acquired is not a state to stay in: the next pass yields,
			// undoes in reverse, and signs off, so that another node may try.
			m.Failed, m.Retry = "cannot take it up here: "+o.err.Error(), time.Time{}
		case o.claimed && o.flight.plan.Goal == reconcile.Clean:
			l.stuck(o)
			yielding := l.last[o.group].Transition.Event == fsm.Yield && m.Failed == "" && l.stopping == ""
			if yielding && !l.external() && !l.rehearsal(o.group) && o.verb != "sign off" && l.backoff[o.group] > 2*firstBackoff {
				m.Stuck, m.Retry = o.err.Error(), time.Time{} // the third time in a row
			}
		}
	}
	l.memory[o.group] = m
	l.persist()
}

// tryHere decides whether a plan that failed with the claim ours is tried again
// on this node, and counts the attempt: a repair of what was up in this epoch, and
// a taking up that no other node is ready for, have the group's budget of restarts.
func (l *Loop) tryHere(o outcome, m *reconcile.Memory) bool {
	group, st := o.group, l.state.Load()
	g := l.config().Group(group)
	if st == nil || g == nil {
		return false
	}
	other := false
	for _, p := range st.Snapshot.Peers {
		other = other || !l.external() && p.State == reconcile.PeerHeard && p.Status.Group(group).Ready
	}
	repair := o.flight.owned && m.Whole > 0 && m.Whole == l.held[group]
	now := time.Now()
	m.Restarts = recent(m.Restarts, now, g.RestartWindow)
	if other && !repair || len(m.Restarts) >= g.Restarts {
		return false
	}
	if !repair || !l.counted[group] {
		m.Restarts = append(m.Restarts, now)
	}
	return true
}

// stuck resets this host if a group that cannot be let go says so.
func (l *Loop) stuck(o outcome) {
	g := l.config().Group(o.group)
	if g == nil || g.OnReleaseFailure != config.RebootOnReleaseFailure || l.opt.SelfFence == nil || o.verb == "sign off" {
		return // a store that does not answer is no reason: nothing is left here
	}
	reason := fmt.Sprintf("%s cannot be let go: %v", o.group, o.err)
	l.opt.Log.Error("self-fence", "group", o.group, "reason", reason)
	l.lastWords(o.group, reason)
	l.opt.SelfFence(reason)
}

// recent keeps what lies within a window before now.
func recent(at []time.Time, now time.Time, window time.Duration) []time.Time {
	var out []time.Time
	for _, t := range at {
		if now.Sub(t) < window {
			out = append(out, t)
		}
	}
	return out
}

// postpone keeps the next attempt of a group waiting, longer every time.
func (l *Loop) postpone(group, why, verb string) {
	b := min(max(2*l.backoff[group], firstBackoff), lastBackoff)
	l.backoff[group] = b
	m := l.memory[group]
	m.Error, m.ErrorVerb, m.Retry = why, verb, time.Now().Add(b)
	l.memory[group] = m
}

// land cancels what is in flight and waits for it.
func (l *Loop) land() {
	for _, f := range l.flights {
		f.cancel(ErrStopping)
	}
	for _, f := range l.flights {
	wait:
		for {
			select {
			case <-f.ended:
				break wait
			case <-l.done: // another flight's outcome; nobody needs it any more
			}
		}
	}
}

// idle reports whether nothing of any group is held or in flight. Services stay.
func (l *Loop) idle() bool {
	for group := range l.flights {
		if group != reconcile.NodeGroup {
			return false
		}
	}
	for _, d := range l.last {
		if d.Frozen && d.Plan.Empty() {
			continue // it stays as it is, whoever looks after it
		}
		if d.AtBarrier && d.Plan.Empty() {
			continue // the rest is a reboot, and whoever ends this program sees to it
		}
		if d.Transition.To.Holds() || !d.Plan.Empty() || !d.Facts.Clean {
			return false
		}
	}
	return true
}
