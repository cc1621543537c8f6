package sim

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"time"

	"understudy/reconcile"
	"understudy/reconcile/act/watchdog"
	"understudy/reconcile/journal"
	"understudy/reconcile/lease"
	"understudy/reconcile/loop"
)

var errBlind = errors.New("input/output error")

// process is one life of understudy on a host: the real keeper, authority, loop and
// watchdog.
type process struct {
	h       *host
	boot    string
	ear     *ear
	changes *signal
	keeper  *lease.Keeper
	own     *lease.Authority
	loop    *loop.Loop
	dog     *watchdog.Watchdog
	fed     chan struct{} // closed when nobody moves its deadline any more
	gone    chan struct{} // closed when it sleeps no more
	once    sync.Once     // closes it
	status  reconcile.NodeStatus
	sounds  map[string]sound // by machine: which boot is heard
	fooled  string           // the boot that a fence has confirmed off last, which was not so
	n       int              // packets sent
	steps   int              // that were begun
	looks   int              // at the moment of the last one
	looked  time.Time
	began   time.Time
	ctx     context.Context
	cancel  context.CancelFunc
	dead    bool
	leaves  bool          // it was told to stop
	away    bool          // it says that it ends and leaves what it holds
	again   time.Duration // when it has ended, until it is started again
}

// sound is since when a boot of a machine has been heard, here or by another.
type sound struct {
	boot  string
	since time.Time
}

// begin starts understudy. The mutex is held.
func (h *host) begin() {
	if !h.up || h.process != nil {
		return
	}
	w := h.w
	w.say(h.name, "understudy starts")
	p := &process{h: h, boot: h.boot, ear: newEar(w, h.name), changes: newSignal(h, "look"), gone: make(chan struct{}), began: time.Now(), sounds: map[string]sound{}}
	ctx, cancel := context.WithCancel(context.Background())
	p.ctx, p.cancel = ctx, cancel
	p.keeper = lease.NewKeeper(&apartStore{w.vault.way(ctx, p), p}, w.cfg.Lease, h.name, h.boot, p.log()).WithClock(p.counts)
	keeper := ownLease{p.keeper, newSignal(h, "lease")}
	p.own = &lease.Authority{Keeper: p.keeper, Node: h.name, Peers: p.peers, Off: p.fence}
	opt := loop.Options{
		Config: w.cfg, Node: h.name, Observer: p, Actor: p, Lease: keeper, Journal: p, Log: slog.New(slog.DiscardHandler), StateDir: h.dir,
		Announce: p.announce, SelfFence: p.selfFence,
	}
	if w.shape.dog {
		p.dog = watchdog.New(watchdog.Options{
			Config: w.cfg.Watchdog, Lease: p.keeper.Lease, File: filepath.Join(h.dir, "watchdog"), BootID: h.boot, Log: slog.New(slog.DiscardHandler),
			Warn: p.warned, Clock: p.clock, Sleep: p.sleep, Open: p.openDog, Class: filepath.Join(h.dir, "none"), Plain: true,
		})
		opt.Guard = p.dog
	}
	p.loop = loop.New(opt)
	h.process = p
	p.runs(ctx, "keeper", func() { _ = p.keeper.Run(ctx) })
	p.runs(ctx, "relay", func() { keeper.relay(ctx) })
	p.runs(ctx, "beat", func() { p.beat(ctx) })
	p.runs(ctx, "started", func() { p.started(ctx) })
	p.runs(ctx, "loop", func() {
		if err := p.loop.Run(ctx); err == nil && ctx.Err() == nil {
			p.departs()
		}
	})
	if p.dog != nil {
		p.fed = make(chan struct{})
		w.life.Go(func() {
			defer close(p.fed)
			if w.later(ctx, "dog/"+h.name) {
				_ = p.dog.Run(ctx, 250*time.Millisecond)
			}
		})
	}
}

// end kills understudy; what it started goes on. The mutex is held.
func (h *host) end() {
	if p := h.process; p != nil {
		p.dead = true
		p.cancel()
		h.process = nil
		p.sleepless()
		if p.dog != nil {
			h.w.life.Go(func() { p.dog.Close(false) }) // nothing of it has an effect any more
		}
	}
}

// departs ends a process that has let go of everything.
func (p *process) departs() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	_ = p.keeper.Leave(ctx)
	cancel()
	p.quits()
}

// quits ends a process of its own will.
func (p *process) quits() {
	p.cancel()
	if p.dog != nil {
		<-p.fed
		p.awake("quit")
		p.sleepless()
		p.dog.Close(true)
	}
	w := p.h.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if p.dead {
		return
	}
	w.say(p.h.name, "understudy ends")
	p.h.end()
	w.after(p.again, p.h.begin)
}

