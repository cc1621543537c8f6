package loop

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"sync/atomic"
	"time"

	"understudy/config"
	"understudy/fsm"
	"understudy/reconcile"
	"understudy/reconcile/journal"
)

// Observer sees this host and its peers. Look reads everything anew and fills
// in all of the snapshot but Lease, Store, Memory and Stopping.
type Observer interface {
	Look(ctx context.Context) reconcile.Snapshot
	Changes() <-chan struct{}
}

// Actor carries out a step and returns when its postcondition was verified.
type Actor interface {
	Do(ctx context.Context, s reconcile.Step) error
	// SavedHostname is the host name that is to be put back, "" if none is.
	SavedHostname() string
	// Dirty is, by group, the boot in which an application was started that only a
	// reboot of this host ends.
	Dirty() (map[string]string, error)
}

// Lease is the keeper of this node's lease.
type Lease interface {
	Lease() reconcile.Lease
	View() reconcile.Seen[reconcile.StoreView]
	Changes() <-chan struct{}
}

// Journal keeps the record.
type Journal interface {
	Append(journal.Record) error
}

// Guard is the watchdog of this host.
type Guard interface {
	// Begin is called before each step on shared storage. The error is why it must
	// not begin.
	Begin() error
	// Holding is told after every pass what this host holds.
	Holding(reconcile.Holding)
}

// Why a plan in flight was cancelled.
var (
	ErrLeaseLost   = errors.New("the lease of this node is lost")
	ErrGoalChanged = errors.New("the group is wanted otherwise by now")
	ErrStopping    = errors.New("understudy is stopping")
	ErrNoTime      = errors.New("there is no time for a hook any more")
	// ErrShortLease is not final: the next renewal makes room for the step.
	ErrShortLease = errors.New("too little is left of the lease")
	// ErrUnguarded is not final either: the watchdog may be armed by the next attempt.
	ErrUnguarded = errors.New("no watchdog guards this host")
)

// resync is the slow full look that always runs, whatever triggers say.
const resync = 10 * time.Second

// Options is what a Loop is made of. All but StateDir, Announce, Guard, SelfFence and
// LastWords are needed.
type Options struct {
	Config   *config.Config
	Node     string
	Observer Observer
	Actor    Actor
	Lease    Lease
	Journal  Journal
	Log      *slog.Logger
	StateDir string                     // where what must survive a restart is kept; "": nothing is
	Announce func(reconcile.NodeStatus) // told after every pass; nil: nobody is
	Guard    Guard                      // asked before every step on shared storage; nil: nobody is
	// SelfFence resets this host at once. It is called when a group that declares
	// it cannot be let go; nil: the group stays blocked.
	SelfFence func(reason string)
	// LastWords makes sure, in a bounded time, that a reason outlives this host: it is
	// called before a reset that writes nothing back. Nil: the reason is only recorded.
	LastWords func(group, reason string)
	// Adopt is told every configuration that is put in force by a change, in the loop's
	// goroutine, before the next look; nil: nobody is.
	Adopt func(*config.Config)
}

// Loop owns the state of one node. Only Run's goroutine touches the fields
// below the channels.
type Loop struct {
	opt  Options
	done chan outcome
	call chan func()
	kick chan struct{}

	memory   map[string]reconcile.Memory
	saved    map[string]kept // what of memory is on disk
	flights  map[string]*flight
	heard    map[string]reconcile.LastWord // by peer: the last that it said of its own end
	held     map[string]uint64             // group -> epoch in which this node last held it
	last     map[string]reconcile.Decision
	backoff  map[string]time.Duration
	cleaned  map[string]string           // fingerprint of the last letting go that ran to its end
	counted  map[string]bool             // the plan in flight was counted as a restart when it began
	byHand   map[string][]reconcile.Step // steps of a frozen group that left no trace, see reconcile.ByHand
	handErr  map[string]error            // of the last step by hand
	renewed  map[string]bool             // groups whose next start is one of a changed file, and no restart
	had      map[string]bool             // groups of which this run has taken something up, until they are clean
	touched  map[string]bool             // groups that this run has held, until their release was proved
	read     bool                        // the store has been read since this program began
	running  context.Context             // of Run: flights outlive who asked for them
	stopping string
	change   *change // on its way, nil if none is
	state    atomic.Pointer[State]
	cfg      atomic.Pointer[config.Config] // see config

	servicesWhy string  // of the last plan of the services, "" before the first
	notices     notices // told since this program began
	events      events
}

