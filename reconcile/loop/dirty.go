package loop

import (
	"context"
	"slices"
	"time"

	"understudy/config"
	"understudy/fsm"
	"understudy/reconcile"
)

// barrierPatience is how long a node at the barrier waits before it serves again
// when the node that was to take over cannot any more. A start of DFS takes minutes,
// and one that comes and goes must not make this one start and stop.
const barrierPatience = 30 * time.Second

// recallDirty asks act what was started here that only a reboot ends, whatever the
// present file says of it. A record that cannot be read leaves open whether one is
// needed, where one may be.
func (l *Loop) recallDirty() {
	boots, err := l.opt.Actor.Dirty()
	for _, g := range l.config().Groups {
		m := l.memory[g.Name]
		was := m
		switch {
		case err == nil:
			m.Dirty, m.DirtyErr = boots[g.Name], ""
		case slices.ContainsFunc(g.Applications, needsReboot):
			m.DirtyErr = err.Error()
		}
		if sameMemory(m, was) {
			continue
		}
		l.memory[g.Name] = m
		if m.DirtyErr != was.DirtyErr && err != nil {
			l.opt.Log.Error("whether a reboot is needed is unknown", "group", g.Name, "err", err)
		}
	}
}

func needsReboot(a config.Application) bool { return a.RebootToRelease }

// dirty takes over what a decision found of an application that only a reboot ends.
func (l *Loop) dirty(g *config.Group, s *reconcile.Snapshot, d reconcile.Decision, m *reconcile.Memory) {
	*m = d.Stays(g, s, *m)
	was := l.last[g.Name]
	if was.AtBarrier && was.Transition.Event == fsm.Yield && d.Goal == reconcile.Hold {
		m.Retry = s.At.Add(barrierPatience)
		m.Error = "no other node is ready to take it any more"
	}
}

// reboots reports that a flight has come to the reboot of this host and waits for it.
func (f *flight) reboots() bool {
	n := int(f.step.Load())
	if n == 0 {
		return false
	}
	_, ok := f.plan.Steps[n-1].Step.(reconcile.Reboot)
	return ok
}

// farewell lets the others hear that this node stands at the barrier before it
// reboots: one that falls silent in the middle of its stop is fenced, and a fence may
// leave it off. A reset that must not wait does not.
func (l *Loop) farewell(ctx context.Context, r reconcile.Reboot) error {
	if r.AtOnce {
		l.lastWords(r.Group, r.Why)
		return nil
	}
	l.Kick()
	t := time.NewTimer(2 * l.config().Keepalive.Interval)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
