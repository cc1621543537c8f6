package prepare

import (
	"io/fs"
	"net/netip"
	"time"

	"understudy/config"
	"understudy/reconcile"
)

// Facts are what was seen on a node. Every map may lack an entry: it was not looked
// at, and is unknown.
type Facts struct {
	Node     string
	Root     string             // the folder that paths lie in; "" is the host's own
	Snapshot reconcile.Snapshot // mounts, addresses, links, devices, host name of the running host
	Paths    map[string]reconcile.Seen[Path]
	Names    map[string]reconcile.Seen[[]netip.Addr] // what a name resolves to; none: it does not
	Versions map[string]reconcile.Seen[Output]       // by command line, see [Requirement]
	// Same tells for a first field of fstab(5) which device of the file it is.
	Same     map[string]string
	StateDir string
	// LVM is what the audit of the volume groups has found; nil: there was none, and the
	// files of LVM are read instead.
	LVM []VolumeFinding
	// Disks are those below what [AskDisks] names, by device or volume group.
	Disks    map[string]reconcile.Seen[[]DiskFact]
	Cell     string // without /.../, "" if it is not known
	CellFrom string // where it was learnt
	Resident Resident
}

// VolumeFinding is one thing that is wrong with LVM on this host.
type VolumeFinding struct {
	Rule   string // stable: "autoactivation"
	State  State  // Blocked, ByHand or Unknown
	Volume string // "" for the host
	Text   string
	Way    string
}

// Path is what is at a path.
type Path struct {
	Kind    PathKind
	Mode    fs.FileMode
	UID     int
	Size    int64
	Target  string   // of a link
	Entries []string // of a directory, some of them; only where they were asked for
	Digest  string   // SHA-256 of a file, hex; only where it was asked for
	Data    []byte   // content of a file; only where it was asked for
}

// PathKind is the kind of what is at a path.
type PathKind int

// The kinds.
const (
	Nothing PathKind = iota
	RegularFile
	Directory
	Link
	Other
)

// String is the kind's word.
func (k PathKind) String() string {
	return [...]string{"nothing", "a file", "a directory", "a link", "neither file nor directory"}[k]
}

// Output is what a command printed. Missing: there is no such program.
type Output struct {
	Text    string
	Missing bool
}

// Resident is what the resident service of this node says, the zero value if none
// answers.
type Resident struct {
	Answers bool
	Groups  map[string]GroupFact
	Peers   []PeerFact
}

// GroupFact is one group as this node's resident service sees it.
type GroupFact struct {
	Holder    string    // of the claim, "" if nobody holds it
	Rehearsal string    // see reconcile.Claim
	Clean     bool      // nothing of it is here
	Rehearsed time.Time // zero: this node has never shown that it can take it up and let it go
}

// PeerFact is another node as it is heard.
type PeerFact struct {
	Name       string
	Heard      bool
	ConfigHash string
	Programs   map[string]string // by group, see [Digest]
	Cell       string
	Clock      time.Duration // how far its clock is ahead of ours
	ClockKnown bool
}

// Ask is a path to be looked at.
type Ask struct {
	Path string
	// Kernel: it is of the running host, whatever folder the files lie in.
	Kernel bool
	Link   bool // look at the link itself and not behind it
	List   bool // some entries of a directory
	Digest bool
	Data   bool
}

// Files whose names are fixed.
const (
	EnvironmentFile = "/etc/environment"
	ServicesFile    = "/etc/services"
	HostsFile       = "/etc/hosts"
	FstabFile       = "/etc/fstab"
	lvmConf         = "/etc/lvm/lvm.conf"
	lvmLocalConf    = "/etc/lvm/lvmlocal.conf"
	fileSpace       = "/..."
	cellLink        = "/.:"
	dfsLink         = "/:"
)