// runs lets a part of it begin, each at a moment of its own.
func (p *process) runs(ctx context.Context, part string, f func()) {
	w := p.h.w
	w.life.Go(func() {
		if w.later(ctx, part+"/"+p.h.name) {
			f()
		}
	})
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
		if !p.awake("beat") {
			return
		}
		w.mu.Lock()
		p.n++
		w.post(mail{from: p.h.name, boot: p.boot, n: p.n, sent: time.Now(), status: p.status}, p.ear)
		now := p.ear.peers()
		p.listen(now)
		w.mu.Unlock()
		if told == nil || changed(told, now) {
			p.poke()
		}
		told = now
	}
}

// listen notes since when which boot is heard, and tells what falls silent. The mutex
// is held.
func (p *process) listen(peers []reconcile.Peer) {
	for _, o := range peers {
		s := p.sounds[o.Name]
		heard := o.State == reconcile.PeerHeard || o.State == reconcile.PeerDistant
		switch {
		case !heard && s.boot != "":
			p.h.w.say(p.h.name, "%s is %s", o.Name, o.State)
			p.sounds[o.Name] = sound{}
		case heard && s.boot != o.BootID:
			p.sounds[o.Name] = sound{o.BootID, time.Now()}
		}
	}
}

func (p *process) announce(s reconcile.NodeStatus) {
	p.h.w.mu.Lock()
	defer p.h.w.mu.Unlock()
	for _, g := range s.Groups {
		if g.Rested != "" && !p.dead {
			p.h.w.rests[g.Rested] = true
		}
	}
	if s.Away = p.away; !sameStatus(p.status, s) { // news travel at once
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
	p.awake("look")
	p.dwells()
	p.h.w.mu.Lock()
	defer p.h.w.mu.Unlock()
	s := reconcile.Snapshot{At: time.Now(), Node: p.h.name, BootID: p.boot, Since: p.began}
	p.h.look(&s)
	s.BootID = p.boot
	s.Peers = p.ear.peers()
	return s
}

// dwells finds a loop that looks again and again while nothing happens: it would use a
// whole processor.
func (p *process) dwells() {
	w := p.h.w
	w.mu.Lock()
	if now := time.Now(); !now.Equal(p.looked) {
		p.looked, p.looks = now, 0
	}
	p.looks++
	many := p.looks > 200
	if p.looks == 201 {
		w.bad(p.h.name, "looks and decides without end")
	}
	w.mu.Unlock()
	if many {
		time.Sleep(100 * time.Millisecond)
	}
}

// Changes implements loop.Observer.
func (p *process) Changes() <-chan struct{} { return p.changes.out }

// Append implements loop.Journal: what a node decided is part of the timeline.
func (p *process) Append(r journal.Record) error {
	w := p.h.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if r.Kind == journal.Decided { // two plans begin, one behind the other
		w.mu.Unlock()
		time.Sleep(time.Nanosecond)
		w.mu.Lock()
	}
	switch {
	case p.dead:
	case r.Role != "" && r.FromRole != "":
		w.say(p.h.name, "%s: %s → %s: %s", r.Group, r.FromRole, r.Role, r.Why)
	case r.Kind == journal.Failed:
		w.say(p.h.name, "%s: %s failed: %s", r.Group, r.Step, r.Err)
	case r.Kind == journal.Note:
		w.say(p.h.name, "%s: %s", r.Group, r.Why)
	case r.Kind == journal.Decided && r.Plan != "" && r.Step == reconcile.Hold.String():
		if o, ok := w.orders[reconcile.OrderKey(reconcile.Freeze, r.Group)]; ok && o.binds(w) {
			w.bad(p.h.name, "%s is frozen for %s, and a plan begins: %s", r.Group, time.Since(o.since).Round(time.Millisecond), r.Why)
		}
	}
	return nil
}

// log puts what the keeper and the store warn of into the timeline.
func (p *process) log() *slog.Logger { return slog.New(teller{p}) }

type teller struct{ p *process }

func (t teller) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelInfo }
func (t teller) WithAttrs([]slog.Attr) slog.Handler           { return t }
func (t teller) WithGroup(string) slog.Handler                { return t }
func (t teller) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	b.WriteString(r.Message)
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "err" || a.Key == "peer" || a.Key == "group" {
			b.WriteString(", " + a.Value.String())
		}
		return true
	})
	go func() { // the keeper holds its own mutex
		w := t.p.h.w
		w.mu.Lock()
		defer w.mu.Unlock()
		if t.p.ctx.Err() == nil {
			w.say(t.p.h.name, "%s", b.String())
		}
	}()
	return nil
}

func (p *process) selfFence(reason string) {
	w := p.h.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if !p.dead {
		w.count("self-fences")
		p.h.off("it fences itself: " + reason)
	}
}

// guarded is the watchdog bound, as long as the watchdog does its part.
func (p *process) guarded() time.Duration {
	if !p.dog.Guards() {
		return 0
	}
	return p.h.w.cfg.WatchdogBound()
}

func (p *process) warned(reason string) {
	if reason != "" {
		p.h.w.note(p.h.name, "%s", reason)
	}
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
