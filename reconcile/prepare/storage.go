package prepare

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"understudy/config"
)

// storageItems are the mount points, that nothing else mounts there, and the devices
// (guide, step 2 on either node, and step 4 for the cache).
func (b *builder) storageItems(g *config.Group) {
	for _, fs := range g.Filesystems {
		section, rows := Storage, []string{"S93", "S105"}
		if fs.Local {
			section, rows = Cache, []string{"S70", "S96", "S107"}
		}
		b.add(b.mountPoint(g, fs, section, rows))
		b.add(b.notAtBoot(g, fs, section, rows))
		b.add(b.device(g, fs.Device, fs.Volume, section, rows, fs.Local))
	}
	for _, a := range g.Aggregates {
		b.add(b.device(g, a.Device, a.Volume, FileSpace, []string{"S72", "S100"}, false))
	}
	b.exportsItem(g)
	for _, v := range g.Volumes {
		if b.f.LVM == nil {
			b.add(b.autoActivation(g, v))
		} else {
			b.volumeItems(g, v)
		}
	}
	b.reservationItems(g)
	if _, dfs := distributed(applicationsOf(g)); dfs && !slices.ContainsFunc(g.Filesystems, func(fs config.Filesystem) bool { return fs.Local }) {
		b.add(Item{
			Name: "DFS cache of " + g.Name, Rows: []string{"S70", "S96", "S107"}, Section: Cache, Group: g.Name,
			Want: "a file system of each node's own for the cache of the DFS client", Seen: "the file declares none with local = true",
			State: ByHand, Way: "declare it (its usual place is /var/dce/adm/dfs/cache, below the shared /var/dce), or name another place when the DFS client is configured", Routine: true,
		})
	}
}

func (b *builder) mountPoint(g *config.Group, fs config.Filesystem, section Section, rows []string) Item {
	it := Item{Name: "mount point " + fs.Mount, Rows: rows, Section: section, Group: g.Name, Want: "an empty directory while nothing is mounted on it"}
	is, known := b.f.mounted(fs.Mount)
	if outer := outerMount(g, fs.Mount); outer != "" && !is {
		if up, _ := b.f.mounted(outer); !up {
			it.State, it.Seen = Unknown, "it lies on "+outer+", which is not mounted here"
			it.Way, it.Routine = "it is looked at, and made, when the group is taken up", true
			return it
		}
	}
	s := b.f.path(fs.Mount)
	switch v := s.Value; {
	case !known:
		it.State, it.Seen, it.Way = Unknown, "mount table: "+b.f.Snapshot.Mounts.Why().Error(), "look again"
	case !s.OK():
		it.State, it.Seen, it.Way = Unknown, s.Why().Error(), "look at it by hand"
	case is:
		it.State, it.Seen = Done, "mounted now"
	case v.Kind == Nothing:
		it.State, it.Seen, it.Changes = ToDo, "it is not there", []Change{MakeDir{Path: fs.Mount, Mode: 0o755}}
	case v.Kind != Directory:
		it.State, it.Seen, it.Way = Blocked, "it is "+v.Kind.String(), "remove it, and make a directory there"
	case len(v.Entries) > 0:
		it.State, it.Seen = Blocked, "not mounted, and not empty: "+some(v.Entries)
		it.Way = "move it away: it would be hidden by the mount, and be taken for the service's own without it"
	default:
		it.State, it.Seen = Done, "an empty directory"
	}
	return it
}

// outerMount is the innermost mount of the group that a mount point lies on.
func outerMount(g *config.Group, point string) string {
	out := ""
	for _, fs := range g.Filesystems {
		if strings.HasPrefix(point, fs.Mount+"/") && len(fs.Mount) > len(out) {
			out = fs.Mount
		}
	}
	return out
}

// some names the first few.
func some(names []string) string {
	if len(names) > 3 {
		return strings.Join(names[:3], ", ") + ", …"
	}
	return strings.Join(names, ", ")
}

