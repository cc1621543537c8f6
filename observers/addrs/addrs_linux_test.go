package addrs

import (
	"context"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"understudy/observers/trigger"
	"understudy/reconcile"
)

func inNamespace(t *testing.T) bool {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root: makes a network namespace")
	}
	const mark = "UNDERSTUDY_TEST_NAMESPACE"
	if os.Getenv(mark) == t.Name() {
		return true
	}
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=20s")
	cmd.Env = append(os.Environ(), mark+"="+t.Name())
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatal(err)
	}
	return false
}

// pair makes veth va in this namespace with its peer vb, both up.
func pair(t *testing.T) (va, vb netlink.Link) {
	t.Helper()
	must(t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "va"}, PeerName: "vb"}))
	va, err := netlink.LinkByName("va")
	must(t, err)
	vb, err = netlink.LinkByName("vb")
	must(t, err)
	must(t, netlink.LinkSetUp(va))
	must(t, netlink.LinkSetUp(vb))
	return va, vb
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestAddressesAreRead(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	va, vb := pair(t)
	changed := trigger.New()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- Watch(ctx, changed.Fire) }()
	until := func(what string, want func([]reconcile.Link, []reconcile.Addr) bool) {
		t.Helper()
		limit := time.After(5 * time.Second)
		for {
			links, addrs, err := Read(ctx)
			must(t, err)
			if want(links, addrs) {
				return
			}
			select {
			case <-changed:
			case <-limit:
				t.Fatalf("%s: not seen; links %+v addresses %+v", what, links, addrs)
			}
		}
	}
	has := func(want reconcile.Addr) func([]reconcile.Link, []reconcile.Addr) bool {
		return func(_ []reconcile.Link, l []reconcile.Addr) bool { return slices.Contains(l, want) }
	}
	carrier := func(name string, up, on bool) func([]reconcile.Link, []reconcile.Addr) bool {
		return func(l []reconcile.Link, _ []reconcile.Addr) bool {
			return slices.ContainsFunc(l, func(l reconcile.Link) bool {
				return l.Name == name && l.Up == up && l.Carrier == on && strings.Count(l.MAC, ":") == 5 && l.Index > 0
			})
		}
	}
	until("carrier", carrier("va", true, true))
	add := func(l netlink.Link, text, label string, flags int) {
		a, err := netlink.ParseAddr(text)
		must(t, err)
		a.Label, a.Flags = label, flags
		must(t, netlink.AddrAdd(l, a))
	}
	add(va, "192.0.2.10/24", "va:svc", 0)
	until("IPv4", has(reconcile.Addr{Link: "va", Prefix: netip.MustParsePrefix("192.0.2.10/24"), Label: "va:svc"}))
	add(va, "2001:db8::a/64", "", unix.IFA_F_NODAD)
	until("IPv6 without detection", has(reconcile.Addr{Link: "va", Prefix: netip.MustParsePrefix("2001:db8::a/64")}))
	add(va, "2001:db8::b/64", "", 0)
	until("IPv6 tentative", has(reconcile.Addr{Link: "va", Prefix: netip.MustParsePrefix("2001:db8::b/64"), Tentative: true}))
	must(t, netlink.LinkSetDown(vb))
	until("carrier lost", carrier("va", true, false))
	must(t, netlink.LinkSetDown(va))
	until("link down", carrier("va", false, false))
	cancel()
	if err := <-done; err != context.Canceled {
		t.Fatalf("watch ended with %v", err)
	}
}

// A duplicate IPv6 address shows as a conflict. The two ends of the pair are in
// one namespace, which is enough for a duplicate to be found.
func TestConflictIsSeen(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	va, vb := pair(t)
	a, err := netlink.ParseAddr("2001:db8::c/64")
	must(t, err)
	a.Flags = unix.IFA_F_NODAD
	must(t, netlink.AddrAdd(vb, a))
	b, err := netlink.ParseAddr("2001:db8::c/64")
	must(t, err)
	must(t, netlink.AddrAdd(va, b))
	changed := trigger.New()
	go func() { _ = Watch(t.Context(), changed.Fire) }()
	limit := time.After(8 * time.Second)
	for {
		_, addrs, err := Read(t.Context())
		must(t, err)
		if slices.ContainsFunc(addrs, func(a reconcile.Addr) bool { return a.Link == "va" && a.Conflict }) {
			return
		}
		select {
		case <-changed:
		case <-limit:
			t.Fatalf("no conflict seen: %+v", addrs)
		}
	}
}

// After more changes than the socket can hold, the watch goes on.
func TestWatchSurvivesOverflow(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	va, _ := pair(t)
	held, release := make(chan struct{}), make(chan struct{})
	changed := trigger.New()
	calls := 0
	go func() {
		_ = Watch(t.Context(), func() {
			if calls++; calls == 2 {
				close(held)
				<-release // nobody reads while the changes happen
			}
			changed.Fire()
		})
	}()
	<-changed
	must(t, netlink.LinkSetMTU(va, 1400))
	<-held
	for i := range 4000 {
		a := &netlink.Addr{IPNet: netlink.NewIPNet([]byte{10, 9, byte(i >> 8), byte(i)})}
		must(t, netlink.AddrAdd(va, a))
	}
	close(release)
	limit := time.After(5 * time.Second)
	for n := 0; n < 4000; {
		select {
		case <-changed:
		case <-limit:
			t.Fatalf("%d of 4000 addresses seen", n)
		}
		_, addrs, err := Read(t.Context())
		must(t, err)
		n = 0
		for _, a := range addrs {
			if a.Link == "va" && a.Prefix.Addr().Is4() {
				n++
			}
		}
	}
	// The queue is empty by now or soon; a change after the overflow must come through.
	must(t, netlink.AddrDel(va, &netlink.Addr{IPNet: netlink.NewIPNet([]byte{10, 9, 0, 1})}))
	for {
		_, addrs, err := Read(t.Context())
		must(t, err)
		if !slices.ContainsFunc(addrs, func(a reconcile.Addr) bool { return a.Prefix.Addr() == netip.MustParseAddr("10.9.0.1") }) {
			return
		}
		select {
		case <-changed:
		case <-limit:
			t.Fatal("the change after the overflow was not noticed")
		}
	}
}

func BenchmarkRead(b *testing.B) {
	for b.Loop() {
		if _, _, err := Read(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
