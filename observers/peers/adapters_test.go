package peers

import (
	"context"
	"net/netip"
	"slices"
	"testing"
	"time"

	"understudy/config"
	"understudy/reconcile"
)

// twoAdapters is a file in which alpha and beta have two adapters on network a, the
// second in a subnet of its own or in that of the first, and one on b; the witness
// has one on each.
func twoAdapters(prefix, second string) *config.Config {
	cfg := threeOn(prefix)
	for i, m := range []string{"alpha", "beta"} {
		ip := netip.MustParseAddr(second).As4()
		ip[3] += byte(i)
		at := slices.IndexFunc(cfg.Networks[0].Members, func(x config.Member) bool { return x.Machine == m })
		cfg.Networks[0].Members = slices.Insert(cfg.Networks[0].Members, at+1, config.Member{Machine: m, Prefix: netip.PrefixFrom(netip.AddrFrom4(ip), 24)})
	}
	return cfg
}

func newAdapterWorld(cfg *config.Config) *world {
	w := &world{now: time.Hour, cfg: cfg, nodes: map[string]*Peers{}, cut: map[[3]string]bool{}}
	for _, n := range []string{"alpha", "beta", "witness"} {
		w.boot(n, "boot-1-"+n)
	}
	return w
}

// dead cuts an adapter off, in both directions, by its address; or joins it again.
func (w *world) dead(address string, yes bool) {
	ip := netip.MustParseAddr(address)
	for name, p := range w.nodes {
		for _, q := range p.table.peers {
			for _, l := range q.links {
				if l.local == ip || l.remote == ip {
					w.cut[[3]string{name, q.name, l.out}] = yes
				}
			}
		}
	}
}

// between is the link of one machine's adapter to another's.
func between(t *testing.T, p reconcile.Peer, local, remote string) reconcile.PeerLink {
	t.Helper()
	for _, l := range p.Links {
		if l.Local == netip.MustParseAddr(local) && l.Remote == netip.MustParseAddr(remote) {
			return l
		}
	}
	t.Fatalf("no link from %s to %s: %+v", local, remote, p.Links)
	return reconcile.PeerLink{}
}

func TestEveryPairOfAdaptersInASubnetIsALink(t *testing.T) {
	for _, c := range []struct {
		second      string
		toBeta, way int
	}{
		{"10.9.0.1", 3, 1},   // a subnet of its own: first to first, second to second, and network b
		{"10.0.0.101", 5, 2}, // the same subnet: each to each, and network b
	} {
		w := newAdapterWorld(twoAdapters("10.0.0.0", c.second))
		w.run(2 * time.Second)
		p := w.sees(t, "alpha", "beta")
		if len(p.Links) != c.toBeta || p.State != reconcile.PeerHeard {
			t.Fatalf("%s: %+v", c.second, p)
		}
		for _, l := range p.Links {
			if !l.Heard || !l.Hears || l.Silent || !l.Local.IsValid() || !l.Remote.IsValid() {
				t.Errorf("%s: %+v", c.second, l)
			}
		}
		if got := len(w.sees(t, "alpha", "witness").Links); got != 1+c.way {
			t.Errorf("%s: %d links to the witness", c.second, got)
		}
		// The first adapters speak as machines with one do.
		if name := w.nodes["alpha"].table.peer("beta").links[0].out; name != "a" {
			t.Errorf("the first link is called %q", name)
		}
	}
}

// A dead adapter is silent on its own links and on no other, and says so only after
// the timeout; a peer that dies is silent on none.
func TestSilentAdapter(t *testing.T) {
	w := newAdapterWorld(twoAdapters("10.0.0.0", "10.9.0.1"))
	w.run(2 * time.Second)
	w.dead("10.0.0.1", true) // alpha's first
	w.run(800 * ms)
	if l := between(t, w.sees(t, "alpha", "beta"), "10.0.0.1", "10.0.0.2"); l.Silent {
		t.Errorf("silent before the timeout: %+v", l)
	}
	w.run(400 * ms)
	beta, witness := w.sees(t, "alpha", "beta"), w.sees(t, "alpha", "witness")
	for _, l := range []reconcile.PeerLink{between(t, beta, "10.0.0.1", "10.0.0.2"), between(t, witness, "10.0.0.1", "10.0.0.3")} {
		if !l.Silent || l.Heard {
			t.Errorf("a dead adapter: %+v", l)
		}
	}
	for _, l := range []reconcile.PeerLink{between(t, beta, "10.9.0.1", "10.9.0.2"), between(t, witness, "10.0.1.1", "10.0.1.3")} {
		if l.Silent || !l.Heard {
			t.Errorf("a good adapter: %+v", l)
		}
	}
	w.dead("10.0.0.1", false)
	w.run(400 * ms)
	if l := between(t, w.sees(t, "alpha", "beta"), "10.0.0.1", "10.0.0.2"); l.Silent || !l.Heard || !l.Hears {
		t.Errorf("joined again: %+v", l)
	}
	delete(w.nodes, "beta")
	w.run(3 * time.Second)
	p := w.sees(t, "alpha", "beta")
	if p.State != reconcile.PeerSilent || slices.ContainsFunc(p.Links, func(l reconcile.PeerLink) bool { return l.Silent }) {
		t.Errorf("a dead peer is silent as a whole, and none of its links for itself: %+v", p)
	}
}

