package act

import (
	"bytes"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mdlayher/packet"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"understudy/config"
	"understudy/reconcile"
)

// neighbour is another host on a wire: a network namespace.
type neighbour struct {
	t    *testing.T
	ns   netns.NsHandle
	nl   *netlink.Handle
	link netlink.Link
}

var wires atomic.Int32

// wire makes a link of this host with another host at its end.
func wire(t *testing.T) (string, *neighbour) {
	t.Helper()
	needRoot(t)
	n := &neighbour{t: t}
	runtime.LockOSThread()
	own, err := netns.Get()
	if err != nil {
		t.Fatal(err)
	}
	n.ns, err = netns.New()
	if err := errors.Join(err, netns.Set(own)); err != nil {
		t.Fatal(err)
	}
	runtime.UnlockOSThread()
	_ = own.Close()
	if n.nl, err = netlink.NewHandleAt(n.ns); err != nil {
		t.Fatal(err)
	}
	id := strconv.Itoa(int(wires.Add(1)))
	here, there := "sv"+id, "nb"+id
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: here}, PeerName: there, PeerNamespace: netlink.NsFd(int(n.ns))}); err != nil {
		t.Fatal(err)
	}
	l, err := netlink.LinkByName(here)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = netlink.LinkDel(l); n.nl.Close(); _ = n.ns.Close() })
	if n.link, err = n.nl.LinkByName(there); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(netlink.LinkSetUp(l), n.nl.LinkSetUp(n.link)); err != nil {
		t.Fatal(err)
	}
	for { // until the wire answers
		if _, err := usableLink(here); err == nil {
			return here, n
		}
		if !pause(t.Context(), time.Millisecond) {
			t.Fatal("no carrier")
		}
	}
}

// in runs f in the neighbour's network namespace.
func (n *neighbour) in(f func() error) {
	n.t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if err := netns.Set(n.ns); err != nil {
			done <- err
			return
		}
		done <- f()
	}()
	if err := <-done; err != nil {
		n.t.Fatal(err)
	}
}

// ear is a packet socket at the neighbour's end of the wire.
func (n *neighbour) ear(proto int) *packet.Conn {
	n.t.Helper()
	a := n.link.Attrs()
	var c *packet.Conn
	n.in(func() (err error) {
		c, err = packet.Listen(&net.Interface{Index: a.Index, Name: a.Name, MTU: a.MTU, HardwareAddr: a.HardwareAddr}, packet.Raw, proto, nil)
		return err
	})
	n.t.Cleanup(func() { _ = c.Close() })
	return c
}

func (n *neighbour) has(prefix string) {
	n.t.Helper()
	if err := n.nl.AddrAdd(n.link, ipnet(prefix)); err != nil {
		n.t.Fatal(err)
	}
}

func ipnet(prefix string) *netlink.Addr {
	p := netip.MustParsePrefix(prefix)
	a := &netlink.Addr{IPNet: &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}}
	if p.Addr().Is6() {
		a.Flags = unix.IFA_F_NODAD
	}
	return a
}

// hear reads frames until one pleases, for at most d.
func hear(t *testing.T, c *packet.Conn, d time.Duration, pleases func([]byte) bool) bool {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(d)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 2048)
	for {
		n, _, err := c.ReadFrom(buf)
		if err != nil {
			return false
		}
		if pleases(buf[:n]) {
			return true
		}
	}
}

func service(prefix string) config.ServiceAddress {
	return config.ServiceAddress{Label: "dcesvc-long-name", Prefix: netip.MustParsePrefix(prefix), Network: "public"}
}

