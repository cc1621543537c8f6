package sim

import (
	"context"
	"errors"
	"log/slog"
	"reflect"
	"time"

	"understudy/reconcile"
	"understudy/reconcile/journal"
	"understudy/reconcile/lease"
	"understudy/reconcile/loop"
)

var errBlind = errors.New("input/output error")

// process is one life of understudy on a host: the real keeper, authority and loop.
type process struct {
	h       *host
	boot    string
	ear     *ear
	changes chan struct{}
	keeper  *lease.Keeper
	own     *lease.Authority
	loop    *loop.Loop
	status  reconcile.NodeStatus
	n       int // packets sent
	began   time.Time
	cancel  context.CancelFunc
	dead    bool
}

// begin starts understudy. The mutex is held.
func (h *host) begin() {
	if !h.up || h.process != nil {
		return
	}
	h.w.say(h.name, "understudy starts")
	log := slog.New(slog.DiscardHandler)
	p := &process{h: h, boot: h.boot, ear: newEar(h.w, h.name), changes: make(chan struct{}, 1), began: time.Now()}
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	p.keeper = lease.NewKeeper(h.link, h.w.cfg.Lease, h.name, h.boot, log).WithClock(p.clock)
	p.own = &lease.Authority{Keeper: p.keeper, Node: h.name, Peers: p.peers, Off: p.fence}
	p.loop = loop.New(loop.Options{
		Config: h.w.cfg, Node: h.name, Observer: p, Actor: p, Lease: p.keeper, Journal: p, Log: log, StateDir: h.dir,
		Announce: p.announce, SelfFence: p.selfFence,
	})
	h.process = p
	h.w.life.Go(func() { _ = p.keeper.Run(ctx) })
	h.w.life.Go(func() { _ = p.loop.Run(ctx) })
	h.w.life.Go(func() { p.beat(ctx) })
}

// end kills understudy; what it started goes on. The mutex is held.
func (h *host) end() {
	if p := h.process; p != nil {
		p.dead = true
		p.cancel()
		h.process = nil
	}
}

// clock is the host's boot clock: it counts what the other one sleeps through.
func (p *process) clock() time.Duration {
	return time.Since(p.h.w.began) + time.Duration(p.h.slept.Load())
}

// awake waits until the host runs, and reports whether this process still does.
func (p *process) awake() bool {
	for {
		p.h.w.mu.Lock()
		frozen, thaw, dead := p.h.frozen, p.h.thaw, p.dead
		p.h.w.mu.Unlock()
		if dead || !frozen {
			return !dead
		}
		<-thaw
	}
}

func (p *process) poke() {
	select {
	case p.changes <- struct{}{}:
	default:
	}
}

// beat sends keep-alives and notices silence.
func (p *process) beat(ctx context.Context) {
	w := p.h.w
	tick := time.NewTicker(w.cfg.Keepalive.Interval)
	defer tick.Stop()
	var told []reconcile.Peer
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if !p.awake() {
			return
		}
		w.mu.Lock()
		p.n++
		w.post(mail{from: p.h.name, boot: p.boot, n: p.n, sent: time.Now(), status: p.status}, p.ear)
		now := p.ear.peers()
		w.mu.Unlock()
		if told == nil || changed(told, now) {
			p.poke()
		}
		told = now
	}
}

func (p *process) announce(s reconcile.NodeStatus) {
	p.h.w.mu.Lock()
	defer p.h.w.mu.Unlock()
	if !sameStatus(p.status, s) { // news travel at once
		p.status = s
		if !p.dead && !p.h.frozen {
			p.n++
			p.h.w.post(mail{from: p.h.name, boot: p.boot, n: p.n, sent: time.Now(), status: s}, p.ear)
		}
	}
}

func sameStatus(a, b reconcile.NodeStatus) bool { return reflect.DeepEqual(a, b) }

func (p *process) peers() []reconcile.Peer {
	p.h.w.mu.Lock()
	defer p.h.w.mu.Unlock()
	return p.ear.peers()
}

// Look implements loop.Observer.
func (p *process) Look(context.Context) reconcile.Snapshot {
	p.awake()
	p.h.w.mu.Lock()
	defer p.h.w.mu.Unlock()
	s := reconcile.Snapshot{At: time.Now(), Node: p.h.name, BootID: p.boot, Since: p.began}
	p.h.look(&s)
	s.BootID = p.boot
	s.Peers = p.ear.peers()
	return s
}

// Changes implements loop.Observer.
func (p *process) Changes() <-chan struct{} { return p.changes }

// Append implements loop.Journal: what a node decided is part of the timeline.
func (p *process) Append(r journal.Record) error {
	p.h.w.mu.Lock()
	defer p.h.w.mu.Unlock()
	switch {
	case r.Role != "" && r.FromRole != "":
		p.h.w.say(p.h.name, "%s: %s → %s: %s", r.Group, r.FromRole, r.Role, r.Why)
	case r.Kind == journal.Failed:
		p.h.w.say(p.h.name, "%s: %s failed: %s", r.Group, r.Step, r.Err)
	case r.Kind == journal.Note:
		p.h.w.say(p.h.name, "%s: %s", r.Group, r.Why)
	}
	return nil
}

func (p *process) selfFence(reason string) {
	p.h.w.mu.Lock()
	defer p.h.w.mu.Unlock()
	if !p.dead {
		p.h.off("it fences itself: " + reason)
	}
}

// fence is the fence device of another host: it acts on the power, takes its time,
// and may fail or hang. What it says when it succeeds is true.
func (p *process) fence(ctx context.Context, f reconcile.Fence) (string, error) {
	w, key := p.h.w, "fence/"+p.h.name
	hangs, fails := w.chance(key+"/hang", w.mishaps().fenceHangs), w.chance(key+"/fail", w.mishaps().fenceFails)
	w.mu.Lock()
	w.say(p.h.name, "fences %s", f.Node)
	if !p.h.cutSince.IsZero() && time.Since(p.h.cutSince) > time.Second {
		w.bad(p.h.name, "is cut off and fences %s", f.Node)
	}
	w.mu.Unlock()
	if hangs {
		<-ctx.Done()
		return "", context.Cause(ctx)
	}
	if !wait(ctx, w.between(key, 50*time.Millisecond, 2*time.Second)) {
		return "", context.Cause(ctx)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if p.dead || fails {
		return "", errors.New("the fence device does not answer")
	}
	w.fenced++
	w.host(f.Node).off("fenced by " + p.h.name)
	return f.Agents(), nil
}

// wait sleeps, and reports false if ctx ends before.
func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
