package act

import (
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"understudy/reconcile"
)

// over is the link by which this host sends to an address from another.
func over(t *testing.T, to, from string) string {
	t.Helper()
	out := do(t, "ip", "-o", "route", "get", to, "from", from)
	words := strings.Fields(out)
	for i, w := range words {
		if w == "dev" && i+1 < len(words) {
			return words[i+1]
		}
	}
	t.Fatalf("no link in %q", out)
	return ""
}

// A service address that goes from an adapter without a carrier to another takes the
// way into its subnet, and to the gateway there, along; both end with the address.
func TestRoutesFollowTheAddress(t *testing.T) {
	for _, c := range []struct{ name, own, beside, svc, client, gateway, far, all string }{
		{"IPv4", "10.7.0.11/24", "10.7.1.11/24", "10.7.0.50/24", "10.7.0.100", "10.7.0.1", "192.0.2.9", "0.0.0.0/0"},
		{"IPv4, one subnet", "10.7.0.11/24", "10.7.0.21/24", "10.7.0.50/24", "10.7.0.100", "10.7.0.1", "192.0.2.9", "0.0.0.0/0"},
		{"IPv4, a single address", "10.7.0.11/24", "10.7.1.11/24", "10.7.0.50/32", "10.7.0.100", "10.7.0.1", "192.0.2.9", "0.0.0.0/0"},
		{"IPv6", "fd00::11/64", "fd01::11/64", "fd00::50/64", "fd00::100", "fd00::1", "2001:db8::9", "::/0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			first, n := wire(t)
			second, _ := wire(t)
			h := newHost(t)
			for _, own := range [][2]string{{first, c.own}, {second, c.beside}} {
				l, err := netlink.LinkByName(own[0])
				if err != nil {
					t.Fatal(err)
				}
				if err := netlink.AddrAdd(l, ipnet(own[1])); err != nil {
					t.Fatal(err)
				}
			}
			l, _ := netlink.LinkByName(first)
			_, all, _ := net.ParseCIDR(c.all)
			if err := netlink.RouteAdd(&netlink.Route{LinkIndex: l.Attrs().Index, Dst: all, Gw: net.ParseIP(c.gateway)}); err != nil {
				t.Fatal(err)
			}
			svc := service(c.svc)
			from := svc.Prefix.Addr().String()
			step := func(s reconcile.Step) {
				t.Helper()
				if err := h.Do(within(t, 5*time.Second), s); err != nil {
					t.Fatal(err)
				}
			}
			check := func(when, want string) {
				t.Helper()
				for _, to := range []string{c.client, c.far} {
					if got := over(t, to, from); got != want {
						t.Errorf("%s: to %s over %s, want %s\n%s", when, to, got, want, do(t, "ip", "route"))
					}
				}
			}
			step(reconcile.AddAddress{Address: svc, Link: first})
			check("at first", first)
			if err := n.nl.LinkSetDown(n.link); err != nil { // the cable is pulled
				t.Fatal(err)
			}
			for {
				if _, err := usableLink(first); err != nil {
					break
				}
			}
			step(reconcile.DropAddress{Address: svc}) // on a link that is dead
			step(reconcile.AddAddress{Address: svc, Link: second, Besides: []string{first, "gone0"}})
			check("after the swap", second)
			step(reconcile.AddAddress{Address: svc, Link: second, Besides: []string{first}}) // done already
			check("once more", second)
			if on, err := holdersOfAddress(svc.Prefix.Addr()); err != nil || len(on) != 1 || on[0].link.Attrs().Name != second {
				t.Errorf("%v %v", on, err)
			}
			step(reconcile.DropAddress{Address: svc})
			family := "-4"
			if netip.MustParseAddr(c.client).Is6() {
				family = "-6"
			}
			if left := do(t, "ip", family, "route", "show", "table", "all", "proto", "213"); strings.TrimSpace(left) != "" {
				t.Errorf("left behind:\n%s", left)
			}
		})
	}
}
