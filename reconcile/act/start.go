//go:build linux || aix

package act

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"understudy/config"
	"understudy/reconcile"
)

// start starts an application and waits until its daemons are there. See
// [reconcile.Start].
func (h *Host) start(ctx context.Context, s reconcile.Start) error {
	fail := func(err error) error {
		return fmt.Errorf("cannot start %s of group %s: %w", s.App.Name, s.Group, err)
	}
	name, err := appName(s.Group, s.App.Name)
	if err != nil {
		return fail(err)
	}
	if s.App.StartLimit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, s.App.StartLimit, fmt.Errorf("its limit of %s has passed", s.App.StartLimit))
		defer cancel()
	}
	st, err := h.look(ctx, s.Group, s.App)
	if err != nil {
		return fail(fmt.Errorf("what runs of it already is unknown: %w", err))
	}
	switch up, missing := split(st); {
	case len(up) > 0 && len(missing) == 0:
		return nil
	case len(up) > 0:
		return fail(fmt.Errorf("it runs in part (%s) — stop it first", nameProcesses(processesIn(st))))
	}
	argv := s.App.Start
	if len(s.App.Run) > 0 {
		argv = s.App.Run
	}
	if len(argv) == 0 {
		return fail(errors.New("neither run nor start is declared"))
	}
	if len(s.App.Run) > 0 { // started already, and its daemons are not there yet
		if p, err := h.recorded(s.Group, s.App); err != nil || p.PID != 0 {
			if err == nil {
				err = h.awaitDaemons(ctx, s.Group, s.App, nil)
			}
			if err != nil {
				return fail(err)
			}
			return nil
		}
	}
	if len(s.App.Run) == 0 {
		// A start command of an earlier plan, or of this program before it was
		// killed, may still run: two at once, and a purge beneath the first, are worse
		// than beginning again.
		cg, err := cgroupFor(s.Group, s.App.Name)
		if err != nil {
			return fail(err)
		}
		d := &stopping{h, reconcile.Stop{Group: s.Group, App: s.App}, name, cg}
		if err := d.bySignals(ctx); err != nil {
			return fail(fmt.Errorf("an earlier start still runs: %w", err))
		}
	}
	if ctx.Err() != nil {
		return fail(context.Cause(ctx))
	}
	began := time.Now()
	l, err := h.launch(s.Group, s.App, argv, s.Environment)
	if err != nil {
		return fail(err)
	}
	if len(s.App.Run) > 0 {
		err = h.startRun(ctx, s, name, l)
	} else {
		err = h.startCommand(ctx, s, name, l)
	}
	if err != nil {
		return fail(fmt.Errorf("%s: %w", argv[0], err))
	}
	h.log.InfoContext(ctx, "application started", "group", s.Group, "app", s.App.Name, "took", time.Since(began))
	return nil
}

// startRun looks after a program that stays in the foreground.
func (h *Host) startRun(ctx context.Context, s reconcile.Start, name string, l *launched) error {
	if err := writeRecord(h.recordPath(name), l.Process); err != nil {
		endSession(l, nil) // it could not be found again
		return err
	}
	return h.awaitDaemons(ctx, s.Group, s.App, l)
}

// startCommand looks after a start command and what it leaves running.
func (h *Host) startCommand(ctx context.Context, s reconcile.Start, name string, l *launched) error {
	if l.cgroup == "" {
		if err := writeRecord(h.sessionPath(name), l.Process); err != nil {
			endSession(l, nil)
			return err
		}
	}
	// Daemons that are up when it fails are for Stop, which knows how.
	spare := func() map[int]bool {
		ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
		defer cancel()
		out := make(map[int]bool)
		if st, err := h.look(ctx, s.Group, s.App); err == nil {
			for _, p := range processesIn(st) {
				out[p.PID] = true
			}
		}
		return out
	}
	if err := h.finish(ctx, l, s.Group, s.App.Name, spare); err != nil {
		return err
	}
	return h.awaitDaemons(ctx, s.Group, s.App, nil)
}

// awaitDaemons waits until every declared daemon is there. run, if not nil, is
// the program itself: when it ends, there is nothing to wait for any more.
func (h *Host) awaitDaemons(ctx context.Context, group string, app config.Application, run *launched) error {
	var missing []string // by the last look that could see
	for step := 2 * time.Millisecond; ; step = min(step*3/2, 100*time.Millisecond) {
		ended := false
		if run != nil {
			select {
			case <-run.done:
				ended = true
			default:
			}
		}
		if ended {
			return fmt.Errorf("it has ended again (%s): %s", run.state, run.lastWords())
		}
		st, err := h.look(ctx, group, app)
		if err == nil {
			if _, missing = split(st); len(missing) == 0 {
				return nil
			}
		}
		if !pause(ctx, step) {
			if missing == nil { // a last look that was cut short says less than the one before it
				return fmt.Errorf("whether its daemons run is unknown: %w", err)
			}
			return fmt.Errorf("%s not there: %w", strings.Join(missing, ", "), context.Cause(ctx))
		}
	}
}

