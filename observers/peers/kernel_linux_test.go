package peers

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"understudy/config"
	"understudy/reconcile"
)

const (
	markNamespace = "UNDERSTUDY_TEST_NAMESPACE"
	markMachine   = "UNDERSTUDY_TEST_MACHINE"
)

// TestMain is the test, or one machine of it: a process in a network namespace
// of its own that runs Peers and prints what it says after every change.
func TestMain(m *testing.M) {
	if name := os.Getenv(markMachine); name != "" {
		machine(name)
		return
	}
	os.Exit(m.Run())
}

// line is what a machine prints.
type line struct {
	Peers []reconcile.Peer
	CPU   time.Duration // used so far
}

func kernelConfig(interval time.Duration) *config.Config {
	cfg := threeOn("10.77.0.0")
	cfg.Keepalive.Interval, cfg.Keepalive.Timeout = interval, 5*interval
	return cfg
}

func machine(name string) {
	interval, err := time.ParseDuration(os.Getenv("INTERVAL"))
	if err != nil {
		panic(err)
	}
	p := New(kernelConfig(interval), name, "boot-"+name+os.Getenv("BOOT"), [][]byte{[]byte("key")}, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	in := bufio.NewScanner(os.Stdin)
	in.Scan() // the network is made: go
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	go func() {
		for in.Scan() { // each further line is a status
			p.SetStatus(reconcile.NodeStatus{ConfigHash: in.Text()})
		}
		cancel() // the test has ended
	}()
	out := json.NewEncoder(os.Stdout)
	tick := time.NewTicker(time.Second)
	for {
		select {
		case <-p.Changes():
		case <-tick.C:
		case <-done:
			return
		}
		var u syscall.Rusage
		_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
		_ = out.Encode(line{p.Peers(), time.Duration(u.Utime.Nano() + u.Stime.Nano())})
	}
}

// host is one machine as the test sees it.
type host struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines chan line
	net   *netlink.Handle
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// inNamespace runs the calling test again in a network namespace of its own.
func inNamespace(t *testing.T) bool {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root: makes network namespaces")
	}
	if os.Getenv(markNamespace) == t.Name() {
		must(t, syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""))
		must(t, syscall.Mount("proc", "/proc", "proc", 0, ""))
		return true
	}
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=50s")
	cmd.Env = append(os.Environ(), markNamespace+"="+t.Name())
	// A pid namespace of its own: whatever the test starts ends with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWPID | syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatal(err)
	}
	return false
}

// bridges makes one bridge for each network in the namespace of the test.
func bridges(t *testing.T) {
	t.Helper()
	for _, n := range []string{"a", "b"} {
		must(t, netlink.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br" + n}}))
		br, err := netlink.LinkByName("br" + n)
		must(t, err)
		must(t, netlink.LinkSetUp(br))
	}
}

// boot starts a machine and connects it. Its addresses come after it has begun.
func boot(t *testing.T, name string, interval time.Duration, env ...string) *host {
	t.Helper()
	h := &host{lines: make(chan line, 10000)}
	h.cmd = exec.Command("/proc/self/exe")
	h.cmd.Env = append(append(os.Environ(), markMachine+"="+name, "INTERVAL="+interval.String()), env...)
	h.cmd.Stderr = os.Stderr
	h.cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	var err error
	h.in, err = h.cmd.StdinPipe()
	must(t, err)
	out, err := h.cmd.StdoutPipe()
	must(t, err)
	must(t, h.cmd.Start())
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer close(h.lines)
		for d := json.NewDecoder(out); ; {
			var l line
			if d.Decode(&l) != nil {
				return
			}
			h.lines <- l
		}
	}()
	t.Cleanup(func() {
		_ = h.cmd.Process.Kill()
		<-done
		_ = h.cmd.Wait()
	})
	ns, err := netns.GetFromPid(h.cmd.Process.Pid)
	must(t, err)
	defer ns.Close()
	h.net, err = netlink.NewHandleAt(ns)
	must(t, err)
	t.Cleanup(h.net.Close)
	_, err = io.WriteString(h.in, "go\n")
	must(t, err)
	for _, n := range kernelConfig(interval).Networks {
		port := name[:1] + n.Name
		if old, err := netlink.LinkByName(port); err == nil {
			_ = netlink.LinkDel(old) // of a machine that has just died
		}
		must(t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: port}, PeerName: "en" + n.Name, PeerNamespace: netlink.NsPid(h.cmd.Process.Pid)}))
		br, err := netlink.LinkByName("br" + n.Name)
		must(t, err)
		out, err := netlink.LinkByName(port)
		must(t, err)
		must(t, netlink.LinkSetMaster(out, br))
		must(t, netlink.LinkSetUp(out))
		in, err := h.net.LinkByName("en" + n.Name)
		must(t, err)
		must(t, h.net.LinkSetUp(in))
		for _, m := range n.Members {
			if m.Machine == name {
				a, err := netlink.ParseAddr(m.Prefix.String())
				must(t, err)
				must(t, h.net.AddrAdd(in, a))
			}
		}
	}
	return h
}

// until reads what a machine says until it holds, and returns how long it took.
func (h *host) until(t *testing.T, what string, want func([]reconcile.Peer) bool) time.Duration {
	t.Helper()
	began := time.Now()
	limit := time.After(10 * time.Second)
	var last line
	for {
		select {
		case l, ok := <-h.lines:
			if !ok {
				t.Fatalf("%s: the machine has ended", what)
			}
			if last = l; want(l.Peers) {
				return time.Since(began)
			}
		case <-limit:
			t.Fatalf("%s: not seen, last %+v", what, last.Peers)
		}
	}
}

