package config

import (
	"net/netip"
	"slices"
)

// Address returns the node's own prefix on a network, of its first adapter there;
// the zero Prefix if it is not on it.
func (n *Node) Address(network string) netip.Prefix {
	for _, a := range n.Addresses {
		if a.Network == network {
			return a.Prefix
		}
	}
	return netip.Prefix{}
}

// Adapters are the node's own prefixes on a network, one for each of its adapters
// there, the preferred one first (guide: the boot adapter, then the standby
// adapters). Nil if it is not on it.
func (n *Node) Adapters(network string) []netip.Prefix {
	var out []netip.Prefix
	for _, a := range n.Addresses {
		if a.Network == network {
			out = append(out, a.Prefix)
		}
	}
	return out
}

// networks are those that the node is on, sorted.
func (n *Node) networks() []string {
	var out []string
	for _, a := range n.Addresses {
		if !slices.Contains(out, a.Network) {
			out = append(out, a.Network)
		}
	}
	return out
}

// Subnets are the prefixes in use on the network, in the order of its nodes. There
// is one, unless machines have several adapters there.
func (n *Network) Subnets() []netip.Prefix {
	var out []netip.Prefix
	for _, m := range n.Members {
		if p := m.Prefix.Masked(); m.Machine != witnessName && !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	return out
}