// verify waits until an application's daemons are there and its probe is good.
// See [reconcile.Verify].
func (h *Host) verify(ctx context.Context, s reconcile.Verify) error {
	fail := func(err error) error {
		return fmt.Errorf("cannot verify %s of group %s: %w", s.App.Name, s.Group, err)
	}
	if err := h.awaitDaemons(ctx, s.Group, s.App, nil); err != nil {
		return fail(err)
	}
	if len(s.App.Probes) == 0 {
		return nil
	}
	for _, p := range s.App.Probes {
		if err := h.awaitProbe(ctx, s.App, p); err != nil {
			return fail(err)
		}
	}
	st, err := h.look(ctx, s.Group, s.App) // a probe can outlive what it asks
	if err == nil {
		if _, missing := split(st); len(missing) > 0 {
			err = fmt.Errorf("%s ended while the probe ran", strings.Join(missing, ", "))
		}
	}
	if err != nil {
		return fail(err)
	}
	return nil
}

// awaitProbe asks one probe again and again until it is good or ctx ends.
func (h *Host) awaitProbe(ctx context.Context, app config.Application, p config.Probe) error {
	name := "probe " + p.Command[0]
	if p.Name != "" {
		name = "probe " + p.Name + " (" + p.Command[0] + ")"
	}
	var last error // of the last probe that was not cut short by the end of ctx
	for step := 5 * time.Millisecond; ; step = min(2*step, 250*time.Millisecond) {
		one, cancel := ctx, context.CancelFunc(func() {})
		if app.ProbeLimit > 0 {
			one, cancel = context.WithTimeoutCause(ctx, app.ProbeLimit, fmt.Errorf("its limit of %s has passed", app.ProbeLimit))
		}
		o, err := run(one, command{argv: p.Command, env: environment(app.Environment), max: 16 << 10})
		cancel()
		if err == nil && o.code != 0 {
			err = fmt.Errorf("%s: exit status %d: %s", name, o.code, o.says())
		}
		if err == nil {
			return nil
		}
		if ctx.Err() == nil || last == nil {
			last = err
		}
		if !pause(ctx, step) {
			return fmt.Errorf("%w (%w)", last, context.Cause(ctx))
		}
	}
}

// look reads anew what runs of an application. Without the caller's Look, a
// program that was started in the foreground is known by its record.
func (h *Host) look(ctx context.Context, group string, app config.Application) (reconcile.AppState, error) {
	out := reconcile.AppState{Group: group, App: app.Name}
	if h.opts.Look == nil && len(app.Run) > 0 {
		p, err := h.recorded(group, app)
		if err != nil {
			return out, err
		}
		out.Daemons = []reconcile.DaemonState{{Name: app.Name}}
		if p.PID != 0 {
			out.Daemons[0].Processes = []reconcile.Process{p}
		}
		return out, nil
	}
	if h.opts.Look == nil && len(app.Daemons) > 0 {
		return out, errors.New("nobody can tell what runs here")
	}
	if len(app.Daemons) > 0 {
		found := make(chan reconcile.AppState, 1)
		err := h.flights.do(ctx, "look at application "+app.Name+" of group "+group, func() error {
			states, err := h.opts.Look(ctx)
			if err != nil {
				return err
			}
			for _, st := range states {
				if st.Group == group && st.App == app.Name && len(st.Daemons) == len(app.Daemons) {
					found <- st
					return nil
				}
			}
			return fmt.Errorf("nobody looked at application %s of group %s", app.Name, group)
		}, nil)
		if err != nil {
			return out, err
		}
		out = <-found
	}
	return out, nil
}

// recorded is the program of an application that runs in the foreground, the
// zero Process if none that was started here runs.
func (h *Host) recorded(group string, app config.Application) (reconcile.Process, error) {
	name, err := appName(group, app.Name)
	if err != nil {
		return reconcile.Process{}, err
	}
	p, err := readRecord(h.recordPath(name))
	if err != nil || p.PID == 0 || !alive(p) {
		return reconcile.Process{}, err
	}
	return p, nil
}

// split tells the daemons that run from those that should and do not.
func split(st reconcile.AppState) (up, missing []string) {
	for _, d := range st.Daemons {
		if len(d.Processes) > 0 {
			up = append(up, d.Name)
		} else if !d.Optional {
			missing = append(missing, d.Name)
		}
	}
	return up, missing
}

func processesIn(st reconcile.AppState) []reconcile.Process {
	var out []reconcile.Process
	for _, d := range st.Daemons {
		out = append(out, d.Processes...)
	}
	return out
}

// nameProcesses lists processes for an error, at most eight of them.
func nameProcesses(ps []reconcile.Process) string {
	const most = 8
	var words []string
	for i, p := range ps {
		if i == most {
			words = append(words, fmt.Sprintf("and %d more", len(ps)-most))
			break
		}
		words = append(words, fmt.Sprintf("%s %d", commandOf(p.PID), p.PID))
	}
	return strings.Join(words, ", ")
}
