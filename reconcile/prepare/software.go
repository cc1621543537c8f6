package prepare

import (
	"fmt"
	"slices"
	"strings"

	"understudy/config"
)

// Commands are the commands that print versions, each once (see Facts.Versions).
func Commands(c *config.Config, node string) [][]string {
	var out [][]string
	for _, a := range everyApplication(c, node) {
		for _, r := range a.Requirements {
			if !slices.ContainsFunc(out, func(o []string) bool { return slices.Equal(o, r.Command) }) {
				out = append(out, r.Command)
			}
		}
	}
	return out
}

// VersionKey is the key of a command in Facts.Versions.
func VersionKey(argv []string) string { return strings.Join(argv, "\x00") }

// requirementItems compare what is installed with what is required (guide, "Software
// Requirements", and steps 6).
func (b *builder) requirementItems() {
	seen := map[string]bool{}
	for _, a := range everyApplication(b.c, b.f.Node) {
		for _, r := range a.Requirements {
			key := r.Name + "\x00" + VersionKey(r.Command) + "\x00" + r.AtLeast
			if seen[key] {
				continue
			}
			seen[key] = true
			it := Item{Name: "version of " + r.Name, Rows: []string{"S13", "S98", "S109"}, Section: Install, Want: "at least " + r.AtLeast}
			s := b.f.Versions[VersionKey(r.Command)]
			v := Version(s.Value.Text)
			switch {
			case !s.OK():
				it.State, it.Seen, it.Way = Unknown, s.Why().Error(), "run it by hand: "+quote(r.Command)
			case s.Value.Missing:
				it.State, it.Seen, it.Way = ByHand, r.Command[0]+" is not there", "install "+r.Name+" "+r.AtLeast+" or later"
			case v == "":
				it.State, it.Seen, it.Way = Unknown, quote(r.Command)+" prints no version", "correct the command in the file"
			case CompareVersions(v, r.AtLeast) < 0:
				it.State, it.Seen, it.Way = Blocked, "it is "+v, "install "+r.AtLeast+" or later"
			default:
				it.State, it.Seen = Done, "it is "+v
			}
			b.add(it)
		}
	}
}

// mountOf is the mount of the group that a path lies on, "" if none.
func mountOf(g *config.Group, p string) string {
	out := ""
	for _, fs := range g.Filesystems {
		if strings.HasPrefix(p, fs.Mount+"/") && len(fs.Mount) > len(out) {
			out = fs.Mount
		}
	}
	return out
}

// configuredItems look for a configuration where none may be: on this node's own
// disk, without the group's file systems (guide, "Planning Considerations for DCE" and
// "for DFS"; step 7 on the standby). Where they are mounted it is the service's own.
func (b *builder) configuredItems(g *config.Group) {
	for _, a := range g.Applications {
		if len(a.Configured) == 0 || g.Configuration == config.MutualTakeover {
			continue // clients are configured on both peers
		}
		first := g.Nodes[0] == b.f.Node
		it := Item{Name: a.Name + " configured", Rows: []string{"S38", "S74", "S110"}, Section: Configure, Group: g.Name, Want: "on the shared disk only, and so not on this node itself"}
		if first {
			it.Rows = []string{"S38", "S89", "S99"}
		}
		var local, shared, hidden, unread []string
		for _, p := range a.Configured {
			s := b.f.path(p)
			on := mountOf(g, p)
			up := false
			if on != "" {
				is, known := b.f.mounted(on)
				up = is
				if !known {
					unread = append(unread, "mount table")
				}
			}
			switch {
			case !s.OK():
				unread = append(unread, p+": "+s.Why().Error())
			case s.Value.Kind == Nothing:
				if on != "" && !up {
					hidden = append(hidden, p)
				}
			case up:
				shared = append(shared, p)
			default:
				local = append(local, p)
			}
		}
		switch {
		case len(local) > 0:
			it.State, it.Seen = Blocked, "on this node's own disk: "+strings.Join(local, ", ")
			it.Way = "remove the configuration here: with it " + a.Name + " could start without the shared disk, and fork its database"
			if first {
				it.Way = "it was configured without the shared file systems: unconfigure it, mount them, and configure it anew"
			}
		case len(unread) > 0:
			it.State, it.Seen, it.Way = Unknown, strings.Join(unread, "; "), "look again"
		case len(shared) > 0:
			it.State, it.Seen = Done, "on the shared disk, which is here: "+strings.Join(shared, ", ")
		default:
			it.State, it.Seen = Done, "nothing of it is here without the shared disk"
			if len(hidden) == 0 {
				it.Seen = "nothing of it is here"
			}
		}
		b.add(it)
	}
}

