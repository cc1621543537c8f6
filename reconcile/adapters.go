package reconcile

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"understudy/config"
)

// Adapter is one of this node's adapters on a network: the link that has one of
// its own addresses there.
type Adapter struct {
	Network string
	Own     netip.Prefix // this node's own address on it, as the file names it
	Link    string       // "" if no link has the address, or the addresses could not be read
	State   Presence     // Present: it works; Absent: it does not; Unknown: nobody can say
	Detail  string       // why it is not Present, for people
	// Doubtful: nothing is heard on it and something is on another adapter of the
	// network, and nobody can say whether this one is lost or the others' are. It is
	// Unknown then, and a service address is better off on the other.
	Doubtful bool
}

// Way is one way from this machine to another, from an adapter to an adapter.
type Way struct {
	Machine, Network string
	Local, Remote    netip.Addr // the adapters' addresses; Local is not valid when this machine is not on the network
}

// Adapters are this node's adapters on a network, in the order of the file, which
// is that of preference. Nil if it is not on the network.
func Adapters(network string, c *config.Config, s *Snapshot) []Adapter {
	n := c.Node(s.Node)
	if n == nil {
		return nil
	}
	var out []Adapter
	for _, own := range n.Adapters(network) {
		out = append(out, adapter(network, own, s))
	}
	if len(out) < 2 {
		return out
	}
	for i := range out {
		if out[i].State != Present {
			continue
		}
		switch why, sure := deaf(c, s, out, i); {
		case why != "" && sure:
			out[i].State, out[i].Detail = Absent, why
		case why != "":
			out[i].State, out[i].Detail, out[i].Doubtful = Unknown, why, true
		}
	}
	return out
}

// adapter looks at the link that has one address.
func adapter(network string, own netip.Prefix, s *Snapshot) Adapter {
	a := Adapter{Network: network, Own: own}
	if !s.Addrs.OK() {
		a.Detail = "addresses: " + s.Addrs.Why().Error()
		return a
	}
	i := slices.IndexFunc(s.Addrs.Value, func(h Addr) bool { return h.Prefix.Addr() == own.Addr() })
	if i < 0 {
		a.State, a.Detail = Absent, own.Addr().String()+" is on no link"
		return a
	}
	a.Link = s.Addrs.Value[i].Link
	if !s.Links.OK() {
		a.Detail = "links: " + s.Links.Why().Error()
		return a
	}
	k := slices.IndexFunc(s.Links.Value, func(l Link) bool { return l.Name == a.Link })
	if k < 0 {
		a.Detail = "link " + a.Link + " could not be read"
		return a
	}
	switch l := s.Links.Value[k]; {
	case !l.Up:
		a.State, a.Detail = Absent, l.Name+" is down"
	case !l.Carrier:
		a.State, a.Detail = Absent, l.Name+" has no carrier"
	default:
		a.State = Present
	}
	return a
}

// deaf says why an adapter with a carrier is taken for broken, "" if it is not: it
// is one where nothing is heard although there is something to be heard. That is
// only said where it is not the network and not the others: another adapter of the
// network on this host hears somebody. It is sure where
//
//   - it hears an adapter of another machine that sends to this one as well, or
//   - two other machines at least, both alive by other ways, are silent here.
//
// One machine alone that is silent here has perhaps lost its own adapter, which makes
// this one doubtful, unless that machine says that it has.
func deaf(c *config.Config, s *Snapshot, all []Adapter, i int) (why string, sure bool) {
	own := all[i].Own
	var heardBeside []netip.Addr // others' adapters that another adapter of ours hears
	beside := false
	var silent []netip.Addr
	var machines []string
	for _, p := range s.Peers {
		for _, l := range p.Links {
			switch {
			case l.Network != all[i].Network || !l.Local.IsValid():
			case l.Local == own.Addr() && l.Heard:
				return "", false
			case l.Local == own.Addr() && l.Silent && p.State == PeerHeard:
				if slices.ContainsFunc(p.Status.Lost, func(a LostAdapter) bool { return a.Address == l.Remote }) {
					continue
				}
				silent = append(silent, l.Remote)
				if !slices.Contains(machines, p.Name) {
					machines = append(machines, p.Name)
				}
			case l.Heard:
				heardBeside = append(heardBeside, l.Remote)
				beside = beside || slices.ContainsFunc(all, func(a Adapter) bool { return a.Own.Addr() == l.Local && a.State == Present })
			}
		}
	}
	if !beside || len(machines) == 0 {
		return "", false
	}
	sure = len(machines) > 1 || slices.ContainsFunc(silent, func(a netip.Addr) bool { return slices.Contains(heardBeside, a) })
	return fmt.Sprintf("nothing of %s is heard on %s for %s, while another adapter of network %s works", strings.Join(machines, " and "), all[i].Link, Human(c.Keepalive.Timeout), all[i].Network), sure
}

