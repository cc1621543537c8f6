package observers

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"understudy/config"
	"understudy/reconcile"
)

// seer is what reconcile/loop asks of a Host.
type seer interface {
	Look(ctx context.Context) reconcile.Snapshot
	Changes() <-chan struct{}
}

var _ seer = (*Host)(nil)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// inNamespace runs the calling test again in a process with its own network, mount
// and UTS namespace.
func inNamespace(t *testing.T) bool {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root: makes namespaces")
	}
	const mark = "UNDERSTUDY_TEST_NAMESPACE"
	if os.Getenv(mark) == t.Name() {
		must(t, unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
		return true
	}
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=20s")
	cmd.Env = append(os.Environ(), mark+"="+t.Name())
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWUTS}
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	must(t, err)
	return false
}

// file declares alpha, beta and the witness, and one group with a daemon that is
// known by its pid file.
func file(pidFile string) *config.Config {
	member := func(m, p string) config.Member { return config.Member{Machine: m, Prefix: netip.MustParsePrefix(p)} }
	return &config.Config{
		Cluster:   "c",
		Keepalive: config.Keepalive{Interval: 50 * time.Millisecond, Timeout: 250 * time.Millisecond, Port: 7001},
		Witness:   &config.Witness{Name: "witness"},
		Networks: []config.Network{{Name: "public", Members: []config.Member{
			member("alpha", "127.0.0.1/8"), member("beta", "127.0.0.2/8"), member("witness", "127.0.0.3/8")}}},
		Nodes: []config.Node{{Name: "alpha"}, {Name: "beta"}},
		Groups: []config.Group{{Name: "g", Nodes: []string{"alpha"}, Applications: []config.Application{{
			Name: "a", Probes: []config.Probe{{Command: []string{"/bin/sh", "-c", "exit 0"}}}, ProbeInterval: 50 * time.Millisecond, ProbeLimit: 5 * time.Second,
			Daemons: []config.Daemon{{Name: "d", PIDFile: pidFile}},
		}}}},
	}
}

func TestHostSeesEverything(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	pidFile := filepath.Join(t.TempDir(), "d.pid")
	cfg := file(pidFile)
	lo, err := netlink.LinkByName("lo")
	must(t, err)
	must(t, netlink.LinkSetUp(lo))
	boot, err := BootID()
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 4)
	alpha := NewPeers(cfg, "alpha", boot, [][]byte{[]byte("k")}, log)
	go func() { done <- alpha.Run(ctx) }()
	beta, stopBeta := context.WithCancel(ctx)
	go func() {
		done <- NewPeers(cfg, "beta", "another", [][]byte{[]byte("k")}, slog.New(slog.DiscardHandler)).Run(beta)
	}()
	h, err := New(cfg, "alpha", t.TempDir(), alpha, log)
	must(t, err)
	go func() { done <- h.Run(ctx) }()

	until := func(what string, want func(*reconcile.Snapshot) bool) {
		t.Helper()
		limit := time.After(8 * time.Second)
		for {
			s := h.Look(ctx)
			for _, err := range []error{s.Mounts.Why(), s.Addrs.Why(), s.Links.Why(), s.Apps.Why(), s.Hostname.Why()} {
				must(t, err)
			}
			if s.Node != "alpha" || s.BootID != boot || s.Since.IsZero() || s.At.Before(s.Since) {
				t.Fatalf("%+v", s)
			}
			if want(&s) {
				return
			}
			select {
			case <-h.Changes():
			case <-limit:
				t.Fatalf("%s: not seen: %+v", what, s)
			}
		}
	}
	until("beta is heard", func(s *reconcile.Snapshot) bool { return s.Peer("beta").State == reconcile.PeerHeard })
	until("the witness is silent", func(s *reconcile.Snapshot) bool { return s.Peer("witness").State == reconcile.PeerSilent })

	must(t, syscall.Sethostname([]byte("dcesvc")))
	until("the host name", func(s *reconcile.Snapshot) bool { return s.Hostname.Value == "dcesvc" })

	a, err := netlink.ParseAddr("192.0.2.1/32")
	must(t, err)
	must(t, netlink.AddrAdd(lo, a))
	until("an address", func(s *reconcile.Snapshot) bool {
		return slices.ContainsFunc(s.Addrs.Value, func(a reconcile.Addr) bool { return a.Prefix.String() == "192.0.2.1/32" && a.Link == "lo" })
	})

	dir := t.TempDir()
	must(t, unix.Mount("x", dir, "tmpfs", 0, ""))
	mounted := func(s *reconcile.Snapshot) bool {
		return slices.ContainsFunc(s.Mounts.Value, func(m reconcile.Mount) bool { return m.Point == dir })
	}
	until("a mount", mounted)
	must(t, unix.Unmount(dir, 0))
	until("its unmount", func(s *reconcile.Snapshot) bool { return !mounted(s) })

	daemon := exec.Command("sleep", "60")
	must(t, daemon.Start())
	defer func() { _ = daemon.Process.Kill(); _ = daemon.Wait() }()
	must(t, os.WriteFile(pidFile, []byte(strconv.Itoa(daemon.Process.Pid)), 0o600))
	until("a daemon, and its probe", func(s *reconcile.Snapshot) bool {
		a := s.Apps.Value[0]
		return len(a.Daemons[0].Processes) == 1 && a.Probe == reconcile.ProbeGood
	})
	h.Pause("g", "a")
	if s := h.Look(ctx); s.Apps.Value[0].Probe != reconcile.ProbeUnknown {
		t.Error("a verdict during a pause")
	}
	h.Resume("g", "a")
	must(t, daemon.Process.Kill())
	until("the end of the daemon", func(s *reconcile.Snapshot) bool { return len(s.Apps.Value[0].Daemons[0].Processes) == 0 })

	next := file("")
	next.Groups = nil
	must(t, h.SetConfig(next))
	until("another file", func(s *reconcile.Snapshot) bool { return len(s.Apps.Value) == 0 })
	stopBeta()
	until("beta is silent", func(s *reconcile.Snapshot) bool { return s.Peer("beta").State == reconcile.PeerSilent })
	cancel()
	for range 3 {
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
}