// One direction of one link is lost: the receiver is silent on it, the sender is told
// that it is not heard there, and both hear each other elsewhere.
func TestAsymmetricLossIsNamed(t *testing.T) {
	w := newAdapterWorld(twoAdapters("10.0.0.0", "10.9.0.1"))
	w.run(2 * time.Second)
	w.cut[[3]string{"alpha", "beta", "a"}] = true
	w.run(2 * time.Second)
	there, here := between(t, w.sees(t, "beta", "alpha"), "10.0.0.2", "10.0.0.1"), between(t, w.sees(t, "alpha", "beta"), "10.0.0.1", "10.0.0.2")
	if there.Heard || !there.Silent || !there.Hears {
		t.Errorf("beta: %+v", there)
	}
	if !here.Heard || here.Silent || here.Hears {
		t.Errorf("alpha: %+v", here)
	}
}

// What has just begun is not silent: neither a peer's other links when the first
// packet of its boot has come, nor a socket that has just opened, nor anything after
// this process stood still.
func TestNotSilentBeforeTheTimeout(t *testing.T) {
	fresh := func(what string, w *world) {
		t.Helper()
		for _, p := range w.nodes["alpha"].Peers() {
			for _, l := range p.Links {
				if l.Silent {
					t.Errorf("%s: %s %+v", what, p.Name, l)
				}
			}
		}
	}
	w := newAdapterWorld(twoAdapters("10.0.0.0", "10.9.0.1"))
	w.dead("10.0.0.1", true)
	w.run(900 * ms)
	fresh("at the beginning", w)
	w.run(600 * ms)
	delete(w.nodes, "beta")
	w.run(3 * time.Second)
	w.boot("beta", "boot-2-beta")
	w.run(900 * ms)
	if p := w.sees(t, "alpha", "beta"); p.State != reconcile.PeerHeard || between(t, p, "10.0.0.1", "10.0.0.2").Silent {
		t.Errorf("a peer that has just booted: %+v", p)
	}
	w.run(500 * ms)
	if p := w.sees(t, "alpha", "beta"); !between(t, p, "10.0.0.1", "10.0.0.2").Silent {
		t.Errorf("it is silent there by now: %+v", p)
	}
	alpha := w.nodes["alpha"]
	for _, open := range []bool{false, true} {
		alpha.listens(alpha.wires[0], open)
		alpha.tell(w.now)
		if l := between(t, w.sees(t, "alpha", "beta"), "10.0.0.1", "10.0.0.2"); l.Silent {
			t.Errorf("silent with a socket that is open %v: %+v", open, l)
		}
	}
	w.run(1500 * ms)
	if l := between(t, w.sees(t, "alpha", "beta"), "10.0.0.1", "10.0.0.2"); !l.Silent {
		t.Errorf("not silent: %+v", l)
	}
	w.now += 10 * time.Second // this process stood still
	alpha.catchUp(t.Context(), w.now)
	alpha.tell(w.now)
	fresh("after standing still", w)
}

// A packet counts once, on its own link and at its own adapter: whatever of it is
// played again, there or elsewhere, makes no adapter look alive.
func TestReplayOnAnotherAdapter(t *testing.T) {
	w := newAdapterWorld(twoAdapters("10.0.0.0", "10.9.0.1"))
	w.run(2 * time.Second)
	sent := slices.Clone(w.wire)
	for _, a := range []string{"10.0.0.2", "10.9.0.2"} {
		w.dead(a, true) // beta's two on network a
	}
	w.run(2 * time.Second)
	alpha := w.nodes["alpha"]
	for _, f := range append(sent, w.wire[len(w.wire)-40:]...) {
		for _, wire := range alpha.wires {
			own := wire.takes(alpha.table.peer("beta"), f.link) && w.cut[[3]string{"beta", "alpha", f.link}]
			if f.to == "alpha" && f.from == "beta" && (!own || slices.ContainsFunc(sent, func(o flight) bool { return slices.Equal(o.packet, f.packet) })) {
				alpha.take(context.Background(), wire, f.packet)
			}
		}
	}
	for _, l := range w.sees(t, "alpha", "beta").Links {
		if l.Network == "a" && l.Heard {
			t.Errorf("heard by what was sent elsewhere or before: %+v", l)
		}
	}
}
