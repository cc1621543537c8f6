//go:build linux || aix

package act

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"understudy/config"
	"understudy/reconcile"
)

// stopping is one application on its way down.
type stopping struct {
	h      *Host
	step   reconcile.Stop
	name   string
	cgroup cgroup
}

// stop stops an application: by its own stop command (or SIGTERM to the program
// in the foreground), then SIGTERM, then SIGKILL to what is left of its daemons
// and its cgroup. See [reconcile.Stop]. Something it cannot read is no proof that
// nothing is left. The ports that its daemons bound are free again.
func (h *Host) stop(ctx context.Context, s reconcile.Stop) error {
	fail := func(err error) error {
		return fmt.Errorf("cannot stop %s of group %s: %w", s.App.Name, s.Group, err)
	}
	name, err := appName(s.Group, s.App.Name)
	if err != nil {
		return fail(err)
	}
	cg, err := cgroupFor(s.Group, s.App.Name)
	if err != nil {
		return fail(err)
	}
	d := &stopping{h, s, name, cg}
	began := time.Now()
	left, lerr := d.left(ctx)
	blind := len(s.App.Daemons) == 0 && len(s.App.Run) == 0 && len(s.App.Stop) > 0
	if lerr == nil && len(left) == 0 && !blind {
		return d.forget()
	}
	for _, p := range left {
		if ancestors()[p.PID] {
			return fail(fmt.Errorf("its declaration matches pid %d (%s), which is this program, its parent or process 1 — correct daemons in the file", p.PID, commandOf(p.PID)))
		}
	}
	perr := d.politely(ctx, left)
	if ctx.Err() != nil { // called off: what still runs is left as it is
		return fail(errors.Join(context.Cause(ctx), perr))
	}
	if err := d.bySignals(ctx); err != nil {
		return fail(errors.Join(err, perr))
	}
	if perr != nil && blind { // its exit status is all there is to go by
		return fail(perr)
	}
	if err := h.awaitPortsFree(ctx, s.Group, s.App); err != nil {
		return fail(err)
	}
	if err := d.forget(); err != nil {
		return fail(err)
	}
	h.log.InfoContext(ctx, "application stopped", "group", s.Group, "app", s.App.Name, "took", time.Since(began))
	return nil
}

// politely runs the stop command, or sends SIGTERM to the program, and gives the
// daemons until the stop limit, but always leaves time for the ladder. An error
// says that the command failed; the daemons may be gone all the same.
func (d *stopping) politely(ctx context.Context, left []reconcile.Process) error {
	app := d.step.App
	limit := app.StopLimit
	if limit <= 0 {
		limit = 10 * time.Second
	}
	ctx, cancel := share(ctx, 3, 5, limit)
	defer cancel()
	if len(app.Stop) > 0 {
		l, err := d.h.launch(d.step.Group, app, app.Stop, d.step.Environment)
		if err == nil {
			err = d.h.finish(ctx, l, d.step.Group, app.Name, nil)
		}
		if err != nil {
			d.h.log.WarnContext(ctx, "stop command failed, signals follow", "group", d.step.Group, "app", app.Name, "err", err)
			return fmt.Errorf("%s: %w", app.Stop[0], err)
		}
	} else {
		d.send(ctx, left, unix.SIGTERM)
	}
	// What the daemons were when it began; others are for the signals.
	awaitEnd(ctx, left)
	return nil
}

