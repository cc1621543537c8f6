package reconcile

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"understudy/config"
)

// rpcCluster is two nodes, each the home of a group with one service address.
func rpcCluster() *config.Config {
	address := func(label, prefix string) []config.ServiceAddress {
		return []config.ServiceAddress{{Label: label, Prefix: netip.MustParsePrefix(prefix), Network: "public"}}
	}
	return &config.Config{
		Nodes: []config.Node{
			{Name: "alpha", Addresses: []config.NodeAddress{{Network: "public", Prefix: netip.MustParsePrefix("9.3.240.1/24")}}},
			{Name: "beta", Addresses: []config.NodeAddress{{Network: "public", Prefix: netip.MustParsePrefix("9.3.240.5/24")}}},
			{Name: "gamma"},
		},
		Groups: []config.Group{
			{Name: "a", Policy: config.Cascading, Nodes: []string{"alpha", "beta"}, Addresses: address("asvc", "9.3.240.2/24")},
			{Name: "b", Policy: config.Cascading, Nodes: []string{"beta", "alpha"}, Addresses: address("bsvc", "9.3.240.6/24")},
		},
	}
}

// hostWith is what alpha sees: LINK=ADDRESS, one word each.
func hostWith(node, addrs string) *Snapshot {
	s := &Snapshot{Node: node, At: noon}
	var list []Addr
	for word := range strings.FieldsSeq(addrs) {
		link, prefix, _ := strings.Cut(word, "=")
		list = append(list, Addr{Link: link, Prefix: netip.MustParsePrefix(prefix)})
	}
	s.Addrs = Read(list, noon)
	return s
}

func words(env []config.Option) string {
	var out []string
	for _, o := range env {
		out = append(out, o.Key+"="+o.Value)
	}
	return strings.Join(out, " ")
}

// TestRPCEnvironment: the guide's own example is the first, with its boot address
// 9.3.240.1, service address 9.3.240.2 and standby address 9.3.240.66.
func TestRPCEnvironment(t *testing.T) {
	both := config.Application{Name: "dce", RPCExclude: true, RPCInterfaces: []string{"RPC_UNSUPPORTED_NETIFCS", "RPC_UNSUPPORTED_NETIFS"}}
	addresses := config.Application{Name: "dce", RPCExclude: true}
	const guide = "lo=127.0.0.1/8 en0=9.3.240.1/24 en0=9.3.240.2/24 en1=9.3.240.66/24 en0=2001:db8::1/64"
	for _, c := range []struct {
		name, node, group, addrs string
		app                      config.Application
		want, shared             string
	}{
		{"guide", "alpha", "a", guide, addresses, "RPC_UNSUPPORTED_NETADDRS=9.3.240.1:9.3.240.66", ""},
		{"guide, before the address is here", "alpha", "a", "en0=9.3.240.1/24 en1=9.3.240.66/24", addresses, "RPC_UNSUPPORTED_NETADDRS=9.3.240.1:9.3.240.66", ""},
		{"names of links", "alpha", "a", guide, both, "RPC_UNSUPPORTED_NETADDRS=9.3.240.1:9.3.240.66 RPC_UNSUPPORTED_NETIFCS=en1 RPC_UNSUPPORTED_NETIFS=en1", "en0"},
		{"the link that will carry it", "alpha", "a", "en0=9.3.240.1/24 en1=9.3.240.66/24", both, "RPC_UNSUPPORTED_NETADDRS=9.3.240.1:9.3.240.66 RPC_UNSUPPORTED_NETIFCS=en1 RPC_UNSUPPORTED_NETIFS=en1", "en0"},
		{"nothing else is here", "alpha", "a", "lo=127.0.0.1/8 en0=9.3.240.2/24", both, "", ""},
		{"the same address twice", "alpha", "a", "en1=9.3.240.66/24 en2=9.3.240.66/32", addresses, "RPC_UNSUPPORTED_NETADDRS=9.3.240.66", ""},
		{"neither is asked for", "alpha", "a", guide, config.Application{}, "", ""},
		{"a service, at home", "alpha", "", "en0=9.3.240.1/24 en0=9.3.240.2/24 en1=9.3.240.66/24", addresses, "RPC_UNSUPPORTED_NETADDRS=9.3.240.1:9.3.240.66", ""},
		{"a service on the other peer", "beta", "", "en0=9.3.240.5/24 en0=9.3.240.6/24", addresses, "RPC_UNSUPPORTED_NETADDRS=9.3.240.5", ""},
		{"a service beside what was taken over", "alpha", "", "en0=9.3.240.1/24 en0=9.3.240.2/24 en0=9.3.240.6/24", addresses, "RPC_UNSUPPORTED_NETADDRS=9.3.240.1:9.3.240.6", ""},
		{"taken over: only its own is left", "alpha", "b", "en0=9.3.240.1/24 en0=9.3.240.2/24 en0=9.3.240.6/24", addresses, "RPC_UNSUPPORTED_NETADDRS=9.3.240.1:9.3.240.2", ""},
		{"a service where no group is at home", "gamma", "", "en0=9.3.240.9/24", both, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg, s := rpcCluster(), hostWith(c.node, c.addrs)
			env, err := RPCEnvironment(cfg, cfg.Group(c.group), c.app, s)
			if err != nil || words(env) != c.want {
				t.Errorf("got %q, %v, want %q", words(env), err, c.want)
			}
			if got := strings.Join(RPCShared(cfg, cfg.Group(c.group), c.app, s), " "); got != c.shared {
				t.Errorf("shared %q, want %q", got, c.shared)
			}
		})
	}
}

