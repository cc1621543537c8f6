package aix_test

import (
	"io/fs"
	"strings"
	"testing"
	"time"

	"understudy/config"
	"understudy/fsm"
	"understudy/observers/aix"
	"understudy/observers/aix/aixtest"
	"understudy/reconcile"
)

const cell = `cluster = "cell1"

[lease]
store = "external"

[node.alpha]
addresses = { public = "9.3.240.1/24", storage = "10.8.0.11/24" }

[node.beta]
addresses = { public = "9.3.240.66/24", storage = "10.8.0.12/24" }

[group.dce]
policy = "rotating"
nodes = ["alpha", "beta"]
hostname = "dcesvc"

[[group.dce.address]]
label = "dcesvc"
prefix = "9.3.240.2/24"

[[group.dce.filesystem]]
mount = "/krb5"
device = "/dev/krb5lv"
type = "jfs2"
volume_group = "dcevg"

[[group.dce.filesystem]]
mount = "/var/dce"
device = "/dev/varlv"
type = "jfs2"
volume_group = "dcevg"

[[group.dce.application]]
profile = "dce"
mounts = ["/krb5", "/var/dce"] # what the recorded conversation has
`

// beta is a conversation with node beta of that file; mounted and held are what
// another manager has brought to it, and ps what runs.
func beta(mounted, held bool, ps string) string {
	record := "$ mount\n" + heading + "         /dev/hd4         /                jfs2   Jul 17 13:22 rw,log=/dev/hd8\n"
	if mounted {
		record += "         /dev/krb5lv      /krb5            jfs2   Jul 17 13:22 rw,log=/dev/loglv00\n         /dev/varlv       /var/dce         jfs2   Jul 17 13:22 rw,log=/dev/loglv00\n"
	}
	record += "$ ifconfig -a\nen0: flags=1e080863,480<UP,BROADCAST,NOTRAILERS,RUNNING>\n\tinet 9.3.240.66 netmask 0xffffff00 broadcast 9.3.240.255\n"
	if held {
		record += "\tinet 9.3.240.2 netmask 0xffffff00 broadcast 9.3.240.255\n"
	}
	return record + `en1: flags=1e080863,480<UP,BROADCAST,NOTRAILERS,RUNNING>
	inet 10.8.0.12 netmask 0xffffff00 broadcast 10.8.0.255
$ netstat -in
Name  Mtu   Network     Address            Ipkts Ierrs    Opkts Oerrs  Coll
en0   1500  link#2      9a.91.23.c6.58.b  9810797     0   350193     0     0
en1   1500  link#3      9a.91.23.c6.58.c  9810797     0   350193     0     0
$ entstat -d ent0
Link Status : Up
$ entstat -d ent1
Link Status : Up
$ hostname
beta
$ ps -A -o pid,ppid,etime,args
     PID     PPID     ELAPSED COMMAND
       1        0    01:00:00 /etc/init
` + ps
}

// snapshot looks at beta as the resident service does.
func snapshot(t *testing.T, cfg *config.Config, record string) *reconcile.Snapshot {
	t.Helper()
	devices := map[string]uint32{"/dev/hd4": 1, "/dev/krb5lv": 2, "/dev/varlv": 3}
	see := &aix.System{Run: aixtest.Script(t, record), Device: func(path string) (uint32, uint32, error) {
		if n := devices[path]; n > 0 {
			return 40, n, nil
		}
		return 0, 0, fs.ErrNotExist
	}}
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	s := &reconcile.Snapshot{
		At: at, Node: "beta", BootID: "03011100-aix", Since: at.Add(-time.Hour),
		Peers:   []reconcile.Peer{{Name: "alpha", State: reconcile.PeerSilent}},
		Volumes: reconcile.Read([]reconcile.VolumeState{{Name: "dcevg", Visible: true, Active: true, Ours: true}}, at),
		Memory:  map[string]reconcile.Memory{"dce": {Role: fsm.Standby}},
	}
	if mounts, err := see.Mounts(t.Context()); err == nil {
		s.Mounts = reconcile.Read(mounts, at)
	} else {
		s.Mounts = reconcile.Unread[[]reconcile.Mount](err, at)
	}
	links, addrs, err := see.Network(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.Links, s.Addrs = reconcile.Read(links, at), reconcile.Read(addrs, at)
	name, err := see.Hostname(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.Hostname = reconcile.Read(name, at)
	commands, err := see.Commands(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var apps []reconcile.AppState
	for _, a := range cfg.Groups[0].Applications {
		st := reconcile.AppState{Group: "dce", App: a.Name}
		for _, d := range a.Daemons {
			ds := reconcile.DaemonState{Name: d.Name}
			for pid, args := range commands {
				program, _, _ := strings.Cut(args, " ")
				if program == d.Exe {
					ds.Processes = append(ds.Processes, reconcile.Process{PID: pid, Start: 1})
				}
			}
			st.Daemons = append(st.Daemons, ds)
		}
		apps = append(apps, st)
	}
	s.Apps = reconcile.Read(apps, at)
	var seen []reconcile.Device
	for path, n := range devices {
		seen = append(seen, reconcile.Device{Path: path, Present: true, Major: 40, Minor: n})
	}
	s.Devices = reconcile.Read(seen, at)
	s.Store = reconcile.Observed(cfg, s)
	return s
}

// What AIX's commands print makes the plan that the guide demands where HACMP moves
// label and disks: host name, purge, start, host name back.
func TestPlanFromWhatAIXPrints(t *testing.T) {
	cfg, err := config.Parse("aix.toml", []byte(cell))
	if err != nil {
		t.Fatal(err)
	}
	g := &cfg.Groups[0]
	for name, c := range map[string]struct {
		record string
		verbs  string
	}{
		"nothing has come": {beta(false, false, ""), ""},
		"all has come":     {beta(true, true, ""), "hostname purge purge start verify notify hostname"},
		"the label only":   {beta(false, true, ""), ""},
		"unread":           {strings.Replace(beta(true, true, ""), "mounted over", "mounted onto", 1), ""},
	} {
		t.Run(name, func(t *testing.T) {
			d := reconcile.Decide(cfg, g, snapshot(t, cfg, c.record))
			var verbs []string
			for _, p := range d.Plan.Steps {
				verbs = append(verbs, p.Step.Spec().Verb)
			}
			if got := strings.Join(verbs, " "); got != c.verbs {
				t.Errorf("planned %q (%s), wanted %q", got, d.Because, c.verbs)
			}
		})
	}
}