// State is what the last pass found. It is never changed after it is published.
type State struct {
	Snapshot  reconcile.Snapshot
	Decisions map[string]reconcile.Decision
	Flights   map[string]Flight // by group; NodeGroup for the services
	Services  reconcile.Services
	Notices   map[string]Notice // the latest by group
	Hooks     HookQueue         // hooks without a group
	Changing  string            // what is still done for a changed file, "" if nothing
}

// Flight is how far a plan has got.
type Flight struct {
	Plan  reconcile.Plan
	N     int // the step that runs now, from 1
	Since time.Time
}

// New makes a loop. Nothing runs before Run.
func New(opt Options) *Loop {
	l := &Loop{
		opt: opt, done: make(chan outcome), call: make(chan func()), kick: make(chan struct{}, 1),
		memory: map[string]reconcile.Memory{}, flights: map[string]*flight{}, heard: map[string]reconcile.LastWord{}, held: map[string]uint64{},
		last: map[string]reconcile.Decision{}, backoff: map[string]time.Duration{}, cleaned: map[string]string{}, counted: map[string]bool{},
		byHand: map[string][]reconcile.Step{}, handErr: map[string]error{}, had: map[string]bool{}, touched: map[string]bool{}, renewed: map[string]bool{},
	}
	l.cfg.Store(opt.Config)
	l.restore()
	return l
}

// Kick asks for a pass soon. It never blocks; kicks that meet a waiting kick
// merge.
func (l *Loop) Kick() {
	select {
	case l.kick <- struct{}{}:
	default:
	}
}

// State is what the last pass found, nil before the first.
func (l *Loop) State() *State { return l.state.Load() }

