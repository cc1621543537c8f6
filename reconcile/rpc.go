package reconcile

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"understudy/config"
)

// rpcLimit is how many addresses RPC_UNSUPPORTED_NETADDRS may list (guide,
// "Planning Considerations for DCE"). The guide gives none for the variables with
// the names of links; the same is taken.
const rpcLimit = 10

// rpcAddresses is the variable that RPC servers obey; dced and what it manages
// obey those that [config.Application.RPCInterfaces] names.
const rpcAddresses = "RPC_UNSUPPORTED_NETADDRS"

// RPCEnvironment is what keeps the RPC servers of an application to its own
// addresses on this host: every other IPv4 address is excluded, and every link
// that carries none of its own (guide, "Planning Considerations for DCE"; the
// loopback is no adapter). Nothing is excluded for an application that asks for
// neither, and a variable with nothing in it is left out.
//
// The addresses of its own are those of g. For a service g is nil: they are those
// of the groups whose home this node is, wherever those groups are now. Where this
// node is no group's home, a service is not kept to anything.
//
// It fails when addresses could not be read, and when there are more to exclude
// than the variable may hold: a list that was cut would let a server offer an
// address that does not move with it.
func RPCEnvironment(c *config.Config, g *config.Group, a config.Application, s *Snapshot) ([]config.Option, error) {
	if !a.RPCExclude && len(a.RPCInterfaces) == 0 {
		return nil, nil
	}
	if !s.Addrs.OK() {
		return nil, fmt.Errorf("cannot tell the addresses that %s must not use: %w", a.Name, s.Addrs.Why())
	}
	own := ownLabels(c, g, s.Node)
	if g == nil && len(own) == 0 {
		return nil, nil
	}
	var out []config.Option
	if a.RPCExclude {
		var words []string
		for _, e := range excluded(own, s) {
			words = appendNew(words, e.Prefix.Addr().String())
		}
		opt, err := rpcOption(rpcAddresses, words, "addresses", s.Node)
		if err != nil {
			return nil, err
		}
		out = append(out, opt...)
	}
	carries := carriers(c, own, s)
	var links []string
	for _, e := range excluded(own, s) {
		if !slices.Contains(carries, e.Link) {
			links = appendNew(links, e.Link)
		}
	}
	for _, name := range a.RPCInterfaces {
		opt, err := rpcOption(name, links, "links", s.Node)
		if err != nil {
			return nil, err
		}
		out = append(out, opt...)
	}
	return out, nil
}

// RPCShared lists the links that carry an address of the application's own beside
// one that is to be excluded: a variable with names of links cannot tell the two
// apart, as everywhere on Linux where a service address is an alias. It is empty
// for an application that names no such variable. g is as in [RPCEnvironment].
func RPCShared(c *config.Config, g *config.Group, a config.Application, s *Snapshot) []string {
	own := ownLabels(c, g, s.Node)
	if len(a.RPCInterfaces) == 0 || !s.Addrs.OK() || len(own) == 0 {
		return nil
	}
	carries := carriers(c, own, s)
	var out []string
	for _, e := range excluded(own, s) {
		if slices.Contains(carries, e.Link) {
			out = appendNew(out, e.Link)
		}
	}
	return out
}

// ownLabels are the service addresses that an application of g may use; of a
// service, those of the groups whose home the node is.
func ownLabels(c *config.Config, g *config.Group, node string) []config.ServiceAddress {
	if g != nil {
		return g.Addresses
	}
	var out []config.ServiceAddress
	for i := range c.Groups {
		if c.Groups[i].Home() == node {
			out = append(out, c.Groups[i].Addresses...)
		}
	}
	return out
}

// excluded are the IPv4 addresses of this host that are none of own.
func excluded(own []config.ServiceAddress, s *Snapshot) []Addr {
	var out []Addr
	for _, h := range s.Addrs.Value {
		if ip := h.Prefix.Addr(); ip.Is4() && !ip.IsLoopback() && !isOne(own, ip) {
			out = append(out, h)
		}
	}
	return out
}

// carriers are the links that have one of the addresses, or will have it.
func carriers(c *config.Config, own []config.ServiceAddress, s *Snapshot) []string {
	var out []string
	for _, h := range s.Addrs.Value {
		if isOne(own, h.Prefix.Addr()) {
			out = appendNew(out, h.Link)
		}
	}
	for _, o := range own {
		for _, a := range Adapters(o.Network, c, s) {
			if a.Link != "" {
				out = appendNew(out, a.Link)
			}
		}
	}
	return out
}

func isOne(own []config.ServiceAddress, ip netip.Addr) bool {
	return slices.ContainsFunc(own, func(o config.ServiceAddress) bool { return o.Prefix.Addr() == ip })
}

func appendNew(list []string, word string) []string {
	if slices.Contains(list, word) {
		return list
	}
	return append(list, word)
}

// rpcOption is one variable, none if there is nothing to exclude.
func rpcOption(name string, words []string, what, node string) ([]config.Option, error) {
	switch {
	case len(words) == 0:
		return nil, nil
	case len(words) > rpcLimit:
		return nil, fmt.Errorf("cannot set %s on %s: %d %s are to be excluded and it holds %d (%s)",
			name, node, len(words), what, rpcLimit, strings.Join(words, ":"))
	}
	return []config.Option{{Key: name, Value: strings.Join(words, ":")}}, nil
}

// rpcWay is the way out of an error of RPCEnvironment.
func rpcWay(err error, s *Snapshot) string {
	if !s.Addrs.OK() || errors.Is(err, ErrNotRead) {
		return "nothing is started that might offer an address which does not move with it"
	}
	return "take addresses off this host, or set rpc_exclude = false and rpc_interfaces = [] and keep the servers to their addresses otherwise"
}
