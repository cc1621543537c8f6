package config_test

import (
	"cmp"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"understudy/config"
)

var (
	anyText  = rapid.StringMatching(`[ -~äé\n\t\x7f"'\\#]{0,12}`)
	oneLine  = rapid.StringMatching(`[ -~é"'\\#]{0,12}`)
	anyWord  = rapid.StringMatching(`[A-Za-z0-9][A-Za-z0-9._-]{0,8}`)
	anyPath  = rapid.StringMatching(`(/[a-z"'\\ #]{1,5}x){1,3}`)
	anyLimit = rapid.Custom(func(t *rapid.T) time.Duration {
		return time.Duration(rapid.Int64Range(int64(100*time.Millisecond), int64(24*time.Hour)).Draw(t, "limit"))
	})
)

// names draws distinct names with a prefix that keeps them from each other's way.
func names(t *rapid.T, prefix string, least, most int) []string {
	n := rapid.IntRange(least, most).Draw(t, prefix)
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("%s%d%s", prefix, i, rapid.StringMatching(`[._a-z-]{0,3}`).Draw(t, "suffix"))
	}
	return out
}

// anyOptions draws sorted options.
func anyOptions(t *rapid.T, key string, value *rapid.Generator[string]) []config.Option {
	var out []config.Option
	for i := range rapid.IntRange(0, 3).Draw(t, key) {
		out = append(out, config.Option{Key: fmt.Sprintf("%s%d", key, i), Value: value.Draw(t, "value")})
	}
	return out
}

