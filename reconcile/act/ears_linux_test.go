package act

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// A flood of claims costs one reading of the links in a while.
func TestFloodOfClaimsReadsLinksOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		own, reads := net.HardwareAddr{2, 0, 0, 0, 0, 1}, 0
		o := &hardware{read: func() ([]net.HardwareAddr, error) { reads++; return []net.HardwareAddr{own}, nil }}
		for i := range 1000 {
			mac := net.HardwareAddr{2, 0, 0, 1, byte(i >> 8), byte(i)}
			if is, err := o.has(mac); is || err != nil {
				t.Fatal(mac, err)
			}
		}
		if is, err := o.has(own); !is || err != nil || reads != 1 {
			t.Errorf("own: %v %v, %d readings", is, err, reads)
		}
		own = net.HardwareAddr{2, 0, 0, 0, 0, 2} // of a bond, from now on
		time.Sleep(readAgain)
		if is, err := o.has(own); !is || err != nil || reads != 2 {
			t.Errorf("own, changed: %v %v, %d readings", is, err, reads)
		}
	})
}

// An advertisement that has come over a router may be anybody's.
func TestAdvertisementOverARouterIsNoClaim(t *testing.T) {
	if _, err := os.Stat("/proc/sys/net/ipv6/conf/all"); err != nil {
		t.Skip("needs IPv6")
	}
	link, n := wire(t)
	l, err := usableLink(link)
	if err != nil {
		t.Fatal(err)
	}
	far, near := netip.MustParseAddr("fd00:74::50"), netip.MustParseAddr("fd00:74::51")
	n.has("fd00:74::50/64")
	n.has("fd00:74::51/64")
	ctx, cancel := context.WithCancel(within(t, 60*time.Second))
	got, ended := make(chan netip.Addr, 1), make(chan error)
	go func() {
		ended <- hear6(ctx, l, []netip.Addr{far, near}, func(ip netip.Addr, mac net.HardwareAddr) {
			if bytes.Equal(mac, n.link.Attrs().HardwareAddr) {
				select {
				case got <- ip:
				default:
				}
			}
		})
	}()
	defer func() { cancel(); <-ended }()
	for ctx.Err() == nil {
		n.in(func() error { return advertise(n.link, far, 64) })
		n.in(func() error { return advertise(n.link, near, neighbourHops) })
		select {
		case ip := <-got:
			if ip != near {
				t.Errorf("%s was taken for claimed", ip)
			}
			return
		case <-time.After(50 * time.Millisecond): // it may not listen yet
		}
	}
	t.Error("nothing was heard")
}