// notAtBoot looks for whatever would mount a file system without being asked.
func (b *builder) notAtBoot(g *config.Group, fs config.Filesystem, section Section, rows []string) Item {
	it := Item{Name: "no automount of " + fs.Mount, Rows: rows, Section: section, Group: g.Name, Want: "only understudy mounts it"}
	s := b.f.path(FstabFile)
	if !s.OK() {
		it.State, it.Seen, it.Way = Unknown, s.Why().Error(), "look at it by hand"
		return it
	}
	var lines []string
	for _, l := range ParseFstab(s.Value.Data) {
		if l.Point != fs.Mount && l.Spec != fs.Device && b.f.Same[l.Spec] != fs.Device {
			continue
		}
		if !l.AtBoot() {
			lines = append(lines, fmt.Sprintf("line %d of %s: noauto", l.Line, FstabFile))
			continue
		}
		lines = append(lines, fmt.Sprintf("line %d of %s mounts %s at boot", l.Line, FstabFile, l.Spec))
		it.Changes = append(it.Changes, SetOptions{Path: FstabFile, Line: l.Line, Was: l.Text, Now: l.ByHandOnly()})
	}
	for _, u := range unitFiles(fs.Mount) {
		s := b.f.path(u)
		switch {
		case !s.OK():
			it.State, it.Seen, it.Way, it.Changes = Unknown, s.Why().Error(), "look at it by hand", nil
			return it
		case s.Value.Kind == Nothing || s.Value.Kind == Link && s.Value.Target == "/dev/null":
		case strings.Contains(u, ".wants/") || strings.Contains(u, ".requires/") || strings.HasSuffix(u, ".automount"):
			it.State, it.Seen, it.Changes = Blocked, u+" mounts it at boot", nil
			it.Way = "systemctl disable --now " + path.Base(u)
			return it
		}
	}
	switch {
	case len(it.Changes) > 0:
		it.State, it.Way = ToDo, "then, with systemd: systemctl daemon-reload"
	case len(lines) == 0:
		it.State, lines = Done, []string{"no line of " + FstabFile + " and no unit of systemd names it"}
	default:
		it.State = Done
	}
	it.Seen = strings.Join(lines, "; ")
	return it
}

// unitFiles are the places where systemd would find that it has to mount a file
// system at boot (systemd.mount(5), systemd-escape(1)).
func unitFiles(point string) []string {
	var out []string
	name := unitName(point)
	for _, dir := range []string{"/etc/systemd/system", "/usr/lib/systemd/system"} {
		for _, target := range []string{"local-fs.target", "remote-fs.target", "multi-user.target", "default.target"} {
			for _, kind := range []string{"wants", "requires"} {
				out = append(out, fmt.Sprintf("%s/%s.%s/%s.mount", dir, target, kind, name))
			}
		}
		out = append(out, fmt.Sprintf("%s/%s.automount", dir, name))
	}
	return out
}

