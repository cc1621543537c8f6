//go:build linux || aix

package act

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"understudy/reconcile"
)

// runHook runs a hook and waits for its end. When ctx or its limit ends first,
// the hook and all that it has started are killed at once: a letting go may be
// waiting. What a hook leaves running when it ends by itself is left alone, as it
// may have started the service. See [reconcile.RunHook].
func (h *Host) runHook(ctx context.Context, s reconcile.RunHook) error {
	group := cmp.Or(s.Group, reconcile.NodeGroup)
	fail := func(err error) error {
		return fmt.Errorf("cannot run hook %s (%s-%s): %w", s.Hook.Name, s.Hook.When, s.Hook.Event, err)
	}
	if s.Hook.Limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, s.Hook.Limit, fmt.Errorf("its limit of %s has passed", s.Hook.Limit))
		defer cancel()
	}
	name, err := appName(group, "hook-"+s.Hook.Name)
	if err != nil {
		return fail(err)
	}
	// A cgroup for this run alone: what an earlier run left behind is not this one's
	// to kill.
	cg, err := cgroupFor(group, fmt.Sprintf("hook-%s.%d-%d", s.Hook.Name, os.Getpid(), h.hooks.Add(1)))
	if err != nil {
		return fail(err)
	}
	began := time.Now()
	l, err := h.launchAs(name, cg, s.Hook.Command, environment(s.Environment))
	if err != nil {
		return fail(err)
	}
	defer func() { _ = l.cgroup.remove() }() // fails while something is left running
	select {
	case <-l.done:
	case <-ctx.Done():
		err := l.killAll()
		return fail(errors.Join(fmt.Errorf("it was killed: %w; %s", context.Cause(ctx), l.lastWords()), err))
	}
	if h.opts.OnOutput != nil {
		for _, line := range l.output() {
			h.opts.OnOutput(group, "hook-"+s.Hook.Name, line)
		}
	}
	switch code := l.state.ExitCode(); {
	case code > 0:
		return fail(fmt.Errorf("exit status %d: %s", code, l.lastWords()))
	case code < 0:
		return fail(fmt.Errorf("%s: %s", l.state, l.lastWords()))
	}
	h.log.InfoContext(ctx, "hook ran", "group", group, "hook", s.Hook.Name, "event", string(s.Hook.Event), "when", string(s.Hook.When), "took", time.Since(began))
	return nil
}

// killLimit bounds the wait for what was killed.
const killLimit = 2 * time.Second

// killAll ends a command and all that it has started, without asking: its cgroup,
// and its session where it has none.
func (l *launched) killAll() error {
	ctx, cancel := context.WithTimeout(context.Background(), killLimit)
	defer cancel()
	err := l.cgroup.kill(ctx)
	if kerr := unix.Kill(-l.PID, unix.SIGKILL); kerr != nil && !errors.Is(kerr, unix.ESRCH) {
		err = errors.Join(err, kerr)
	}
	if l.cgroup == "" {
		ps, _, serr := sessionMembers(l.Process, l.log)
		err = errors.Join(err, serr)
		for _, p := range ps {
			err = errors.Join(err, signal(p, unix.SIGKILL))
		}
	}
	for step := time.Millisecond; ; step = min(2*step, 50*time.Millisecond) {
		ended := false
		select {
		case <-l.done:
			ended = true
		default:
		}
		if left, perr := l.cgroup.populated(); ended && perr == nil && !left {
			return err
		}
		if !pause(ctx, step) {
			return errors.Join(err, fmt.Errorf("pid %d or what it started still hangs after a kill", l.PID))
		}
	}
}

// notify tells people what they must do again, in the log; the record of the plan
// has the text as well. See [reconcile.Notify].
func (h *Host) notify(ctx context.Context, s reconcile.Notify) {
	h.log.WarnContext(ctx, "notice", "group", s.Group, "app", s.App, "text", s.Text)
}
