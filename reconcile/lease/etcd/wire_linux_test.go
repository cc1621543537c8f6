package etcd

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"understudy/config"
	"understudy/reconcile"
)

// Three machines, each a process in a network namespace of its own, on two
// bridges. The namespace of the test holds the bridges.
const (
	markWires   = "UNDERSTUDY_TEST_WIRES"
	markMachine = "UNDERSTUDY_TEST_MACHINE"
	markDir     = "UNDERSTUDY_TEST_DIR"
	markDebug   = "UNDERSTUDY_TEST_DEBUG"
	markIdle    = "UNDERSTUDY_TEST_IDLE"
)

var names = []string{"alpha", "beta", "witness"}

func wired() *config.Config {
	at := func(host int) []config.NodeAddress {
		return []config.NodeAddress{
			{Network: "a", Prefix: netip.MustParsePrefix(fmt.Sprintf("10.88.1.%d/24", host))},
			{Network: "b", Prefix: netip.MustParsePrefix(fmt.Sprintf("10.88.2.%d/24", host))},
		}
	}
	return &config.Config{
		Cluster: "wired",
		Nodes:   []config.Node{{Name: "alpha", Addresses: at(11)}, {Name: "beta", Addresses: at(12)}},
		Witness: &config.Witness{Name: "witness", Addresses: at(13)},
		Lease: config.Lease{
			Store: config.StoreEmbedded, TTL: 5 * time.Second, Renew: time.Second, Margin: time.Second, Request: time.Second,
			Tick: config.DefaultTick, Election: config.DefaultElection, PeerPort: config.DefaultPeerPort,
		},
	}
}

// event is what a machine tells the test.
type event struct {
	Kind    string // renew, take, usage
	Began   time.Time
	Took    time.Duration
	Err     string
	Leader  string
	Term    uint64
	CPU     time.Duration // used so far
	RSS     int           // KiB
	Threads int           // goroutines
}

// machineProcess is one machine. Its standard input takes commands: "down a",
// "up a", "lead beta"; it ends with it.
func machineProcess(name string) error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return err
	}
	in := bufio.NewScanner(os.Stdin)
	in.Scan() // the network is made: go
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	level := slog.LevelWarn
	if os.Getenv(markDebug) != "" {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level})).With("node", name)
	m, err := StartMember(ctx, MemberOptions{Config: wired(), Name: name, DataDir: os.Getenv(markDir), Keys: [][]byte{key}, Log: log})
	if err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	select {
	case <-m.Ready():
	case err := <-done:
		return err
	}
	var mu sync.Mutex
	out := json.NewEncoder(os.Stdout)
	say := func(e event) {
		mu.Lock()
		defer mu.Unlock()
		e.Leader, e.Term = m.Leader(), m.etcd.Server.Term()
		_ = out.Encode(e)
	}
	var tasks sync.WaitGroup
	repeat := func(kind string, pause time.Duration, f func(context.Context) error) {
		tasks.Go(func() {
			for tick := time.NewTicker(pause); ; {
				began := time.Now()
				call, cancel := context.WithTimeout(ctx, time.Second)
				err := f(call)
				cancel()
				e := event{Kind: kind, Began: began, Took: time.Since(began)}
				if err != nil {
					e.Err = err.Error()
				}
				if ctx.Err() != nil {
					return
				}
				say(e)
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
				}
			}
		})
	}
	if os.Getenv(markIdle) == "" && name != "witness" {
		if err := work(ctx, m, name, repeat); err != nil {
			return err
		}
	}
	tasks.Go(func() {
		for tick := time.NewTicker(100 * time.Millisecond); ; {
			var u syscall.Rusage
			_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
			say(event{Kind: "usage", CPU: time.Duration(u.Utime.Nano() + u.Stime.Nano()), RSS: rss(), Threads: runtime.NumGoroutine()})
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	})
	down := map[string]bool{}
	for in.Scan() {
		verb, what, _ := strings.Cut(in.Text(), " ")
		switch verb {
		case "down", "up":
			down[what] = verb == "down"
			m.SetUsable(func(w reconcile.Way) bool { return !down[w.Network] })
		case "lead":
			_ = m.MoveLeader(ctx, func(member string) bool { return member != what })
		}
	}
	cancel()
	tasks.Wait()
	return <-done
}