// fileSpaceItems are the mount point of the global name space and its two links
// (guide, step 8 on the standby; the links as they are meant, not as they are
// printed).
func (b *builder) fileSpaceItems() {
	f := b.f
	if _, dfs := distributed(everyApplication(b.c, f.Node)); !dfs {
		return
	}
	dir := Item{Name: fileSpace, Rows: []string{"S111"}, Section: FileSpace, Want: "a directory, the mount point of DFS"}
	s := f.path(fileSpace)
	switch v := s.Value; {
	case !s.OK():
		dir.State, dir.Seen, dir.Way = Unknown, s.Why().Error(), "look at it by hand"
	case v.Kind == Nothing:
		dir.State, dir.Seen, dir.Changes = ToDo, "it is not there", []Change{MakeDir{Path: fileSpace, Mode: 0o755}}
	case v.Kind != Directory:
		dir.State, dir.Seen, dir.Way = Blocked, "it is "+v.Kind.String(), "remove it, and make a directory there"
	default:
		dir.State, dir.Seen = Done, "a directory"
	}
	b.add(dir)
	for _, l := range []struct{ path, below string }{{dfsLink, "/fs"}, {cellLink, ""}} {
		target := cellPrefix + "CELL" + l.below
		if f.Cell != "" {
			target = cellPrefix + f.Cell + l.below
		}
		it := Item{Name: l.path, Rows: []string{"S112"}, Section: FileSpace, Want: "a link to " + target}
		s := f.path(l.path)
		switch v := s.Value; {
		case !s.OK():
			it.State, it.Seen, it.Way = Unknown, s.Why().Error(), "look at it by hand"
		case v.Kind != Nothing && v.Kind != Link:
			it.State, it.Seen, it.Way = Blocked, "it is "+v.Kind.String()+", and not a link", "move it away: what is in it is not ours to delete"
		case f.Cell == "":
			it.State, it.Seen = ByHand, orElse(v.Target, "it is not there")+"; the cell's name is not known here"
			it.Way = "it is learnt from the owner when understudy runs on both nodes, or given: understudy prepare --cell NAME"
		case v.Kind == Link && v.Target == target:
			it.State, it.Seen = Done, "it is (the cell by "+f.CellFrom+")"
		default:
			it.State, it.Seen = ToDo, "it leads to "+v.Target
			if v.Kind == Nothing {
				it.Seen = "it is not there"
			}
			it.Seen += " (the cell by " + f.CellFrom + ")"
			it.Changes = []Change{MakeLink{Path: l.path, Target: target}}
		}
		b.add(it)
	}
}

// kerberosItem is the port of the security service (guide, step 9 on the standby).
func (b *builder) kerberosItem() {
	if dce, _ := distributed(everyApplication(b.c, b.f.Node)); !dce {
		return
	}
	it := Item{Name: "services " + kerberosName, Rows: []string{"S113", "S133", "S134"}, Section: Services, Want: fmt.Sprintf("%s %d/%s in %s, by name or alias", kerberosName, kerberosPort, kerberosProtocol, ServicesFile)}
	s := b.f.path(ServicesFile)
	if !s.OK() {
		it.State, it.Seen, it.Way = Unknown, s.Why().Error(), "look at it by hand"
	} else if it.State, it.Seen, it.Way = kerberos(s.Value.Data); it.State == ToDo {
		it.Changes = []Change{AddService{Path: ServicesFile, Line: KerberosLine}}
	}
	b.add(it)
}
