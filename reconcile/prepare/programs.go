package prepare

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path"
	"slices"
	"strings"

	"understudy/config"
	"understudy/reconcile"
)

// program is a file that understudy runs on a node.
type program struct {
	path  string
	uses  []string // "start of dce", "hook page"
	group string
	hook  bool // the operator puts it there; others come with an installation
}

// shells run the file that their first argument names.
var shells = []string{"sh", "bash", "dash", "ksh", "perl", "python3"}

// files are the files of a command line that must be there: the program, and the
// script that a shell is given. What lies on the group's shared storage comes with it.
func files(g *config.Group, argv []string) []string {
	var out []string
	take := func(p string) {
		if strings.HasPrefix(p, "/") && (g == nil || !slices.ContainsFunc(g.Filesystems, func(f config.Filesystem) bool { return strings.HasPrefix(p, f.Mount+"/") })) {
			out = append(out, p)
		}
	}
	if len(argv) > 0 {
		take(argv[0])
	}
	if len(argv) > 1 && slices.Contains(shells, path.Base(argv[0])) {
		take(argv[1])
	}
	return out
}

// runs lists what an application runs.
func runs(g *config.Group, a *config.Application) (out []program) {
	name := ""
	if g != nil {
		name = g.Name
	}
	add := func(what string, argv []string) {
		for _, p := range files(g, argv) {
			out = append(out, program{path: p, uses: []string{what + " of " + a.Name}, group: name})
		}
	}
	add("run", a.Run)
	add("start", a.Start)
	add("stop", a.Stop)
	for _, p := range a.Probes {
		add("probe", p.Command)
	}
	return out
}

// programs are the files that a node runs, each once, in the order of the file.
func programs(c *config.Config, node string) []program {
	var all []program
	for _, g := range groupsOf(c, node) {
		for i := range g.Applications {
			all = append(all, runs(g, &g.Applications[i])...)
		}
	}
	for _, s := range servicesOf(c, node) {
		all = append(all, runs(nil, &s.Application)...)
	}
	for _, h := range c.Hooks {
		if slices.Contains(h.Nodes, node) {
			for _, p := range files(c.Group(h.Group), h.Command) {
				all = append(all, program{path: p, uses: []string{"hook " + h.Name}, group: h.Group, hook: true})
			}
		}
	}
	var out []program
	for _, p := range all {
		if i := slices.IndexFunc(out, func(o program) bool { return o.path == p.path && o.group == p.group }); i >= 0 {
			if !slices.Contains(out[i].uses, p.uses[0]) {
				out[i].uses = append(out[i].uses, p.uses...)
			}
			out[i].hook = out[i].hook || p.hook
			continue
		}
		out = append(out, p)
	}
	return out
}

