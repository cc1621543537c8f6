package config

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// witnessName is the witness's name wherever machines are named.
const witnessName = "witness"

// machines reads nodes and witness, and derives the networks from them.
func (b *builder) machines() {
	nodes := b.file.Node
	for i := range nodes {
		b.node(&nodes[i])
	}
	switch {
	case b.file.lacks("node", len(nodes)):
		b.add(ruleNoNode, b.file.line, `write [node.alpha] with addresses = { public = "192.0.2.1/24" }`, "the file has no node")
	case len(nodes) == 1:
		b.add(ruleOneNode, nodes[0].line, "add the machine that shall take over", "node %s is the only node", nodes[0].name)
	}
	b.networks()
	b.apart()
	b.witness()
	b.votes()
	slices.SortFunc(b.config.Networks, func(x, y Network) int { return cmp.Compare(x.Name, y.Name) })
	if n := b.config.Networks; len(n) == 1 && len(nodes) > 1 {
		b.add(ruleOneNetwork, nodes[0].line, "give the nodes addresses on a second network",
			"%s is the only network", n[0].Name)
	}
}

func (b *builder) node(f *fileNode) {
	n := Node{Name: f.name, Line: f.line}
	if f.bad {
		b.config.Nodes = append(b.config.Nodes, n)
		return
	}
	if b.name(f.name, f.line, "node") && f.name == witnessName {
		b.add(ruleName, f.line, "name it otherwise", "node %s has the name of the witness", f.name)
	}
	what := "node " + f.name
	if b.required(f.Addresses.set && (f.Addresses.bad || len(f.Addresses.v) > 0), max(f.line, f.Addresses.line), what, "addresses", `{ public = "192.0.2.1/24" }`) {
		for _, p := range f.Addresses.v {
			if !b.name(p.key, p.line, what+": network") {
				continue
			}
			if prefix, ok := b.prefix(p.value, p.line, what+": address"); ok {
				n.Addresses = append(n.Addresses, NodeAddress{Network: p.key, Prefix: prefix})
			}
		}
	}
	slices.SortStableFunc(n.Addresses, func(x, y NodeAddress) int { return cmp.Compare(x.Network, y.Network) })
	for i := range f.Fence {
		n.Fences = append(n.Fences, *b.fence(&f.Fence[i], methodOf(what, i, len(f.Fence))))
	}
	if f.lacks("fence", len(f.Fence)) && b.config.Lease.Store == StoreDisk {
		b.unfenced(f.line, what)
	} else if f.lacks("fence", len(f.Fence)) && !b.isExternal() {
		b.add(ruleNoFence, f.line, "write fence = { agent = ..., options = { ... } }",
			"%s has no fence: after its crash its groups wait until it is rebooted or confirmed down", what)
	}
	n.Rejoin = word(b, &f.Rejoin, cmp.Or(b.config.Rejoin, RejoinAutomatic), what+": rejoin", RejoinAutomatic, RejoinByHand)
	b.config.Nodes = append(b.config.Nodes, n)
}

// prefix parses an address with its prefix length that a machine can have.
func (b *builder) prefix(text string, line int, what string) (netip.Prefix, bool) {
	p, err := netip.ParsePrefix(text)
	if err != nil {
		b.add(ruleAddress, line, `write the address and its prefix length: "192.0.2.1/24"`, "%s %s does not parse", what, quote(text))
		return p, false
	}
	return p, b.usable(p, line, what)
}

// usable refuses what no interface can have, or what is no use to a peer.
func (b *builder) usable(p netip.Prefix, line int, what string) bool {
	a, why := p.Addr(), ""
	switch {
	case a.Is4In6():
		why = "is an IPv4 address in IPv6 form"
	case a.IsUnspecified():
		why = "is the unspecified address"
	case a.IsLoopback():
		why = "is a loopback address"
	case a.IsMulticast():
		why = "is a multicast address"
	case a.IsLinkLocalUnicast() && a.Is6():
		why = "is link-local, and means another machine on every wire"
	case p.Bits() < 8:
		why = "has a prefix of less than 8 bits"
	case a.Is4() && p.Bits() < 31 && a == p.Masked().Addr():
		why = "is the network itself" // RFC 1122, 3.2.1.3
	case a.Is4() && p.Bits() < 31 && a == broadcast(p):
		why = "is the network's broadcast address"
	default:
		return true
	}
	b.add(ruleUsable, line, "give an address that this machine alone has", "%s %s %s", what, p, why)
	return false
}

func broadcast(p netip.Prefix) netip.Addr {
	a := p.Addr().As4()
	for i := p.Bits(); i < 32; i++ {
		a[i/8] |= 0x80 >> (i % 8)
	}
	return netip.AddrFrom4(a)
}

// networks collects the wires from the nodes' addresses, in the order of the file.
func (b *builder) networks() {
	taken := make(map[netip.Addr]string)
	for i := range b.config.Nodes {
		n := &b.config.Nodes[i]
		listed := b.file.Node[i].Addresses.v
		for _, a := range n.Addresses {
			if holder := taken[a.Prefix.Addr()]; holder != "" {
				b.add(ruleAddressTwice, lineOfAddress(listed, a), "give each its own", "node %s: address %s is also of node %s", n.Name, a.Prefix.Addr(), holder)
			}
			taken[a.Prefix.Addr()] = n.Name
		}
		for _, name := range n.networks() {
			b.join(n, name, listed)
		}
	}
	b.subnets()
}

