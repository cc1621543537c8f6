package act

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mdlayher/packet"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"understudy/config"
	"understudy/reconcile"
)

// announcing is a host with one service address, which no other test has, on a wire, a while after it was
// announced for the last time but for the refreshing, and what is heard of it.
func announcing(t *testing.T, prefix string, store config.StoreKind, proto int) (link string, n *neighbour, ear *packet.Conn, log logged) {
	t.Helper()
	link, n = wire(t)
	log = make(logged, 100)
	h := New(Options{StateDir: t.TempDir(), Log: slog.New(slog.NewTextHandler(log, nil))})
	h.SetConfig(&config.Config{Lease: config.Lease{Store: store}, Groups: []config.Group{{Addresses: []config.ServiceAddress{service(prefix)}}}})
	if err := h.Do(within(t, 5*time.Second), reconcile.AddAddress{Address: service(prefix), Link: link}); err != nil {
		t.Fatal(err)
	}
	h.silence(service(prefix).Prefix.Addr()) // no repetitions: what is heard now is an answer
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- h.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		h.Close()
	})
	return link, n, n.ear(proto), log
}

// said waits until a line with all words was logged.
func (l logged) said(t *testing.T, words ...string) {
	t.Helper()
	var lines []string
	for end := time.After(20 * time.Second); ; {
		select {
		case line := <-l:
			lines = append(lines, line)
			if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(line, w) }) {
				return
			}
		case <-end:
			t.Fatalf("%q is not logged, but %q", words, lines)
		}
	}
}

func gratuitous(t *testing.T, link, address string) func([]byte) bool {
	l, err := netlink.LinkByName(link)
	if err != nil {
		t.Fatal(err)
	}
	ip := netip.MustParseAddr(address)
	return func(b []byte) bool {
		p, ok := parseARP(b)
		return ok && p.senderIP == ip && p.targetIP == ip && bytes.Equal(p.senderMAC, l.Attrs().HardwareAddr)
	}
}

// Another host takes the address too and says so: the neighbours are told otherwise at
// once, as long as it lasts at most every 10 s, and again when it has given it up. A
// kernel at the other end answers, as one would that has not let go.
func TestConflictIsAnsweredAndItsEndAnnounced(t *testing.T) {
	t.Parallel()
	link, n, ear, log := announcing(t, "10.71.0.50/24", config.StoreEmbedded, unix.ETH_P_ARP)
	ours := gratuitous(t, link, "10.71.0.50")
	mac := n.link.Attrs().HardwareAddr
	n.has("10.71.0.50/24")
	claim := func() {
		for _, p := range announcements(mac, netip.MustParseAddr("10.71.0.50")) {
			if _, err := ear.WriteTo(p.frame(), &packet.Addr{HardwareAddr: ethernetBroadcast}); err != nil {
				t.Fatal(err)
			}
		}
	}
	answered := false
	for range 40 { // it may not listen yet
		claim()
		if answered = hear(t, ear, 500*time.Millisecond, ours); answered {
			break
		}
	}
	if !answered {
		t.Fatal("the claim of another host was not answered")
	}
	log.said(t, "another host claims a service address", mac.String())
	if err := n.nl.AddrDel(n.link, ipnet("10.71.0.50/24")); err != nil {
		t.Fatal(err)
	}
	if !hear(t, ear, 20*time.Second, ours) || !hear(t, ear, 20*time.Second, ours) { // one may be of the answer before
		t.Error("not announced again when the other host had given it up")
	}
	log.said(t, "has given a service address up")
}

// Where another manager moves addresses nobody is contradicted, and the end is told.
func TestConflictUnderAnotherManager(t *testing.T) {
	t.Parallel()
	link, n, ear, log := announcing(t, "10.72.0.50/24", config.StoreExternal, unix.ETH_P_ARP)
	ours := gratuitous(t, link, "10.72.0.50")
	go func() { // until it is noticed
		p := announcements(n.link.Attrs().HardwareAddr, netip.MustParseAddr("10.72.0.50"))[0]
		for range 24 {
			if _, err := ear.WriteTo(p.frame(), &packet.Addr{HardwareAddr: ethernetBroadcast}); err != nil || !pause(t.Context(), 50*time.Millisecond) {
				return
			}
		}
	}()
	began := time.Now()
	if !hear(t, ear, 20*time.Second, ours) {
		t.Error("not announced when the other host had given it up")
	}
	if d := time.Since(began); d < 500*time.Millisecond {
		t.Errorf("announced after %s, while another host had it", d)
	}
	log.said(t, "has given a service address up")
}

