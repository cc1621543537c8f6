//go:build !aix

package etcd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"understudy/config"
	"understudy/reconcile"
)

// relay stands between the member and its peers. etcd keeps to one URL and to one
// TCP connection for seconds after its network is gone; the relay gives every
// machine one URL that stays, and carries each connection over whichever network
// works. TLS passes through it from end to end.
//
// Outbound, it listens on every other machine's stable address on the loopback
// device and dials that machine's real addresses. Inbound, it listens on this
// machine's real addresses and hands on to etcd's listener. Closing a connection
// is all it does about a dead network: etcd dials again, and gets another one.
type relay struct {
	self  machine
	port  uint16
	limit time.Duration // of silence after something was sent
	log   *slog.Logger

	ctx  context.Context
	stop context.CancelFunc
	wg   sync.WaitGroup

	mu    sync.Mutex
	paths map[string][]*path // by machine, the one to try first in front
	links map[*link]struct{}
	used  map[budget]int
	moved chan struct{} // closed, and replaced, when connections have moved
	moves *time.Timer   // to the next time
}

// path is a way with what is known of it.
type path struct {
	reconcile.Way
	avoid bool // it is known not to work, and another one is not
	drops int  // how often its connections were dropped
}

// link is one relayed connection.
type link struct {
	path  *path // nil: a caller whose address is no machine's
	drops int   // path.drops when it began
	drop  context.CancelFunc
}

// budget is what a number of connections is bounded for. etcd uses eight to a
// peer, and one more for each call at a time. Callers that are no machine of the
// file share one budget, so that they cannot use up a peer's.
type budget struct {
	machine string
	inbound bool
}

const (
	linksPerMachine = 64
	linksOfOthers   = 16
)

// newRelay starts the outbound half.
func newRelay(c *config.Config, name string, log *slog.Logger) (*relay, error) {
	all := machines(c)
	i := slices.IndexFunc(all, func(x machine) bool { return x.name == name })
	if i < 0 {
		return nil, fmt.Errorf("%q is neither a node of the file nor its witness", name)
	}
	r := &relay{
		self: all[i], port: c.Lease.PeerPort, limit: silence(c.Lease.Tick), log: log,
		paths: map[string][]*path{}, links: map[*link]struct{}{}, used: map[budget]int{},
		moved: make(chan struct{}),
	}
	if len(r.self.addresses) == 0 {
		return nil, fmt.Errorf("%s has no address", name)
	}
	r.ctx, r.stop = context.WithCancel(context.Background())
	for _, x := range all {
		if x.name == name {
			continue
		}
		r.paths[x.name] = r.self.ways(x)
		r.wg.Go(func() {
			r.listen(x.stable, shared, func(c *net.TCPConn) { r.outbound(x.name, c) })
		})
	}
	return r, nil
}

// admit starts the inbound half, towards etcd's listener.
func (r *relay) admit(etcd net.Addr) {
	for _, a := range r.self.addresses {
		r.wg.Go(func() {
			r.listen(a.Prefix.Addr(), early, func(c *net.TCPConn) { r.inbound(c, etcd.String()) })
		})
	}
}

// Close drops every connection and waits for all that the relay has started. It
// may be called more than once.
func (r *relay) Close() {
	r.stop()
	r.wg.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.moves != nil {
		r.moves.Stop()
	}
}

// SetUsable tells which networks work at present, as far as anybody knows; both
// a lost carrier and silent keep-alives count as no. Connections on a network
// that has stopped working are dropped at once, and new ones try it last. Where
// none is said to work, nothing is dropped: the word may be wrong, and TCP finds
// out by itself. usable must not call the member.
func (r *relay) SetUsable(usable func(reconcile.Way) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, paths := range r.paths {
		works := make([]bool, len(paths))
		for i, p := range paths {
			works[i] = usable(p.Way)
		}
		for i, p := range paths {
			was := p.avoid
			p.avoid = !works[i] && slices.Contains(works, true)
			if p.avoid && !was {
				r.drop(p)
			}
		}
	}
}

// lost takes note that TCP has given a connection up: its path is dead, and with
// it every other connection there, also those that have nothing to send and
// would not notice.
func (r *relay) lost(p *path, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.log.Debug("a peer's network has fallen silent", "machine", p.Machine, "network", p.Network, "address", p.Remote, "err", err)
	r.drop(p)
	paths := r.paths[p.Machine]
	i := slices.Index(paths, p)
	r.paths[p.Machine] = append(slices.Delete(paths, i, i+1), p)
}

