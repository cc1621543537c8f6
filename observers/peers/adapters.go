package peers

import (
	"net/netip"
	"slices"
	"time"

	"understudy/config"
	"understudy/reconcile"
)

// adapters makes the sockets, one for each of this machine's own addresses, and the
// links to every other machine.
func (p *Peers) adapters(cfg *config.Config) {
	for _, n := range cfg.Networks {
		p.known[n.Name] = n.Name
		var own []*wire
		for _, m := range n.Members {
			if m.Machine == p.self {
				own = append(own, &wire{network: n.Name, local: netip.AddrPortFrom(m.Prefix.Addr(), cfg.Keepalive.Port)})
			}
		}
		for _, w := range own {
			w.pinned = len(own) > 1
		}
		p.wires = append(p.wires, own...)
	}
	for _, q := range p.table.peers {
		for _, pair := range reconcile.Pairs(cfg, p.self, q.name) {
			l := link{
				network: pair.Network, local: pair.Local, remote: pair.Remote, shared: pair.Local.IsValid(),
				heard: unheard, hears: unheard, listening: unheard,
			}
			l.out = linkName(cfg, l.network, p.self, l.local, q.name, l.remote)
			l.in = linkName(cfg, l.network, q.name, l.remote, p.self, l.local)
			p.known[l.out], p.known[l.in] = l.out, l.in
			q.links = append(q.links, l)
			for _, w := range p.wires {
				if w.network == l.network && w.local.Addr() == l.local {
					w.to = append(w.to, &target{peer: q, name: l.out, addr: newDestination(netip.AddrPortFrom(l.remote, cfg.Keepalive.Port))})
				}
			}
		}
	}
}

// linkName is what packets from one machine's adapter to another's call their way:
// the network's name between the first adapters of both, as it was when machines had
// one on a network, and with the addresses for every other pair.
func linkName(cfg *config.Config, network, from string, source netip.Addr, to string, sink netip.Addr) string {
	first := func(machine string, a netip.Addr) bool {
		for _, n := range cfg.Networks {
			i := slices.IndexFunc(n.Members, func(m config.Member) bool { return n.Name == network && m.Machine == machine })
			if i >= 0 {
				return n.Members[i].Prefix.Addr() == a
			}
		}
		return true
	}
	if first(from, source) && first(to, sink) {
		return network
	}
	return network + " " + source.String() + " " + sink.String()
}

// measure finds out how much of the status fits into a packet beside the rest.
// With very many machines the packets tell about the first of them only.
func (p *Peers) measure() {
	for {
		k := packet{session: p.session, cluster: p.cluster, sender: p.self, receiver: p.self, clock: 1}
		for name := range p.known { // the longest of all names stands for each
			k.receiver = longer(k.receiver, name)
			k.network = longer(k.network, name)
		}
		for _, name := range p.gossip {
			k.heard = append(k.heard, heardAge{name: name})
		}
		bare := len(k.append(nil))
		most := bare
		for _, q := range p.table.peers {
			k.hears = k.hears[:0]
			for _, l := range q.links {
				if l.shared {
					k.hears = append(k.hears, heardAge{name: l.in})
				}
			}
			most = max(most, len(k.append(nil)))
		}
		p.room = maxPacket - macSize - most
		if p.room >= minPiece || len(p.gossip) == 0 {
			return
		}
		p.gossip = p.gossip[:len(p.gossip)-1]
	}
}

func longer(a, b string) string {
	if len(b) > len(a) {
		return b
	}
	return a
}

// listens takes note that the socket on an adapter is open, or is not any more.
func (p *Peers) listens(w *wire, open bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := unheard
	if open {
		at = p.clock()
	}
	for _, q := range p.table.peers {
		for i := range q.links {
			if l := &q.links[i]; l.network == w.network && l.local == w.local.Addr() {
				l.listening = at
			}
		}
	}
	p.wake.Fire()
}

// repin is how often the link of an adapter is looked up again: its address may
// have been put on another one.
const repin = 5 * time.Second

// pin keeps the sockets of a network on which this machine has several adapters to
// the link of their address, so that a packet that is heard has come over it, and one
// that is sent goes over it whatever the routes say.
func (p *Peers) pin(now time.Duration) {
	if now < p.pinned {
		return
	}
	p.pinned = now + repin
	for _, w := range p.wires {
		if w.pinned && !w.pin() {
			p.pinned = now + repin/5
		}
	}
}
