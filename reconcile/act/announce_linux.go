package act

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/mdlayher/packet"
	"github.com/vishvananda/netlink"
	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

// againAfter is when an announcement is repeated after the first one: switches
// and hosts drop bursts, and some are not up yet when a takeover begins.
var againAfter = []time.Duration{200 * time.Millisecond, time.Second, 3 * time.Second, 10 * time.Second}

// refreshEvery is how often addresses that are here are announced while [Host.Run]
// runs, for neighbours that missed everything else.
const refreshEvery = 30 * time.Second

// conflictListen is how long a conflict is listened for after an address was
// added without a probe.
const conflictListen = time.Second

// Run announces the service addresses of the configuration that are on this host
// every 30 seconds, whoever added them, and at once when the carrier of their link comes
// back or another host has given one up that it claimed as well. It returns nil when ctx
// ends.
func (h *Host) Run(ctx context.Context) error {
	e := newEars(h)
	defer e.close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	changed := make(chan struct{}, 1)
	e.working.Go(func() { changes(ctx, changed) })
	tick := time.NewTicker(refreshEvery)
	defer tick.Stop()
	var again <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-again:
		case <-tick.C:
			h.refresh(ctx)
		}
		if again = nil; !e.follow(ctx) {
			again = time.After(time.Second)
		}
	}
}

// serviceAddressesHere are the service addresses of the configuration that are on this host.
func (h *Host) serviceAddressesHere() ([]held, error) {
	h.mu.Lock()
	cfg := h.config
	h.mu.Unlock()
	if cfg == nil {
		return nil, nil
	}
	all, err := allAddresses()
	if err != nil {
		return nil, err
	}
	var out []held
	for i := range cfg.Groups {
		for _, a := range cfg.Groups[i].Addresses {
			for _, on := range all {
				if on.has(a.Prefix.Addr()) {
					out = append(out, on)
				}
			}
		}
	}
	return out, nil
}

// refresh announces what is here once.
func (h *Host) refresh(ctx context.Context) {
	all, err := h.serviceAddressesHere()
	if err != nil {
		h.log.WarnContext(ctx, "addresses could not be read for their announcement", "err", err)
		return
	}
	for _, on := range all {
		if ip, ok := netip.AddrFromSlice(on.addr.IP); ok {
			if err := announce(on.link, ip.Unmap()); err != nil {
				h.log.WarnContext(ctx, "address could not be announced", "address", ip, "link", on.link.Attrs().Name, "err", err)
			}
		}
	}
}

// announce tells the neighbours on a link who has an address, once.
func announce(l netlink.Link, ip netip.Addr) error {
	if !speaksARP(l) {
		return nil
	}
	if ip.Is4() {
		return announce4(l, ip)
	}
	return announce6(l, ip)
}

func announce4(l netlink.Link, ip netip.Addr) error {
	a := l.Attrs()
	conn, err := packet.Listen(&net.Interface{Index: a.Index, Name: a.Name, MTU: a.MTU, HardwareAddr: a.HardwareAddr}, packet.Raw, unix.ETH_P_ARP, nil)
	if err != nil {
		return fmt.Errorf("cannot announce %s on %s: %w", ip, a.Name, err)
	}
	defer closeLater(conn)
	for _, p := range announcements(a.HardwareAddr, ip) {
		if _, err := conn.WriteTo(p.frame(), &packet.Addr{HardwareAddr: ethernetBroadcast}); err != nil {
			return fmt.Errorf("cannot announce %s on %s: %w", ip, a.Name, err)
		}
	}
	return nil
}

// announce6 sends an unsolicited neighbour advertisement (RFC 4861, 7.2.6) from
// the address itself, with the override flag, to all nodes.
func announce6(l netlink.Link, ip netip.Addr) error { return advertise(l, ip, neighbourHops) }

// neighbourHops is the hop limit of all that neighbours tell each other: no router passes
// on what has it (RFC 4861, 7.1).
const neighbourHops = 255

func advertise(l netlink.Link, ip netip.Addr, hops int) error {
	a := l.Attrs()
	fail := func(err error) error { return fmt.Errorf("cannot announce %s on %s: %w", ip, a.Name, err) }
	conn, err := icmp.ListenPacket("ip6:ipv6-icmp", ip.WithZone(a.Name).String())
	if err != nil && !ip.IsLinkLocalUnicast() {
		conn, err = icmp.ListenPacket("ip6:ipv6-icmp", ip.String())
	}
	if err != nil {
		return fail(err)
	}
	defer conn.Close()
	p := conn.IPv6PacketConn()
	ifi := &net.Interface{Index: a.Index, Name: a.Name}
	if err := errors.Join(p.SetMulticastInterface(ifi), p.SetMulticastHopLimit(hops), p.SetMulticastLoopback(false)); err != nil {
		return fail(err)
	}
	body := []byte{0x20, 0, 0, 0} // override
	body = append(body, ip.AsSlice()...)
	body = append(body, 2, 1) // option: target link-layer address, 8 bytes
	body = append(body, a.HardwareAddr...)
	b, err := (&icmp.Message{Type: ipv6.ICMPTypeNeighborAdvertisement, Body: &icmp.RawBody{Data: body}}).Marshal(nil)
	if err != nil {
		return fail(err)
	}
	if _, err := conn.WriteTo(b, &net.IPAddr{IP: net.ParseIP("ff02::1"), Zone: a.Name}); err != nil {
		return fail(err)
	}
	return nil
}

// burst repeats the announcement of an address in the background, as long as it
// is on the link, and looks for a conflict first if nobody has probed. It ends
// with [Host.Close], with the address, or after the last repetition.
func (h *Host) burst(l netlink.Link, ip netip.Addr, unprobed bool) {
	ctx, cancel := context.WithCancel(context.Background())
	key := ip.String()
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		cancel()
		return
	}
	if old := h.bursts[key]; old != nil {
		old()
	}
	h.bursts[key] = cancel
	h.working.Add(1)
	h.mu.Unlock()
	go func() {
		defer h.working.Done()
		defer cancel()
		began := time.Now()
		if unprobed && ip.Is4() && speaksARP(l) {
			checked := make(chan struct{})
			defer func() { <-checked }()
			go func() {
				defer close(checked)
				if err := probe(ctx, l, ip, conflictListen); err != nil && ctx.Err() == nil {
					h.log.Error("service address was added, and it may have another holder", "address", ip, "link", l.Attrs().Name, "err", err)
				}
			}()
		}
		for _, after := range againAfter {
			if !pause(ctx, time.Until(began.Add(after))) {
				return
			}
			on, err := holdersOfAddress(ip)
			if err != nil {
				h.log.Warn("addresses could not be read for their announcement", "err", err)
				continue
			}
			for _, o := range on {
				if o.addr.LinkIndex != l.Attrs().Index {
					continue
				}
				if err := announce(o.link, ip); err != nil { // a bond may have another hardware address by now
					h.log.Warn("address could not be announced", "address", ip, "link", l.Attrs().Name, "err", err)
				}
			}
			if len(on) == 0 {
				return
			}
		}
	}()
}

// silence ends the repetitions for an address, and its defence.
func (h *Host) silence(ip netip.Addr) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if cancel := h.bursts[ip.String()]; cancel != nil {
		cancel()
		delete(h.bursts, ip.String())
	}
	if c := h.contests[ip.String()]; c != nil {
		c.cancel()
		delete(h.contests, ip.String())
	}
}