// anyConfig draws a valid Config, without its networks, lines and hash.
func anyConfig(t *rapid.T) *config.Config {
	c := &config.Config{
		Cluster: anyWord.Draw(t, "cluster"), KeyFile: anyPath.Draw(t, "key file"),
		Stop:   rapid.SampledFrom([]config.StopMode{config.StopHandOver, config.StopAll, config.StopLeave}).Draw(t, "stop"),
		Rejoin: config.RejoinAutomatic, // each node has its own word
		Skew:   rapid.SampledFrom([]config.SkewPolicy{config.SkewHold, config.SkewWarn}).Draw(t, "skew"),
		Lease: config.Lease{Store: config.StoreEmbedded, TTL: 10 * time.Second, Renew: 1500 * time.Microsecond * 1000, Request: time.Second,
			Margin: 700 * time.Millisecond, Tick: 50 * time.Millisecond, Election: 333 * time.Millisecond, PeerPort: 65535},
		Keepalive: config.Keepalive{Interval: 70 * time.Millisecond, Timeout: 211 * time.Millisecond, Port: uint16(rapid.IntRange(1, 65535).Draw(t, "port"))},
	}
	c.Watchdog.Mode = rapid.SampledFrom([]config.WatchdogMode{config.WatchdogOff, config.WatchdogOptional, config.WatchdogRequired}).Draw(t, "watchdog")
	if c.Watchdog.Mode != config.WatchdogOff {
		c.Watchdog = config.Watchdog{Mode: c.Watchdog.Mode, Device: rapid.SampledFrom([]string{config.WatchdogAuto, "/dev/watchdog1"}).Draw(t, "device"),
			Timeout: 7 * time.Second, Pretimeout: rapid.SampledFrom([]time.Duration{0, 3 * time.Second}).Draw(t, "pretimeout"), Release: 1300 * time.Millisecond,
			Fallback: config.FallbackNone, OnLeave: rapid.SampledFrom([]config.WatchdogLeave{config.LeaveArmed, config.LeaveDisarmed}).Draw(t, "leave")}
		if c.Watchdog.Mode == config.WatchdogOptional {
			c.Watchdog.Fallback = rapid.SampledFrom([]config.WatchdogFallback{config.FallbackNone, config.FallbackSysrq, config.FallbackReboot}).Draw(t, "fallback")
		}
	}
	if rapid.Bool().Draw(t, "etcd") {
		c.Lease.Store, c.Lease.Tick, c.Lease.Election, c.Lease.PeerPort = config.StoreEtcd, 0, 0, 0
		c.Lease.Endpoints = []string{"https://etcd.example.com:2379", "https://[::1]:1"}
		if rapid.Bool().Draw(t, "tls") {
			c.Lease.TLS = config.TLS{CA: anyPath.Draw(t, "ca"), Cert: anyPath.Draw(t, "cert"), Key: anyPath.Draw(t, "key")}
		}
	}
	if rapid.IntRange(0, 3).Draw(t, "disk") == 0 {
		c.Lease.Store, c.Lease.Tick, c.Lease.Election, c.Lease.PeerPort = config.StoreDisk, 0, 0, 0
		c.Lease.Endpoints, c.Lease.TLS, c.Lease.Device = nil, config.TLS{}, anyPath.Draw(t, "device")
		if c.Watchdog.Mode == config.WatchdogRequired {
			c.Lease.TTL, c.Lease.Margin, c.Watchdog.OnLeave = 31*time.Second, 9300*time.Millisecond, config.LeaveArmed
		}
	}
	external := rapid.Bool().Draw(t, "external")
	if external {
		c.Lease = config.Lease{Store: config.StoreExternal}
		c.Watchdog = config.Watchdog{Mode: config.WatchdogOff}
	}
	networks := names(t, "net", 1, 3)
	address := func(network, host int) config.NodeAddress {
		format := rapid.SampledFrom([]string{"10.%d.0.%d/16"}).Draw(t, "family")
		if network == 2 {
			format = "fd00:%d::%d/64"
		}
		return config.NodeAddress{Network: networks[network], Prefix: netip.MustParsePrefix(fmt.Sprintf(format, network+1, host))}
	}
	nodes := names(t, "node", 1, 3)
	for i, name := range nodes {
		n := config.Node{Name: name}
		for k := range networks {
			n.Addresses = append(n.Addresses, address(k, i+1))
			if standby := rapid.IntRange(0, 3).Draw(t, "standby adapters"); standby > 1 {
				n.Addresses = append(n.Addresses, address(k, 50*standby+i))
			}
		}
		n.Rejoin = config.RejoinAutomatic
		if !external && rapid.Bool().Draw(t, "rejoin") {
			n.Rejoin = config.RejoinByHand
		}
		fences := rapid.IntRange(0, 3).Draw(t, "fences")
		if c.Lease.Store == config.StoreDisk && c.Watchdog.Mode != config.WatchdogRequired {
			fences = max(fences, 1)
		}
		for range fences {
			if external {
				break
			}
			n.Fences = append(n.Fences, config.Fence{Agent: "fence_x", Options: anyOptions(t, "o", oneLine), Timeout: anyLimit.Draw(t, "timeout"),
				Settle: time.Duration(rapid.Int64Range(0, int64(10*time.Minute)).Draw(t, "fence settle"))})
		}
		c.Nodes = append(c.Nodes, n)
	}
	if c.Lease.Store == config.StoreEmbedded && (len(nodes) == 2 || rapid.Bool().Draw(t, "witness")) {
		c.Witness = &config.Witness{Name: "witness", Addresses: []config.NodeAddress{address(0, 99)}}
	}
	for i, name := range names(t, "group", 0, 3) {
		g := anyGroup(t, name, i, nodes, networks)
		if external {
			g.Addresses = append(g.Addresses, config.ServiceAddress{Label: fmt.Sprintf("ext%d", i), Network: networks[0],
				Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 1, byte(i + 1), 200}), 32)})
			g.Settle, g.Failovers, g.FailoverWindow, g.Unread = config.DefaultSettle, config.DefaultFailovers, config.DefaultFailoverWindow, config.DefaultUnread
			g.Reservation = config.ReservationNone
			if g.Policy == config.Cascading {
				g.Fallback = config.Fallback{Kind: config.FallbackImmediate}
			}
		}
		c.Groups = append(c.Groups, g)
	}
	for _, name := range names(t, "service", 0, 2) {
		s := config.Service{Application: anyApplication(t, name, &config.Group{}), Nodes: nodes}
		s.Mounts, s.RebootToRelease, s.Kind, s.Roles, s.Replicas = nil, false, config.KindOther, nil, nil
		c.Services = append(c.Services, s)
	}
	for _, name := range names(t, "hook", 0, 2) {
		h := config.Hook{Name: name, Event: rapid.SampledFrom([]config.HookEvent{config.EventNodeUp, config.EventNetworkDown}).Draw(t, "event"),
			When: config.Post, Nodes: nodes[:1], Command: []string{anyPath.Draw(t, "command"), anyText.Draw(t, "argument")},
			Limit: anyLimit.Draw(t, "limit"), OnFailure: config.IgnoreHookFailure}
		if len(c.Groups) > 0 && rapid.Bool().Draw(t, "of a group") {
			h.Group, h.Event = c.Groups[0].Name, config.EventTakeover
			h.When = rapid.SampledFrom([]config.HookWhen{config.Pre, config.Post}).Draw(t, "when")
			h.OnFailure = rapid.SampledFrom([]config.HookFailure{config.IgnoreHookFailure, config.StopHookFailure}).Draw(t, "failure")
		}
		c.Hooks = append(c.Hooks, h)
	}
	for i := range c.Groups {
		c.Groups[i].Configuration, _ = c.Amounts(&c.Groups[i])
	}
	return c
}

