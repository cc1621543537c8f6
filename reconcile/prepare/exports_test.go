package prepare

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"understudy/reconcile"
)

// TestExports: what DFS exports must move with the group (S72, S100).
func TestExports(t *testing.T) {
	c := parsed(t, "[[group.dce.application]]\nname = \"dfs\"", "[[group.dce.aggregate]]\ndevice = \"/dev/agg1\"\n[[group.dce.application]]\nname = \"dfs\"")
	const good = "# device name type id\n/dev/agg1\tlfs1 lfs 1\n/dev/krb5 /krb5 ufs 2 0,,18756\n\n"
	for _, tc := range []struct {
		what   string
		change func(*Facts)
		want   State
		seen   string
	}{
		{"of the group", func(f *Facts) { mount(f, "/var/dce"); put(f, dfstab, text(good)) }, Done, "/dev/agg1, /dev/krb5"},
		{"of nobody", func(f *Facts) { mount(f, "/var/dce"); put(f, dfstab, text(good+"/dev/agg2 lfs2 lfs 3\n")) }, ByHand, "under another name: /dev/agg2"},
		{"of this node", func(f *Facts) { mount(f, "/var/dce"); put(f, dfstab, text("/dev/cache /c ufs 3 0,,1\n")) }, Blocked, "/dev/cache"},
		{"another file", func(f *Facts) { mount(f, "/var/dce"); put(f, dfstab, text("share -F nfs /x\n")) }, Unknown, "share -F nfs /x"},
		{"empty", func(f *Facts) { mount(f, "/var/dce"); put(f, dfstab, text("")) }, Done, "empty"},
		{"none", func(f *Facts) { mount(f, "/var/dce") }, Done, "no list"},
		{"not mounted", func(f *Facts) { put(f, dfstab, text("/dev/agg2 lfs2 lfs 3\n")) }, Unknown, "/var/dce is not mounted"},
		{"mounts unread", func(f *Facts) {
			f.Snapshot.Mounts = reconcile.Unread[[]reconcile.Mount](errors.New("input/output error"), noon)
		}, Unknown, "mount table"},
		{"unread", func(f *Facts) { mount(f, "/var/dce"); delete(f.Paths, dfstab) }, Unknown, "not read"},
	} {
		f := ready(c, "alpha")
		tc.change(f)
		items := Items(c, f)
		i := slices.IndexFunc(items, func(it Item) bool { return it.Name == "exports of dce" })
		if i < 0 {
			t.Fatal("no item")
		}
		if it := items[i]; it.State != tc.want || !strings.Contains(it.Seen, tc.seen) {
			t.Errorf("%s: %s: %s", tc.what, it.State, it.Seen)
		}
	}
}

func FuzzParseDfstab(f *testing.F) {
	f.Add([]byte("/dev/lv02 lfs1 lfs 3\n/dev/lv01 /usr ufs 1 0,,18756\n# x\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		devices, other := ParseDfstab(text)
		if n := strings.Count(string(text), "\n") + 1; len(devices)+len(other) > n {
			t.Errorf("%d lines of %d", len(devices)+len(other), n)
		}
		for _, d := range devices {
			if !strings.HasPrefix(d, "/") || len(strings.Fields(d)) != 1 {
				t.Errorf("device %q", d)
			}
		}
	})
}
