package config

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// Mount points that the system needs for itself (hier(7), file-hierarchy(7)): the
// first are refused with all that lies below them, the others alone. So
// /etc/dce, /var/dce, /usr/sap, /home and /srv are fine.
var (
	systemTrees = []string{"/bin", "/boot", "/dev", "/lib", "/lib32", "/lib64", "/proc", "/run", "/sbin", "/sys",
		"/usr/bin", "/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/libexec", "/usr/sbin", "/var/run",
		"/etc/systemd", "/etc/understudy", "/var/lib/understudy"}
	systemDirs = []string{"/", "/etc", "/root", "/tmp", "/usr", "/var", "/var/lib", "/var/log", "/var/tmp"}
)

// notVolumeGroups are the folders of udev, and of the kernel, directly below
// /dev: a device in one of them says nothing of a volume group.
var notVolumeGroups = []string{"block", "bsg", "bus", "char", "cpu", "disk", "dm", "dri", "fd", "hugepages", "input",
	"loop", "mapper", "md", "mqueue", "net", "nvme", "pts", "raw", "shm", "snd", "vfio"}

// What a file system's key mmp may say.
const (
	mmpAny      = "any"
	mmpRequired = "required"
)

func (b *builder) filesystem(f *fileFilesystem, g *Group, seen *claimed, what string) Filesystem {
	fs := Filesystem{Mount: f.Mount.or(""), Device: f.Device.or(""), Type: f.Type.or(""), Line: f.line}
	if f.bad {
		return fs
	}
	if b.required(f.Mount.set, f.line, what+": filesystem", "mount", `"/srv/NAME"`) && f.Mount.ok() {
		b.mountPoint(f, g, seen, what)
	}
	what = titled(what, "filesystem", fs.Mount)
	if b.required(f.Type.set, f.line, what, "type", `"ext4"`) && f.Type.ok() && !wordSyntax.MatchString(fs.Type) {
		b.add(ruleMountOption, f.Type.line, `write "ext4", "xfs" or another that the kernel knows`, "%s: type %s is not a word", what, quote(fs.Type))
	}
	for _, o := range f.Options.v {
		if f.Options.ok() && (o.text == "" || strings.ContainsAny(o.text, ", \t\r\n\x00")) {
			b.add(ruleMountOption, o.line, `write one option in each string: ["noatime", "nodev"]`, "%s: option %s is not a word", what, quote(o.text))
		}
	}
	fs.Options = stringsOf(f.Options.v)
	fs.Local = f.Local.or(false)
	fs.RequireMMP = word(b, &f.MMP, mmpAny, what+": mmp", mmpAny, mmpRequired) == mmpRequired
	if fs.RequireMMP && fs.Type != "ext4" && f.Type.ok() {
		b.add(ruleMMP, f.MMP.line, "take it out", "%s: mmp is required, and %s has none", what, fs.Type)
	}
	if !b.required(f.Device.set, f.line, what, "device", `"/dev/VG/LV"`) || !f.Device.ok() || !b.device(&f.Device, what) {
		return fs
	}
	if !b.deviceOnce(&f.Device, g, seen, what) && fs.Type != "btrfs" {
		b.add(ruleDeviceTwice, f.Device.line, "mount it once", "%s: device %s is mounted twice", what, fs.Device)
	}
	if fs.Local {
		b.local(f, seen, what)
		return fs
	}
	fs.Volume = b.volumeOf(&f.Device, &f.VolumeGroup, what)
	b.volume(fs.Volume, max(f.Device.line, f.VolumeGroup.line), g, seen, what)
	return fs
}

// aggregate reads shared storage that is not mounted.
func (b *builder) aggregate(f *fileAggregate, g *Group, seen *claimed, what string) Aggregate {
	a := Aggregate{Device: f.Device.or(""), Line: f.line}
	what = titled(what, "aggregate", a.Device)
	if f.bad || !b.required(f.Device.set, f.line, what, "device", `"/dev/VG/LV"`) || !f.Device.ok() || !b.device(&f.Device, what) {
		return a
	}
	if !b.deviceOnce(&f.Device, g, seen, what) {
		b.add(ruleDeviceTwice, f.Device.line, "name it once", "%s: device %s is in the group already", what, a.Device)
	}
	a.Volume = b.volumeOf(&f.Device, &f.VolumeGroup, what)
	b.volume(a.Volume, max(f.Device.line, f.VolumeGroup.line), g, seen, what)
	return a
}

// local checks the keys of a file system on a disk of the node's own. That its
// volume group is none of those that move is looked at when all are known.
func (b *builder) local(f *fileFilesystem, seen *claimed, what string) {
	if f.VolumeGroup.ok() && f.VolumeGroup.v != "" {
		b.add(ruleLocal, f.VolumeGroup.line, "take it out: what is local is switched on when the node starts",
			"%s: it is local and has a volume_group, which would move with the group", what)
	}
	if vg := inferVolume(f.Device.v); vg != "" {
		seen.local = append(seen.local, localDevice{vg, what, f.Device.line})
	}
}

