package prepare

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"understudy/config"
	"understudy/reconcile"
)

// wireSettings keep two links on one wire apart: each answers for its own addresses
// only, asks in its own name only, and takes what comes over it although the way back
// is another (Documentation/networking/ip-sysctl). Of all and of the link the larger
// counts; nobody checks the way back where rp_filter is 0.
var wireSettings = []struct {
	name string
	good func(int) bool
}{
	{"arp_ignore", func(n int) bool { return n >= 1 }},
	{"arp_announce", func(n int) bool { return n >= 2 }},
	{"rp_filter", func(n int) bool { return n != 1 }},
}

// wireFile is where the kernel shows a setting of a link, or of all.
func wireFile(link, name string) string { return "/proc/sys/net/ipv4/conf/" + link + "/" + name }

// WireAsks are the paths that [Items] wants to know about where links of this host are
// on one wire.
func WireAsks(c *config.Config, node string, s *reconcile.Snapshot) []Ask {
	links, _ := oneWire(c, node, s)
	if links == nil {
		return nil
	}
	var out []Ask
	for _, l := range append([]string{"all"}, links...) {
		for _, w := range wireSettings {
			out = append(out, Ask{Path: wireFile(l, w.name), Kernel: true, Data: true})
		}
	}
	return out
}

// oneWire are the links of this host that are on one wire, as the boot and standby
// adapters of the guide's example are: their addresses are in one subnet, or the file
// lists them as adapters of one network. Nil if there are none. listed: it lists all.
func oneWire(c *config.Config, node string, s *reconcile.Snapshot) (links []string, listed bool) {
	if !s.Addrs.OK() {
		return nil, false
	}
	network := map[string]string{} // by link, what the file says
	if n := c.Node(node); n != nil {
		for _, own := range n.Addresses {
			for _, a := range s.Addrs.Value {
				if a.Prefix.Addr() == own.Prefix.Addr() && own.Prefix.Addr().Is4() {
					network[a.Link] = own.Network
				}
			}
		}
	}
	listed = true
	for i, a := range s.Addrs.Value {
		for _, o := range s.Addrs.Value[:i] {
			if a.Link == o.Link || !a.Prefix.Addr().Is4() || !o.Prefix.Addr().Is4() || a.Prefix.Addr().IsLoopback() {
				continue
			}
			named := network[a.Link] != "" && network[a.Link] == network[o.Link]
			if named || a.Prefix.Bits() < 32 && a.Prefix.Masked() == o.Prefix.Masked() {
				links, listed = append(links, o.Link, a.Link), listed && named
			}
		}
	}
	slices.Sort(links)
	return slices.Compact(links), listed
}

// wireItem warns where the kernel answers for every address of the host on each of the
// links of one wire, as it does by default.
func (b *builder) wireItem() {
	links, listed := oneWire(b.c, b.f.Node, &b.f.Snapshot)
	if links == nil {
		return
	}
	it := Item{
		Name: "ARP on " + strings.Join(links, " and "), Rows: []string{"S47"}, Section: Cluster,
		Want: "each link answers for its own addresses only",
	}
	var seen, way []string
	for _, l := range links {
		var bad []string
		for _, w := range wireSettings {
			n, err := b.setting(l, w.name)
			if err != "" {
				it.State, it.Seen, it.Way = Unknown, err, "look at arp_ignore, arp_announce and rp_filter by hand"
				b.add(it)
				return
			}
			if w.good(n) {
				continue
			}
			bad = append(bad, fmt.Sprintf("%s is %d", w.name, n))
			set := "net/ipv4/conf/all/arp_ignore=1"
			switch w.name {
			case "arp_announce":
				set = "net/ipv4/conf/all/arp_announce=2"
			case "rp_filter":
				set = "net/ipv4/conf/" + l + "/rp_filter=2"
			}
			if !slices.Contains(way, set) {
				way = append(way, set)
			}
		}
		if bad != nil {
			seen = append(seen, l+": "+strings.Join(bad, ", "))
		}
	}
	it.State, it.Seen = Done, "arp_ignore, arp_announce and rp_filter keep them apart"
	if seen != nil {
		it.State, it.Seen = ByHand, "they are on one wire; "+strings.Join(seen, "; ")
		it.Way = "sysctl -w " + strings.Join(way, " ") + ", and keep it in /etc/sysctl.d"
		if listed {
			it.Way += "; understudy sets it on them when it starts"
		}
	}
	b.add(it)
}

// setting is the larger value of a link and of all, or why it is not known.
func (b *builder) setting(link, name string) (most int, why string) {
	for _, of := range []string{"all", link} {
		p := b.f.path(wireFile(of, name))
		if !p.OK() || p.Value.Kind == Nothing {
			return 0, name + " of " + of + " could not be read"
		}
		n, err := strconv.Atoi(strings.TrimSpace(string(p.Value.Data)))
		if err != nil {
			return 0, fmt.Sprintf("%s of %s is %q", name, of, p.Value.Data)
		}
		most = max(most, n)
	}
	return most, ""
}
