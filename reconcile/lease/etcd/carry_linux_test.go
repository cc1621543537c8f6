package etcd

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"understudy/config"
	"understudy/reconcile"
)

// pair is two machines on two networks of the loopback device, and a listener
// instead of beta's etcd.
type pair struct {
	t           testing.TB
	cfg         *config.Config
	alpha, beta *relay
	calls       chan *net.TCPConn // at beta's etcd
}

func newPair(t testing.TB) *pair {
	c := declare(t, 1)
	c.Nodes = append(c.Nodes, config.Node{Name: "beta"})
	base := c.Nodes[0].Addresses[0].Prefix.Addr().As4()
	for i := range c.Nodes {
		c.Nodes[i].Addresses = nil
		for j, network := range []string{"a", "b"} {
			base[3] = byte(100 + 10*j + i)
			c.Nodes[i].Addresses = append(c.Nodes[i].Addresses, config.NodeAddress{Network: network, Prefix: netip.PrefixFrom(netip.AddrFrom4(base), 32)})
		}
	}
	return &pair{t: t, cfg: c, calls: make(chan *net.TCPConn, 1000)}
}

func (p *pair) run() {
	var err error
	p.alpha, err = newRelay(p.cfg, "alpha", quiet())
	must(p.t, err)
	p.beta, err = newRelay(p.cfg, "beta", quiet())
	must(p.t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(p.t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.calls <- c.(*net.TCPConn)
		}
	}()
	p.beta.admit(l.Addr())
	for _, a := range p.cfg.Nodes[1].Addresses {
		_ = p.call(a.Prefix.Addr().String()).Close()
	}
	(&cluster{TB: p.t}).eventually("it has noticed", func() bool {
		p.beta.mu.Lock()
		defer p.beta.mu.Unlock()
		return p.beta.used[budget{inbound: true}] == 0
	})
	p.t.Cleanup(func() {
		p.alpha.Close()
		p.beta.Close()
		_ = l.Close()
		<-done
		close(p.calls)
		for c := range p.calls {
			_ = c.Close()
		}
	})
}

// open connects as alpha's etcd would, says hello, and gives both ends.
func (p *pair) open() (near, far *net.TCPConn) {
	p.t.Helper()
	near = p.dial()
	_, err := near.Write([]byte("hello"))
	must(p.t, err)
	select {
	case far = <-p.calls:
	case <-time.After(time.Minute):
		p.t.Fatal("nothing arrives")
	}
	hello := make([]byte, 5)
	if _, err := io.ReadFull(far, hello); err != nil || string(hello) != "hello" {
		p.t.Fatalf("%q %v", hello, err)
	}
	return near, far
}

// dial connects as alpha's etcd would.
func (p *pair) dial() *net.TCPConn {
	p.t.Helper()
	return p.call(machines(p.cfg)[1].stable.String())
}

// call connects to an address as soon as something listens there.
func (p *pair) call(address string) *net.TCPConn {
	p.t.Helper()
	var c net.Conn
	(&cluster{TB: p.t}).eventually("something listens on "+address, func() (ok bool) {
		var err error
		c, err = net.Dial("tcp", net.JoinHostPort(address, strconv.Itoa(int(p.cfg.Lease.PeerPort))))
		return err == nil
	})
	p.t.Cleanup(func() { _ = c.Close() })
	return c.(*net.TCPConn)
}

// network is the one that alpha's connections use, and how many there are.
func (p *pair) network() (string, int) {
	p.alpha.mu.Lock()
	defer p.alpha.mu.Unlock()
	var on string
	for l := range p.alpha.links {
		on = l.path.Network
	}
	return on, len(p.alpha.links)
}

// openOn opens a connection that goes over a network. Another one is tried only
// when that one is late, as it may be on a loaded machine.
func (p *pair) openOn(network string) (near *net.TCPConn) {
	p.t.Helper()
	var on string
	for range 5 {
		near, _ = p.open()
		if on, _ = p.network(); on == network {
			return near
		}
		_ = near.Close()
		(&cluster{TB: p.t}).eventually("it ends", func() bool { _, n := p.network(); return n == 0 })
	}
	p.t.Fatalf("connections go over %s, not %s", on, network)
	return nil
}

// ended waits until an end of a connection is told that it is over.
func ended(t testing.TB, c *net.TCPConn) error {
	t.Helper()
	must(t, c.SetReadDeadline(time.Now().Add(time.Minute)))
	_, err := c.Read(make([]byte, 1))
	if err == nil || os.IsTimeout(err) {
		t.Fatalf("the connection lives: %v", err)
	}
	return err
}

// What goes in comes out, however much, and an end in one direction is an end in
// that direction only.
func TestRelayCarries(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	p.run()
	near, far := p.open()
	sent := make([]byte, 3<<20)
	_, _ = rand.Read(sent)
	for _, way := range []struct{ from, to *net.TCPConn }{{near, far}, {far, near}} {
		wrote := make(chan error, 1)
		go func() {
			_, err := way.from.Write(sent)
			wrote <- err
		}()
		got := make([]byte, len(sent))
		if _, err := io.ReadFull(way.to, got); err != nil || !bytes.Equal(got, sent) {
			t.Fatalf("not what was sent: %v", err)
		}
		must(t, <-wrote)
	}
	must(t, near.CloseWrite())
	if err := ended(t, far); err != io.EOF {
		t.Error(err)
	}
	_, err := far.Write([]byte("x"))
	must(t, err)
	if _, err := io.ReadFull(near, make([]byte, 1)); err != nil {
		t.Error(err)
	}
	must(t, far.Close())
	if err := ended(t, near); err != io.EOF {
		t.Error(err)
	}
}