// join puts a node on a network. Its first node says which subnet that is; every
// other has an address in a subnet that is known, and further adapters may bring
// further subnets with them.
func (b *builder) join(n *Node, name string, listed adapters) {
	net := b.network(name)
	if net == nil {
		b.config.Networks = append(b.config.Networks, Network{Name: name})
		net = &b.config.Networks[len(b.config.Networks)-1]
	}
	known := net.Subnets()
	joined := len(known) == 0
	for _, p := range n.Adapters(name) {
		joined = joined || slices.Contains(known, p.Masked())
	}
	for _, p := range n.Adapters(name) {
		a := NodeAddress{Network: name, Prefix: p}
		if !slices.Contains(net.Subnets(), p.Masked()) {
			if !joined {
				first := net.Members[0]
				b.add(ruleNetworkPrefix, lineOfAddress(listed, a), "correct the address, or name another network",
					"node %s: address %s is not in %s, network %s of node %s", n.Name, p, first.Prefix.Masked(), name, first.Machine)
				continue
			}
			b.overlap(a, lineOfAddress(listed, a))
		}
		net.Members = append(net.Members, Member{Machine: n.Name, Prefix: p})
	}
	if len(net.Members) == 0 {
		b.config.Networks = b.config.Networks[:len(b.config.Networks)-1]
	}
}

// subnets looks at machines with several adapters on one network.
func (b *builder) subnets() {
	for _, net := range b.config.Networks {
		for i := range b.config.Nodes {
			n := &b.config.Nodes[i]
			of := n.Adapters(net.Name)
			for k, p := range of {
				line := lineOfAddress(b.file.Node[i].Addresses.v, NodeAddress{Network: net.Name, Prefix: p})
				same := func(o netip.Prefix) bool { return o.Masked() == p.Masked() }
				switch {
				case !slices.Contains(net.Members, Member{Machine: n.Name, Prefix: p}): // a finding says why
				case k > 0 && slices.ContainsFunc(of[:k], same):
					b.add(ruleAdapterSubnet, line, "give each a subnet of its own, or set arp_ignore = 1, arp_announce = 2 and rp_filter = 2 on their links",
						"node %s: %s is in the subnet of another adapter of network %s, and by default the kernel answers for one on the other", n.Name, p, net.Name)
				case len(of) > 1 && !slices.ContainsFunc(net.Members, func(m Member) bool { return m.Machine != n.Name && same(m.Prefix) }):
					b.add(ruleAdapterAlone, line, "give an adapter of every node an address there",
						"node %s: no other node is in %s of network %s, so nothing is heard on that adapter", n.Name, p.Masked(), net.Name)
				}
			}
		}
	}
}

// apart looks for nodes that cannot hear each other by the file alone.
func (b *builder) apart() {
	whole := func(i int) bool { // no finding has taken an address away
		f := &b.file.Node[i]
		return !f.bad && !f.Addresses.bad && len(b.config.Nodes[i].Addresses) == len(f.Addresses.v) && len(f.Addresses.v) > 0
	}
	nodes := b.config.Nodes
	for j := range nodes {
		for i := range nodes[:j] {
			shared := slices.ContainsFunc(nodes[i].Addresses, func(a NodeAddress) bool {
				return slices.ContainsFunc(nodes[j].Addresses, func(o NodeAddress) bool {
					net := b.network(a.Network) // nil, or without one of them: a finding has said why
					return o.Network == a.Network && (o.Prefix.Masked() == a.Prefix.Masked() || net == nil || !net.has(nodes[i].Name) || !net.has(nodes[j].Name))
				})
			})
			if !shared && whole(i) && whole(j) {
				b.add(ruleApart, max(b.file.Node[j].Addresses.line, nodes[j].Line), "give the same name to the wire that joins them, and both an address on it",
					"node %s shares no network with node %s", nodes[j].Name, nodes[i].Name)
			}
		}
	}
}

// votes counts the members of the embedded store. Two nodes alone are the
// matter of another rule.
func (b *builder) votes() {
	nodes, f := len(b.file.Node), &b.file.Witness
	if b.config.Lease.Store != StoreEmbedded || b.file.Lease.Store.bad || nodes == 0 || nodes == 2 && !f.set {
		return
	}
	switch {
	case f.set && nodes%2 == 1:
		b.add(ruleVotes, f.line, "take the witness out", "the witness is vote %d: %d votes survive no more losses than %d", nodes+1, nodes+1, nodes)
	case !f.set && nodes%2 == 0:
		b.add(ruleVotes, b.file.Node[nodes-1].line, "add a witness", "%d votes survive no more losses than %d", nodes, nodes-1)
	}
}