// work renews a lease and takes a claim, again and again.
func work(ctx context.Context, m *Member, name string, repeat func(string, time.Duration, func(context.Context) error)) error {
	s, err := m.Store()
	if err != nil {
		return err
	}
	grant, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	id, err := s.Grant(grant, name, name+"1", time.Hour)
	if err != nil {
		return err
	}
	repeat("renew", 10*time.Millisecond, func(ctx context.Context) error { return s.Renew(ctx, id) })
	claim := reconcile.Claim{Group: name, Holder: name, BootID: name + "1"}
	var rev int64
	repeat("take", 20*time.Millisecond, func(ctx context.Context) error {
		claim.Epoch++
		next, err := s.Take(ctx, id, claim, rev)
		if err == nil {
			rev = next
			return nil
		}
		// Its effect is unknown: look.
		if v, looked := s.View(context.WithoutCancel(ctx)); looked == nil {
			rev = v.Claims[name].Revision
		}
		return err
	})
	return nil
}

func rss() int {
	f, err := os.Open("/proc/self/status")
	if err != nil {
		return 0
	}
	defer f.Close()
	for in := bufio.NewScanner(f); in.Scan(); {
		var kib int
		if _, err := fmt.Sscanf(in.Text(), "VmRSS: %d kB", &kib); err == nil {
			return kib
		}
	}
	return 0
}

// inNamespace runs the calling test again in a namespace of its own.
func inNamespace(t *testing.T) bool {
	t.Helper()
	needRoot(t)
	if os.Getenv(markWires) == t.Name() {
		return true
	}
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=120s")
	cmd.Env = append(os.Environ(), markWires+"="+t.Name())
	// In a pid namespace of its own, whatever the test starts ends with it.
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

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// host is one machine as the test sees it.
type host struct {
	t     *testing.T
	name  string
	in    io.WriteCloser
	mu    sync.Mutex
	said  []event
	ended bool
}

// wires boots the three machines and waits until each works.
func wires(t *testing.T, env ...string) map[string]*host {
	t.Helper()
	must(t, syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""))
	must(t, syscall.Mount("proc", "/proc", "proc", 0, ""))
	for _, n := range []string{"a", "b"} {
		must(t, netlink.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br" + n}}))
		br, err := netlink.LinkByName("br" + n)
		must(t, err)
		must(t, netlink.LinkSetUp(br))
	}
	hosts := map[string]*host{}
	for _, name := range names {
		hosts[name] = boot(t, name, env...)
	}
	t.Cleanup(func() { // all at the same time
		for _, h := range hosts {
			_ = h.in.Close()
		}
	})
	for _, h := range hosts {
		h.until("it works", func(e event) bool { return e.Err == "" && e.Leader != "" })
	}
	return hosts
}

func boot(t *testing.T, name string, env ...string) *host {
	t.Helper()
	h := &host{t: t, name: name}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(append(os.Environ(), markMachine+"="+name, markDir+"="+t.TempDir()), env...)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	var err error
	h.in, err = cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for d := json.NewDecoder(out); ; {
			var e event
			err := d.Decode(&e)
			h.mu.Lock()
			if err != nil {
				h.ended = true
				h.mu.Unlock()
				return
			}
			h.said = append(h.said, e)
			h.mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		_ = h.in.Close()
		select {
		case <-done:
		case <-time.After(time.Minute):
			t.Errorf("%s does not end", name)
			_ = cmd.Process.Kill()
			<-done
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	})
	ns, err := netns.GetFromPid(cmd.Process.Pid)
	must(t, err)
	defer ns.Close()
	inside, err := netlink.NewHandleAt(ns)
	must(t, err)
	defer inside.Close()
	for i, x := range machines(wired()) {
		if x.name != name {
			continue
		}
		for _, a := range machines(wired())[i].addresses {
			must(t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name + a.Network}, PeerName: "en" + a.Network, PeerNamespace: netlink.NsPid(cmd.Process.Pid)}))
			h.plug(a.Network, true)
			out, err := netlink.LinkByName(name + a.Network)
			must(t, err)
			must(t, netlink.LinkSetUp(out))
			in, err := inside.LinkByName("en" + a.Network)
			must(t, err)
			must(t, inside.LinkSetUp(in))
			address, err := netlink.ParseAddr(a.Prefix.String())
			must(t, err)
			must(t, inside.AddrAdd(in, address))
		}
	}
	h.order("go")
	return h
}