// bySignals ends what is left, and returns nil only when nothing is.
func (d *stopping) bySignals(ctx context.Context) error {
	left, err := d.left(ctx)
	if err == nil && len(left) == 0 {
		return nil
	}
	d.send(ctx, left, unix.SIGTERM)
	polite, cancel := share(ctx, 1, 2, 5*time.Second)
	awaitEnd(polite, left)
	cancel()
	for step := 2 * time.Millisecond; ; step = min(2*step, 100*time.Millisecond) {
		left, err = d.left(ctx)
		if err == nil && len(left) == 0 {
			return nil
		}
		if ctx.Err() != nil {
			break
		}
		d.send(ctx, left, unix.SIGKILL)
		if kerr := d.cgroup.kill(ctx); kerr != nil {
			err = errors.Join(err, kerr)
		}
		if !pause(ctx, step) {
			break
		}
	}
	if len(left) > 0 {
		return fmt.Errorf("%s left after SIGTERM and SIGKILL: %w — find what it waits for in the kernel", nameProcesses(left), errors.Join(context.Cause(ctx), err))
	}
	return fmt.Errorf("whether anything of it still runs is unknown: %w", errors.Join(err, context.Cause(ctx)))
}

// send signals processes that were identified. One that could not be signalled
// is still there when it is looked for again.
func (d *stopping) send(ctx context.Context, ps []reconcile.Process, sig unix.Signal) {
	spared := ancestors()
	for _, p := range ps {
		if spared[p.PID] {
			continue
		}
		if err := signal(p, sig); err != nil {
			d.h.log.WarnContext(ctx, "process could not be signalled", "group", d.step.Group, "app", d.step.App.Name, "pid", p.PID, "err", err)
		}
	}
}

// left lists what of the application runs: the processes that its declaration
// matches, those in its cgroup, and, where there is no cgroup, those of its
// recorded session. An error says what could not be read.
func (d *stopping) left(ctx context.Context) ([]reconcile.Process, error) {
	st, err1 := d.h.look(ctx, d.step.Group, d.step.App)
	out := processesIn(st)
	inGroup, err2 := d.cgroup.processes()
	out = append(out, inGroup...)
	populated, err3 := d.cgroup.populated()
	if err3 == nil && populated && len(inGroup) == 0 {
		err3 = fmt.Errorf("cgroup %s is populated, and by whom is not visible", d.cgroup)
		if again, err := d.cgroup.populated(); err == nil && !again {
			err3 = nil
		}
	}
	var err4 error
	for _, path := range []string{d.h.recordPath(d.name), d.h.sessionPath(d.name)} {
		leader, err := readRecord(path)
		if err != nil {
			err4 = errors.Join(err4, err)
			continue
		}
		ours, doubt, err := sessionMembers(leader, d.h.logPath(d.name))
		out = append(out, ours...)
		err4 = errors.Join(err4, err)
		if len(doubt) > 0 {
			err4 = errors.Join(err4, fmt.Errorf("%s may be of it and may be others' — look, and stop them by hand", nameProcesses(doubt)))
		}
	}
	slices.SortFunc(out, func(a, b reconcile.Process) int { return a.PID - b.PID })
	out = slices.CompactFunc(out, func(a, b reconcile.Process) bool { return a.PID == b.PID && a.Start == b.Start })
	return out, errors.Join(err1, err2, err3, err4)
}

// forget removes the cgroup and the records of an application that has stopped.
func (d *stopping) forget() error {
	errs := []error{d.cgroup.remove()}
	for _, path := range []string{d.h.recordPath(d.name), d.h.sessionPath(d.name)} {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, fmt.Errorf("cannot remove the record %s: %w", path, err))
		}
	}
	return errors.Join(errs...)
}

// mustBeDown reports what runs of an application, by the same looking that a stop
// goes by.
func (h *Host) mustBeDown(ctx context.Context, group string, app config.Application) error {
	name, err := appName(group, app.Name)
	if err != nil {
		return err
	}
	cg, err := cgroupFor(group, app.Name)
	if err != nil {
		return err
	}
	d := &stopping{h, reconcile.Stop{Group: group, App: app}, name, cg}
	left, err := d.left(ctx)
	if err != nil {
		return fmt.Errorf("whether %s runs is unknown: %w", app.Name, err)
	}
	if len(left) > 0 {
		return fmt.Errorf("%s of %s runs — stop it first", nameProcesses(left), app.Name)
	}
	return nil
}
