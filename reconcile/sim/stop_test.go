package sim

import (
	"context"
	"time"

	"understudy/config"
	"understudy/reconcile"
)

// started is what the program does when it has started: groups that were to be down
// with it may be taken again.
func (p *process) started(ctx context.Context) {
	for ctx.Err() == nil {
		if st := p.loop.State(); st != nil && st.Snapshot.Store.OK() && st.Snapshot.Stopping == "" && p.ends(ctx, st.Snapshot.Store.Value) {
			return
		}
		wait(ctx, 100*time.Millisecond)
	}
}

func (p *process) ends(ctx context.Context, v reconcile.StoreView) bool {
	for _, g := range p.h.w.cfg.Groups {
		key := reconcile.OrderKey(reconcile.Stopped, g.Name)
		if q, ok := v.Requests[key]; !ok || q.By != p.h.name || q.At.After(p.began) {
			continue
		}
		if p.withdraw(ctx, key) != nil {
			return false
		}
	}
	return true
}

// told stops the program as a person or a shutdown does.
func (p *process) told(mode config.StopMode, again time.Duration) {
	w := p.h.w
	w.mu.Lock()
	if p.dead || p.leaves {
		w.mu.Unlock()
		return
	}
	p.leaves, p.again = true, again
	w.say("person", "stops understudy on %s: %s", p.h.name, mode)
	w.mu.Unlock()
	w.count("stops: " + string(mode))
	ctx, cancel := context.WithTimeout(context.WithValue(context.Background(), caller{}, "stop"), 5*time.Second)
	defer cancel()
	switch mode {
	case config.StopLeave:
		w.mu.Lock()
		p.away = true
		s := p.status
		w.mu.Unlock()
		p.announce(s)
		p.quits()
		return
	case config.StopAll:
		st := p.loop.State()
		for _, g := range w.cfg.Groups {
			if st == nil {
				break
			}
			if c := st.Snapshot.Store.Value.Claims[g.Name]; c.Holder == p.h.name && !c.Released {
				p.order(ctx, reconcile.Request{To: g.Name, Order: reconcile.Stopped, By: p.h.name, Epoch: c.Epoch, Lasts: reconcile.UntilCleared})
			}
		}
	}
	in, done := context.WithTimeout(context.Background(), 5*time.Second)
	defer done()
	_ = p.loop.Stop(in, "told to stop")
}