// A network that does not work any more loses its connections at once, and new
// ones take the other. Where no network is said to work, nothing is lost.
func TestRelayIsTold(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	p.run()
	near, far := p.open()
	first, _ := p.network()
	not := func(networks string) func(reconcile.Way) bool {
		return func(w reconcile.Way) bool { return !strings.Contains(networks, w.Network) }
	}
	p.alpha.SetUsable(not("ab"))
	if _, n := p.network(); n != 1 {
		t.Error("dropped although no network is better")
	}
	moved := p.alpha.Moved()
	p.alpha.SetUsable(not(first))
	if err := ended(t, near); err == io.EOF {
		t.Error("the near end was closed, not reset: its next write would be lost")
	}
	_ = ended(t, far)
	select {
	case <-moved:
	case <-time.After(time.Minute):
		t.Error("nobody is told that connections have moved")
	}
	second := map[string]string{"a": "b", "b": "a"}[first]
	near = p.openOn(second)
	p.alpha.SetUsable(not(""))
	if on, n := p.network(); on != second || n != 1 {
		t.Errorf("moved back to %s without need, %d", on, n)
	}
	p.alpha.SetUsable(not(second))
	_ = ended(t, near)
	p.openOn(first)
}

// A caller that is too many is turned away, and only for as long.
func TestRelayIsBounded(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	p.run()
	var held []*net.TCPConn
	for range linksPerMachine {
		near, _ := p.open()
		held = append(held, near)
	}
	_ = ended(t, p.dial())
	must(t, held[0].Close())
	p.room()
	p.open()

	// Strangers, who may as well be hostile, do not use up a peer's share.
	stranger := func() *net.TCPConn {
		return p.call(p.cfg.Nodes[1].Addresses[0].Prefix.Addr().String())
	}
	for range linksOfOthers {
		c := stranger()
		_, err := c.Write([]byte("hello"))
		must(t, err)
		<-p.calls
	}
	_ = ended(t, stranger())
	must(t, held[1].Close())
	p.room()
	p.open()
}

// room waits until one connection more may be opened.
func (p *pair) room() {
	p.t.Helper()
	free := func(r *relay, b budget) bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.used[b] < linksPerMachine
	}
	(&cluster{TB: p.t}).eventually("there is room again", func() bool {
		return free(p.alpha, budget{"beta", false}) && free(p.beta, budget{"alpha", true})
	})
}

// A caller that says nothing is not passed on, and sent away.
func TestRelayOfSilence(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	p.run()
	_ = ended(t, p.dial())
	select {
	case <-p.calls:
		t.Error("it was passed on")
	default:
	}
}

// Another user of the host does not get as far as a peer.
func TestRelayOfAnotherUser(t *testing.T) {
	t.Parallel()
	needRoot(t)
	p := newPair(t)
	p.run()
	say := fmt.Sprintf("exec 3<>/dev/tcp/%s/%d; printf hello >&3; cat <&3", machines(p.cfg)[1].stable, p.cfg.Lease.PeerPort)
	for _, uid := range []uint32{65534, 0} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		cmd := exec.CommandContext(ctx, "bash", "-c", say)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
		must(t, cmd.Start())
		if uid == 0 {
			_ = (<-p.calls).Close()
		}
		_ = cmd.Wait() // the connection is reset under it, or ends
		cancel()
		if ctx.Err() == context.DeadlineExceeded || len(p.calls) > 0 {
			t.Errorf("uid %d: %d arrived", uid, len(p.calls))
		}
	}
}

// Close leaves nothing behind, in whatever state the connections are.
func TestRelayCloses(t *testing.T) {
	p := newPair(t)
	p.run()
	before := runtime.NumGoroutine()
	for range 5 {
		r, err := newRelay(p.cfg, "alpha", slog.New(slog.DiscardHandler))
		must(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		c, _, err := r.dial(ctx, "beta")
		must(t, err)
		cancel()
		_ = c.Close()
		p.open()
		p.dial()
		r.SetUsable(func(reconcile.Way) bool { return true })
		r.Close()
		r.Close()
	}
	p.alpha.Close()
	p.beta.Close()
	k := &cluster{TB: t}
	k.eventually("every goroutine has ended", func() bool { return runtime.NumGoroutine() <= before })
}

// A store that was made for other machines says so.
func TestTheFileHasChanged(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*config.Config){
		"port":    func(c *config.Config) { c.Lease.PeerPort = freePort(t) },
		"order":   func(c *config.Config) { c.Nodes[0], c.Nodes[1] = c.Nodes[1], c.Nodes[0] },
		"witness": func(c *config.Config) { c.Witness = nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := newCluster(t, declare(t, 3))
			k.start("alpha")
			k.start("beta")
			k.ready()
			k.stop("alpha")
			k.stop("beta")
			change(k.cfg)
			began := time.Now()
			m, err := StartMember(t.Context(), MemberOptions{Config: k.cfg, Name: "alpha", DataDir: k.dirs["alpha"], Keys: [][]byte{key}, Log: quiet()})
			if err == nil {
				k.members["alpha"] = m
				t.Fatal("it starts")
			}
			t.Logf("after %s: %v", time.Since(began).Round(time.Millisecond), err)
			if !strings.Contains(err.Error(), "undo the change") {
				t.Error(err)
			}
		})
	}
}