// TestRPCEnvironmentRefuses: what cannot be told is never half told.
func TestRPCEnvironmentRefuses(t *testing.T) {
	cfg := rpcCluster()
	app := config.Application{Name: "dce", RPCExclude: true}
	var many strings.Builder
	for i := range rpcLimit + 1 {
		fmt.Fprintf(&many, "en0=10.1.1.%d/24 ", i+1)
	}
	env, err := RPCEnvironment(cfg, cfg.Group("a"), app, hostWith("alpha", many.String()))
	if env != nil || err == nil || !strings.Contains(err.Error(), "11 addresses are to be excluded and it holds 10 (10.1.1.1:") {
		t.Errorf("eleven addresses: %v, %v", env, err)
	}
	env, err = RPCEnvironment(cfg, cfg.Group("a"), app, &Snapshot{Node: "alpha"})
	if env != nil || err == nil {
		t.Errorf("unread addresses: %v, %v", env, err)
	}
}

// TestRPCEnvironmentProperty holds the rule of the variable against any host: 1 to
// 10 dotted quads, each once, none of them its own, none of the others missing.
func TestRPCEnvironmentProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := rpcCluster()
		var addrs []string
		for range rapid.IntRange(0, 13).Draw(t, "addresses") {
			addrs = append(addrs, fmt.Sprintf("en%d=9.3.240.%d/24", rapid.IntRange(0, 3).Draw(t, "link"), rapid.IntRange(1, 9).Draw(t, "host")))
		}
		s := hostWith(rapid.SampledFrom([]string{"alpha", "beta"}).Draw(t, "node"), strings.Join(addrs, " "))
		g := &cfg.Groups[rapid.IntRange(0, 1).Draw(t, "group")]
		env, err := RPCEnvironment(cfg, g, config.Application{Name: "dce", RPCExclude: true}, s)
		if err != nil {
			t.Fatal(err) // nine hosts at most
		}
		var list []string
		if len(env) > 0 {
			list = strings.Split(env[0].Value, ":")
		}
		for i, w := range list {
			ip, err := netip.ParseAddr(w)
			if err != nil || !ip.Is4() || slices.Contains(list[:i], w) || ip == g.Addresses[0].Prefix.Addr() {
				t.Fatalf("%q in %q", w, list)
			}
		}
		for _, a := range s.Addrs.Value {
			if w := a.Prefix.Addr().String(); a.Prefix.Addr() != g.Addresses[0].Prefix.Addr() && !slices.Contains(list, w) {
				t.Fatalf("%s is missing in %q", w, list)
			}
		}
	})
}