// unitName is the name of a path's unit: "/" becomes "-", and all but letters, digits,
// ":", "_" and "." becomes \xNN (systemd.unit(5)).
func unitName(point string) string {
	var b strings.Builder
	for i, c := range []byte(strings.Trim(point, "/")) {
		switch {
		case c == '/':
			b.WriteByte('-')
		case c == '.' && i == 0, !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte(":_.", c) >= 0):
			fmt.Fprintf(&b, `\x%02x`, c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

func (b *builder) device(g *config.Group, device, volume string, section Section, rows []string, local bool) Item {
	it := Item{Name: "device " + device, Rows: slices.Concat([]string{"S36"}, rows), Section: section, Group: g.Name, Want: "the shared disk is attached to this node"}
	if local {
		it.Want = "a disk of this node's own"
	}
	s := b.f.Snapshot
	if b.f.Root != "" && b.f.Root != "/" {
		it.State, it.Seen, it.Way, it.Routine = Unknown, "disks are the running host's, and these files are not", "look again when the node runs", true
		return it
	}
	for _, d := range s.Devices.Value {
		if d.Path == device && d.Present && s.Devices.OK() {
			it.State, it.Seen = Done, fmt.Sprintf("block device %d:%d", d.Major, d.Minor)
			return it
		}
	}
	if volume != "" {
		for _, v := range s.Volumes.Value {
			if v.Name == volume && s.Volumes.OK() {
				switch {
				case !v.Visible:
					it.State, it.Seen, it.Way = Blocked, "volume group "+volume+": "+orElse(v.Why, "its disks are not here"), "attach the disks; the physical volumes must be seen by `pvs`"
				case v.Active:
					it.State, it.Seen, it.Way = Blocked, "volume group "+volume+" is active and has no such volume", "make the logical volume, or correct the device"
				default:
					it.State, it.Seen = Done, "volume group "+volume+" is here and not active"
				}
				return it
			}
		}
		it.State, it.Seen, it.Way = Unknown, "it is there when volume group "+volume+" is active", "vgs "+word(volume)
		it.Routine = true
		return it
	}
	if !s.Devices.OK() {
		it.State, it.Seen, it.Way = Unknown, s.Devices.Why().Error(), "look at it by hand"
		return it
	}
	it.State, it.Seen, it.Way = Blocked, "it is not there", "attach the disk, or correct the device in the file"
	return it
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// volumeRows are the rows of the checklist that a finding of the audit is for.
var volumeRows = map[string][]string{
	"name": {"S92", "S94"}, "log": {"S94"}, "autoactivation": {"S105"}, "owner": {"S105"}, "visible": {"S36", "S105"}, "usable": {"S36", "S105"},
}

// volumeItems are what the audit has found of a volume group, and of LVM itself once.
func (b *builder) volumeItems(g *config.Group, v config.Volume) {
	found := false
	for _, f := range b.f.LVM {
		name := "volume group " + v.Name + " (" + f.Rule + ")"
		if f.Volume == "" {
			name = "LVM (" + f.Rule + ")"
		}
		if f.Volume != v.Name && f.Volume != "" || slices.ContainsFunc(b.items, func(it Item) bool { return it.Name == name && it.Seen == printable(f.Text) }) {
			continue
		}
		found = found || f.Volume == v.Name
		rows := volumeRows[f.Rule]
		if rows == nil {
			rows = []string{"S105"}
		}
		b.add(Item{Name: name, Rows: rows, Section: Storage, Group: g.Name, Want: "understudy alone activates it, on one node", Seen: f.Text, State: f.State, Way: f.Way})
	}
	if !found {
		b.add(Item{Name: "volume group " + v.Name, Rows: []string{"S92", "S94", "S105"}, Section: Storage, Group: g.Name,
			Want: "understudy alone activates it, on one node", Seen: "no setting and no flag activates it at boot, and its names are its own", State: Done})
	}
}

// autoActivation looks whether LVM switches a volume group on at boot (S105). What
// the metadata itself says of it is not in these files.
func (b *builder) autoActivation(g *config.Group, v config.Volume) Item {
	it := Item{Name: "no auto-activation of " + v.Name, Rows: []string{"S105"}, Section: Storage, Group: g.Name, Want: "only understudy activates the volume group"}
	main, local := b.f.path(lvmConf), b.f.path(lvmLocalConf)
	for _, s := range []error{main.Why(), local.Why()} {
		if s != nil {
			it.State, it.Seen, it.Way = Unknown, s.Error(), "look at it by hand"
			return it
		}
	}
	list, from := []string(nil), ""
	for _, f := range []struct {
		path string
		text []byte
	}{{lvmConf, main.Value.Data}, {lvmLocalConf, local.Value.Data}} {
		if l, ok := ActivationList(f.text); ok {
			list, from = l, f.path
		}
	}
	switch {
	case from == "":
		it.State, it.Seen = ByHand, "no auto_activation_volume_list in "+lvmConf+" or "+lvmLocalConf+": what can be seen is activated at boot"
		it.Way = fmt.Sprintf("once, where it is active: vgchange --setautoactivation n %s; or list the node's own volume groups in %s", word(v.Name), lvmConf)
	case slices.ContainsFunc(list, func(e string) bool { return e == v.Name || strings.HasPrefix(e, v.Name+"/") }):
		it.State, it.Seen = Blocked, from+" lists "+v.Name+" for auto-activation"
		it.Way = "take it out of auto_activation_volume_list"
	case slices.ContainsFunc(list, func(e string) bool { return strings.HasPrefix(e, "@") }):
		it.State, it.Seen, it.Way = ByHand, from+" activates by tag: "+strings.Join(list, ", "), "make sure that "+v.Name+" has none of these tags"
	default:
		it.State, it.Seen = Done, from+" does not list it"
	}
	return it
}
