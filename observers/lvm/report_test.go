package lvm

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The reports in testdata are of LVM 2.03.16 on real disks that two machines share
// (`understudy lab vm lvm` makes such machines).
func recorded(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestParseGroups(t *testing.T) {
	for _, tc := range []struct {
		file   string
		want   []Group
		refuse string
	}{
		{"vgs.json", []Group{{Name: "dcevg", UUID: "sMGiEn-oTfG-YE0H-JD66-8CtY-rVIx-sce6Sf", SystemID: "n1"},
			{Name: "vg1", UUID: "WubTET-IVOh-SCq5-zAGk-yNeY-S7He-zE1Zu1", SystemID: "n1"}}, ""},
		{"vgs-missing.json", []Group{{Name: "dcevg", UUID: "sMGiEn-oTfG-YE0H-JD66-8CtY-rVIx-sce6Sf", SystemID: "n1", Missing: 1}}, "lacks 1 of its physical volumes"},
		{"vgs-exported.json", []Group{{Name: "dcevg", UUID: "sMGiEn-oTfG-YE0H-JD66-8CtY-rVIx-sce6Sf", Missing: 1, Exported: true}}, "is exported — vgimport dcevg"},
		{"vgs-none.json", nil, ""},
		{"vgs-auto.json", []Group{{Name: "dcevg", UUID: "sMGiEn-oTfG-YE0H-JD66-8CtY-rVIx-sce6Sf", SystemID: "n1", KnowsAuto: true},
			{Name: "vg1", UUID: "WubTET-IVOh-SCq5-zAGk-yNeY-S7He-zE1Zu1", SystemID: "n1", KnowsAuto: true, Autoactivation: "enabled"}}, ""},
	} {
		got, err := ParseGroups(recorded(t, tc.file))
		if err != nil || !slices.Equal(got, tc.want) {
			t.Errorf("%s: %+v %v", tc.file, got, err)
		}
		if len(got) > 0 {
			err = got[0].Refuse()
			if (err == nil) != (tc.refuse == "") || err != nil && !strings.Contains(err.Error(), tc.refuse) {
				t.Errorf("%s: refused: %v", tc.file, err)
			}
		}
	}
	for _, g := range []Group{{Name: "x", Clustered: true}, {Name: "x", LockType: "sanlock"}, {Name: "x", SystemID: `a"]}`}} {
		if g.Refuse() == nil {
			t.Errorf("%+v is not refused", g)
		}
	}
	if err := (Group{Name: "x", LockType: "none", SystemID: "n2"}).Refuse(); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{"", "{}", `{"report":[]}`, "  WARNING: no report",
		`{"report":[{"vg":[{"vg_name":"x"}]}]}`,
		strings.Replace(string(recorded(t, "vgs.json")), `"vg_missing_pv_count":"0"`, `"vg_missing_pv_count":""`, 1),
		strings.Replace(string(recorded(t, "vgs.json")), `"vg_missing_pv_count":"0"`, `"vg_missing_pv_count":"-1"`, 1)} {
		if got, err := ParseGroups([]byte(bad)); err == nil {
			t.Errorf("%q was read as %+v", bad, got)
		}
	}
}

func TestFind(t *testing.T) {
	two := []Group{{Name: "a", UUID: "1"}, {Name: "b", UUID: "2"}, {Name: "a", UUID: "3"}}
	if g, err := Find(two, "b"); err != nil || g.UUID != "2" {
		t.Error(g, err)
	}
	if _, err := Find(two, "c"); !errors.Is(err, ErrNotVisible) {
		t.Error(err)
	}
	if _, err := Find(two, "a"); err == nil || errors.Is(err, ErrNotVisible) || !strings.Contains(err.Error(), "2 volume groups are named a") {
		t.Error(err)
	}
}

func TestParseVolumes(t *testing.T) {
	got, err := ParseVolumes(recorded(t, "lvs.json"))
	if err != nil || len(got) != 9 {
		t.Fatal(got, err)
	}
	var public, skipped []string
	for _, v := range got {
		if !v.Private() {
			public = append(public, v.Name)
		}
		if v.Skip {
			skipped = append(skipped, v.Name)
		}
	}
	if want := []string{"etc-lv", "krb5lv", "snap", "thin", "thinsnap"}; !slices.Equal(public, want) {
		t.Errorf("public: %v", public)
	}
	if !slices.Equal(skipped, []string{"thinsnap"}) {
		t.Errorf("skipped: %v", skipped)
	}
	if got, err := ParseVolumes([]byte(`{"report":[{"lv":[]}]}`)); err != nil || len(got) != 0 {
		t.Error(got, err)
	}
	if _, err := ParseVolumes([]byte(`{"report":[{"lv":[{"lv_path":"/dev/x"}]}]}`)); err == nil {
		t.Error("a volume without a name was read")
	}
}

func TestParseSystemID(t *testing.T) {
	for _, tc := range []struct {
		text, want string
		ok         bool
	}{
		{string(recorded(t, "systemid.txt")), "n1", true},
		{string(recorded(t, "systemid-none.txt")), "", true},
		{"", "", false}, {"n1", "", false}, {"system ID: a b", "", false}, {"system ID: x\"]", "", false},
	} {
		if got, err := ParseSystemID(tc.text); got != tc.want || (err == nil) != tc.ok {
			t.Errorf("%q: %q %v", tc.text, got, err)
		}
	}
}

// sysfs makes the part of sysfs that ListMapped reads, from lines "dm-0 name uuid".
func sysfs(t testing.TB, lines string) string {
	t.Helper()
	dir := t.TempDir()
	mapDevices(t, dir, lines)
	return dir
}

func mapDevices(t testing.TB, dir, lines string) {
	t.Helper()
	for line := range strings.Lines(lines) {
		f := strings.Fields(line)
		d := filepath.Join(dir, f[0], "dm")
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
		for i, name := range []string{"name", "uuid", "../dev"} {
			text := "253:" + strings.TrimPrefix(f[0], "dm-")
			if i < 2 {
				text = f[i+1]
			}
			if err := os.WriteFile(filepath.Join(d, name), []byte(text+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestListMapped(t *testing.T) {
	dir := sysfs(t, string(recorded(t, "mapped.txt"))+"dm-10 crypt CRYPT-x\ndm-11 other--vg-x LVM-abc\n")
	if err := os.Mkdir(filepath.Join(dir, "sda"), 0o755); err != nil {
		t.Fatal(err)
	}
	got, err := ListMapped(dir)
	if err != nil || len(got) != 11 {
		t.Fatal(len(got), err)
	}
	volumes, err := ParseVolumes(recorded(t, "lvs.json"))
	if err != nil {
		t.Fatal(err)
	}
	groups, err := ParseGroups(recorded(t, "vgs.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range volumes {
		active := slices.ContainsFunc(got, func(m Mapped) bool { return m.Of(groups[0].UUID, v.UUID) })
		if want := !v.Private() && !v.Skip; active != want {
			t.Errorf("%s active: %v, want %v", v.Name, active, want)
		}
	}
	if got[0].Major != 253 || got[9].Minor != 8 { // dm-10 is not of LVM, dm-11 sorts behind dm-1
		t.Errorf("%+v", got)
	}
	in := func(name, uuid string) (n int) {
		for _, m := range got {
			if m.In(name, uuid) {
				n++
			}
		}
		return n
	}
	if in("dcevg", "") != 10 || in("dcevg", groups[0].UUID) != 10 || in("other-vg", "") != 1 || in("other", "") != 0 || in("dcevg", groups[1].UUID) != 0 {
		t.Errorf("%+v", got)
	}
	if _, err := ListMapped(dir + "/nowhere"); err == nil {
		t.Error("nothing was listed without an error")
	}
}

func FuzzReports(f *testing.F) {
	for _, name := range []string{"vgs.json", "vgs-missing.json", "vgs-none.json", "lvs.json", "systemid.txt", "lvmconfig.txt", "lvmconfig-lists.txt"} {
		f.Add(recorded(f, name))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if groups, err := ParseGroups(b); err == nil {
			for _, g := range groups {
				if g.Refuse() == nil && g.SystemID != "" && !ValidSystemID(g.SystemID) {
					t.Errorf("%q would be put into a command", g.SystemID)
				}
			}
		}
		_, _ = ParseVolumes(b)
		if id, err := ParseSystemID(string(b)); err == nil && id != "" && !ValidSystemID(id) {
			t.Errorf("%q is no system id", id)
		}
		_, _ = parseSettings(string(b))
		_ = groupOf(string(b))
	})
}
