package lvm

import (
	"context"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"understudy/config"
)

// Level says what a finding means for the group.
type Level string

// The levels of a finding.
const (
	Fails   Level = "error"   // the volume group cannot be switched on here
	Unsafe  Level = "warning" // it can be switched on by something else, or by two
	Unknown Level = "unknown" // it could not be found out
)

// Finding is one thing that is wrong with LVM on this host, or with one of the
// volume groups of the file.
type Finding struct {
	Rule   string // lvm-…, stable
	Level  Level
	Volume string // volume group, "" for the host
	Text   string
	Way    string // the way out
}

// String is the finding with its way out.
func (f Finding) String() string { return f.Text + " — " + f.Way }

// Audit finds what keeps this host from switching the volume groups of a file on,
// and what could switch them on beside understudy (guide, "Integrating Both
// Nodes": no automatic vary-on). It reads only, and ends when ctx does.
func Audit(ctx context.Context, cfg *config.Config, run Run) []Finding {
	a := audit{commands: Commands{Run: run, ReadOnly: true}, names: Names(cfg)}
	if len(a.names) == 0 {
		return nil
	}
	a.lint(cfg)
	a.host(ctx, cfg)
	a.groups(ctx)
	return a.found
}

// Names lists the volume groups of LVM in a file, in its order.
func Names(cfg *config.Config) []string {
	var names []string
	for _, g := range cfg.Groups {
		for _, v := range g.Volumes {
			if v.Kind == config.LVM && !slices.Contains(names, v.Name) {
				names = append(names, v.Name)
			}
		}
	}
	return names
}

type audit struct {
	commands Commands
	names    []string
	ours     string
	settings map[string]setting // nil: unknown
	found    []Finding
}

func (a *audit) add(rule string, level Level, volume, way, format string, args ...any) {
	a.found = append(a.found, Finding{"lvm-" + rule, level, volume, fmt.Sprintf(format, args...), way})
}

// asked are the settings that matter here, with their sections.
var asked = []string{
	"global/system_id_source", "global/use_lvmlockd", "local/extra_system_ids",
	"activation/volume_list", "activation/auto_activation_volume_list",
}

// host looks at what holds for all volume groups of this host.
func (a *audit) host(ctx context.Context, cfg *config.Config) {
	const lvmlocal = "remove it from /etc/lvm/lvmlocal.conf: a takeover names the former owner itself, once"
	id, err := a.commands.SystemID(ctx)
	switch {
	case err != nil:
		a.add("read", Unknown, "", "install lvm2, and look at what `lvm systemid` says", "%s", err)
	case id == "":
		text, way, _ := strings.Cut(NoSystemID, " — ")
		a.add("system-id", Fails, "", way, "%s", text)
	}
	a.ours = id
	o, err := a.commands.Run(ctx, append([]string{"lvmconfig", "--typeconfig", "full"}, asked...)...)
	if err == nil && o.Code != 0 {
		err = fmt.Errorf("lvmconfig ended with exit status %d: %s", o.Code, o.says())
	}
	if err == nil {
		a.settings, err = parseSettings(o.Stdout)
	}
	if err != nil {
		a.add("read", Unknown, "", "look at what `lvmconfig --typeconfig full` says", "%s", err)
		return
	}
	for _, g := range cfg.Groups {
		if s := a.settings["system_id_source"].first(); g.Hostname != "" && len(g.Volumes) > 0 && s == "uname" {
			a.add("system-id-name", Unsafe, "", `in /etc/lvm/lvm.conf on every node: global { system_id_source = "machineid" }`,
				"this host's system id is its host name, and group %s changes that around its starts", g.Name)
		}
	}
	if ids := a.settings["extra_system_ids"].list; len(ids) > 0 {
		a.add("extra-system-ids", Unsafe, "", lvmlocal, "this host also uses volume groups of %s, whoever holds them", strings.Join(ids, ", "))
	}
}

// groups looks at each volume group.
func (a *audit) groups(ctx context.Context) {
	// The column is as young as the property: LVM 2.03.12.
	groups, err := a.commands.groups(ctx, GroupFields+",vg_autoactivation", a.names)
	if err != nil {
		groups, err = a.commands.Groups(ctx, a.names...)
	}
	if err != nil {
		a.add("read", Unknown, "", "look at what `vgs --foreign` says", "volume groups: %s", err)
	}
	for _, name := range a.names {
		if list := a.settings["volume_list"]; list.set && !listed(list.list, name) {
			a.add("volume-list", Fails, name, fmt.Sprintf("add %q to activation/volume_list of /etc/lvm/lvm.conf, or remove that setting", name),
				"volume group %s can never be switched on here: activation/volume_list does not name it", name)
		}
		if err == nil {
			a.group(groups, name)
		}
	}
}