// The same for IPv6, by a neighbour advertisement that overrides.
func TestConflict6IsAnswered(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/proc/sys/net/ipv6/conf/all"); err != nil {
		t.Skip("needs IPv6")
	}
	link, n, ear, log := announcing(t, "fd00:73::50/64", config.StoreEmbedded, unix.ETH_P_IPV6)
	ours, err := netlink.LinkByName(link)
	if err != nil {
		t.Fatal(err)
	}
	ip := netip.MustParseAddr("fd00:73::50")
	advertised := func(b []byte) bool {
		return len(b) >= 86 && b[20] == 58 && b[54] == 136 && bytes.Equal(b[62:78], ip.AsSlice()) && bytes.Equal(b[80:86], ours.Attrs().HardwareAddr)
	}
	n.has("fd00:73::50/64")
	answered := false
	for range 40 {
		n.in(func() error { return announce6(n.link, ip) })
		if answered = hear(t, ear, 500*time.Millisecond, advertised); answered {
			break
		}
	}
	if !answered {
		t.Fatal("the claim of another host was not answered")
	}
	log.said(t, "another host claims a service address", n.link.Attrs().HardwareAddr.String())
	if err := n.nl.AddrDel(n.link, ipnet("fd00:73::50/64")); err != nil {
		t.Fatal(err)
	}
	log.said(t, "has given a service address up")
}

// A cable that comes back: what is on the link is announced at once.
func TestAnnouncedWhenTheCarrierIsBack(t *testing.T) {
	t.Parallel()
	link, n, ear, _ := announcing(t, "10.74.0.50/24", config.StoreEmbedded, unix.ETH_P_ARP)
	ours := gratuitous(t, link, "10.74.0.50")
	for range 40 { // it may not have looked at the carrier yet
		if err := n.nl.LinkSetDown(n.link); err != nil {
			t.Fatal(err)
		}
		for {
			if _, err := usableLink(link); err != nil {
				break
			}
		}
		if !pause(t.Context(), 100*time.Millisecond) {
			break
		}
		if err := n.nl.LinkSetUp(n.link); err != nil {
			t.Fatal(err)
		}
		ear = n.ear(unix.ETH_P_ARP) // the former one has ended with the link
		if hear(t, ear, 500*time.Millisecond, ours) {
			return
		}
	}
	t.Error("not announced")
}

func TestFilterPassesWhatClaimsAnAddress(t *testing.T) {
	link, n := wire(t)
	l, err := netlink.LinkByName(link)
	if err != nil {
		t.Fatal(err)
	}
	addrs := []netip.Addr{netip.MustParseAddr("10.7.0.50"), netip.MustParseAddr("10.7.0.51"), netip.MustParseAddr("10.7.0.52")}
	ctx, cancel := context.WithCancel(within(t, 20*time.Second))
	got := make(chan netip.Addr, 100)
	ended := make(chan error)
	go func() {
		ended <- hear4(ctx, l, addrs, func(ip netip.Addr, _ net.HardwareAddr) { got <- ip })
	}()
	ear := n.ear(unix.ETH_P_ARP)
	send := func(ip string) {
		p := announcements(n.link.Attrs().HardwareAddr, netip.MustParseAddr(ip))[0]
		if _, err := ear.WriteTo(p.frame(), &packet.Addr{HardwareAddr: ethernetBroadcast}); err != nil {
			t.Fatal(err)
		}
	}
	seen := map[netip.Addr]bool{}
	for len(seen) < len(addrs) {
		for _, ip := range []string{"10.7.0.49", "10.7.0.50", "10.7.0.51", "10.7.0.52", "10.7.0.53"} {
			send(ip)
		}
		select {
		case ip := <-got:
			seen[ip] = true
		case <-time.After(50 * time.Millisecond): // it may not listen yet
		}
		if ctx.Err() != nil {
			t.Fatal("not all were heard:", seen)
		}
	}
	cancel()
	if err := <-ended; err == nil {
		t.Error("no reason")
	}
	close(got)
	for ip := range got {
		if !slices.Contains(addrs, ip) {
			t.Error(ip, "was let through")
		}
	}
}

func FuzzAdvertisement(f *testing.F) {
	f.Add([]byte{136, 0, 0, 0, 0x20, 0, 0, 0, 0xfd, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 2, 1, 2, 0, 0, 0, 0, 1})
	f.Add([]byte{136, 0, 0, 0, 0x20, 0, 0, 0, 0xfd, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 14, 1, 0, 0, 0, 0, 0, 0, 2, 1, 2, 0, 0, 0, 0, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		ip, mac, ok := parseAdvertisement(b)
		if ok && (len(mac) != 6 || !ip.Is6() || len(b) < 32) {
			t.Errorf("%v %v of %x", ip, mac, b)
		}
	})
}