func anyGroup(t *rapid.T, name string, i int, nodes, networks []string) config.Group {
	g := config.Group{
		Name: name, Nodes: slices.Clone(nodes),
		Policy:           rapid.SampledFrom([]config.Policy{config.Cascading, config.Rotating}).Draw(t, "policy"),
		OnReleaseFailure: rapid.SampledFrom([]config.ReleaseFailure{config.BlockOnReleaseFailure, config.RebootOnReleaseFailure}).Draw(t, "release"),
		Settle:           time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "settle")),
		Restarts:         rapid.IntRange(0, 1000).Draw(t, "restarts"), RestartWindow: time.Second + anyLimit.Draw(t, "window"),
		Failovers: rapid.IntRange(0, 20).Draw(t, "failovers"), FailoverWindow: time.Second + anyLimit.Draw(t, "failover window"),
		Reboot: config.RebootByHand, Reservation: config.ReservationNone, Unread: rapid.SampledFrom([]time.Duration{0, 5 * time.Second, time.Hour}).Draw(t, "unread"),
	}
	slices.Reverse(g.Nodes)
	if g.Policy == config.Rotating {
		g.Fallback.Kind = config.FallbackNever
		g.Hostname = rapid.SampledFrom([]string{"", "db", "db-1.example.com"}).Draw(t, "hostname")
	} else {
		g.Fallback.Kind = rapid.SampledFrom([]config.FallbackKind{config.FallbackImmediate, config.FallbackNever, config.FallbackWindow}).Draw(t, "fallback")
		if g.Fallback.Kind == config.FallbackWindow {
			from := rapid.IntRange(0, 1439).Draw(t, "from")
			g.Fallback.From = time.Duration(from) * time.Minute
			g.Fallback.To = time.Duration((from+rapid.IntRange(1, 1439).Draw(t, "length"))%1440) * time.Minute
		}
	}
	for k := range rapid.IntRange(0, 2).Draw(t, "addresses") {
		bits := rapid.SampledFrom([]int{16, 32}).Draw(t, "bits")
		g.Addresses = append(g.Addresses, config.ServiceAddress{Label: fmt.Sprintf("svc%d-%d", i, k), Network: networks[0],
			Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 1, byte(i + 1), byte(k + 1)}), bits)})
	}
	for k := range rapid.IntRange(0, 3).Draw(t, "filesystems") {
		fs := config.Filesystem{Mount: fmt.Sprintf("/srv/%d%s", i, anyPath.Draw(t, "mount")) + strings.Repeat("/n", k),
			Device: fmt.Sprintf("/dev/disk/by-id/%d-%d", i, k), Type: "xfs"}
		if k > 0 {
			fs.Mount = g.Filesystems[k-1].Mount + "/n"
			fs.Options = []string{"noatime", "x=\"y\""}
		}
		if rapid.Bool().Draw(t, "lvm") {
			fs.Volume = fmt.Sprintf("vg%d", i)
			if v := (config.Volume{Name: fs.Volume, Kind: config.LVM}); !slices.Contains(g.Volumes, v) {
				g.Volumes = append(g.Volumes, v)
			}
		}
		g.Filesystems = append(g.Filesystems, fs)
	}
	if rapid.Bool().Draw(t, "local") {
		g.Filesystems = append(g.Filesystems, config.Filesystem{Mount: fmt.Sprintf("/local/%d", i), Type: "ext4", Local: true,
			Device: fmt.Sprintf("/dev/disk/by-id/local-%d", i)})
	}
	if rapid.Bool().Draw(t, "aggregate") {
		g.Aggregates = append(g.Aggregates, config.Aggregate{Device: fmt.Sprintf("/dev/aggvg%d/agg", i), Volume: fmt.Sprintf("aggvg%d", i)})
		g.Volumes = append(g.Volumes, config.Volume{Name: fmt.Sprintf("aggvg%d", i), Kind: config.LVM})
	}
	if slices.ContainsFunc(g.Filesystems, func(fs config.Filesystem) bool { return !fs.Local }) && rapid.Bool().Draw(t, "reserved") {
		g.Reservation = config.ReservationRequired
	}
	for _, name := range names(t, "app", 0, 3) {
		g.Applications = append(g.Applications, anyApplication(t, name, &g))
	}
	if slices.ContainsFunc(g.Applications, func(a config.Application) bool { return a.RebootToRelease }) {
		g.Reboot = rapid.SampledFrom([]config.RebootPolicy{config.RebootByHand, config.RebootByUnderstudy}).Draw(t, "reboot")
	}
	return g
}