func (a *audit) group(groups []Group, name string) {
	g, err := Find(groups, name)
	if err != nil {
		way := "give each its own name"
		if errors.Is(err, ErrNotVisible) {
			way = WayToSee(name)
		}
		text, cut, ok := strings.Cut(err.Error(), " — ")
		if ok {
			way = cut
		}
		a.add("visible", Fails, name, way, "%s", text)
		return
	}
	if err := g.Refuse(); err != nil {
		text, way, _ := strings.Cut(err.Error(), " — ")
		a.add("usable", Fails, name, way, "%s", text)
	}
	if g.SystemID == "" && !g.Exported {
		way := "it gets one when understudy switches it on"
		if a.ours != "" {
			way += "; before that: vgchange --systemid " + a.ours + " " + name
		}
		a.add("owner", Unsafe, name, way, "volume group %s names no host as its owner, so every host may switch it on", name)
	}
	a.autoactivation(g)
}

// autoactivation says whether the boot of this host would switch a volume group
// on, if its system id allowed it (lvmautoactivation(7)).
func (a *audit) autoactivation(g Group) {
	auto, limited := a.settings["auto_activation_volume_list"], a.settings != nil
	switch {
	case g.KnowsAuto && g.Autoactivation == "":
	case limited && auto.set && !listed(auto.list, g.Name):
	case g.KnowsAuto:
		a.add("autoactivation", Unsafe, g.Name, "once, on the node that holds it: vgchange --setautoactivation n "+g.Name,
			"volume group %s is switched on at the boot of the host that it names as its owner", g.Name)
	default:
		a.add("autoactivation", Unsafe, g.Name, "in /etc/lvm/lvm.conf on every node: activation { auto_activation_volume_list = [ … ] } with the volume groups of the system alone",
			"volume group %s may be switched on at the boot of the host that it names as its owner", g.Name)
	}
}

// listed reports whether a list of lvm.conf may name a volume group: as VG, VG/LV,
// @tag or @*. A tag is not looked up; it may be the group's.
func listed(list []string, name string) bool {
	return slices.ContainsFunc(list, func(e string) bool {
		vg, _, _ := strings.Cut(e, "/")
		return vg == name || strings.HasPrefix(e, "@")
	})
}

// automatic are the names that LVM and AIX give to logical volumes and logs by
// themselves (guide, "Integrating Both Nodes", steps 2a and 2d).
var automatic = regexp.MustCompile(`^(lvol|lv|fslv|loglv|hd)[0-9]+$`)

// lint looks at names alone.
func (a *audit) lint(cfg *config.Config) {
	for _, g := range cfg.Groups {
		for _, fs := range g.Filesystems {
			if fs.Volume == "" {
				continue
			}
			if lv := path.Base(fs.Device); automatic.MatchString(lv) {
				a.add("name", Unsafe, fs.Volume, fmt.Sprintf("lvrename %s %s NAME, and say so in the file", fs.Volume, lv),
					"%s of group %s has a name that is given by itself: on the other node another volume may have it", fs.Device, g.Name)
			}
			if log := logOf(fs.Options); log != "" && !strings.HasPrefix(log, "/dev/"+fs.Volume+"/") && !strings.HasPrefix(log, "/dev/mapper/"+strings.ReplaceAll(fs.Volume, "-", "--")+"-") {
				a.add("log", Fails, fs.Volume, "put the log into volume group "+fs.Volume+", or into the file system itself",
					"the log of %s (%s) is not in its volume group, and does not move with it", fs.Mount, log)
			} else if log != "" && automatic.MatchString(path.Base(log)) {
				a.add("name", Unsafe, fs.Volume, fmt.Sprintf("lvrename %s %s NAME, and say so in the options", fs.Volume, path.Base(log)),
					"the log of %s (%s) has a name that is given by itself", fs.Mount, log)
			}
		}
	}
}

// logOf is the device that holds a file system's journal, "" if it is in the file
// system itself (mount options of xfs, and of ext4 by path).
func logOf(options []string) string {
	for _, o := range options {
		for _, key := range []string{"logdev=", "journal_path="} {
			if dev, ok := strings.CutPrefix(o, key); ok {
				return dev
			}
		}
	}
	return ""
}
