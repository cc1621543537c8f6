package act

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// leadProtocol marks routes that were led over the link of a service address
// (ip-route(8), proto; the number is one that nobody has taken).
const leadProtocol netlink.RouteProtocol = 213

// lead makes what is sent into the subnet of a service address, and to gateways in
// it, go over the link that has the address, where other links that do not work lead
// there too: the kernel goes on sending over a route whose link has no carrier
// (ip-sysctl, ignore_routes_with_linkdown), and over one whose link is deaf in any
// case. Each such route gets a copy that goes before it. For IPv4 the kernel deletes
// the copies with the address, which is their source; for IPv6, unlead does.
//
// Routes that the kernel has dropped with a link that was set down are not there to
// be copied.
func lead(l netlink.Link, ip netip.Addr, besides []string) error {
	if len(besides) == 0 {
		return nil
	}
	fail := func(err error) error {
		return fmt.Errorf("cannot lead what %s sends over %s: %w", ip, l.Attrs().Name, err)
	}
	routes, err := mainRoutes(ip)
	if err != nil {
		return fail(err)
	}
	var dead []netlink.Route
	for _, name := range besides {
		b, err := netlink.LinkByName(name)
		if errors.As(err, new(netlink.LinkNotFoundError)) {
			continue // it has gone, and its routes with it
		}
		if err != nil {
			return fail(err)
		}
		for _, r := range routes {
			if r.LinkIndex == b.Attrs().Index && r.Protocol != leadProtocol {
				dead = append(dead, r)
			}
		}
	}
	subnets := []*net.IPNet{}
	for _, r := range dead {
		if r.Gw == nil && r.Dst != nil && r.Dst.Contains(ip.AsSlice()) && !isDefault(r.Dst) {
			subnets = append(subnets, r.Dst)
			if err := leadOver(l, ip, r); err != nil {
				return fail(err)
			}
		}
	}
	for _, r := range dead {
		for _, s := range subnets {
			if r.Gw != nil && s.Contains(r.Gw) {
				if err := leadOver(l, ip, r); err != nil {
					return fail(err)
				}
				break
			}
		}
	}
	return nil
}

// leadOver puts a copy of a route over a link before it.
func leadOver(l netlink.Link, ip netip.Addr, r netlink.Route) error {
	c := netlink.Route{
		LinkIndex: l.Attrs().Index, Dst: r.Dst, Gw: r.Gw, Src: ip.AsSlice(), Priority: r.Priority,
		Scope: r.Scope, Table: unix.RT_TABLE_MAIN, Protocol: leadProtocol,
	}
	if ip.Is6() { // of equal metric, the two would share the load
		c.Priority = max(1, r.Priority-1)
	}
	// Neither NLM_F_EXCL nor NLM_F_APPEND: it goes before its equals (ip-route(8), prepend).
	if err := netlink.RouteAddEcmp(&c); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("route to %v: %w", r.Dst, err)
	}
	return nil
}

// unlead deletes the routes that were led over an address.
func unlead(ip netip.Addr) error {
	routes, err := mainRoutes(ip)
	if err != nil {
		return fmt.Errorf("cannot delete the routes of %s: %w", ip, err)
	}
	for _, r := range routes {
		if src, ok := netip.AddrFromSlice(r.Src); r.Protocol == leadProtocol && ok && src.Unmap() == ip {
			if err := netlink.RouteDel(&r); err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("cannot delete the route to %v of %s: %w", r.Dst, ip, err)
			}
		}
	}
	return nil
}

// mainRoutes are those of the main table and of an address's family.
func mainRoutes(ip netip.Addr) ([]netlink.Route, error) {
	family := netlink.FAMILY_V4
	if ip.Is6() {
		family = netlink.FAMILY_V6
	}
	var err error
	for range 10 {
		var out []netlink.Route
		if out, err = netlink.RouteListFiltered(family, &netlink.Route{Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_TABLE); !errors.Is(err, netlink.ErrDumpInterrupted) {
			return out, err
		}
	}
	return nil, err
}

func isDefault(n *net.IPNet) bool {
	bits, _ := n.Mask.Size()
	return bits == 0
}