// Without Run and without peers a look knows the host, and nothing of the others.
func TestLookOnce(t *testing.T) {
	cfg := file("/nonexistent/pid")
	h, err := New(cfg, "beta", t.TempDir(), nil, slog.New(slog.DiscardHandler))
	must(t, err)
	s := h.Look(t.Context())
	if !s.Mounts.OK() || !s.Addrs.OK() || !s.Apps.OK() || !s.Hostname.OK() || len(s.Mounts.Value) == 0 {
		t.Errorf("%+v", s)
	}
	if len(s.Peers) != 2 || s.Peers[0].Name != "alpha" || s.Peers[1].Name != "witness" ||
		s.Peers[0].State != reconcile.PeerUnknown || s.Peers[0].Links[0].Age >= 0 {
		t.Errorf("%+v", s.Peers)
	}
	if _, err := New(cfg, "witness", t.TempDir(), nil, nil); err == nil {
		t.Error("the witness has a Host")
	}
}

// A reading that hangs is unknown after the limit, those after it as well, and
// they do not pile up; when it ends, reading goes on.
func TestHangingReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		hang := make(chan struct{})
		reads := 0
		read := func(context.Context) (int, error) { reads++; <-hang; return reads, nil }
		for range 3 {
			ctx, cancel := context.WithTimeout(t.Context(), LookLimit)
			s := begin(ctx, g, "it", read)()
			if s.OK() || s.At.IsZero() {
				t.Errorf("%+v", s)
			}
			cancel()
			synctest.Wait()
		}
		if reads != 1 {
			t.Errorf("%d readings hang", reads)
		}
		close(hang)
		synctest.Wait()
		if s := begin(t.Context(), g, "it", read)(); !s.OK() || s.Value != 2 {
			t.Errorf("%+v", s)
		}
	})
}

func BenchmarkLook(b *testing.B) {
	cfg := file("")
	cfg.Groups[0].Applications[0].Daemons[0] = config.Daemon{Name: "d", Match: "sleep 54321"}
	daemon := exec.Command("sleep", "54321")
	must(b, daemon.Start())
	defer func() { _ = daemon.Process.Kill(); _ = daemon.Wait() }()
	h, err := New(cfg, "alpha", b.TempDir(), nil, slog.New(slog.DiscardHandler))
	must(b, err)
	for b.Loop() {
		if s := h.Look(b.Context()); !s.Apps.OK() || len(s.Apps.Value[0].Daemons[0].Processes) != 1 {
			b.Fatalf("%+v", s.Apps)
		}
	}
}
