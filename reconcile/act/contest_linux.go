package act

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/mdlayher/packet"
	"github.com/vishvananda/netlink"
	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"

	"understudy/config"
)

// defendEvery is the shortest time between two announcements that answer another host
// which claims an address too (RFC 5227, 2.4 (c), DEFEND_INTERVAL).
const defendEvery = 10 * time.Second

// contestRound is how long the other host is asked for, again and again: it has given
// the address up when it has not answered for so long.
const contestRound = time.Second

// A contest that lasts longer than contestLong is looked at with a rest between.
const (
	contestLong = time.Minute
	contestRest = 5 * time.Second
)

// contest is an address that is here, and that another host on the link claims as well.
type contest struct {
	cancel context.CancelFunc
	heard  time.Time // when the other host was heard last; guarded by Host.mu
}

// contested takes note that another host claims an address which is on a link here. The
// neighbours may have believed it. They are told at once who has the address, at most
// every 10 seconds while it lasts; the other host is asked for until it does not answer
// any more, and then they are told again, also when nothing has changed here. Where
// another manager moves the address nobody is contradicted: it may be moving.
func (h *Host) contested(l netlink.Link, ip netip.Addr, mac net.HardwareAddr) {
	h.mu.Lock()
	defer h.mu.Unlock()
	key := ip.String()
	switch c := h.contests[key]; {
	case h.closed:
		return
	case c != nil:
		c.heard = time.Now()
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	c := &contest{cancel: cancel, heard: time.Now()}
	h.contests[key] = c
	contradict := h.config == nil || h.config.Lease.Store != config.StoreExternal
	h.working.Go(func() {
		defer cancel()
		h.defend(ctx, c, l, ip, mac, contradict)
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.contests[key] == c {
			delete(h.contests, key)
		}
	})
}

// defend holds an address against another host until that has given it up, or it is not
// on the link any more, or ctx ends.
func (h *Host) defend(ctx context.Context, c *contest, l netlink.Link, ip netip.Addr, mac net.HardwareAddr, contradict bool) {
	name := l.Attrs().Name
	h.log.Error("another host claims a service address that is here", "address", ip, "link", name, "mac", mac.String())
	began := time.Now()
	tell := func() bool {
		on, err := holdersOfAddress(ip)
		here := slices.IndexFunc(on, func(o held) bool { return o.addr.LinkIndex == l.Attrs().Index })
		if err == nil && here < 0 || ctx.Err() != nil {
			return false
		}
		if err == nil {
			err = announce(on[here].link, ip) // a bond may have another hardware address by now
		}
		if err != nil {
			h.log.Warn("address could not be announced", "address", ip, "link", name, "err", err)
		}
		return true
	}
	var told time.Time
	for {
		if contradict && time.Since(told) >= defendEvery {
			if told = time.Now(); !tell() {
				return
			}
		}
		asked := time.Now()
		for range probesSent {
			if err := inquire(l, ip); err != nil {
				h.log.Warn("another holder of an address could not be asked for", "address", ip, "link", name, "err", err)
			}
			if !pause(ctx, contestRound/probesSent) {
				return
			}
		}
		h.mu.Lock()
		quiet := c.heard.Before(asked)
		h.mu.Unlock()
		if quiet {
			break
		}
		if time.Since(began) > contestLong && !pause(ctx, contestRest) {
			return
		}
	}
	if tell() {
		h.log.Warn("the other host has given a service address up, which was announced again", "address", ip, "link", name, "took", time.Since(began))
		h.burst(l, ip, false)
	}
}

// inquire asks, without claiming it, who else has an address that is on this link.
func inquire(l netlink.Link, ip netip.Addr) error {
	a := l.Attrs()
	fail := func(err error) error { return fmt.Errorf("cannot ask for %s on %s: %w", ip, a.Name, err) }
	if ip.Is4() {
		conn, err := packet.Listen(&net.Interface{Index: a.Index, Name: a.Name, MTU: a.MTU, HardwareAddr: a.HardwareAddr}, packet.Raw, unix.ETH_P_ARP, &packet.Config{Filter: nothing})
		if err != nil {
			return fail(err)
		}
		defer closeLater(conn)
		if _, err := conn.WriteTo(arpProbe(a.HardwareAddr, ip).frame(), &packet.Addr{HardwareAddr: ethernetBroadcast}); err != nil {
			return fail(err)
		}
		return nil
	}
	// A neighbour solicitation from the link's own address (RFC 4861, 4.3); the kernel
	// picks the link-local one for a group of the link.
	conn, err := icmp.ListenPacket("ip6:ipv6-icmp", "::")
	if err != nil {
		return fail(err)
	}
	defer conn.Close()
	var none ipv6.ICMPFilter
	none.SetAll(true)
	p := conn.IPv6PacketConn()
	ifi := &net.Interface{Index: a.Index, Name: a.Name}
	for _, err := range []error{p.SetICMPFilter(&none), p.SetMulticastInterface(ifi), p.SetMulticastHopLimit(neighbourHops), p.SetMulticastLoopback(false)} {
		if err != nil {
			return fail(err)
		}
	}
	b16 := ip.As16()
	body := append(make([]byte, 4), b16[:]...)
	body = append(append(body, 1, 1), a.HardwareAddr...) // option: source link-layer address
	b, err := (&icmp.Message{Type: ipv6.ICMPTypeNeighborSolicitation, Body: &icmp.RawBody{Data: body}}).Marshal(nil)
	if err != nil {
		return fail(err)
	}
	group := netip.MustParseAddr("ff02::1:ff00:0").As16()
	copy(group[13:], b16[13:])
	if _, err := conn.WriteTo(b, &net.IPAddr{IP: group[:], Zone: a.Name}); err != nil {
		return fail(err)
	}
	return nil
}