func TestAddressIsAddedAnnouncedAndDropped(t *testing.T) {
	link, n := wire(t)
	h := newHost(t)
	h.SetConfig(&config.Config{Groups: []config.Group{{Addresses: []config.ServiceAddress{service("10.7.0.50/24")}}}})
	ear := n.ear(unix.ETH_P_ARP)
	l, err := netlink.LinkByName(link)
	if err != nil {
		t.Fatal(err)
	}
	gratuitous := func(op uint16) func([]byte) bool {
		return func(b []byte) bool {
			p, ok := parseARP(b)
			ip := netip.MustParseAddr("10.7.0.50")
			return ok && len(b) == arpFrameLen && p.op == op && p.senderIP == ip && p.targetIP == ip && bytes.Equal(p.senderMAC, l.Attrs().HardwareAddr)
		}
	}
	add := reconcile.AddAddress{Address: service("10.7.0.50/24"), Link: link, Probe: 60 * time.Millisecond}
	ctx := within(t, 5*time.Second)
	if err := h.Do(ctx, add); err != nil {
		t.Fatal(err)
	}
	probes := 0
	for range 3 {
		if hear(t, ear, time.Second, func(b []byte) bool {
			p, ok := parseARP(b)
			return ok && p.op == arpRequest && p.senderIP == netip.IPv4Unspecified() && p.targetIP == netip.MustParseAddr("10.7.0.50")
		}) {
			probes++
		}
	}
	if probes != probesSent {
		t.Errorf("heard %d probes", probes)
	}
	for _, when := range []string{"at once", "again"} {
		if !hear(t, ear, time.Second, gratuitous(arpRequest)) || !hear(t, ear, time.Second, gratuitous(arpReply)) {
			t.Errorf("not announced %s in both forms", when)
		}
	}
	on, err := holdersOfAddress(add.Address.Prefix.Addr())
	if err != nil || len(on) != 1 {
		t.Fatal(on, err)
	}
	if want := (link + ":dcesvc-long-name")[:15]; on[0].addr.Label != want || on[0].bits() != 24 {
		t.Errorf("label %q, want %q", on[0].addr.Label, want)
	}
	if err := h.Do(ctx, add); err != nil { // already done
		t.Fatal(err)
	}
	h.Close()
	for hear(t, ear, 20*time.Millisecond, func([]byte) bool { return true }) {
	}
	h.refresh(ctx)
	if !hear(t, ear, time.Second, gratuitous(arpRequest)) || !hear(t, ear, time.Second, gratuitous(arpReply)) {
		t.Error("not refreshed")
	}
	for range 2 {
		if err := h.Do(ctx, reconcile.DropAddress{Address: add.Address}); err != nil {
			t.Fatal(err)
		}
	}
	if on, err := holdersOfAddress(add.Address.Prefix.Addr()); err != nil || len(on) != 0 {
		t.Error(on, err)
	}
}

func TestAddressConflicts(t *testing.T) {
	link, n := wire(t)
	h := newHost(t)
	add := reconcile.AddAddress{Address: service("10.7.0.50/24"), Link: link, Probe: 400 * time.Millisecond}
	gone := func() {
		t.Helper()
		if on, err := holdersOfAddress(add.Address.Prefix.Addr()); err != nil || len(on) != 0 {
			t.Error("the address was added all the same", on, err)
		}
	}
	mac := n.link.Attrs().HardwareAddr

	n.has("10.7.0.50/24")
	began := time.Now()
	err := h.Do(within(t, 5*time.Second), add)
	wantError(t, err, "cannot add 10.7.0.50/24", mac.String(), "10.7.0.50 on "+link)
	if conflict := (*ConflictError)(nil); !errors.As(err, &conflict) || !bytes.Equal(conflict.MAC, mac) {
		t.Errorf("%#v", err)
	}
	t.Logf("a holder was noticed after %s", time.Since(began))
	gone()
	if err := n.nl.AddrDel(n.link, ipnet("10.7.0.50/24")); err != nil {
		t.Fatal(err)
	}

	// Another host that probes at the same time.
	ear := n.ear(unix.ETH_P_ARP)
	result := make(chan error)
	go func() { result <- h.Do(within(t, 5*time.Second), add) }()
	if !hear(t, ear, 2*time.Second, func(b []byte) bool { _, ok := parseARP(b); return ok }) {
		t.Error("no probe was heard")
	}
	if _, err := ear.WriteTo(arpProbe(mac, add.Address.Prefix.Addr()).frame(), &packet.Addr{HardwareAddr: ethernetBroadcast}); err != nil {
		t.Fatal(err)
	}
	wantError(t, <-result, mac.String())
	gone()

	if err := n.nl.LinkSetDown(n.link); err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := usableLink(link); err != nil {
			break
		}
	}
	wantError(t, h.Do(within(t, 5*time.Second), add), link+" has no carrier")
	gone()
	add.Link = "nosuch0"
	wantError(t, h.Do(within(t, 5*time.Second), add), "nosuch0")
}

// logged passes on what is logged.
type logged chan string

func (l logged) Write(b []byte) (int, error) { l <- string(b); return len(b), nil }

// Without a probe the address is there at once, and a conflict is reported soon.
func TestConflictIsLoggedAfterAnAddressWithoutProbe(t *testing.T) {
	link, n := wire(t)
	n.has("10.7.0.50/24")
	lines := make(logged, 100)
	h := New(Options{StateDir: t.TempDir(), Log: slog.New(slog.NewTextHandler(lines, nil))})
	defer h.Close()
	if err := h.Do(within(t, 5*time.Second), reconcile.AddAddress{Address: service("10.7.0.50/24"), Link: link}); err != nil {
		t.Fatal(err)
	}
	for end := time.After(2 * time.Second); ; {
		select {
		case line := <-lines:
			if strings.Contains(line, "another holder") && strings.Contains(line, n.link.Attrs().HardwareAddr.String()) {
				return
			}
		case <-end:
			t.Fatal("not reported")
		}
	}
}

