package sim

import (
	"context"
	"slices"
	"strings"
	"time"

	"understudy/config"
	"understudy/reconcile"
)

// order is one that a node was told and that the store has taken.
type order struct {
	kind         reconcile.Order
	object, by   string
	since, until time.Time
}

// binds reports whether every node that can read the store must know of it by now: a
// view is believed for a ttl, and a fence that was begun before is carried out.
func (o order) binds(w *world) bool {
	now := time.Now()
	return now.Sub(o.since) > 2*w.cfg.Lease.TTL+15*time.Second && now.Before(o.until)
}

// forbids reports whether a node must not take a claim as long as an order is in force.
func (o order) forbids(h *host, t reconcile.TakeClaim) bool {
	switch o.kind {
	case reconcile.Freeze:
		return o.object == t.Group
	case reconcile.Drain:
		return o.object == h.name
	case reconcile.Stopped:
		return o.object == t.Group && t.Pinned == ""
	}
	return false
}

// order gives one, as the verbs do.
func (p *process) order(ctx context.Context, q reconcile.Request) {
	w := p.h.w
	q.Group, q.At = reconcile.OrderKey(q.Order, q.To), time.Now().UTC().Round(0)
	until := time.Now().Add(q.Lasts)
	if q.Order == reconcile.Clear {
		w.mu.Lock()
		w.clears[q.To], w.overs[q.To] = max(w.clears[q.To], q.Epoch), nil
		w.mu.Unlock()
	}
	if p.keeper.Ask(ctx, q) != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.say(q.By, "%s %s", q.Order, q.To)
	w.count("orders: " + string(q.Order))
	if q.Order != reconcile.Clear {
		w.orders[q.Group] = order{kind: q.Order, object: q.To, by: q.By, since: time.Now(), until: until}
	}
}

// withdraw ends an order.
func (p *process) withdraw(ctx context.Context, key string) error {
	w := p.h.w
	w.mu.Lock()
	delete(w.orders, key)
	w.mu.Unlock()
	err := p.keeper.Withdraw(ctx, key)
	if err == nil {
		w.note("person", "ends %s", key)
	}
	return err
}

// clears is the verb: it is known here at once and everywhere when the store has it.
func (p *process) clears(ctx context.Context, group string, epoch uint64) {
	at := time.Now().UTC().Round(0)
	if p.loop.ClearAt(ctx, group, at) != nil {
		return
	}
	p.order(ctx, reconcile.Request{To: group, Order: reconcile.Clear, By: "person", Epoch: epoch, Lasts: reconcile.UntilCleared})
	_ = p.withdraw(ctx, reconcile.OrderKey(reconcile.Stopped, group))
}

// operator asks for a move or a rehearsal, clears what is marked failed, says that a
// node is down, gives orders and ends them, and stops the program.
func (w *world) operator(h *host) {
	p := h.process
	if p == nil || h.frozen {
		return
	}
	g := &w.cfg.Groups[w.pick("group", len(w.cfg.Groups))]
	what, to := w.pick("operator", 12), g.Nodes[w.pick("to whom", len(g.Nodes))]
	hold := []reconcile.Rehearsal{reconcile.RehearseOne, reconcile.RehearseHold}[w.pick("rehearsal", 2)]
	lasts := w.between("order lasts", 10*time.Second, 90*time.Second)
	mode := []config.StopMode{config.StopHandOver, config.StopAll, config.StopLeave}[w.pick("mode", 3)]
	again := w.between("again", 50*time.Millisecond, 20*time.Second)
	node := w.hosts[w.pick("drained", len(w.hosts))].name
	w.life.Go(func() {
		ctx, cancel := context.WithTimeout(context.WithValue(context.Background(), caller{}, "person"), 5*time.Second)
		defer cancel()
		v := p.keeper.View()
		c := v.Value.Claims[g.Name]
		switch {
		case !v.OK() && what < 10:
		case what < 2:
			p.asks(ctx, reconcile.Request{Group: g.Name, To: to, Epoch: c.Epoch})
		case what < 4:
			p.asks(ctx, reconcile.Request{Group: g.Name, To: to, Epoch: c.Epoch, Rehearse: hold})
		case what == 4:
			p.clears(ctx, g.Name, c.Epoch)
		case what < 7:
			p.confirms(ctx, c, w.shape.lies)
		case what == 7:
			p.order(ctx, reconcile.Request{To: g.Name, Order: reconcile.Freeze, By: "person", Lasts: lasts})
		case what == 8:
			p.order(ctx, reconcile.Request{To: node, Order: reconcile.Drain, By: "person", Lasts: lasts})
		case what == 9:
			p.endsOrders(ctx, v.Value)
		default:
			p.told(mode, again)
		}
	})
}

