package daemons

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"understudy/config"
	"understudy/observers/trigger"
	"understudy/reconcile"
)

// pauseLimit bounds the wait for a probe that was killed.
const pauseLimit = 3 * time.Second

// name is an application of a group.
type name struct{ group, app string }

// Prober runs the probes of applications whose daemons all run, each at its
// interval and never two of one application at once. Make one with [NewProber].
type Prober struct {
	fire func()
	log  *slog.Logger
	poke trigger.Trigger

	mu       sync.Mutex // guards all that follows
	want     map[name]*target
	paused   map[name]bool
	running  map[name]*runner
	verdicts map[name]verdict
}

// target is an application that is to be probed.
type target struct {
	app       config.Application
	processes []identity // another set of processes is another start
}

func (t *target) same(o *target) bool {
	return slices.Equal(t.processes, o.processes) &&
		slices.EqualFunc(t.app.Probes, o.app.Probes, func(x, y config.Probe) bool { return x.Name == y.Name && slices.Equal(x.Command, y.Command) }) &&
		slices.Equal(t.app.Environment, o.app.Environment) &&
		t.app.ProbeFailures == o.app.ProbeFailures && t.app.ProbeOf == o.app.ProbeOf &&
		t.app.ProbeLimit == o.app.ProbeLimit && t.app.ProbeInterval == o.app.ProbeInterval
}

// runner is the goroutine that probes one application.
type runner struct {
	target *target
	stop   context.CancelFunc
	done   chan struct{} // closed when no probe runs any more
}

// NewProber returns a prober with nothing to probe. fire is called when a
// verdict changes.
func NewProber(fire func(), log *slog.Logger) *Prober {
	return &Prober{
		fire: fire, log: log, poke: trigger.New(),
		want: make(map[name]*target), paused: make(map[name]bool),
		running: make(map[name]*runner), verdicts: make(map[name]verdict),
	}
}

// Set says what the last look found, and fills in the verdicts. An application
// is probed while it declares a probe and an interval, has daemons, and all of
// them run. A verdict is forgotten when its application was started anew.
func (p *Prober) Set(cfg *config.Config, states []reconcile.AppState) {
	apps := make(map[name]config.Application)
	for _, g := range cfg.Groups {
		for _, a := range g.Applications {
			apps[name{g.Name, a.Name}] = a
		}
	}
	for _, sv := range cfg.Services {
		apps[name{reconcile.NodeGroup, sv.Name}] = sv.Application
	}
	want := make(map[name]*target)
	for _, st := range states {
		n := name{st.Group, st.App}
		if a, ok := apps[n]; ok {
			if t := eligible(a, st); t != nil {
				want[n] = t
			}
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	moved := len(want) != len(p.want)
	for n, t := range want {
		if old := p.want[n]; old == nil || !old.same(t) {
			moved = true
			delete(p.verdicts, n)
		}
	}
	for n := range p.want {
		if want[n] == nil {
			moved = true
			delete(p.verdicts, n)
		}
	}
	p.want = want
	for i := range states {
		v := p.verdicts[name{states[i].Group, states[i].App}]
		states[i].Probe, states[i].ProbeErr, states[i].Doubt = v.probe, v.why, v.doubt
	}
	if moved {
		p.poke.Fire()
	}
}

func eligible(a config.Application, s reconcile.AppState) *target {
	if len(a.Probes) == 0 || a.ProbeInterval <= 0 || len(s.Daemons) == 0 {
		return nil
	}
	t := &target{app: a}
	for _, d := range s.Daemons {
		if len(d.Processes) == 0 && !d.Optional {
			return nil
		}
		for _, q := range d.Processes {
			t.processes = append(t.processes, identity{q.PID, q.Start})
		}
	}
	return t
}

// Pause stops probing an application until [Prober.Resume]. A probe that runs is
// killed, and has ended when Pause returns unless the kernel cannot end it
// within [pauseLimit]. The last verdict is forgotten.
func (p *Prober) Pause(group, app string) {
	n := name{group, app}
	p.mu.Lock()
	p.paused[n] = true
	delete(p.verdicts, n)
	r := p.running[n]
	p.mu.Unlock()
	if r == nil {
		return
	}
	r.stop()
	limit := time.NewTimer(pauseLimit)
	defer limit.Stop()
	select {
	case <-r.done:
	case <-limit.C:
		p.log.Warn("probe did not end when it was killed", "group", group, "app", app)
	}
}

// Resume ends a pause; without one it does nothing. The first probe runs at once.
func (p *Prober) Resume(group, app string) {
	p.mu.Lock()
	delete(p.paused, name{group, app})
	p.mu.Unlock()
	p.poke.Fire()
}

// Run probes until ctx ends, and returns when no probe runs any more.
func (p *Prober) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var group sync.WaitGroup
	defer group.Wait()
	defer cancel()
	for {
		p.arrange(ctx, &group)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-p.poke:
		}
	}
}

// arrange stops the runners that are not wanted as they are, and starts those
// that are wanted and do not run. A runner that was stopped fires poke when its
// probe has ended, so that its successor starts only then.
func (p *Prober) arrange(ctx context.Context, group *sync.WaitGroup) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for n, r := range p.running {
		if t := p.want[n]; t == nil || p.paused[n] || !t.same(r.target) {
			r.stop()
		}
	}
	for n, t := range p.want {
		if p.running[n] != nil || p.paused[n] || ctx.Err() != nil {
			continue
		}
		one, stop := context.WithCancel(ctx)
		r := &runner{target: t, stop: stop, done: make(chan struct{})}
		p.running[n] = r
		group.Go(func() {
			defer stop()
			p.probe(one, n, r)
			p.mu.Lock()
			delete(p.running, n)
			p.mu.Unlock()
			close(r.done)
			p.poke.Fire()
		})
	}
}

// probe runs one application's probe at its interval until ctx ends.
func (p *Prober) probe(ctx context.Context, n name, r *runner) {
	pause := time.NewTimer(0)
	defer pause.Stop()
	seen := tally{least: r.target.app.ProbeFailures, of: r.target.app.ProbeOf}
	for {
		select {
		case <-ctx.Done():
			return
		case <-pause.C:
		}
		began := time.Now()
		tell := func(v verdict) {
			if p.tell(ctx, n, v) {
				p.fire()
				p.log.InfoContext(ctx, "probe verdict changed", "group", n.group, "app", n.app,
					"good", v.probe == reconcile.ProbeGood, "reason", cmp.Or(v.why, v.doubt), "took", time.Since(began))
			}
		}
		// One that hangs is bad at once: no other comes that could count.
		v, ok := run(ctx, &r.target.app, tell)
		if !ok {
			return
		}
		tell(seen.add(v))
		pause.Reset(r.target.app.ProbeInterval)
	}
}

// tell records a verdict and reports whether it is news.
func (p *Prober) tell(ctx context.Context, n name, v verdict) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if errors.Is(ctx.Err(), context.Canceled) || p.paused[n] {
		return false
	}
	old := p.verdicts[n]
	p.verdicts[n] = v
	return old != v
}