func anyApplication(t *rapid.T, name string, g *config.Group) config.Application {
	command := func() []string { return append([]string{anyPath.Draw(t, "program")}, anyText.Draw(t, "argument")) }
	a := config.Application{
		Name: name, StartLimit: anyLimit.Draw(t, "start"), StopLimit: anyLimit.Draw(t, "stop"), ProbeLimit: anyLimit.Draw(t, "probe"),
		Environment: anyOptions(t, "E", anyText), RPCExclude: rapid.Bool().Draw(t, "rpc"),
		RPCInterfaces:   rapid.SampledFrom([][]string{nil, {"RPC_UNSUPPORTED_NETIFS"}}).Draw(t, "links"),
		Ports:           rapid.SampledFrom([][]config.Port{nil, {{Protocol: "tcp", Number: 1}, {Protocol: "udp", Number: 65535}}}).Draw(t, "ports"),
		RebootToRelease: rapid.Bool().Draw(t, "reboot"), Notice: oneLine.Draw(t, "notice"),
	}
	if rapid.Bool().Draw(t, "configured") {
		a.Configured = []string{anyPath.Draw(t, "configured path")}
	}
	if rapid.Bool().Draw(t, "requirement") {
		a.Requirements = []config.Requirement{{Name: "x y", Command: command(), AtLeast: "3.1.0"}}
	}
	if rapid.Bool().Draw(t, "probe") {
		a.Probes = rapid.SampledFrom([][]config.Probe{{{Command: command()}}, {{Name: "a", Command: command()}}, {{Command: command()}, {Name: "b", Command: command()}}}).Draw(t, "probes")
		a.ProbeInterval = time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "interval"))
		a.ProbeFailures = rapid.IntRange(1, 100).Draw(t, "failures")
		a.ProbeOf = rapid.IntRange(a.ProbeFailures, 100).Draw(t, "of")
	}
	if rapid.Bool().Draw(t, "run") {
		a.Run, a.Daemons = command(), []config.Daemon{{Name: name}}
	} else {
		a.Start, a.Stop = command(), command()
		a.Profile = rapid.SampledFrom([]string{"", "dce", "dfs"}).Draw(t, "profile")
		a.Daemons = []config.Daemon{{Name: "a", Exe: anyPath.Draw(t, "exe")}, {Name: "b", PIDFile: "/run/b"}, {Name: "c", Match: `^"c"\s+#`, Optional: true}}
	}
	if len(g.Filesystems) > 0 && !g.Filesystems[0].Local && rapid.Bool().Draw(t, "purge") {
		a.Purge = []config.Purge{{Path: g.Filesystems[0].Mount + "/stale", Tree: rapid.Bool().Draw(t, "tree")}}
	}
	return a
}

// TestExplainRoundTrip: a Config that is explained and parsed again says the same.
func TestExplainRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := anyConfig(t)
		got := again(t, want)
		sorted := slices.IsSortedFunc(got.Networks, func(a, b config.Network) int { return cmp.Compare(a.Name, b.Name) })
		if len(got.Networks) == 0 || !sorted {
			t.Fatalf("networks: %+v", got.Networks)
		}
		twice := again(t, got)
		same(t, twice, got)
		got.Networks = nil
		same(t, got, want)
	})
}

// FuzzParse: Parse never panics; its findings stand on lines of the file and print
// on one line; what it accepts survives Explain.
func FuzzParse(f *testing.F) {
	for _, glob := range []string{"*.toml", "testdata/*.toml"} {
		files, _ := filepath.Glob(glob)
		for _, name := range files {
			if data, err := os.ReadFile(name); err == nil {
				f.Add(data)
			}
		}
	}
	archives, _ := filepath.Glob("testdata/*.txtar")
	for _, name := range archives {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		_, sections := parseArchive(string(data))
		for _, s := range sections {
			f.Add([]byte(s.data))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, list := config.Check("f.toml", data)
		lines := strings.Count(string(data), "\n") + 1
		last := 0
		for _, finding := range list {
			if finding.Line < 1 || finding.Line > lines || finding.Line < last {
				t.Fatalf("line %d of %d after %d: %s", finding.Line, lines, last, finding)
			}
			last = finding.Line
			if strings.ContainsAny(finding.String(), "\n\r\x00") || finding.WayOut == "" {
				t.Fatalf("%q", finding)
			}
		}
		_, again2 := config.Check("f.toml", data)
		if !reflect.DeepEqual(list, again2) {
			t.Fatalf("two checks of the same bytes differ:\n%v\n%v", list, again2)
		}
		if c != nil {
			same(t, again(t, c), c)
		}
	})
}
