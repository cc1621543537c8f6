package peers

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"time"

	"understudy/reconcile"
)

// Run sends and receives until ctx ends. A socket that fails is reported and
// tried again.
func (p *Peers) Run(ctx context.Context) error {
	var group sync.WaitGroup
	defer group.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	p.mu.Lock()
	p.table.since = p.clock()
	p.due = p.table.since
	p.mu.Unlock()
	for _, w := range p.wires {
		group.Go(func() { w.serve(ctx, p) })
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	var send, late time.Duration // moments: of the next round, and since judging waits for the sockets
	send = p.clock()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-timer.C:
		case <-p.wake:
		}
		now := p.clock()
		round := now >= send
		if round {
			if send += p.interval; send <= now {
				send = now + p.interval // rounds that were missed are not made up for
			}
		}
		p.pin(now)
		p.mail(ctx, round)

		p.mu.Lock()
		p.catchUp(ctx, now)
		next := send
		if p.table.news(now) {
			if p.quiet() || late > 0 && now-late > p.table.timeout/4 {
				late = 0
				p.tell(now)
			} else {
				// Packets wait to be read: they may be the ones that are missed.
				if late == 0 {
					late = now
				}
				next = now + time.Millisecond
			}
		}
		if at := p.table.next(now); at != unheard {
			next = min(next, at)
		}
		p.due = next
		p.mu.Unlock()
		timer.Reset(max(next-p.clock(), 0))
	}
}

// catchUp notices that this process did not run for a while (overload, a paused
// or suspended host) and takes that time out of every silence. The caller holds mu.
func (p *Peers) catchUp(ctx context.Context, now time.Duration) {
	if now-p.due <= p.table.timeout/2 {
		return
	}
	p.complain(ctx, slog.LevelWarn, "this host was late, silence is counted anew", "late", now-p.due)
	p.table.pause(p.due, now)
	p.due = now
}

// quiet reports whether every packet that has arrived has been judged.
func (p *Peers) quiet() bool {
	for _, w := range p.wires {
		if !w.drained() {
			return false
		}
	}
	return true
}

// mail sends what is due: with round a packet to everybody on every network, else
// what is owed. A new status goes out whole.
func (p *Peers) mail(ctx context.Context, round bool) {
	p.mu.Lock()
	now := p.clock()
	if p.mute(now) {
		p.complain(ctx, slog.LevelError, "keep-alives withheld: this node has decided nothing for too long", "since", now-p.voice)
		p.mu.Unlock()
		return
	}
	first, count := p.turn, 1
	if p.burst {
		round, first, count, p.burst = true, 0, max(1, len(p.pieces)), false
	}
	if round && len(p.pieces) > 0 {
		p.turn = (first + count) % len(p.pieces)
	}
	var batch []letter
	p.buffer = p.buffer[:0]
	for i := range count {
		for _, w := range p.wires {
			for _, to := range w.to {
				if round || to.peer.owed {
					from := len(p.buffer)
					p.compose(now, to, first+i)
					batch = append(batch, letter{w, to, from, len(p.buffer)})
				}
			}
		}
	}
	for _, q := range p.table.peers {
		q.owed = false
	}
	buffer := p.buffer
	p.mu.Unlock()
	if len(batch) == 0 {
		return
	}
	// Only this goroutine composes, so the buffer stays as it is meanwhile.
	for _, l := range batch {
		l.wire.send(ctx, p, buffer[l.from:l.to], l.target)
	}
}

// letter is a signed packet in the buffer.
type letter struct {
	wire     *wire
	target   *target
	from, to int
}

// compose appends a signed packet to the buffer. The caller holds mu.
func (p *Peers) compose(now time.Duration, via *target, piece int) {
	p.sequence++
	to, k := via.peer, &p.out
	k.session, k.sequence = p.session, p.sequence
	k.cluster, k.sender, k.receiver, k.network = p.cluster, p.self, to.name, via.name
	k.challenge, k.echo = to.challenge.value, to.echo
	k.hears = k.hears[:0]
	for _, l := range to.links {
		if l.shared {
			k.hears = append(k.hears, heardAge{l.in, age(l.heard, now), l.heard != unheard})
		}
	}
	k.heard = k.heard[:0]
	for _, name := range p.gossip {
		if q := p.table.peer(name); q != to {
			k.heard = append(k.heard, heardAge{name, age(q.heard, now), q.heard != unheard})
		}
	}
	k.clock = uint64(time.Now().UnixMilli())
	k.status = chunk{}
	if len(p.pieces) > 0 {
		i := piece % len(p.pieces)
		k.status = chunk{p.version, uint8(i), uint8(len(p.pieces)), p.pieces[i]}
	}
	from := len(p.buffer)
	p.buffer = k.append(p.buffer)
	p.buffer = append(p.buffer, p.sealer.sign(p.buffer[from:])[len(p.buffer)-from:]...)
}

// take judges one packet that came in on a network.
func (p *Peers) take(ctx context.Context, w *wire, b []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	body := p.sealer.open(b)
	if body == nil {
		p.complain(ctx, slog.LevelWarn, "keep-alive refused: wrong key or damaged", "network", w.network)
		return
	}
	k := &p.in
	if err := k.parse(body, p.known); err != nil {
		p.complain(ctx, slog.LevelWarn, "keep-alive refused", "network", w.network, "err", err)
		return
	}
	q := p.table.peer(k.sender)
	if k.cluster != p.cluster || k.receiver != p.self || q == nil || !w.takes(q, k.network) {
		p.complain(ctx, slog.LevelWarn, "keep-alive refused: not meant for this machine and network", "network", w.network, "peer", k.sender, "receiver", k.receiver)
		return
	}
	l := q.link(k.network)
	now := p.clock()
	p.catchUp(ctx, now)
	switch p.table.receive(q, l, k, now) {
	case refused:
		return
	case impostor:
		p.complain(ctx, slog.LevelWarn, "keep-alive refused: another session of that peer is in force — see whether two machines have its name", "peer", q.name, "boot_id", k.session.boot)
		return
	case contested:
		q.owed = true
		p.wake.Fire()
		return
	case admitted:
		p.known[k.session.boot] = k.session.boot
		q.owed = true
		p.wake.Fire()
	case counted:
	}
	if k.clock != 0 {
		q.skew, q.skewed = time.UnixMilli(int64(k.clock)).Sub(time.Now()), true
	}
	p.read(ctx, q, k.status)
	if p.table.news(now) {
		p.wake.Fire()
	}
}

// read takes a piece of the peer's status. The caller holds mu.
func (p *Peers) read(ctx context.Context, q *peer, c chunk) {
	text := q.pieces.add(c)
	if text == nil {
		return
	}
	var s reconcile.NodeStatus
	if err := json.Unmarshal(text, &s); err != nil {
		p.complain(ctx, slog.LevelWarn, "status of peer cannot be read", "peer", q.name, "err", err)
		return
	}
	q.status, q.dirty = s, true
	switch {
	case s.Doomed != "":
		q.last = reconcile.LastWord{BootID: q.session.boot, Text: s.Doomed}
	case q.last.BootID == q.session.boot: // it has changed its mind
		q.last = reconcile.LastWord{}
	}
}