// do runs f in the loop's goroutine, between two passes.
func (l *Loop) do(ctx context.Context, f func()) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	ran := make(chan struct{})
	select {
	case l.call <- func() { f(); close(ran) }:
		<-ran
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Stop makes the node leave: it hands over what it holds and takes nothing, and
// Run returns when nothing is left or ctx of Run ends.
func (l *Loop) Stop(ctx context.Context, reason string) error {
	return l.do(ctx, func() { l.stopping = reason })
}

// Clear forgets that this node failed a group, so that it may take it again.
func (l *Loop) Clear(ctx context.Context, group string) error {
	return l.ClearAt(ctx, group, time.Time{})
}

// ClearAt is Clear of an order that all nodes will hear of: when it arrives here
// through the store, with the same time, nothing is forgiven a second time.
func (l *Loop) ClearAt(ctx context.Context, group string, at time.Time) error {
	return l.do(ctx, func() {
		if !at.IsZero() {
			m := l.memory[group]
			m.Cleared = at
			l.memory[group] = m
		}
		l.forgive(group)
	})
}

// Run passes until ctx ends or, after Stop, until nothing is held. A plan in
// flight is cancelled and waited for before it returns; the service itself is
// left as it is.
func (l *Loop) Run(ctx context.Context) error {
	l.running = ctx
	defer l.land()
	defer l.events.start(ctx, l)()
	slow := time.NewTicker(resync)
	defer slow.Stop()
	for {
		next := l.pass(ctx)
		if l.stopping != "" && l.idle() {
			return nil
		}
		wake := time.NewTimer(next)
		select {
		case <-ctx.Done():
			wake.Stop()
			return nil
		case <-l.opt.Observer.Changes():
		case <-l.opt.Lease.Changes():
		case <-l.kick:
		case <-slow.C:
		case <-wake.C:
		case f := <-l.call:
			f()
		case o := <-l.done:
			l.finished(o)
		}
		wake.Stop()
	}
}

// pass is one look and one decision for every group. It returns how long the
// next pass may wait if nothing happens.
func (l *Loop) pass(ctx context.Context) time.Duration {
	snap := l.opt.Observer.Look(ctx)
	snap.Lease = l.opt.Lease.Lease()
	if !snap.Lease.Until.IsZero() && snap.Lease.Left(time.Now()) == 0 {
		snap.Lease.Until = snap.At // it ran out while we looked
	}
	snap.Store = l.opt.Lease.View()
	if l.external() {
		snap.Store = reconcile.Observed(l.config(), &snap)
	}
	snap.Stopping = l.stopping
	l.heed(&snap)
	l.recallHostname()
	l.recallDirty()
	snap.Memory = maps.Clone(l.memory)
	if l.settle(&snap) {
		l.Kick()
		return resync
	}

	next := resync
	sooner := func(d time.Duration) {
		if d > 0 && d < next {
			next = d
		}
	}
	sooner(snap.Lease.Left(snap.At))
	status := reconcile.NodeStatus{ConfigHash: l.config().Hash, Lease: snap.Lease.Left(snap.At) > 0, Stopping: l.stopping != "", Speaks: reconcile.Protocol, Changing: l.changing()}
	status.Networks, status.Lost = reconcile.NetworksUp(l.config(), &snap), reconcile.AdaptersLost(l.config(), &snap)
	services := reconcile.DecideServices(l.config(), &snap)
	sooner(l.services(ctx, &snap, services))
	l.events.look(l, &snap)
	l.overhear(&snap)
	decisions := map[string]reconcile.Decision{}
	for i := range l.config().Groups {
		g := &l.config().Groups[i]
		if g.Priority(l.opt.Node) < 0 {
			continue
		}
		d := reconcile.Decide(l.config(), g, &snap)
		decisions[g.Name] = d
		if l.change != nil {
			l.change.seen[g.Name] = d.Transition.Event
		}
		l.follow(ctx, g, &snap, d)
		status.Groups = append(status.Groups, d.Status)
		sooner(l.memory[g.Name].Retry.Sub(snap.At))
		sooner(l.listening(g.Name, snap.At))
		if left, limited := reconcile.UnreadLeft(g, l.memory[g.Name], snap.At); limited {
			sooner(left)
		}
		if left := g.Settle - snap.At.Sub(snap.Since); left > 0 {
			sooner(left + time.Millisecond)
		}
	}
	status.HoldsNothing = l.guard(&snap, decisions) == reconcile.HoldsNothing
	l.publish(snap, decisions, services)
	if l.opt.Announce != nil {
		l.opt.Announce(status)
	}
	return next
}

// follow takes over what one decision found: the role, what is remembered, and
// the plan.
func (l *Loop) follow(ctx context.Context, g *config.Group, s *reconcile.Snapshot, d reconcile.Decision) {
	m := l.memory[g.Name]
	claim := s.Store.Value.Claims[g.Name]
	switch d.Transition.Event {
	case fsm.Held:
		delete(l.renewed, g.Name)
		whole := m.Whole == claim.Epoch
		// What is here and to be claimed anew waits after a failure as any other plan.
		if l.last[g.Name].Transition.Event != fsm.Held || d.Plan.Empty() {
			if !whole || m.Error != "" {
				l.note(g.Name, "everything is up", d)
			}
			m.Error, m.ErrorVerb, m.Retry = "", "", time.Time{}
			l.backoff[g.Name] = 0
		}
		m.Whole, l.held[g.Name] = claim.Epoch, claim.Epoch
		if claim.Rehearsal == reconcile.RehearseOne && !whole {
			l.Kick() // it has passed: the next pass lets it go
		}
	case fsm.Broken:
		l.held[g.Name] = claim.Epoch
	case fsm.LeaseLost:
		if m.Role.Holds() {
			m.Lost = l.held[g.Name]
		}
		if l.last[g.Name].Transition.Event != fsm.LeaseLost {
			m.Retry, l.backoff[g.Name] = time.Time{}, 0 // letting go now waits for nothing
		}
	}
	if !d.Frozen {
		delete(l.byHand, g.Name)
	}
	l.dirty(g, s, d, &m)
	l.unread(g, s, d, &m)
	m = l.recall(g, s, d, m)
	if d.Facts.Clean {
		m.Stuck = "" // it has been let go after all
	}
	if d.Transition.Changed() {
		m.Role = d.Transition.To
		l.transition(g, d)
	}
	if changed := !sameMemory(m, l.memory[g.Name]); changed {
		l.memory[g.Name] = m
		l.persist()
	}
	if d.Transition.Event != l.last[g.Name].Transition.Event && !d.Transition.Changed() {
		l.seen(g, d)
	}
	l.last[g.Name] = d
	l.steer(ctx, g, s, d)
}

// Try forgets the waiting after a failed plan of a group, so that the next pass
// begins it at once, and returns when no plan of the group is in flight; the
// error is that of the plan.
func (l *Loop) Try(ctx context.Context, group string) error {
	if err := l.do(ctx, func() {
		m := l.memory[group]
		m.Retry = time.Time{}
		l.memory[group] = m
	}); err != nil {
		return err
	}
	for {
		var f *flight
		var failure string
		// The pass after the first call has begun what there is to begin; the
		// second call runs behind it.
		if err := l.do(ctx, func() { f, failure = l.flights[group], l.memory[group].Error }); err != nil {
			return err
		}
		if f == nil {
			if failure != "" {
				return errors.New(failure)
			}
			return nil
		}
		select {
		case <-f.ended:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