// plug takes the cable of a network out of its bridge, silently, or puts it back.
func (h *host) plug(network string, in bool) {
	h.t.Helper()
	port, err := netlink.LinkByName(h.name + network)
	must(h.t, err)
	if !in {
		must(h.t, netlink.LinkSetNoMaster(port))
		return
	}
	br, err := netlink.LinkByName("br" + network)
	must(h.t, err)
	must(h.t, netlink.LinkSetMaster(port, br))
}

// carrier takes the carrier of a network away, and tells the member; or gives it
// back.
func (h *host) carrier(network string, up bool) {
	h.t.Helper()
	port, err := netlink.LinkByName(h.name + network)
	must(h.t, err)
	if up {
		must(h.t, netlink.LinkSetUp(port))
		h.order("up " + network)
		return
	}
	must(h.t, netlink.LinkSetDown(port))
	h.order("down " + network)
}

func (h *host) order(line string) {
	h.t.Helper()
	_, err := io.WriteString(h.in, line+"\n")
	must(h.t, err)
}

// last is the latest event, zero before the first.
func (h *host) last() event {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ended {
		h.t.Fatalf("%s has ended", h.name)
	}
	if len(h.said) == 0 {
		return event{}
	}
	return h.said[len(h.said)-1]
}

func (h *host) until(what string, f func(event) bool) {
	h.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(time.Minute); ; <-tick.C {
		if e := h.last(); e.Kind != "" && f(e) {
			return
		}
		if time.Now().After(end) {
			h.t.Fatalf("%s: never: %s; last %+v", h.name, what, h.last())
		}
	}
}

// gap is the longest time without a success of a kind between two moments.
func (h *host) gap(kind string, from, to time.Time) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	var longest time.Duration
	before := from
	for _, e := range h.said {
		end := e.Began.Add(e.Took)
		if e.Kind != kind || e.Err != "" || end.Before(from) {
			continue
		}
		longest = max(longest, end.Sub(before))
		if before = end; end.After(to) {
			break
		}
	}
	return longest
}

// succeeded reports whether a call of a kind has succeeded after a moment.
func (h *host) succeeded(kind string, after time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.ContainsFunc(h.said, func(e event) bool {
		return e.Kind == kind && e.Err == "" && e.Began.Add(e.Took).After(after)
	})
}

// usage is the latest word about what the machine uses.
func (h *host) usage() event {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range slices.Backward(h.said) {
		if e.Kind == "usage" {
			return e
		}
	}
	return event{}
}

// lead makes a machine the leader.
func lead(t *testing.T, hosts map[string]*host, name string) {
	t.Helper()
	for range 20 {
		for _, h := range hosts {
			h.order("lead " + name)
		}
		led := true
		for _, h := range hosts {
			h.until("a leader", func(e event) bool { return e.Leader != "" })
			led = led && h.last().Leader == name
		}
		if led {
			return
		}
		<-time.After(100 * time.Millisecond)
	}
	t.Fatalf("%s will not lead", name)
}