// overlap compares a new subnet of a network with those that are known.
func (b *builder) overlap(a NodeAddress, line int) {
	for _, net := range b.config.Networks {
		for _, p := range net.Subnets() {
			if !p.Overlaps(a.Prefix) {
				continue
			}
			if net.Name == a.Network {
				b.add(ruleNetworkPrefix, line, "give each adapter a subnet of its own", "network %s: %s overlaps %s of the same network", a.Network, a.Prefix.Masked(), p)
				continue
			}
			b.add(ruleNetworkOverlap, line, "give each network its own prefix, or the same name to one wire",
				"network %s %s overlaps network %s %s", a.Network, a.Prefix.Masked(), net.Name, p)
		}
	}
}

// lineOfAddress is the line of an address of a machine.
func lineOfAddress(list adapters, a NodeAddress) int {
	line := 0
	for _, p := range list {
		if p.key != a.Network {
			continue
		}
		if line == 0 || p.value == a.Prefix.String() {
			line = p.line
		}
	}
	return line
}

func lineOf(pairs []pair, key string) int {
	for _, p := range pairs {
		if p.key == key {
			return p.line
		}
	}
	return 0
}

// network returns the network of that name, nil if there is none.
func (b *builder) network(name string) *Network {
	for i := range b.config.Networks {
		if b.config.Networks[i].Name == name {
			return &b.config.Networks[i]
		}
	}
	return nil
}

// containing returns the network whose prefix holds an address, nil if none does.
func (b *builder) containing(a netip.Addr) *Network {
	for i := range b.config.Networks {
		n := &b.config.Networks[i]
		if slices.ContainsFunc(n.Subnets(), func(p netip.Prefix) bool { return p.Contains(a) }) {
			return n
		}
	}
	return nil
}

func (n *Network) has(machine string) bool {
	return slices.ContainsFunc(n.Members, func(m Member) bool { return m.Machine == machine })
}

func (b *builder) witness() {
	f := &b.file.Witness
	if !f.set {
		if b.config.Lease.Store == StoreEmbedded && !b.file.Lease.Store.bad && len(b.file.Node) == 2 {
			b.add(ruleWitness, b.file.Node[1].line, `write [witness] with the address of a third machine, and run "understudy witness" there`,
				"two nodes and no witness: neither has a majority when the other is gone")
		}
		return
	}
	if f.bad {
		return
	}
	if f.Address.set == f.Addresses.set {
		b.add(ruleRequired, f.line, `write address = "192.0.2.3", or addresses = { public = "192.0.2.3" }`,
			"the witness needs either address or addresses")
		return
	}
	list := f.Addresses.v
	if f.Address.ok() {
		list = adapters{{value: f.Address.v, line: f.Address.line}}
	} else if f.Addresses.ok() && len(list) == 0 {
		b.add(ruleRequired, f.Addresses.line, `write addresses = { public = "192.0.2.3" }`, "the witness has no address")
	}
	w := &Witness{Name: witnessName}
	for _, p := range list {
		if a, ok := b.witnessAddress(p); ok {
			w.Addresses = append(w.Addresses, a)
		}
	}
	slices.SortStableFunc(w.Addresses, func(x, y NodeAddress) int { return cmp.Compare(x.Network, y.Network) })
	b.config.Witness = w
}

// witnessAddress puts the witness on a network: the named one, or with a bare
// address the one whose prefix contains it.
func (b *builder) witnessAddress(p pair) (NodeAddress, bool) {
	prefix, ok := b.hostPrefix(p.value, p.line)
	if !ok || !b.usable(prefix, p.line, "witness: address") {
		return NodeAddress{}, false
	}
	net := b.network(p.key)
	if p.key == "" {
		net = b.containing(prefix.Addr())
	}
	switch {
	case net == nil && p.key == "":
		b.add(ruleWitnessNetwork, p.line, fmt.Sprintf("write addresses = { NETWORK = %q } to say from where the nodes reach it", p.value),
			"witness: address %s is in no network of the nodes", prefix.Addr())
		return NodeAddress{}, false
	case net == nil:
		b.add(ruleWitnessNetwork, p.line, "known: "+strings.Join(b.networkNames(), ", "), "witness: no node is on network %s", p.key)
		return NodeAddress{}, false
	}
	for _, m := range net.Members {
		if m.Prefix.Addr() == prefix.Addr() {
			b.add(ruleAddressTwice, p.line, "put the witness on a third machine", "witness: address %s is also of node %s", prefix.Addr(), m.Machine)
		}
	}
	net.Members = append(net.Members, Member{Machine: witnessName, Prefix: prefix})
	return NodeAddress{Network: net.Name, Prefix: prefix}, true
}

func (b *builder) networkNames() []string {
	names := make([]string, len(b.config.Networks))
	for i, n := range b.config.Networks {
		names[i] = n.Name
	}
	slices.Sort(names)
	return names
}

// hostPrefix parses an address with or without a prefix length. The witness may
// be behind a router, so its own prefix need not be the network's.
func (b *builder) hostPrefix(text string, line int) (netip.Prefix, bool) {
	if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" {
		return netip.PrefixFrom(a, a.BitLen()), true
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		b.add(ruleAddress, line, `write an address: "192.0.2.3"`, "witness: address %s does not parse", quote(text))
	}
	return p, err == nil
}
