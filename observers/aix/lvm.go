package aix

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// ParseNames reads what lsvg and lsvg -o print: one name a line.
func ParseNames(text string) ([]string, error) {
	out := []string{}
	for line := range strings.SplitSeq(text, "\n") {
		name := strings.TrimSpace(line)
		if strings.ContainsAny(name, " \t") {
			return nil, fmt.Errorf("cannot read what lsvg prints: %.80q is not the name of a volume group", name)
		}
		if name != "" {
			out = append(out, name)
		}
	}
	return out, nil
}

// VolumeGroup is what lsvg prints of one volume group that is varied on.
type VolumeGroup struct {
	Name       string
	State      string // active, active/complete, …
	Permission string // read/write, read-only, passive-only
	PVs        int    // physical volumes it has
	ActivePVs  int    // of them, those that are here
	OpenLVs    int
	AutoOn     bool // it is varied on when the host boots
}

// Active reports whether it is varied on, and can be written to.
func (g VolumeGroup) Active() bool {
	return strings.HasPrefix(g.State, "active") && g.Permission == "read/write"
}

// ParseVolumeGroup reads what lsvg NAME prints: two columns of "KEY: value".
func ParseVolumeGroup(text string) (VolumeGroup, error) {
	keys := map[string]string{}
	for line := range strings.SplitSeq(text, "\n") {
		for _, key := range []string{"VOLUME GROUP", "VG STATE", "VG PERMISSION", "TOTAL PVs", "ACTIVE PVs", "OPEN LVs", "AUTO ON"} {
			i := strings.Index(line, key+":")
			if i < 0 || i > 0 && line[i-1] != ' ' && line[i-1] != '\t' {
				continue
			}
			value := strings.TrimLeft(line[i+len(key)+1:], " \t")
			value, _, _ = strings.Cut(value, "  ")
			keys[key] = strings.TrimSpace(value)
		}
	}
	fail := func(err error) (VolumeGroup, error) {
		return VolumeGroup{}, fmt.Errorf("cannot read what lsvg prints: %w", err)
	}
	g := VolumeGroup{Name: keys["VOLUME GROUP"], State: keys["VG STATE"], Permission: keys["VG PERMISSION"]}
	if g.Name == "" || g.State == "" || g.Permission == "" {
		return fail(errors.New("name, state or permission is missing"))
	}
	for _, n := range []struct {
		key string
		to  *int
	}{{"TOTAL PVs", &g.PVs}, {"ACTIVE PVs", &g.ActivePVs}, {"OPEN LVs", &g.OpenLVs}} {
		v, err := strconv.Atoi(keys[n.key])
		if err != nil || v < 0 {
			return fail(fmt.Errorf("%s is %.40q, not a number", n.key, keys[n.key]))
		}
		*n.to = v
	}
	switch keys["AUTO ON"] {
	case "yes":
		g.AutoOn = true
	case "no":
	default:
		return fail(fmt.Errorf("AUTO ON is %.40q, neither yes nor no", keys["AUTO ON"]))
	}
	return g, nil
}

// LogicalVolume is one line of lsvg -l.
type LogicalVolume struct {
	Name  string
	Type  string // jfs2, jfs2log, …
	Open  bool   // somebody uses it: it is mounted, or a log or raw device that is open
	Stale bool   // a copy of it is not up to date
	Point string // "" if it has none
}

// ParseLogicalVolumes reads what lsvg -l NAME prints: the name with a colon, a
// heading, then one line for each logical volume.
func ParseLogicalVolumes(text string) ([]LogicalVolume, error) {
	_, rest, ok := strings.Cut(text, "LV NAME")
	heading, rest, _ := strings.Cut(rest, "\n")
	if !ok || !strings.Contains(heading, "LV STATE") {
		return nil, errors.New("cannot read what lsvg -l prints: it has no heading")
	}
	out := []LogicalVolume{}
	for line := range strings.SplitSeq(rest, "\n") {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		if len(f) < 6 {
			return nil, fmt.Errorf("cannot read what lsvg -l prints: %.120q is not a logical volume", line)
		}
		v := LogicalVolume{Name: f[0], Type: f[1], Point: strings.Join(f[6:], " ")}
		if v.Point == "N/A" {
			v.Point = ""
		}
		use, copies, ok := strings.Cut(f[5], "/")
		v.Open, v.Stale = use == "open" || use == "opened", copies == "stale"
		if !ok || !v.Open && use != "closed" {
			return nil, fmt.Errorf("cannot read what lsvg -l prints: %.40q is not the state of a logical volume", f[5])
		}
		out = append(out, v)
	}
	return out, nil
}

// PhysicalVolume is one line of lspv.
type PhysicalVolume struct {
	Name  string
	ID    string // "" if it has none
	Group string // "" if it belongs to none that is known here
	State string // active, concurrent, locked; "" while its group is off
}

// ParsePhysicalVolumes reads what lspv prints.
func ParsePhysicalVolumes(text string) ([]PhysicalVolume, error) {
	none := func(s string) string {
		if strings.EqualFold(s, "none") {
			return ""
		}
		return s
	}
	out := []PhysicalVolume{}
	for line := range strings.SplitSeq(text, "\n") {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		if len(f) < 3 || len(f) > 4 {
			return nil, fmt.Errorf("cannot read what lspv prints: %.120q is not a physical volume", line)
		}
		v := PhysicalVolume{Name: f[0], ID: none(f[1]), Group: none(f[2])}
		if len(f) == 4 {
			v.State = f[3]
		}
		out = append(out, v)
	}
	return out, nil
}
