package prepare

import (
	"encoding/base64"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"understudy/config"
)

// goodKey reports whether a text is a shared key.
func goodKey(text []byte) bool {
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
	return err == nil && len(key) >= KeySize
}

// netAddrs is the variable that lists addresses, by the guide.
const netAddrs = "RPC_UNSUPPORTED_NETADDRS"

// rpcLimit is how many addresses the variable takes (guide, "Planning Considerations
// for DCE"). For the variables that list interfaces the guide names no limit, and the
// same is assumed.
const rpcLimit = 10

// Excluded are the addresses that RPC servers of a node must keep off in every
// session, in order: all it has but service addresses. On a peer of a mutual takeover
// the service addresses of the other peer are among them, so that nothing of this
// node's own takes to them after a takeover. Loopback is no adapter.
func Excluded(c *config.Config, f *Facts) []netip.Addr {
	service, others := map[netip.Addr]bool{}, map[netip.Addr]bool{}
	for _, g := range groupsOf(c, f.Node) {
		for _, a := range g.Addresses {
			ip := a.Prefix.Addr()
			service[ip] = true
			if g.Configuration == config.MutualTakeover && g.Home() != f.Node && ip.Is4() {
				others[ip] = true
			}
		}
	}
	var out []netip.Addr
	for _, a := range f.Snapshot.Addrs.Value {
		if ip := a.Prefix.Addr(); ip.Is4() && !ip.IsLoopback() && !service[ip] {
			out = append(out, ip)
		}
	}
	for ip := range others {
		out = append(out, ip)
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return slices.Compact(out)
}

// ExcludedLinks are the links of a node that carry no service address, in the order
// of their names. alias tells that a link with a service address has other addresses
// too, which no list of links can exclude.
func ExcludedLinks(c *config.Config, f *Facts) (links []string, alias string) {
	carries := map[string]bool{}
	n := c.Node(f.Node)
	for _, g := range groupsOf(c, f.Node) {
		for _, a := range g.Addresses {
			own := n.Address(a.Network)
			for _, h := range f.Snapshot.Addrs.Value {
				if own.IsValid() && h.Prefix.Addr() == own.Addr() {
					carries[h.Link] = true
					alias = h.Link
				}
			}
		}
	}
	for _, h := range f.Snapshot.Addrs.Value {
		if ip := h.Prefix.Addr(); ip.Is4() && !ip.IsLoopback() && !carries[h.Link] {
			links = append(links, h.Link)
		}
	}
	slices.Sort(links)
	return slices.Compact(links), alias
}

// environmentItems are the variables of /etc/environment (guide, step 3 on either
// node).
func (b *builder) environmentItems() {
	var addrs bool
	var names []string
	for _, a := range everyApplication(b.c, b.f.Node) {
		addrs = addrs || a.RPCExclude
		for _, v := range a.RPCInterfaces {
			if !slices.Contains(names, v) {
				names = append(names, v)
			}
		}
	}
	if addrs {
		var words []string
		for _, ip := range Excluded(b.c, b.f) {
			words = append(words, ip.String())
		}
		b.variable(netAddrs, words, "addresses", []string{"S31", "S35", "S41", "S42", "S43", "S95", "S106"}, "")
	}
	links, alias := ExcludedLinks(b.c, b.f)
	note := ""
	if alias != "" {
		note = "; the service address shares " + alias + " with this node's own, which only " + netAddrs + " can tell apart"
	}
	for _, v := range names {
		b.variable(v, links, "links", []string{"S44", "S95", "S106"}, note)
	}
}

func (b *builder) variable(key string, words []string, what string, rows []string, note string) {
	value := strings.Join(words, ":")
	it := Item{Name: key, Rows: rows, Section: Environment, Want: fmt.Sprintf("one line %s=%s in %s", key, value, EnvironmentFile)}
	if value == "" {
		it.Want = "no " + key + " in " + EnvironmentFile + ": there is nothing to exclude"
	}
	s := b.f.path(EnvironmentFile)
	have := Variables(s.Value.Data)[key]
	missing := b.ownAddressMissing()
	switch {
	case !b.f.Snapshot.Addrs.OK():
		it.State, it.Seen, it.Way = Unknown, "addresses: "+b.f.Snapshot.Addrs.Why().Error(), "look again"
	case !s.OK():
		it.State, it.Seen, it.Way = Unknown, s.Why().Error(), "look at it by hand"
	case missing != "":
		it.Want = key + " in " + EnvironmentFile + " lists every " + strings.TrimSuffix(strings.TrimSuffix(what, "s"), "e") + " that is not the service's"
		it.State, it.Seen, it.Way = Blocked, missing+" of this node is on no link: the list would lack it", "bring the network up, or correct the address in the file"
	case len(words) > rpcLimit:
		it.State, it.Seen = Blocked, fmt.Sprintf("%d %s are to be excluded, and the variable takes %d", len(words), what, rpcLimit)
		it.Way = "take " + what + " off this node; none is left out silently"
	case len(have) == 0 && value == "":
		it.State, it.Seen = Done, "none is there"
	case len(have) == 1 && sameWords(have[0], words):
		it.State, it.Seen = Done, "the line is there"+note
	case len(have) == 0:
		it.State, it.Seen = ToDo, "there is no such line"+note
	case len(have) > 1:
		it.State, it.Seen = ToDo, fmt.Sprintf("there are %d lines of it: %s", len(have), strings.Join(have, ", "))
	default:
		it.State, it.Seen = ToDo, "it is "+have[0]+note
	}
	if it.State == ToDo {
		it.Changes = []Change{SetVariable{Path: EnvironmentFile, Key: key, Value: value}}
		it.Way = "new sessions have it; understudy passes it to every start by itself"
	}
	b.add(it)
}

// sameWords compares a colon list with words, whatever their order.
func sameWords(list string, words []string) bool {
	have := strings.Split(list, ":")
	if list == "" {
		have = nil
	}
	want := slices.Clone(words)
	slices.Sort(have)
	slices.Sort(want)
	return slices.Equal(have, want)
}

// ownAddressMissing is an address of this node that no link has, "" if all are there.
func (b *builder) ownAddressMissing() string {
	n := b.c.Node(b.f.Node)
	for _, own := range n.Addresses {
		ip := own.Prefix.Addr()
		found := false
		for _, a := range b.f.Snapshot.Addrs.Value {
			found = found || a.Prefix.Addr() == ip
		}
		if !found {
			return ip.String()
		}
	}
	return ""
}