// won takes note that a path works: the next connection tries it first.
func (r *relay) won(p *path) {
	r.mu.Lock()
	defer r.mu.Unlock()
	paths := r.paths[p.Machine]
	i := slices.Index(paths, p)
	r.paths[p.Machine] = slices.Insert(slices.Delete(paths, i, i+1), 0, p)
}

// drop ends what is under way on a path; r.mu is held.
func (r *relay) drop(p *path) {
	p.drops++
	any := false
	for l := range r.links {
		if l.path == p {
			l.drop()
			any = true
		}
	}
	if any && r.ctx.Err() == nil {
		r.move(settling)
	}
}

// settling are the times after a drop at which etcd is likely to have found a
// way round it. Its first message on a connection that was dropped is lost even
// then, and the next goes by a new one, on which TLS must shake hands.
var settling = []time.Duration{
	10 * time.Millisecond, 20 * time.Millisecond, 30 * time.Millisecond, 40 * time.Millisecond,
	50 * time.Millisecond, 100 * time.Millisecond, 150 * time.Millisecond,
}

// move says at each of these times, one after the other, that connections have
// moved; r.mu is held.
func (r *relay) move(after []time.Duration) {
	if r.moves != nil {
		r.moves.Stop()
	}
	if len(after) == 0 {
		return
	}
	r.moves = time.AfterFunc(after[0], func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		close(r.moved)
		r.moved = make(chan struct{})
		r.move(after[1:])
	})
}

// Moved is closed the next time that what was sent to a peer may have been lost
// with a connection, and another one is there.
func (r *relay) Moved() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.moved
}

// attempt is a path as it was when a connection over it began.
type attempt struct {
	*path
	drops int
}

// ways are the paths to a machine in the order to try them.
func (r *relay) ways(machine string) []attempt {
	r.mu.Lock()
	defer r.mu.Unlock()
	var good, bad []attempt
	for _, p := range r.paths[machine] {
		if p.avoid {
			bad = append(bad, attempt{p, p.drops})
		} else {
			good = append(good, attempt{p, p.drops})
		}
	}
	return append(good, bad...)
}

// whose is the path of a caller, nil if its address is no machine's.
func (r *relay) whose(far net.Conn) attempt {
	address := func(a net.Addr) netip.Addr {
		if tcp, ok := a.(*net.TCPAddr); ok {
			return tcp.AddrPort().Addr().Unmap().WithZone("")
		}
		return netip.Addr{}
	}
	caller, called := address(far.RemoteAddr()), address(far.LocalAddr())
	r.mu.Lock()
	defer r.mu.Unlock()
	var found attempt
	for _, paths := range r.paths {
		for _, p := range paths {
			if p.Remote == caller && (found.path == nil || p.Local == called) {
				found = attempt{p, p.drops}
			}
		}
	}
	return found
}

// reserve takes one connection of a budget; release gives it back.
func (r *relay) reserve(b budget) (release func(), ok bool) {
	most := linksPerMachine
	if b.machine == "" {
		most = linksOfOthers
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.used[b] >= most {
		return nil, false
	}
	r.used[b]++
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.used[b]--
	}, true
}

// listen hands each connection to a goroutine of its own until the relay closes.
// An address may come and go, and a port be taken for a while: it tries again.
func (r *relay) listen(at netip.Addr, control control, handle func(*net.TCPConn)) {
	const again = time.Second
	address := net.JoinHostPort(at.String(), strconv.Itoa(int(r.port)))
	said := false
	for r.ctx.Err() == nil {
		err := r.accept(address, control, handle)
		if r.ctx.Err() != nil {
			return
		}
		if !said {
			said = true
			r.log.Warn("peers cannot connect, trying again", "address", address, "err", err)
		}
		select {
		case <-time.After(again):
		case <-r.ctx.Done():
		}
	}
}

func (r *relay) accept(address string, control control, handle func(*net.TCPConn)) error {
	lc := net.ListenConfig{Control: control, KeepAlive: -1}
	lc.SetMultipathTCP(false) // the timeouts are those of plain TCP
	l, err := lc.Listen(r.ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer context.AfterFunc(r.ctx, func() { _ = l.Close() })()
	defer l.Close()
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		r.wg.Go(func() { handle(c.(*net.TCPConn)) })
	}
}

// dead reports whether TCP has given up because nothing comes back.
func dead(err error) bool {
	return errors.Is(err, unix.ETIMEDOUT) || errors.Is(err, unix.EHOSTUNREACH) ||
		errors.Is(err, unix.ENETUNREACH) || errors.Is(err, unix.ENETDOWN)
}