// Asks are the paths that [Items] wants to know about.
func Asks(c *config.Config, node, stateDir string) []Ask {
	out := []Ask{
		{Path: c.KeyFile, Data: true}, {Path: stateDir},
		{Path: EnvironmentFile, Data: true}, {Path: ServicesFile, Data: true}, {Path: HostsFile, Data: true}, {Path: FstabFile, Data: true},
		{Path: lvmConf, Data: true}, {Path: lvmLocalConf, Data: true},
		{Path: fileSpace, Link: true}, {Path: cellLink, Link: true}, {Path: dfsLink, Link: true},
	}
	for _, g := range groupsOf(c, node) {
		for _, fs := range g.Filesystems {
			out = append(out, Ask{Path: fs.Mount, List: true})
			for _, u := range unitFiles(fs.Mount) {
				out = append(out, Ask{Path: u, Link: true})
			}
		}
		if exports(g) {
			out = append(out, Ask{Path: dfstab, Data: true})
		}
		for _, a := range g.Applications {
			for _, p := range a.Configured {
				out = append(out, Ask{Path: p, Data: cellFile(p)})
			}
		}
	}
	for _, p := range programs(c, node) {
		out = append(out, Ask{Path: p.path, Digest: true})
	}
	for _, n := range c.Nodes {
		for _, f := range n.Fences {
			if n.Name == node {
				break
			}
			for _, p := range agentPaths(f.Agent) {
				out = append(out, Ask{Path: p})
			}
		}
	}
	return out
}

// AskNames are the names to be resolved.
func AskNames(c *config.Config, node string) []string {
	var out []string
	for _, g := range groupsOf(c, node) {
		for _, a := range g.Addresses {
			out = append(out, a.Label)
		}
		if g.Hostname != "" {
			out = append(out, g.Hostname)
		}
	}
	return out
}

// groupsOf are the groups that a node may hold.
func groupsOf(c *config.Config, node string) []*config.Group {
	var out []*config.Group
	for i := range c.Groups {
		if c.Groups[i].Priority(node) >= 0 {
			out = append(out, &c.Groups[i])
		}
	}
	return out
}

// servicesOf are the services of a node's own.
func servicesOf(c *config.Config, node string) []*config.Service {
	var out []*config.Service
	for i := range c.Services {
		for _, n := range c.Services[i].Nodes {
			if n == node {
				out = append(out, &c.Services[i])
			}
		}
	}
	return out
}

// everyApplication is every application that a node may run.
func everyApplication(c *config.Config, node string) []*config.Application {
	var out []*config.Application
	for _, g := range groupsOf(c, node) {
		for i := range g.Applications {
			out = append(out, &g.Applications[i])
		}
	}
	for _, s := range servicesOf(c, node) {
		out = append(out, &s.Application)
	}
	return out
}

// distributed reports whether anything of DCE is among applications, and of DFS.
func distributed(apps []*config.Application) (dce, dfs bool) {
	for _, a := range apps {
		switch a.Kind {
		case config.KindDFSServer, config.KindDFSClient, config.KindDFSUser:
			dce, dfs = true, true
		case config.KindDCEServer, config.KindDCEClient, config.KindDCEUser:
			dce = true
		}
		dfs = dfs || a.Profile == "dfs"
		dce = dce || dfs || a.Profile == "dce"
	}
	return dce, dfs
}

func applicationsOf(g *config.Group) []*config.Application {
	out := make([]*config.Application, len(g.Applications))
	for i := range g.Applications {
		out[i] = &g.Applications[i]
	}
	return out
}

// path is what was seen at a path. Where nobody looked, that is the reason.
func (f *Facts) path(p string) reconcile.Seen[Path] { return f.Paths[p] }

// mounted reports what of the group's file system is at its mount point: whether it is
// mounted there, and whether that is known.
func (f *Facts) mounted(point string) (yes, known bool) {
	if !f.Snapshot.Mounts.OK() {
		return false, false
	}
	for _, m := range f.Snapshot.Mounts.Value {
		if m.Point == f.at(point) {
			yes = true
		}
	}
	return yes, true
}

// at is where a path lies for the running host.
func (f *Facts) at(p string) string {
	if f.Root == "" || f.Root == "/" {
		return p
	}
	if p == "/" {
		return f.Root
	}
	return f.Root + p
}