func (p *process) asks(ctx context.Context, q reconcile.Request) {
	q.By, q.At = "person", time.Now()
	if p.keeper.Ask(ctx, q) == nil {
		p.h.w.note("person", "asks for %s on %s %s", q.Group, q.To, q.Rehearse)
		p.h.w.count("moves and rehearsals")
	}
}

// confirms is a person who says that the boot that has a claim is down: who has seen
// it, or, with lies, also who has not.
func (p *process) confirms(ctx context.Context, c reconcile.Claim, lies bool) {
	w := p.h.w
	w.mu.Lock()
	o := w.host(c.Holder)
	down := o != nil && !(o.up && o.boot == c.BootID)
	w.mu.Unlock()
	if o == nil || c.Released || !down && (!lies || o == p.h) {
		return
	}
	if p.keeper.Confirm(ctx, reconcile.Confirmation{Node: c.Holder, BootID: c.BootID, By: "person", At: time.Now()}) != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.say("person", "has seen that %s of %s is down", c.BootID, c.Holder)
	w.count("confirm-down")
	if o.up && o.boot == c.BootID {
		w.lie(o, "a person has confirmed it down")
	}
}

// endsOrders ends what is in force.
func (p *process) endsOrders(ctx context.Context, v reconcile.StoreView) {
	var keys []string
	for key, q := range v.Requests {
		if q.Order == reconcile.Freeze || q.Order == reconcile.Drain {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	for _, key := range keys {
		_ = p.withdraw(ctx, key)
	}
}

// tend is the person who looks at what needs one, once all is mended.
func (w *world) tend() {
	w.mu.Lock()
	var ps []*process
	for _, h := range w.hosts {
		if h.process != nil {
			ps = append(ps, h.process)
		}
	}
	w.mu.Unlock()
	for _, p := range ps {
		if st := p.loop.State(); st != nil && st.Snapshot.Store.OK() {
			ctx, cancel := context.WithTimeout(context.WithValue(context.Background(), caller{}, "person"), time.Second)
			p.tend(ctx, st.Snapshot.Store.Value)
			cancel()
		}
	}
}

func (p *process) tend(ctx context.Context, v reconcile.StoreView) {
	w, st := p.h.w, p.loop.State()
	if f, c := v.Fenced[p.h.name], v.Confirms[p.h.name]; f.BootID == p.boot || c.BootID == p.boot {
		w.reboot(p.h) // it gets no lease before that
		return
	}
	p.endsOrders(ctx, v)
	for _, g := range w.cfg.Groups {
		c, d, m := v.Claims[g.Name], st.Decisions[g.Name], st.Snapshot.Memory[g.Name]
		switch {
		case c.Rehearsal == reconcile.RehearseHold && c.Holder == p.h.name && !c.Released:
			p.asks(ctx, reconcile.Request{Group: g.Name, To: c.Holder, Epoch: c.Epoch})
		case d.Status.Dirty && d.Phase == reconcile.Waiting && !d.Transition.To.Holds():
			w.reboot(p.h)
			return
		case m.Failed != "" || m.Stuck != "" || v.Claims[g.Name].Down != "" && d.Phase == reconcile.Blocked:
			p.clears(ctx, g.Name, c.Epoch)
		case d.Phase == reconcile.Blocked && len(d.Plan.Blocked) > 0 && clearable(d.Plan.Blocked[0].Way):
			p.clears(ctx, g.Name, c.Epoch)
		case v.Requests[reconcile.OrderKey(reconcile.Stopped, g.Name)].Order != "" && w.dead != nil:
			p.clears(ctx, g.Name, c.Epoch)
		}
		if !w.shape.fences {
			p.confirms(ctx, c, false)
		}
	}
}

// clearable reports whether the way out of a block is to clear the group.
func clearable(way string) bool { return strings.Contains(way, "understudy clear") }

// reboot is the person who does what a barrier waits for.
func (w *world) reboot(h *host) {
	w.mu.Lock()
	defer w.mu.Unlock()
	h.off("a person reboots it")
	w.after(10*time.Second, h.on)
}