// Shared are the programs that every node of a group must have alike, in the order of
// the file: those of its applications, and the hooks that run on every one of them.
func Shared(c *config.Config, g *config.Group) []string {
	var out []string
	take := func(p string) {
		if !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	for i := range g.Applications {
		for _, p := range runs(g, &g.Applications[i]) {
			take(p.path)
		}
	}
	for _, h := range c.Hooks {
		every := !slices.ContainsFunc(g.Nodes, func(n string) bool { return !slices.Contains(h.Nodes, n) })
		if every && (h.Group == "" || h.Group == g.Name) {
			for _, p := range files(g, h.Command) {
				take(p)
			}
		}
	}
	return out
}

// Digest is one checksum over the programs that every node of a group must have
// alike, 16 hex digits: two nodes with the same have the same programs. It is "" if
// one of them could not be read, or there are none.
func Digest(c *config.Config, g *config.Group, paths map[string]reconcile.Seen[Path]) string {
	h := sha256.New()
	shared := Shared(c, g)
	for _, p := range shared {
		s := paths[p]
		if !s.OK() {
			return ""
		}
		fmt.Fprintf(h, "%q %d %s\n", p, s.Value.Kind, s.Value.Digest)
	}
	if len(shared) == 0 {
		return ""
	}
	return hex.EncodeToString(h.Sum(nil))[:16]
}

// programItems looks at every program that this node runs (guide, steps 9 and 10).
func (b *builder) programItems() {
	for _, p := range programs(b.c, b.f.Node) {
		it := Item{
			Name: p.path, Rows: []string{"S101", "S114"}, Section: Scripts, Group: p.group,
			Want: strings.Join(p.uses, ", ") + ": a program that root owns and nobody else may write",
		}
		s := b.f.path(p.path)
		switch v := s.Value; {
		case !s.OK():
			it.State, it.Seen, it.Way = Unknown, s.Why().Error(), "look at it by hand"
		case v.Kind == Nothing && p.hook:
			it.State, it.Seen, it.Way = Blocked, "it is not there", "put it there, the same file on every node"
		case v.Kind == Nothing:
			it.State, it.Seen, it.Way = ByHand, "it is not there", "it comes with what is installed"
		case v.Kind != RegularFile:
			it.State, it.Seen, it.Way = Blocked, "it is "+v.Kind.String(), "name a program"
		case v.Mode.Perm()&0o111 == 0 && !b.givenToShell(p.path):
			it.State, it.Seen, it.Way = Blocked, fmt.Sprintf("mode %04o: it cannot be run", v.Mode.Perm()), "chmod 755 "+word(p.path)
		case v.UID != 0 || v.Mode.Perm()&0o022 != 0:
			it.State, it.Seen = Blocked, fmt.Sprintf("owner uid %d, mode %04o", v.UID, v.Mode.Perm())
			it.Way = fmt.Sprintf("chown root %s; chmod go-w %s", word(p.path), word(p.path))
		default:
			it.State, it.Seen = Done, fmt.Sprintf("mode %04o, sha256 %s", v.Mode.Perm(), v.Digest)
		}
		b.add(it)
	}
	for _, g := range groupsOf(b.c, b.f.Node) {
		b.sameItem(g)
	}
}

// givenToShell reports that a file is only ever read by a shell, and needs not be
// executable.
func (b *builder) givenToShell(p string) bool {
	is := func(argv []string) bool { return len(argv) > 0 && argv[0] == p }
	for _, a := range everyApplication(b.c, b.f.Node) {
		if is(a.Run) || is(a.Start) || is(a.Stop) || slices.ContainsFunc(a.Probes, func(q config.Probe) bool { return is(q.Command) }) {
			return false
		}
	}
	return !slices.ContainsFunc(b.c.Hooks, func(h config.Hook) bool { return is(h.Command) })
}

// sameItem compares the programs of a group with those of its other nodes.
func (b *builder) sameItem(g *config.Group) {
	if len(Shared(b.c, g)) == 0 || len(g.Nodes) < 2 {
		return
	}
	it := Item{
		Name: "programs of " + g.Name, Rows: []string{"S101", "S114"}, Section: Scripts, Group: g.Name,
		Want: "the same on every node of the group",
	}
	own := Digest(b.c, g, b.f.Paths)
	var same, differ, silent []string
	for _, n := range g.Nodes {
		if n == b.f.Node {
			continue
		}
		i := slices.IndexFunc(b.f.Resident.Peers, func(p PeerFact) bool { return p.Name == n && p.Heard && p.Programs[g.Name] != "" })
		switch {
		case i < 0:
			silent = append(silent, n)
		case own != "" && b.f.Resident.Peers[i].Programs[g.Name] == own:
			same = append(same, n)
		default:
			differ = append(differ, n)
		}
	}
	switch {
	case own == "":
		it.State, it.Seen, it.Way = Unknown, "not every program could be read", "see above"
	case len(differ) > 0:
		it.State, it.Seen = Blocked, fmt.Sprintf("%s here, and otherwise on %s", own, strings.Join(differ, ", "))
		it.Way = "compare the checksums of `understudy prepare` on both nodes, and copy the right ones"
	case len(silent) > 0:
		it.State, it.Seen = Unknown, fmt.Sprintf("%s here; %s not heard, or says nothing of them", own, strings.Join(silent, ", "))
		it.Way = "they are compared as soon as understudy runs on both nodes"
	default:
		it.State, it.Seen = Done, own+", as on "+strings.Join(same, ", ")
	}
	b.add(it)
}

// agentPaths are the places where a fence agent may lie.
func agentPaths(agent string) []string {
	if strings.HasPrefix(agent, "/") {
		return []string{agent}
	}
	var out []string
	for _, dir := range []string{"/usr/sbin", "/usr/bin", "/sbin", "/bin"} {
		out = append(out, path.Join(dir, agent))
	}
	return out
}
