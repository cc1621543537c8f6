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

// wire is this machine's socket on one network.
type wire struct {
	network string
	local   netip.AddrPort
	to      []*target

	conn atomic.Pointer[net.UDPConn] // nil while it is not open
	busy atomic.Bool                 // a packet may be read and not judged yet
}

// target is a machine's address on the network.
type target struct {
	peer *peer
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
		_ = conn.Close()
	}()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	w.conn.Store(conn)
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
