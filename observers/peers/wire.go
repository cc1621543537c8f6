package peers

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync/atomic"
	"time"
)

// reopen is how long after a failure a socket is opened again.
const reopen = 250 * time.Millisecond

// wire is this machine's socket on one adapter.
type wire struct {
	network string
	local   netip.AddrPort
	pinned  bool // there are other adapters on the network: packets keep to this one
	to      []*target

	conn atomic.Pointer[net.UDPConn] // nil while it is not open
	busy atomic.Bool                 // a packet may be read and not judged yet
}

// target is an address of a machine on the network.
type target struct {
	peer *peer
	name string // of the link in packets to it
	addr destination
	down bool // sending failed last time; for the log, of the sending goroutine only
}

// serve keeps the socket open and reads from it until ctx ends. The address need
// not be on the host yet, where the system allows that.
func (w *wire) serve(ctx context.Context, p *Peers) {
	said := false
	for ctx.Err() == nil {
		err := w.read(ctx, p, func() { said = false })
		if ctx.Err() != nil {
			return
		}
		if !said {
			p.log.ErrorContext(ctx, "keep-alive socket failed, trying on", "network", w.network, "address", w.local.String(), "err", err)
			said = true
		}
		pause := time.NewTimer(reopen)
		select {
		case <-ctx.Done():
		case <-pause.C:
		}
		pause.Stop()
	}
}

func (w *wire) read(ctx context.Context, p *Peers, works func()) error {
	network := "udp4"
	if w.local.Addr().Is6() {
		network = "udp6"
	}
	lc := net.ListenConfig{Control: freebind}
	pc, err := lc.ListenPacket(ctx, network, w.local.String())
	if err != nil {
		return err
	}
	conn, ok := pc.(*net.UDPConn)
	if !ok {
		_ = pc.Close()
		return errors.New("not a UDP socket")
	}
	defer func() {
		w.conn.Store(nil)
		w.busy.Store(false)
		p.listens(w, false)
		_ = conn.Close()
	}()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	if w.pinned {
		w.keepTo(conn)
	}
	w.conn.Store(conn)
	p.listens(w, true)
	works()
	return receive(conn, &w.busy, func(b []byte) { p.take(ctx, w, b) })
}

// drained reports whether nothing waits to be judged.
func (w *wire) drained() bool {
	conn := w.conn.Load()
	// The order matters: a packet leaves the socket only after busy is set.
	return conn == nil || !waiting(conn) && !w.busy.Load()
}

// send sends one packet without waiting, so that a stuck device cannot hold up
// the judging of silence. What fails is made good by the next round.
func (w *wire) send(ctx context.Context, p *Peers, b []byte, to *target) {
	conn := w.conn.Load()
	if conn == nil {
		return
	}
	err := transmit(conn, b, to.addr)
	if failed := err != nil; failed != to.down {
		to.down = failed
		level := slog.LevelInfo
		if failed {
			level = slog.LevelWarn
		}
		p.log.Log(ctx, level, "sending keep-alives changed", "network", w.network, "peer", to.peer.name, "works", !failed, "err", err)
	}
}

// takes reports whether a packet from a machine that calls its way so may come in on
// this adapter.
func (w *wire) takes(q *peer, name string) bool {
	l := q.link(name)
	return l != nil && l.network == w.network && l.local == w.local.Addr()
}

// pin keeps the socket to the link that has its address now. It is false where no
// link has it, or the system refuses; then the routes decide, as they do elsewhere.
func (w *wire) pin() bool {
	conn := w.conn.Load()
	return conn != nil && w.keepTo(conn)
}

func (w *wire) keepTo(conn *net.UDPConn) bool {
	l, ok := linkWith(w.local.Addr())
	return ok && keepApart(l, w.local.Addr()) == nil && stick(conn, l.Index) == nil
}

// linkWith is the link that has an address.
func linkWith(ip netip.Addr) (net.Interface, bool) {
	links, err := net.Interfaces()
	if err != nil {
		return net.Interface{}, false
	}
	for _, l := range links {
		addrs, err := l.Addrs()
		if err != nil {
			continue
		}
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr() == ip {
				return l, true
			}
		}
	}
	return net.Interface{}, false
}