// AdaptersLost are the adapters of this node that surely do not work, in the order of
// the file.
func AdaptersLost(c *config.Config, s *Snapshot) []LostAdapter {
	var out []LostAdapter
	for _, n := range c.Networks {
		for _, a := range Adapters(n.Name, c, s) {
			if a.State == Absent {
				out = append(out, LostAdapter{n.Name, a.Own.Addr(), a.Link, a.Detail})
			}
		}
	}
	return out
}

// Carries are the labels of the service addresses that this adapter's link has, in the
// order of the file.
func (a Adapter) Carries(c *config.Config, s *Snapshot) []string {
	var out []string
	for _, g := range c.Groups {
		for _, svc := range g.Addresses {
			if a.Link != "" && has(a.Link, svc, s) {
				out = append(out, svc.Label)
			}
		}
	}
	return out
}

// placeOf is the link on which a service address belongs here: where it is, as long
// as that works or nothing better is known to; else the first adapter of its network
// that works. One in doubt gives way to one that works. It is false if no link has an
// own address of the network.
func placeOf(a config.ServiceAddress, c *config.Config, s *Snapshot) (Adapter, bool) {
	all := slices.DeleteFunc(Adapters(a.Network, c, s), func(x Adapter) bool { return x.Link == "" })
	if len(all) == 0 {
		return Adapter{}, false
	}
	if now := slices.IndexFunc(all, func(x Adapter) bool { return has(x.Link, a, s) }); now >= 0 && all[now].State != Absent && !all[now].Doubtful {
		return all[now], true
	}
	for _, want := range []Presence{Present, Unknown} {
		if i := slices.IndexFunc(all, func(x Adapter) bool { return x.State == want }); i >= 0 && (want == Present || !here(a, s)) {
			return all[i], true
		}
	}
	if now := slices.IndexFunc(all, func(x Adapter) bool { return has(x.Link, a, s) }); now >= 0 {
		return all[now], true
	}
	return all[0], true
}

func has(link string, a config.ServiceAddress, s *Snapshot) bool {
	return slices.ContainsFunc(s.Addrs.Value, func(h Addr) bool { return h.Link == link && h.Prefix.Addr() == a.Prefix.Addr() })
}

func here(a config.ServiceAddress, s *Snapshot) bool {
	return slices.ContainsFunc(s.Addrs.Value, func(h Addr) bool { return h.Prefix.Addr() == a.Prefix.Addr() })
}

// swappedFrom is the adapter of this host that has a service address and does not
// work, or is in doubt, while the address belongs on another; false if that is not so.
func swappedFrom(a config.ServiceAddress, place Adapter, c *config.Config, s *Snapshot) (Adapter, bool) {
	for _, x := range Adapters(a.Network, c, s) {
		if x.Link != "" && x.Link != place.Link && (x.State == Absent || x.Doubtful) && has(x.Link, a, s) {
			return x, true
		}
	}
	return Adapter{}, false
}

// besides are the links of this host's adapters on an address's network that do not
// work or are in doubt, but for the one it goes on.
func besides(a config.ServiceAddress, link string, c *config.Config, s *Snapshot) []string {
	var out []string
	for _, x := range Adapters(a.Network, c, s) {
		if x.Link != "" && x.Link != link && (x.State == Absent || x.Doubtful) {
			out = appendNew(out, x.Link)
		}
	}
	return out
}

// networkUp reports whether this host can serve on a network: one of its own
// adapters there works. The reason is set when it is not Present.
func networkUp(network string, c *config.Config, s *Snapshot) (Presence, string) {
	if c.Node(s.Node) == nil {
		return Unknown, s.Node + " is not in the file"
	}
	all := Adapters(network, c, s)
	if len(all) == 0 {
		return Absent, s.Node + " is not on network " + network
	}
	state := Absent
	var why []string
	for _, a := range all {
		switch a.State {
		case Present:
			return Present, ""
		case Unknown:
			state = Unknown
		}
		why = append(why, a.Detail)
	}
	return state, strings.Join(why, "; ")
}

// Pairs are the ways from one machine of the file to another on every network that
// the second is on: one for each pair of adapters in one subnet, and one without a
// Local where they share none. A witness behind a router, whose address is in no
// subnet of the network, is reached from the first adapter. Either machine may be the
// witness. Nothing is said of what is heard.
func Pairs(c *config.Config, self, other string) []PeerLink {
	var out []PeerLink
	for _, n := range c.Networks {
		for _, m := range n.Members {
			if m.Machine != other {
				continue
			}
			remote := m.Prefix.Addr()
			met := false
			var first netip.Addr
			for _, o := range n.Members {
				if o.Machine != self {
					continue
				}
				if !first.IsValid() && (o.Prefix.IsSingleIP() || m.Prefix.IsSingleIP()) {
					first = o.Prefix.Addr()
				}
				if o.Prefix.Contains(remote) || m.Prefix.Contains(o.Prefix.Addr()) {
					out, met = append(out, PeerLink{Network: n.Name, Local: o.Prefix.Addr(), Remote: remote}), true
				}
			}
			if !met {
				out = append(out, PeerLink{Network: n.Name, Local: first, Remote: remote})
			}
		}
	}
	return out
}
