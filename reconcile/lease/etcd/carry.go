//go:build !aix

package etcd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"
)

const (
	// headStart is how long the path tried first may take before the next one is
	// tried too (RFC 8305, 5, "Connection Attempt Delay"; there for the Internet,
	// here for local networks). It keeps connections together on one network,
	// where the busiest notices for all that it is dead.
	headStart = 20 * time.Millisecond
	// dialLimit bounds one attempt to connect: TCP repeats a lost SYN only after a
	// second (RFC 6298, 2.1).
	dialLimit = 150 * time.Millisecond
	// seekLimit bounds the search for a peer, shortPause and longPause are between
	// two attempts in it: while a peer is away etcd would otherwise begin a
	// handshake ten times a second on each of its connections.
	seekLimit             = 2 * time.Second
	shortPause, longPause = 100 * time.Millisecond, 400 * time.Millisecond
	// helloLimit is how long a caller may take to say something.
	helloLimit = 2 * time.Second
	// linger is how long one direction may last when the other has ended.
	linger = time.Second
	// chunk is the size of a buffer in bytes; messages are smaller.
	chunk = 4 << 10
)

// outbound carries a connection of this machine's etcd to a peer.
func (r *relay) outbound(machine string, near *net.TCPConn) {
	defer near.Close()
	if !own(near) {
		return
	}
	release, ok := r.reserve(budget{machine, false})
	if !ok {
		return
	}
	defer release()
	ctx, cancel := context.WithTimeout(r.ctx, seekLimit)
	defer cancel()
	for pause := shortPause; ; pause = min(2*pause, longPause) {
		far, way, err := r.dial(ctx, machine)
		if err == nil {
			defer far.Close()
			r.carry(way, near, far)
			return
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
	}
}

// inbound carries a peer's connection to this machine's etcd, once the peer has
// said something: a connection that another one has outrun goes no further.
func (r *relay) inbound(far *net.TCPConn, etcd string) {
	defer far.Close()
	way := r.whose(far)
	b := budget{inbound: true}
	if way.path != nil {
		b.machine = way.Machine
	}
	release, ok := r.reserve(b)
	if !ok {
		return
	}
	defer release()
	if err := r.hasten(far); err != nil {
		return
	}
	stop := context.AfterFunc(r.ctx, func() { _ = far.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := far.SetReadDeadline(time.Now().Add(helloLimit)); err != nil || r.ctx.Err() != nil {
		return
	}
	hello := make([]byte, chunk)
	n, err := far.Read(hello)
	if err != nil || !stop() {
		return
	}
	if err := far.SetReadDeadline(time.Time{}); err != nil {
		return
	}
	d := net.Dialer{Timeout: helloLimit, KeepAlive: -1}
	c, err := d.DialContext(r.ctx, "tcp", etcd)
	if err != nil {
		return
	}
	near := c.(*net.TCPConn)
	defer near.Close()
	if _, err := near.Write(hello[:n]); err != nil {
		return
	}
	r.carry(way, near, far)
}

// dial connects to a machine. It tries until ctx ends, or all networks refuse.
func (r *relay) dial(ctx context.Context, machine string) (*net.TCPConn, attempt, error) {
	for {
		c, way, err := r.race(ctx, machine)
		if err == nil || !errors.Is(err, errLate) || ctx.Err() != nil {
			return c, way, err
		}
	}
}

var errLate = errors.New("no network answers in time")

// race connects over the network that worked last, and over the others if that
// one does not answer at once.
func (r *relay) race(ctx context.Context, machine string) (*net.TCPConn, attempt, error) {
	type answer struct {
		conn *net.TCPConn
		way  attempt
		err  error
	}
	ways := r.ways(machine)
	if len(ways) == 0 {
		return nil, attempt{}, fmt.Errorf("%s has no address", machine)
	}
	ctx, cancel := context.WithTimeout(ctx, dialLimit)
	defer cancel()
	answers := make(chan answer)
	begun, open := 0, 0
	begin := func() {
		way := ways[begun]
		begun, open = begun+1, open+1
		go func() {
			c, err := r.connect(ctx, way.path)
			answers <- answer{c, way, err}
		}()
	}
	begin()
	next := time.NewTicker(headStart)
	defer next.Stop()
	var won answer
	var errs error
	for open > 0 {
		tick := next.C
		if begun == len(ways) || won.conn != nil {
			tick = nil
		}
		select {
		case <-tick:
			begin()
		case a := <-answers:
			open--
			switch {
			case a.err != nil:
				errs = errors.Join(errs, a.err)
				if begun < len(ways) && won.conn == nil {
					begin()
				}
			case won.conn != nil:
				_ = a.conn.Close()
			default:
				won = a
				cancel()
			}
		}
	}
	if won.conn == nil {
		if ctx.Err() != nil {
			errs = errors.Join(errLate, errs)
		}
		return nil, attempt{}, errs
	}
	r.won(won.way.path)
	return won.conn, won.way, nil
}

// connect dials over one path.
func (r *relay) connect(ctx context.Context, p *path) (*net.TCPConn, error) {
	d := net.Dialer{KeepAlive: -1}
	d.SetMultipathTCP(false)
	if p.Local.IsValid() {
		d.LocalAddr = &net.TCPAddr{IP: p.Local.AsSlice()}
	}
	c, err := d.DialContext(ctx, "tcp", net.JoinHostPort(p.Remote.String(), strconv.Itoa(int(r.port))))
	if err != nil {
		return nil, err
	}
	far := c.(*net.TCPConn)
	if err := r.hasten(far); err != nil {
		_ = far.Close()
		return nil, err
	}
	return far, nil
}

// carry copies both ways until both have ended, or the link is dropped. A link
// that is dropped is reset, not closed: etcd learns it from its next write.
func (r *relay) carry(way attempt, near, far *net.TCPConn) {
	ctx, cancel := context.WithCancel(r.ctx)
	defer cancel()
	l := &link{path: way.path, drops: way.drops, drop: cancel}
	if !r.enter(l) {
		cancel()
	}
	defer r.leave(l)
	reset := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(reset)
		for _, c := range []*net.TCPConn{near, far} {
			_ = c.SetLinger(0)
			_ = c.Close()
		}
	})
	failed := func(err error) {
		if err == nil {
			return
		}
		if dead(err) && l.path != nil && ctx.Err() == nil {
			r.lost(l.path, err)
		}
		cancel()
	}
	in := make(chan struct{})
	go func() {
		defer close(in)
		failed(pump(near, far))
	}()
	failed(pump(far, near))
	<-in
	if !stop() {
		<-reset
	}
}

// pump copies until src ends, tells dst so, and gives the other direction a
// moment to end too.
func pump(dst, src *net.TCPConn) error {
	// The wrappers keep io from splice(2), which holds a pipe for every direction.
	_, err := io.CopyBuffer(struct{ io.Writer }{dst}, struct{ io.Reader }{src}, make([]byte, chunk))
	if err != nil {
		return err
	}
	if err := dst.CloseWrite(); err != nil {
		return err
	}
	return dst.SetReadDeadline(time.Now().Add(linger))
}

// enter lists a link. It is false when its path was dropped since it began.
func (r *relay) enter(l *link) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.links[l] = struct{}{}
	return l.path == nil || l.path.drops == l.drops
}

func (r *relay) leave(l *link) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.links, l)
}
