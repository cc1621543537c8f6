package prepare

import (
	"bytes"
	"slices"
	"strings"

	"understudy/config"
)

// dfstab lists what a DFS file server may export (dfstab(4dfs): DCELOCAL/var/dfs,
// which is on the shared file system).
const dfstab = "/var/dce/dfs/dfstab"

// ParseDfstab reads the devices of a dfstab: the first field of each line that has
// the four at least that dfstab(4dfs) demands. Other lines are given as they are.
func ParseDfstab(text []byte) (devices, other []string) {
	for line := range bytes.Lines(text) {
		f := strings.Fields(string(line))
		switch {
		case len(f) == 0 || strings.HasPrefix(f[0], "#"):
		case len(f) < 4 || !strings.HasPrefix(f[0], "/"):
			other = append(other, strings.Join(f, " "))
		default:
			devices = append(devices, f[0])
		}
	}
	return devices, other
}

// exports reports whether a group has a DFS file server.
func exports(g *config.Group) bool {
	for _, a := range g.Applications {
		if a.Kind == config.KindDFSServer && slices.Contains(a.Roles, "file-server") {
			return true
		}
	}
	return false
}

// exportsItem compares what DFS exports with what moves with the group (guide,
// "Planning Considerations for DFS": all aggregates and file systems on shared disk).
// It can be seen only where the file system with the list is mounted.
func (b *builder) exportsItem(g *config.Group) {
	if !exports(g) {
		return
	}
	it := Item{Name: "exports of " + g.Name, Rows: []string{"S72", "S100"}, Section: FileSpace, Group: g.Name, Want: "all that " + dfstab + " lists is an aggregate or a shared file system of the group"}
	shared, local := map[string]bool{}, map[string]bool{}
	for _, a := range g.Aggregates {
		shared[a.Device] = true
	}
	for _, fs := range g.Filesystems {
		shared[fs.Device], local[fs.Device] = !fs.Local, fs.Local
	}
	s := b.f.path(dfstab)
	devices, other := ParseDfstab(s.Value.Data)
	var strange, left []string
	for _, d := range devices {
		switch {
		case local[d]:
			left = append(left, d)
		case !shared[d]:
			strange = append(strange, d)
		}
	}
	on := mountOf(g, dfstab)
	up, known := b.f.mounted(on)
	switch {
	case on != "" && !known:
		it.State, it.Seen, it.Way = Unknown, "mount table: "+b.f.Snapshot.Mounts.Why().Error(), "look again"
	case on != "" && !up:
		it.State, it.Seen, it.Way, it.Routine = Unknown, on+" is not mounted here", "look again on the node that holds the group", true
	case !s.OK():
		it.State, it.Seen, it.Way = Unknown, s.Why().Error(), "look at it by hand"
	case s.Value.Kind == Nothing:
		it.State, it.Seen = Done, "there is no list, and nothing is exported"
	case len(other) > 0:
		it.State, it.Seen, it.Way = Unknown, "a line that is none of dfstab(4dfs): "+some(other), "look at it by hand"
	case len(left) > 0:
		it.State, it.Seen, it.Way = Blocked, "on a disk of this node's own, which stays behind: "+some(left), "export from shared disk only"
	case len(strange) > 0:
		it.State, it.Seen = ByHand, "not of the group, or under another name: "+some(strange)
		it.Way = "declare it as [[group." + g.Name + ".aggregate]], under the name that " + dfstab + " has, or take it out there"
	default:
		it.State, it.Seen = Done, "its devices are the group's: "+some(devices)
		if len(devices) == 0 {
			it.Seen = "the list is empty"
		}
	}
	b.add(it)
}
