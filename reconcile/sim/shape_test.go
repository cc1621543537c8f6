package sim

import (
	"fmt"
	"strings"
)

// shape is what a cluster is made of. The seed chooses it, or the flag -kind does.
type shape struct {
	nodes  int  // two or three; two with a store in memory have a witness
	disk   bool // the store is on a shared disk; then a watchdog is required
	fences bool // every node has a fence
	dog    bool // every node has a watchdog
	lies   bool // fences, people and watchdogs may say what is not so
	slow   bool // the store in memory takes its time with every third call
}

func newShape(d *dice) shape {
	var s shape
	switch n := d.pick("shape", 20); {
	case n < 9:
		s.nodes = 2
	case n < 14:
		s.nodes = 3
	case n < 18:
		s.nodes, s.disk = 2, true
	default:
		s.nodes, s.disk = 3, true
	}
	s.lies = d.chance("lies", 4)
	s.slow = d.chance("slow", 10)
	for _, k := range strings.Fields(strings.ReplaceAll(*kind, ",", " ")) {
		switch k {
		case "two", "three":
			s.nodes = map[string]int{"two": 2, "three": 3}[k]
		case "disk", "memory":
			s.disk = k == "disk"
		case "lies", "honest":
			s.lies = k == "lies"
		case "slow":
			s.slow = true
		}
	}
	s.fences = !d.chance("no fences", 6)
	if s.disk {
		s.fences = d.chance("fences", 2)
	}
	s.dog = s.disk || d.chance("watchdog", 4)
	return s
}

func (s shape) String() string {
	out := fmt.Sprintf("%d nodes", s.nodes)
	for _, w := range []struct {
		yes  bool
		word string
	}{
		{s.disk, "store on a disk"}, {!s.disk, "store in memory"}, {!s.disk && s.nodes == 2, "a witness"}, {s.fences, "fences"},
		{s.dog, "watchdogs"}, {s.lies, "lies"}, {s.slow, "a slow store"},
	} {
		if w.yes {
			out += ", " + w.word
		}
	}
	return out
}

// one is the first of the choices that the dice choose.
func one(d *dice, what string, of ...string) string { return of[d.pick(what, len(of))] }

// text is the file of a cluster. The dice also choose timers and policies.
func (s shape) text(d *dice) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("cluster = \"sim\"\nkey_file = \"/etc/understudy/cluster.key\"")
	switch {
	case s.disk:
		line("[lease]\nstore = \"disk\"\ndevice = \"/dev/disk/by-id/store\"\nttl = \"12s\"\nmargin = \"5s\"\nrenew = \"1s\"\nrequest = \"987ms\"")
		line("[watchdog]\nmode = \"required\"\ndevice = \"/dev/watchdog0\"\ntimeout = \"3s\"\nrelease = \"1s\"")
	default:
		line("%s", one(d, "timers", "", "[lease]\nttl = \"3s\"\nmargin = \"600ms\"\nrenew = \"300ms\"\nrequest = \"500ms\"\n[keepalive]\ninterval = \"50ms\"\ntimeout = \"250ms\""))
		if s.dog {
			line("[watchdog]\nmode = \"required\"\ndevice = \"/dev/watchdog0\"\ntimeout = \"3s\"\nrelease = \"1m\"")
		}
		if s.nodes == 2 {
			line("[witness]\naddresses = { public = \"10.7.0.13/24\", storage = \"10.8.0.13/24\" }")
		}
	}
	for i, name := range names[:s.nodes] {
		line("[node.%s]\naddresses = { public = \"10.7.0.%d/24\", storage = \"10.8.0.%d/24\" }", name, 21+i, 21+i)
		if s.fences {
			line("fence = { agent = \"fence_sim\", timeout = \"10s\" }")
		}
	}
	budget := func(what string) string { return one(d, what, "failovers = 0", "failovers = 2", "failovers = 3") }
	third := ""
	if s.nodes == 3 {
		third = `, "gamma"`
	}
	b.WriteString(fmt.Sprintf(groups,
		third, budget("budget files"), one(d, "policy", "", `fallback = "never"`, `on_release_failure = "self-fence"`, `settle = "0s"`),
		third, budget("budget"),
		budget("budget dfs"), one(d, "reboot", "", `reboot = "automatic"`, `fallback = "never"`)))
	return b.String()
}

var names = []string{"alpha", "beta", "gamma"}

// groups are a database, a service with a host name of its own, and one that only a
// reboot lets go of.
const groups = `
[group.files]
policy = "cascading"
nodes = ["alpha", "beta"%s]
%s
%s
[[group.files.address]]
label = "files"
prefix = "10.7.0.50/24"
network = "public"
[[group.files.filesystem]]
mount = "/srv/files"
device = "/dev/files"
type = "ext4"
[[group.files.application]]
name = "server"
run = ["/bin/server"]
purge = [{ path = "/srv/files/map" }]
[group.cell]
policy = "rotating"
nodes = ["beta"%s, "alpha"]
hostname = "cell"
%s
[[group.cell.address]]
label = "cell"
prefix = "10.7.0.51/24"
network = "public"
[[group.cell.filesystem]]
mount = "/srv/cell"
device = "/dev/cell"
type = "ext4"
[[group.cell.application]]
name = "daemon"
start = ["/bin/up"]
stop = ["/bin/down"]
daemons = [{ name = "one", exe = "/bin/one" }, { name = "two", exe = "/bin/two" }]
purge = [{ path = "/srv/cell/map" }]
[group.dfs]
policy = "cascading"
nodes = ["beta", "alpha"]
%s
%s
[[group.dfs.address]]
label = "dfs"
prefix = "10.7.0.52/24"
network = "public"
[[group.dfs.filesystem]]
mount = "/srv/dfs"
device = "/dev/dfs"
type = "ext4"
[[group.dfs.application]]
name = "exporter"
start = ["/bin/up"]
stop = ["/bin/down"]
daemons = [{ name = "export", exe = "/bin/export" }]
purge = [{ path = "/srv/dfs/map" }]
reboot_to_release = true
[[hook]]
name = "quiesce"
event = "release"
when = "pre"
group = "files"
command = ["/bin/quiesce"]
[[hook]]
name = "check"
event = "acquire"
when = "pre"
group = "cell"
command = ["/bin/check"]
on_failure = "stop"
[[hook]]
name = "page"
event = "acquire"
group = "dfs"
command = ["/bin/page"]
`
