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
	if b.required(f.Device.set, f.line, what, "device", `"/dev/VG/LV"`) && f.Device.ok() && b.device(f, g, what) {
		b.deviceOnce(f, &fs, g, seen, what)
		fs.Volume = b.volumeOf(f, what)
		b.volume(f, &fs, g, seen, what)
	}
	return fs
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
func (b *builder) device(f *fileFilesystem, g *Group, what string) bool {
	d, line := f.Device.v, f.Device.line
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

func (b *builder) deviceOnce(f *fileFilesystem, fs *Filesystem, g *Group, seen *claimed, what string) {
	other, taken := seen.devices[fs.Device]
	switch {
	case !taken:
		seen.devices[fs.Device] = g.Name
	case other != g.Name:
		b.add(ruleDeviceTwice, f.Device.line, "put both file systems into one group", "%s: device %s is also of group %s", what, fs.Device, other)
	case fs.Type != "btrfs":
		b.add(ruleDeviceTwice, f.Device.line, "mount it once", "%s: device %s is mounted twice", what, fs.Device)
	}
}

// volumeOf is the volume group of a file system: the declared one, or VG of a
// device /dev/VG/LV (lvm(8)), since udev and vgchange make that name.
func (b *builder) volumeOf(f *fileFilesystem, what string) string {
	if v := &f.VolumeGroup; v.set {
		if v.ok() && v.v != "" && !wordSyntax.MatchString(v.v) {
			b.add(ruleName, v.line, `write the name that vgs prints, or "" for a plain device`, "%s: volume_group %s is not a name", what, quote(v.v))
		}
		return v.v
	}
	return inferVolume(f.Device.v)
}

func inferVolume(device string) string {
	dir, lv := path.Split(device)
	vg, isDev := strings.CutPrefix(path.Clean(dir), "/dev/")
	if !isDev || lv == "" || strings.Contains(vg, "/") || slices.Contains(notVolumeGroups, vg) || !wordSyntax.MatchString(vg) {
		return ""
	}
	return vg
}

func (b *builder) volume(f *fileFilesystem, fs *Filesystem, g *Group, seen *claimed, what string) {
	if fs.Volume == "" {
		return
	}
	if other, taken := seen.volumes[fs.Volume]; taken && other != g.Name {
		b.add(ruleVolumeTwice, max(f.Device.line, f.VolumeGroup.line), "put both file systems into one group: a volume group is switched on as a whole",
			"%s: volume group %s is also of group %s", what, fs.Volume, other)
		return
	}
	seen.volumes[fs.Volume] = g.Name
	if v := (Volume{Name: fs.Volume, Kind: LVM}); !slices.Contains(g.Volumes, v) {
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
