package act

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"understudy/config"
	"understudy/reconcile"
)

func TestParseSockets(t *testing.T) {
	const head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
	const rest = " 00000000:00000000 00:00000000 00000000     0        0 "
	for _, c := range []struct{ name, protocol, text, want string }{
		{"none", "tcp", head, ""},
		{"listening", "tcp", head + "   0: 00000000:0087 00000000:0000 0A" + rest + "4711 1 0 100 0 0 10 0\n", "0.0.0.0:135"},
		{"an open connection is not bound", "tcp", head + "   0: 0100007F:0087 0100007F:9999 01" + rest + "4711 1\n", ""},
		{"udp", "udp", head + "   0: 02F00309:0058 00000000:0000 07" + rest + "5 2\n", "9.3.240.2:88"},
		{"IPv6", "tcp", head + "   0: 00000000000000000000000000000000:0087 00000000000000000000000000000000:0000 0A" + rest + "6 1\n", "[::]:135"},
		{"IPv4 in IPv6", "tcp", head + "   0: 0000000000000000FFFF000002F00309:0087 00000000000000000000000000000000:0000 0A" + rest + "6 1\n", "9.3.240.2:135"},
	} {
		t.Run(c.name, func(t *testing.T) {
			sockets, err := parseSockets(c.protocol, c.text)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, s := range sockets {
				got = append(got, s.local.String())
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
	for _, text := range []string{head + "x\n", head + " 0: 0:0 0:0 0A a b c d e f\n", head + " 0: 00000000:0087 0 0A a b c d e -1\n"} {
		if s, err := parseSockets("tcp", text); err == nil {
			t.Errorf("%q is %v", text, s)
		}
	}
}

func FuzzParseSockets(f *testing.F) {
	b, err := os.ReadFile("/proc/net/udp")
	if err == nil {
		f.Add(string(b))
	}
	f.Add("head\n   0: 00000000:0087 00000000:0000 0A 0:0 0:0 0 0 0 1\n")
	f.Fuzz(func(t *testing.T, text string) {
		sockets, err := parseSockets("udp", text)
		for _, s := range sockets {
			if err != nil || !s.local.IsValid() {
				t.Errorf("%v, %v", s, err)
			}
		}
	})
}

// TestStopWaitsForPorts: the processes of an application are gone, and another
// that holds its port is named instead of being taken for an end of the service.
func TestStopWaitsForPorts(t *testing.T) {
	line := aSleep()
	app := appNamed(t)
	app.Run = strings.Fields(line)
	app.Daemons = []config.Daemon{{Name: "sleep", Match: line}}
	h := appHost(t, app)
	do(t, "ip", "link", "set", "lo", "up")
	for _, one := range []struct {
		name, addr string
		held       bool
	}{
		{"on all addresses", "0.0.0.0:0", true},
		{"on the service address", "127.0.0.9:0", true},
		{"on another address", "127.0.0.8:0", false},
	} {
		t.Run(one.name, func(t *testing.T) {
			l, err := net.Listen("tcp4", one.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			u, err := net.ListenPacket("udp4", one.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer u.Close()
			port := func(a net.Addr) uint16 { return netip.MustParseAddrPort(a.String()).Port() }
			app.Ports = []config.Port{{Protocol: "tcp", Number: port(l.Addr())}, {Protocol: "udp", Number: port(u.LocalAddr())}}
			h.SetConfig(&config.Config{Groups: []config.Group{{Name: "g", Addresses: []config.ServiceAddress{{Label: "svc", Prefix: netip.MustParsePrefix("127.0.0.9/8")}}}}})
			if err := h.Do(within(t, 30*time.Second), reconcile.Start{Group: "g", App: app}); err != nil {
				t.Fatal(err)
			}
			err = h.Do(within(t, 2*time.Second), reconcile.Stop{Group: "g", App: app})
			if running(t, line) != 0 {
				t.Error("it still runs")
			}
			if !one.held {
				if err != nil {
					t.Error(err)
				}
				return
			}
			wantError(t, err, "its processes are gone, and still bound: ", "/tcp by ", "/udp by ", "act.test")
		})
	}
}

// TestPurgeNeverUnderALiveDaemon: files stay when the application runs, wherever it
// was started from.
func TestPurgeNeverUnderALiveDaemon(t *testing.T) {
	fs := disk(t, "ext4")
	line := aSleep()
	app := appNamed(t)
	app.Daemons = []config.Daemon{{Name: "dced", Match: line}}
	h := appHost(t, app)
	ctx := within(t, 60*time.Second)
	if err := h.Do(ctx, reconcile.MountFS{FS: fs}); err != nil {
		t.Fatal(err)
	}
	ep := filepath.Join(fs.Mount, "Ep.db")
	if err := os.WriteFile(ep, []byte("endpoints"), 0o600); err != nil {
		t.Fatal(err)
	}
	purge := reconcile.PurgeFiles{Group: "g", App: app, Purge: config.Purge{Path: ep}, Mount: fs.Mount}
	daemon := hookStep(20*time.Second, "setsid "+line+" >/dev/null 2>&1 &") // not by Start
	killSleeps(t, line)
	if err := h.Do(ctx, daemon); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the daemon runs", func() bool { return running(t, line) == 1 })
	wantError(t, h.Do(ctx, purge), "cannot purge "+ep, "sleep ", " runs — stop it first")
	if _, err := os.Stat(ep); err != nil {
		t.Fatal(err)
	}
	states, err := h.opts.Look(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range processesIn(states[0]) {
		if err := signal(p, unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the daemon has ended", func() bool { return running(t, line) == 0 })
	if err := h.Do(ctx, purge); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(ep); !os.IsNotExist(err) {
		t.Errorf("it is still there: %v", err)
	}
}