// never drains what was said and fails if it holds for any of it.
func (h *host) never(t *testing.T, what string, bad func([]reconcile.Peer) bool) {
	t.Helper()
	for {
		select {
		case l := <-h.lines:
			if bad(l.Peers) {
				t.Errorf("%s: %+v", what, l.Peers)
			}
		default:
			return
		}
	}
}

func is(name string, s reconcile.PeerState) func([]reconcile.Peer) bool {
	return func(l []reconcile.Peer) bool {
		return slices.ContainsFunc(l, func(p reconcile.Peer) bool { return p.Name == name && p.State == s })
	}
}

func healthy(l []reconcile.Peer) bool {
	for _, p := range l {
		for _, k := range p.Links {
			if !k.Heard || !k.Hears {
				return false
			}
		}
		if p.State != reconcile.PeerHeard {
			return false
		}
	}
	return len(l) == 2
}

// port takes one machine's cable of a network out of its bridge, or puts it back.
func port(t *testing.T, name, network string, in bool) {
	t.Helper()
	l, err := netlink.LinkByName(name[:1] + network)
	must(t, err)
	if !in {
		must(t, netlink.LinkSetNoMaster(l))
		return
	}
	br, err := netlink.LinkByName("br" + network)
	must(t, err)
	must(t, netlink.LinkSetMaster(l, br))
}

func TestOnRealNetworks(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	const interval = 100 * time.Millisecond
	bridges(t)
	alpha, beta, witness := boot(t, "alpha", interval), boot(t, "beta", interval), boot(t, "witness", interval)
	for _, h := range []*host{alpha, beta, witness} {
		h.until(t, "all hear all", healthy)
	}

	_, err := io.WriteString(beta.in, "news\n")
	must(t, err)
	took := alpha.until(t, "a new status", func(l []reconcile.Peer) bool { return l[0].Status.ConfigHash == "news" })
	t.Logf("a new status took %v", took)

	// One network of beta is cut with its carrier up.
	port(t, "beta", "a", false)
	alpha.until(t, "one network is silent", func(l []reconcile.Peer) bool {
		return l[0].State == reconcile.PeerHeard && !l[0].Links[0].Heard && l[0].Links[1].Heard
	})
	port(t, "beta", "a", true)
	alpha.until(t, "it is heard again", healthy)

	// Beta cannot reach alpha, but alpha can reach beta, and the witness hears both.
	var routes []*netlink.Route
	for _, n := range []string{"10.77.0.1/32", "10.77.1.1/32"} {
		dst, err := netlink.ParseIPNet(n)
		must(t, err)
		routes = append(routes, &netlink.Route{Dst: dst, Type: syscall.RTN_BLACKHOLE})
		must(t, beta.net.RouteAdd(routes[len(routes)-1]))
	}
	alpha.until(t, "beta is distant", is("beta", reconcile.PeerDistant))
	beta.until(t, "alpha is heard and does not hear", func(l []reconcile.Peer) bool {
		return l[0].State == reconcile.PeerHeard && !l[0].Links[0].Hears && !l[0].Links[1].Hears
	})
	for _, r := range routes {
		must(t, beta.net.RouteDel(r))
	}
	alpha.until(t, "beta is heard again", healthy)
	beta.until(t, "alpha hears again", healthy)

	// Alpha stands still for longer than the timeout: nobody is silent to it afterwards.
	must(t, alpha.cmd.Process.Signal(syscall.SIGSTOP))
	beta.until(t, "a machine that stands still is silent", is("alpha", reconcile.PeerSilent))
	must(t, alpha.cmd.Process.Signal(syscall.SIGCONT))
	beta.until(t, "it is heard again", is("alpha", reconcile.PeerHeard))
	beta.until(t, "all is well again", healthy)
	alpha.never(t, "a machine that stood still calls others silent", func(l []reconcile.Peer) bool {
		return is("beta", reconcile.PeerSilent)(l) || is("witness", reconcile.PeerSilent)(l)
	})

	// Death, and another boot.
	must(t, beta.cmd.Process.Kill())
	took = alpha.until(t, "beta is silent", is("beta", reconcile.PeerSilent))
	t.Logf("silence was noticed %v after the death, timeout %v", took, 5*interval)
	if took < 4*interval-20*time.Millisecond {
		t.Errorf("silence was noticed after %v", took)
	}
	boot(t, "beta", interval, "BOOT=2")
	alpha.until(t, "beta is back with another boot", func(l []reconcile.Peer) bool {
		return l[0].State == reconcile.PeerHeard && l[0].BootID == "boot-beta2"
	})
}

// What keep-alives cost while nothing happens: printed.
func TestCost(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	bridges(t)
	for _, interval := range []time.Duration{200 * time.Millisecond, 50 * time.Millisecond} {
		t.Run(fmt.Sprint(interval), func(t *testing.T) {
			hosts := []*host{boot(t, "alpha", interval), boot(t, "beta", interval), boot(t, "witness", interval)}
			hosts[0].until(t, "all hear all", healthy)
			var first line
			began := time.Time{}
			for l := range hosts[0].lines {
				if began.IsZero() {
					first, began = l, time.Now()
				}
				if d := time.Since(began); d > 2*time.Second {
					perMinute := (l.CPU - first.CPU).Seconds() / d.Minutes()
					t.Logf("interval %v: %.3f CPU s/min", interval, perMinute)
					return
				}
			}
		})
	}
}