func TestAddressMovesToTheRightLinkAndPrefix(t *testing.T) {
	wrong, _ := wire(t)
	link, _ := wire(t)
	h := newHost(t)
	for _, w := range []struct{ link, prefix string }{{wrong, "10.7.0.50/24"}, {link, "10.7.0.50/32"}} {
		l, err := netlink.LinkByName(w.link)
		if err := errors.Join(err, netlink.AddrAdd(l, ipnet(w.prefix))); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.Do(within(t, 5*time.Second), reconcile.AddAddress{Address: service("10.7.0.50/24"), Link: link, Probe: 0}); err != nil {
		t.Fatal(err)
	}
	on, err := holdersOfAddress(netip.MustParseAddr("10.7.0.50"))
	if err != nil || len(on) != 1 || on[0].link.Attrs().Name != link || on[0].bits() != 24 {
		t.Errorf("%v %v", on, err)
	}
}

// Deleting the first address of a subnet does not take the others along.
func TestDropKeepsTheOtherAddressesOfTheSubnet(t *testing.T) {
	link, _ := wire(t)
	h := newHost(t)
	l, err := netlink.LinkByName(link)
	if err := errors.Join(err, netlink.AddrAdd(l, ipnet("10.7.0.50/24")), netlink.AddrAdd(l, ipnet("10.7.0.11/24"))); err != nil {
		t.Fatal(err)
	}
	if err := h.Do(within(t, 5*time.Second), reconcile.DropAddress{Address: service("10.7.0.50/24")}); err != nil {
		t.Fatal(err)
	}
	if on, err := holdersOfAddress(netip.MustParseAddr("10.7.0.11")); err != nil || len(on) != 1 {
		t.Error("the node's own address is gone", on, err)
	}
}

func TestAddress6(t *testing.T) {
	link, n := wire(t)
	if _, err := os.Stat("/proc/sys/net/ipv6/conf/" + link); err != nil {
		t.Skip("needs IPv6")
	}
	h := newHost(t)
	ear := n.ear(unix.ETH_P_IPV6)
	add := reconcile.AddAddress{Address: service("fd00:7::50/64"), Link: link}
	l, err := netlink.LinkByName(link)
	if err != nil {
		t.Fatal(err)
	}
	ip := add.Address.Prefix.Addr().As16()
	advertised := func(b []byte) bool { // Ethernet 14, IPv6 40, then RFC 4861, 4.4
		return len(b) >= 86 && b[20] == 58 && b[21] == 255 && b[54] == 136 && b[58] == 0x20 &&
			bytes.Equal(b[22:38], ip[:]) && bytes.Equal(b[62:78], ip[:]) && b[78] == 2 && bytes.Equal(b[80:86], l.Attrs().HardwareAddr)
	}
	if err := h.Do(within(t, 5*time.Second), add); err != nil {
		t.Fatal(err)
	}
	if !hear(t, ear, time.Second, advertised) {
		t.Error("not advertised")
	}
	if err := h.Do(within(t, 5*time.Second), reconcile.DropAddress{Address: add.Address}); err != nil {
		t.Fatal(err)
	}
	add.Probe = time.Second // duplicate address detection of the kernel
	began := time.Now()
	if err := h.Do(within(t, 5*time.Second), add); err != nil {
		t.Fatal(err)
	}
	t.Logf("duplicate address detection took %s", time.Since(began))
	if err := h.Do(within(t, 5*time.Second), reconcile.DropAddress{Address: add.Address}); err != nil {
		t.Fatal(err)
	}
	n.has("fd00:7::50/64")
	wantError(t, h.Do(within(t, 5*time.Second), add), "fd00:7::50", "another host", "duplicate address detection failed")
	if on, err := holdersOfAddress(add.Address.Prefix.Addr()); err != nil || len(on) != 0 {
		t.Error("the address was left", on, err)
	}
}

func TestLabel(t *testing.T) {
	for _, tc := range []struct{ link, name, want string }{
		{"eth0", "dcesvc", "eth0:dcesvc"},
		{"eth0", "averylonglabel", "eth0:averylongl"},
		{"enp129s0f0np0", "svc", "enp129s0f0np0:s"},
		{"enp129s0f0np0xy", "svc", "enp129s0f0np0xy"},
		{"enp129s0f0np0x", "svc", "enp129s0f0np0x"},
	} {
		if got := label(tc.link, tc.name); got != tc.want {
			t.Errorf("label(%q, %q) = %q, want %q", tc.link, tc.name, got, tc.want)
		}
	}
}

func FuzzParseARP(f *testing.F) {
	mac := net.HardwareAddr{2, 0, 0, 0, 0, 1}
	f.Add(arpProbe(mac, netip.MustParseAddr("10.7.0.50")).frame())
	for _, p := range announcements(mac, netip.MustParseAddr("10.7.0.50")) {
		f.Add(p.frame())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, ok := parseARP(b)
		if !ok {
			return
		}
		again, ok := parseARP(p.frame())
		if !ok || again.op != p.op || again.senderIP != p.senderIP || again.targetIP != p.targetIP || !bytes.Equal(again.senderMAC, p.senderMAC) || !bytes.Equal(again.targetMAC, p.targetMAC) {
			t.Errorf("%+v became %+v", p, again)
		}
	})
}
