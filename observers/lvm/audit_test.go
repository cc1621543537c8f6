package lvm

import (
	"errors"
	"strings"
	"testing"

	"understudy/config"
)

func declared(hostname string, fs ...config.Filesystem) *config.Config {
	g := config.Group{Name: "dce", Hostname: hostname, Filesystems: fs, Volumes: []config.Volume{{Name: "dcevg", Kind: config.LVM}}}
	return &config.Config{Groups: []config.Group{g}}
}

func TestAudit(t *testing.T) {
	auto := string(recorded(t, "vgs-auto.json"))
	plain := string(recorded(t, "lvmconfig.txt"))
	fs := config.Filesystem{Mount: "/krb5", Device: "/dev/dcevg/krb5lv", Volume: "dcevg"}
	for _, tc := range []struct {
		what string
		cfg  *config.Config
		p    *programsOf
		want []string // beginnings of "rule level volume: text — way", in order
	}{
		{"all well", declared("", fs), &programsOf{id: "n1", vgs: auto, lvmconfig: plain}, nil},
		{"no volume groups", &config.Config{}, &programsOf{err: errors.New("not asked")}, nil},
		{"switched on at boot", declared(""), &programsOf{id: "n1", vgs: strings.Replace(auto, `"vg_autoactivation":""`, `"vg_autoactivation":"enabled"`, 1), lvmconfig: plain},
			[]string{"lvm-autoactivation warning dcevg: volume group dcevg is switched on at the boot of the host that it names as its owner — once, on the node that holds it: vgchange --setautoactivation n dcevg"}},
		{"switched on at boot, old LVM", declared(""), &programsOf{id: "n1", vgs: string(recorded(t, "vgs.json")), lvmconfig: plain, noAuto: true},
			[]string{"lvm-autoactivation warning dcevg: volume group dcevg may be switched on"}},
		{"kept off by the list", declared(""), &programsOf{id: "n1", vgs: string(recorded(t, "vgs.json")), lvmconfig: "system_id_source=\"uname\"\nauto_activation_volume_list=[]\n", noAuto: true}, nil},
		{"lists", declared(""), &programsOf{id: "n1", vgs: auto, lvmconfig: strings.Replace(string(recorded(t, "lvmconfig-lists.txt")), `"dcevg"`, `"other"`, 1)},
			[]string{"lvm-extra-system-ids warning : this host also uses volume groups of n1", "lvm-volume-list error dcevg: volume group dcevg can never be switched on here"}},
		{"no system id", declared(""), &programsOf{vgs: auto, lvmconfig: plain}, []string{`lvm-system-id error : this host has no LVM system id, by which other hosts keep off its volume groups — in /etc/lvm/lvm.conf on every node: global { system_id_source = "uname" }`}},
		{"host name of a rotating group", declared("dcesvc"), &programsOf{id: "n1", vgs: auto, lvmconfig: plain}, []string{"lvm-system-id-name warning : this host's system id is its host name, and group dce changes that"}},
		{"disk missing", declared(""), &programsOf{id: "n1", vgs: string(recorded(t, "vgs-missing.json")), lvmconfig: plain, noAuto: true},
			[]string{"lvm-usable error dcevg: volume group dcevg lacks 1 of its physical volumes — look at pvs", "lvm-autoactivation warning"}},
		{"not visible", declared(""), &programsOf{id: "n1", vgs: string(recorded(t, "vgs-none.json")), lvmconfig: plain},
			[]string{"lvm-visible error dcevg: cannot find volume group dcevg — attach its disks"}},
		{"no owner", declared(""), &programsOf{id: "n1", vgs: strings.Replace(auto, `"vg_systemid":"n1"`, `"vg_systemid":""`, 1), lvmconfig: plain},
			[]string{"lvm-owner warning dcevg: volume group dcevg names no host as its owner, so every host may switch it on — it gets one when understudy switches it on; before that: vgchange --systemid n1 dcevg"}},
		{"no LVM", declared(""), &programsOf{err: errors.New("cannot find program lvm — install lvm2")},
			[]string{"lvm-read unknown : cannot find program lvm", "lvm-read unknown : cannot find program lvm", "lvm-read unknown : volume groups"}},
		{"names", declared("", config.Filesystem{Mount: "/a", Device: "/dev/dcevg/lvol0", Volume: "dcevg"},
			config.Filesystem{Mount: "/b", Device: "/dev/dcevg/b", Volume: "dcevg", Options: []string{"logdev=/dev/othervg/log"}},
			config.Filesystem{Mount: "/c", Device: "/dev/dcevg/c", Volume: "dcevg", Options: []string{"logdev=/dev/dcevg/loglv00"}},
			config.Filesystem{Mount: "/d", Device: "/dev/sdx1"}), &programsOf{id: "n1", vgs: auto, lvmconfig: plain},
			[]string{"lvm-name warning dcevg: /dev/dcevg/lvol0 of group dce has a name that is given by itself", "lvm-log error dcevg: the log of /b (/dev/othervg/log) is not in its volume group", "lvm-name warning dcevg: the log of /c"}},
	} {
		got := Audit(t.Context(), tc.cfg, tc.p.run)
		if len(got) != len(tc.want) {
			t.Errorf("%s: %d findings, want %d: %v", tc.what, len(got), len(tc.want), got)
			continue
		}
		for i, f := range got {
			line := f.Rule + " " + string(f.Level) + " " + f.Volume + ": " + f.String()
			if !strings.HasPrefix(line, tc.want[i]) || f.Way == "" {
				t.Errorf("%s:\n%s, want\n%s", tc.what, line, tc.want[i])
			}
		}
	}
}

func TestParseSettings(t *testing.T) {
	got, err := parseSettings(string(recorded(t, "lvmconfig-lists.txt")))
	if err != nil || got["system_id_source"].first() != "uname" || len(got["volume_list"].list) != 2 || got["volume_list"].list[1] != "vg1/x" ||
		!got["auto_activation_volume_list"].set || len(got["auto_activation_volume_list"].list) != 0 || got["extra_system_ids"].first() != "n1" || got["nosuch"].set {
		t.Errorf("%+v %v", got, err)
	}
	got, err = parseSettings(`a=["x\"y", "z" ]` + "\n# remark\nb=1\n")
	if err != nil || got["a"].list[0] != `x"y` || got["a"].list[1] != "z" || got["b"].first() != "1" {
		t.Errorf("%+v %v", got, err)
	}
	for _, bad := range []string{"x", `a="b`, `a=["b"`, `a=["b" "c"]`, `a="b" c`, `a=["b"] c`} {
		if got, err := parseSettings(bad); err == nil {
			t.Errorf("%q was read as %+v", bad, got)
		}
	}
	if !listed([]string{"@tag"}, "x") || !listed([]string{"x/lv"}, "x") || listed([]string{"xy"}, "x") || listed(nil, "x") {
		t.Error("listed")
	}
}
