package loop

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"understudy/reconcile"
	"understudy/reconcile/journal"
)

// queueLimit bounds the hooks without a group that wait for their turn. A hook that
// hangs until its limit must not pile up all that happens meanwhile.
const queueLimit = 64

// HookQueue is how it stands with the hooks without a group.
type HookQueue struct {
	Waiting int // behind the one that runs
	Dropped int // because too many waited, since this program began
}

// events tells hooks without a group what changes between two looks: one at a time,
// in order, and holding up nothing. The first look is no change.
type events struct {
	last    reconcile.Sighting
	wait    chan reconcile.RunHook
	waiting atomic.Int64
	dropped int
}

// start lets hooks run until ctx ends; the returned function waits for the last.
func (e *events) start(ctx context.Context, l *Loop) (stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	e.wait = make(chan reconcile.RunHook, queueLimit)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-ctx.Done():
				return
			case h := <-e.wait:
				e.waiting.Add(-1)
				l.runHook(ctx, h)
			}
		}
	}()
	return func() { cancel(ErrStopping); <-ended }
}

// look compares what is seen with the last look.
func (e *events) look(l *Loop, s *reconcile.Snapshot) {
	var changes []reconcile.Change
	e.last, changes = reconcile.Sight(l.config(), e.last, s)
	for _, ch := range changes {
		for _, h := range reconcile.ChangeHooks(l.config(), l.opt.Node, ch) {
			e.waiting.Add(1)
			select {
			case e.wait <- h:
			default:
				e.waiting.Add(-1)
				e.dropped++
				l.opt.Log.Error("hook dropped", "hook", h.Hook.Name, "event", string(ch.Event), "reason", ch.Why, "dropped", e.dropped)
				l.append(journal.Record{
					Kind: journal.Note, Group: reconcile.NodeGroup,
					Why: fmt.Sprintf("hook %s was not run: %d others wait; dropped so far: %d (%s)", h.Hook.Name, queueLimit, e.dropped, ch.Why),
				})
			}
		}
	}
}

func (e *events) queue() HookQueue {
	return HookQueue{Waiting: int(e.waiting.Load()), Dropped: e.dropped}
}

// runHook runs one hook without a group and records it.
func (l *Loop) runHook(ctx context.Context, h reconcile.RunHook) {
	sp := h.Spec()
	began := time.Now()
	err := l.step(ctx, reconcile.NodeGroup, h, sp)
	rec := journal.Record{
		Kind: journal.Done, Group: reconcile.NodeGroup, Event: string(h.Hook.Event), Step: sp.Verb + " " + sp.Object, N: 1, Of: 1,
		Took: time.Since(began), Why: h.Environment[len(h.Environment)-1].Value,
	}
	if err != nil {
		rec.Kind, rec.Err = journal.Failed, err.Error()
		l.opt.Log.Warn("hook failed", "hook", h.Hook.Name, "event", string(h.Hook.Event), "took", rec.Took, "err", err)
	}
	l.append(rec)
}
