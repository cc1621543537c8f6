package prepare

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"understudy/reconcile"
)

// TestHostname: a rotating group's host name must be that of its service address,
// here and now, or the node is not armed (S48, S123).
func TestHostname(t *testing.T) {
	c := parsed(t, `"POLICY"`, "\"rotating\"\nhostname = \"cell\"")
	at := func(a ...string) reconcile.Seen[[]netip.Addr] {
		var ips []netip.Addr
		for _, s := range a {
			ips = append(ips, netip.MustParseAddr(s))
		}
		return reconcile.Read(ips, noon)
	}
	for _, tc := range []struct {
		what  string
		names reconcile.Seen[[]netip.Addr]
		want  State
		seen  string
	}{
		{"the service address", at("9.3.240.2"), Done, "9.3.240.2"},
		{"nothing", at(), Blocked, "does not resolve"},
		{"the node's own address", at("9.3.240.1"), Blocked, "9.3.240.1"},
		{"another one too", at("9.3.240.2", "9.3.240.9"), Blocked, "9.3.240.9"},
		{"unread", reconcile.Seen[[]netip.Addr]{}, Unknown, "not read"},
	} {
		f := ready(c, "beta")
		f.Names["cell"] = tc.names
		items := Items(c, f)
		i := slices.IndexFunc(items, func(it Item) bool { return it.Name == "host name cell" })
		if i < 0 {
			t.Fatal("no item")
		}
		if it := items[i]; it.State != tc.want || !strings.Contains(it.Seen, tc.seen) || it.State != Done && (it.Way == "" || !it.Matters()) {
			t.Errorf("%s: %+v", tc.what, it)
		}
		sane(t, items)
	}
}

// TestConfiguredUnder: with rotating resources DCE is configured under the service's
// host name; what says another was configured as a node (S48, S99).
func TestConfiguredUnder(t *testing.T) {
	rotating := parsed(t, `"POLICY"`, "\"rotating\"\nhostname = \"cell.example.com\"")
	for _, tc := range []struct {
		what, db string
		want     State
		seen     string
	}{
		{"the service", "cellname /.../cell1\nhostname hosts/cell.example.com\n", Done, "dce_cf.db"},
		{"without its domain", "hostname hosts/CELL\n", Done, "dce_cf.db"},
		{"a node", "cellname /.../cell1\nhostname hosts/alpha\n", ByHand, "says hosts/alpha"},
		{"another domain", "hostname hosts/cell.example.org\n", ByHand, "says hosts/cell.example.org"},
		{"no word of it", "cellname /.../cell1\n", Done, "dce_cf.db"},
	} {
		f := ready(rotating, "alpha")
		mount(f, "/etc/dce")
		put(f, "/etc/dce/dce_cf.db", text(tc.db))
		items := Items(rotating, f)
		i := slices.IndexFunc(items, func(it Item) bool { return it.Name == "configure dce" })
		if it := items[i]; it.State != tc.want || !strings.Contains(it.Seen, tc.seen) || it.Matters() != (tc.want != Done) {
			t.Errorf("%s: %+v", tc.what, it)
		}
		sane(t, items)
	}
	// Cascading, the host keeps its own name, and DCE has that of the owner.
	c := parsed(t)
	f := ready(c, "alpha")
	mount(f, "/etc/dce")
	put(f, "/etc/dce/dce_cf.db", text("hostname hosts/alpha\n"))
	if i := slices.IndexFunc(Items(c, f), func(it Item) bool { return it.Name == "configure dce" && it.State == Done }); i < 0 {
		t.Error("cascading: not done")
	}
}

// TestVolumeFindings: what the audit of LVM has found is told with its row and its
// way out, once; a volume group of which nothing was found is met (S92, S94, S105).
func TestVolumeFindings(t *testing.T) {
	c := parsed(t, `"/dev/krb5"`, `"/dev/dcevg/krb5lv"`, `"/dev/etcdce"`, `"/dev/dcevg/lvol0"`, `"/dev/vardce"`, `"/dev/varvg/varlv"`)
	f := ready(c, "beta")
	f.LVM = []VolumeFinding{
		{Rule: "name", Volume: "dcevg", Text: "lvol0 has a name that is given by itself", Way: "rename it", State: ByHand},
		{Rule: "log", Volume: "dcevg", Text: "the log of /krb5 is elsewhere", Way: "move it", State: Blocked},
		{Rule: "autoactivation", Volume: "dcevg", Text: "it is switched on at boot", Way: "vgchange --setautoactivation n dcevg", State: ByHand},
		{Rule: "system-id", Text: "this host has none", Way: "give it one", State: Blocked},
	}
	items := Items(c, f)
	for name, rows := range map[string]string{
		"volume group dcevg (name)": "S92 S94", "volume group dcevg (log)": "S94",
		"volume group dcevg (autoactivation)": "S105", "LVM (system-id)": "S105", "volume group varvg": "S92 S94 S105",
	} {
		var found []Item
		for _, it := range items {
			if it.Name == name {
				found = append(found, it)
			}
		}
		if len(found) != 1 || strings.Join(found[0].Rows, " ") != rows || (found[0].State == Done) != (name == "volume group varvg") || found[0].State != Done && !found[0].Matters() {
			t.Errorf("%s: %+v", name, found)
		}
	}
	sane(t, items)
}
