package prepare

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"understudy/config"
	"understudy/reconcile"
)

// TestProfiles: the profiles of the program are DCE and DFS, whatever else they say.
func TestProfiles(t *testing.T) {
	head, _, _ := strings.Cut(file, "[[group.dce.application]]")
	c, err := config.Parse("test.toml", []byte(strings.NewReplacer("POLICY", "cascading", `[node.beta]
addresses = { public = "9.3.240.1/24" }`, `[node.beta]
addresses = { public = "9.3.240.67/24" }`).Replace(head)+`
[[group.dce.application]]
profile = "dce"
[[group.dce.application]]
profile = "dfs"
`))
	if err != nil {
		t.Fatal(err)
	}
	f := ready(c, "beta")
	put(f, "/usr/bin/start.dfs", Path{})
	items := Items(c, f)
	sane(t, items)
	for name, want := range map[string]State{
		"install dce": ByHand, "/...": Done, "/:": Done, "services kerberos5": Done, netAddrs: Done, "clocks": Done, "configure dce": Done, "rehearsal of dce": Done,
	} {
		if i := slices.IndexFunc(items, func(it Item) bool { return it.Name == name }); i < 0 || items[i].State != want {
			t.Errorf("%s is not %s", name, want)
		}
	}
}

// TestPeersOfAMutualTakeover: each keeps its own sessions to its own service address,
// also after a takeover.
func TestPeersOfAMutualTakeover(t *testing.T) {
	c := &config.Config{
		Nodes: []config.Node{{Name: "alpha", Addresses: []config.NodeAddress{{Network: "public", Prefix: netip.MustParsePrefix("9.3.240.1/24")}}}, {Name: "beta"}},
		Groups: []config.Group{
			{Name: "a", Policy: config.Cascading, Nodes: []string{"alpha", "beta"}, Configuration: config.MutualTakeover, Addresses: []config.ServiceAddress{{Label: "asvc", Prefix: netip.MustParsePrefix("9.3.240.2/24"), Network: "public"}}},
			{Name: "b", Policy: config.Cascading, Nodes: []string{"beta", "alpha"}, Configuration: config.MutualTakeover, Addresses: []config.ServiceAddress{{Label: "bsvc", Prefix: netip.MustParsePrefix("9.3.240.3/24"), Network: "public"}}},
		},
	}
	f := &Facts{Node: "alpha"}
	for _, addrs := range [][]string{{"9.3.240.1/24", "9.3.240.2/24", "9.3.240.66/24"}, {"9.3.240.66/24", "9.3.240.3/24", "9.3.240.2/24", "9.3.240.1/24", "127.0.0.1/8"}} {
		f.Snapshot.Addrs = reconcile.Read([]reconcile.Addr(nil), noon)
		for _, a := range addrs {
			f.Snapshot.Addrs.Value = append(f.Snapshot.Addrs.Value, reconcile.Addr{Link: "en0", Prefix: netip.MustParsePrefix(a)})
		}
		if got := fmt.Sprint(Excluded(c, f)); got != "[9.3.240.1 9.3.240.3 9.3.240.66]" {
			t.Errorf("%v: %s", addrs, got)
		}
	}
}

// TestLearnCell: given, configured on the shared disk, or told by a peer; never from
// what lies below a mount point.
func TestLearnCell(t *testing.T) {
	c := parsed(t)
	for _, s := range []struct {
		name, given, peer, file string
		mounted                 bool
		cell, from, err         string
	}{
		{"nobody", "", "", "", false, "", "", ""},
		{"a peer", "", "cell1", "", false, "cell1", "the word of alpha", ""},
		{"a peer that lies", "", "../etc", "", false, "", "", ""},
		{"given", "/.../cell2", "cell1", "", false, "cell2", "--cell", ""},
		{"configured", "", "old", "cellname /.../cell3\n", true, "cell3", "/etc/dce/dce_cf.db", ""},
		{"below the mount point", "", "", "cellname /.../cell3\n", false, "", "", ""},
		{"given and configured", "cell3", "", "cellname /.../cell3\n", true, "cell3", "--cell", ""},
		{"given otherwise", "cell4", "", "cellname /.../cell3\n", true, "cell3", "/etc/dce/dce_cf.db", "says cell3"},
		{"no name", "a b", "", "", false, "", "", "cannot take"},
	} {
		f := ready(c, "beta")
		f.Cell, f.CellFrom, f.Resident.Peers[0].Cell = "", "", s.peer
		if s.file != "" {
			put(f, "/etc/dce/dce_cf.db", text(s.file))
		}
		if s.mounted {
			mount(f, "/etc/dce")
		}
		err := f.LearnCell(c, s.given)
		if f.Cell != s.cell || f.CellFrom != s.from || (err == nil) != (s.err == "") || err != nil && !strings.Contains(err.Error(), s.err) {
			t.Errorf("%s: %q from %q, %v", s.name, f.Cell, f.CellFrom, err)
		}
	}
}