// localDevice is a device of a local file system, by its volume group.
type localDevice struct {
	volume, what string
	line         int
}

// apartFromShared refuses local file systems in volume groups that move.
func (b *builder) apartFromShared(seen *claimed) {
	for _, d := range seen.local {
		if group, moves := seen.volumes[d.volume]; moves {
			b.add(ruleLocal, d.line, "put it on a disk of each node's own, or take local out",
				"%s: it is local, but volume group %s moves with group %s", d.what, d.volume, group)
		}
	}
}

func (b *builder) mountPoint(f *fileFilesystem, g *Group, seen *claimed, what string) {
	m, line := f.Mount.v, f.Mount.line
	if !b.cleanPath(m, line, what+": mount") {
		return
	}
	for _, dir := range systemTrees {
		if m == dir || below(m, dir) {
			b.add(ruleMountPoint, line, "mount it elsewhere, below /srv for example", "%s: mount %s would cover %s, which the system needs", what, m, dir)
			return
		}
	}
	if slices.Contains(systemDirs, m) {
		b.add(ruleMountPoint, line, "mount a directory below it", "%s: mount %s would cover what the system needs", what, m)
		return
	}
	if other, taken := seen.mounts[m]; taken {
		b.add(ruleMountTwice, line, "mount it elsewhere", "%s: mount %s is also of group %s", what, m, other)
		return
	}
	seen.mounts[m] = g.Name
}

// device checks a device's path.
func (b *builder) device(v *val[string], what string) bool {
	d, line := v.v, v.line
	if tag, value, isTag := strings.Cut(d, "="); isTag && !strings.Contains(tag, "/") {
		by := "/dev/disk/by-" + strings.ToLower(tag) + "/" + value
		b.add(ruleDevice, line, "write "+quote(by), "%s: device %s is a tag, not a path", what, quote(d))
		return false
	}
	if strings.HasPrefix(d, "/") {
		return b.cleanPath(d, line, what+": device")
	}
	b.add(ruleDevice, line, "write the absolute path of a block device", "%s: device %s is not a path", what, quote(d))
	return false
}

// deviceOnce notes whose a device is. It is false if this group has it already.
func (b *builder) deviceOnce(v *val[string], g *Group, seen *claimed, what string) bool {
	other, taken := seen.devices[v.v]
	switch {
	case !taken:
		seen.devices[v.v] = g.Name
	case other == g.Name:
		return false
	default:
		b.add(ruleDeviceTwice, v.line, "put both into one group", "%s: device %s is also of group %s", what, v.v, other)
	}
	return true
}

// volumeOf is the volume group of a device: the declared one, or VG of a device
// /dev/VG/LV (lvm(8)), since udev and vgchange make that name.
func (b *builder) volumeOf(device, v *val[string], what string) string {
	if v.set {
		if v.ok() && v.v != "" && !wordSyntax.MatchString(v.v) {
			b.add(ruleName, v.line, `write the name that vgs prints, or "" for a plain device`, "%s: volume_group %s is not a name", what, quote(v.v))
		}
		return v.v
	}
	return inferVolume(device.v)
}

func inferVolume(device string) string {
	dir, lv := path.Split(device)
	vg, isDev := strings.CutPrefix(path.Clean(dir), "/dev/")
	if !isDev || lv == "" || strings.Contains(vg, "/") || slices.Contains(notVolumeGroups, vg) || !wordSyntax.MatchString(vg) {
		return ""
	}
	return vg
}

func (b *builder) volume(name string, line int, g *Group, seen *claimed, what string) {
	if name == "" {
		return
	}
	if other, taken := seen.volumes[name]; taken && other != g.Name {
		b.add(ruleVolumeTwice, line, "put both into one group: a volume group is switched on as a whole",
			"%s: volume group %s is also of group %s", what, name, other)
		return
	}
	seen.volumes[name] = g.Name
	if v := (Volume{Name: name, Kind: LVM}); !slices.Contains(g.Volumes, v) {
		g.Volumes = append(g.Volumes, v)
	}
}

// nested refuses a mount of one group below a mount of another: the outer one
// could not be let go alone. Within a group it is allowed, and ordered later.
func (b *builder) nested(seen *claimed) {
	for _, inner := range slices.SortedFunc(maps.Keys(seen.mounts), cmp.Compare[string]) {
		for dir := path.Dir(inner); dir != "/" && dir != "."; dir = path.Dir(dir) {
			outer, isMount := seen.mounts[dir]
			if !isMount || outer == seen.mounts[inner] {
				continue
			}
			b.add(ruleMountNested, b.mountLine(inner), fmt.Sprintf("put both into one group, or mount it outside of %s", dir),
				"group %s: mount %s lies below mount %s of group %s", seen.mounts[inner], inner, dir, outer)
			break
		}
	}
}

func (b *builder) mountLine(mount string) int {
	for i := range b.file.Group {
		for j := range b.file.Group[i].Filesystem {
			if m := &b.file.Group[i].Filesystem[j].Mount; m.v == mount {
				return m.line
			}
		}
	}
	return 0
}
