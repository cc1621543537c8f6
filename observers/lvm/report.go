package lvm

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Settings are given to every command of LVM with --config. LVM remembers in
// /run/lvm/hints which devices hold which volume group, and looks at those alone.
// Another host's changes on a shared disk are not in there: a standby would call a
// physical volume missing that was added elsewhere, and not find a volume group
// that was made elsewhere (seen with LVM 2.03.16).
const Settings = `devices{hints="none"}`

// Group is a volume group as vgs(8) reports it.
type Group struct {
	Name     string
	UUID     string // with its dashes
	SystemID string // of the owning host, "" if none is set
	Missing  int    // physical volumes that are not here
	Exported bool
	// Clustered and LockType tell of cluster-wide locking, by clvmd or lvmlockd.
	Clustered bool
	LockType  string // "", "none", "sanlock", "dlm"
	// Autoactivation is "enabled", or "" if it is switched off for this volume group;
	// KnowsAuto is false where the report does not have it.
	Autoactivation string
	KnowsAuto      bool
}

// Refuse says why a volume group must not be switched on here, nil if it may be.
func (g Group) Refuse() error {
	switch {
	case g.Exported:
		return fmt.Errorf("volume group %s is exported — vgimport %s", g.Name, g.Name)
	case g.Clustered:
		return fmt.Errorf("volume group %s is clustered, for clvmd — vgchange --clustered n %s, with all hosts off it", g.Name, g.Name)
	case g.LockType != "" && g.LockType != "none":
		return fmt.Errorf("volume group %s is locked by lvmlockd (%s), which understudy does not drive — vgchange --lock-type none %s", g.Name, g.LockType, g.Name)
	case g.Missing > 0:
		return fmt.Errorf("volume group %s lacks %d of its physical volumes — look at pvs and at the paths to the storage; after the loss of a mirror's disk: vgreduce --removemissing %s", g.Name, g.Missing, g.Name)
	case g.SystemID != "" && !ValidSystemID(g.SystemID):
		return fmt.Errorf("volume group %s names the host %q as its owner, which is no system id (lvmsystemid(7))", g.Name, g.SystemID)
	}
	return nil
}

// Volume is a logical volume as lvs(8) reports it.
type Volume struct {
	Name  string
	Group string
	UUID  string
	Path  string // "" for parts of others
	Role  string // "public", "private", …, comma separated
	Skip  bool   // it is not switched on with its group: a snapshot, as a rule
}

// Private reports that a volume is part of another (a mirror's leg, a pool's
// data), and follows it.
func (v Volume) Private() bool {
	for role := range strings.SplitSeq(v.Role, ",") {
		if role == "private" {
			return true
		}
	}
	return false
}

// GroupFields and VolumeFields are the columns that [ParseGroups] and
// [ParseVolumes] read, for -o.
const (
	GroupFields  = "vg_name,vg_uuid,vg_systemid,vg_missing_pv_count,vg_exported,vg_clustered,vg_lock_type"
	VolumeFields = "lv_name,vg_name,lv_uuid,lv_path,lv_role,lv_skip_activation"
)

// report is the output of lvs and vgs with --reportformat json (lvmreport(7)):
// everything in it is a string.
type report struct {
	Report []struct {
		VG []map[string]string `json:"vg"`
		LV []map[string]string `json:"lv"`
		PV []map[string]string `json:"pv"`
	} `json:"report"`
}

func parse(b []byte, program string) (report, error) {
	var r report
	if err := json.Unmarshal(b, &r); err != nil {
		return r, fmt.Errorf("cannot read the report of %s: %w", program, err)
	}
	if len(r.Report) == 0 {
		return r, fmt.Errorf("cannot read the report of %s: there is no report in it", program)
	}
	return r, nil
}

// ParseGroups reads the report of vgs with [GroupFields]. A column that is not
// there, or is not as documented, is an error, as nothing may be concluded then.
func ParseGroups(b []byte) ([]Group, error) {
	r, err := parse(b, "vgs")
	if err != nil {
		return nil, err
	}
	var out []Group
	for _, part := range r.Report {
		for _, row := range part.VG {
			for f := range strings.SplitSeq(GroupFields, ",") {
				if _, ok := row[f]; !ok {
					return nil, fmt.Errorf("cannot read the report of vgs: column %s is not in it", f)
				}
			}
			g := Group{
				Name: row["vg_name"], UUID: row["vg_uuid"], SystemID: row["vg_systemid"],
				Exported: row["vg_exported"] != "", Clustered: row["vg_clustered"] != "", LockType: row["vg_lock_type"],
			}
			if g.Name == "" || compact(g.UUID) == "" {
				return nil, fmt.Errorf("cannot read the report of vgs: a volume group has no name or no uuid")
			}
			if g.Missing, err = strconv.Atoi(row["vg_missing_pv_count"]); err != nil || g.Missing < 0 {
				return nil, fmt.Errorf("cannot read how many physical volumes of %s are missing: %q", g.Name, row["vg_missing_pv_count"])
			}
			g.Autoactivation, g.KnowsAuto = row["vg_autoactivation"], has(row, "vg_autoactivation")
			out = append(out, g)
		}
	}
	return out, nil
}

func has(row map[string]string, key string) bool { _, ok := row[key]; return ok }

// Find picks the volume group of a name. Two of one name are refused: a command
// that is given the name could work on either.
func Find(groups []Group, name string) (Group, error) {
	var found []Group
	for _, g := range groups {
		if g.Name == name {
			found = append(found, g)
		}
	}
	switch len(found) {
	case 0:
		return Group{}, fmt.Errorf("%w %s", ErrNotVisible, name)
	case 1:
		return found[0], nil
	}
	return Group{}, fmt.Errorf("%d volume groups are named %s here (%s, %s) — vgrename one of them by its uuid", len(found), name, found[0].UUID, found[1].UUID)
}

// ParseVolumes reads the report of lvs with [VolumeFields].
func ParseVolumes(b []byte) ([]Volume, error) {
	r, err := parse(b, "lvs")
	if err != nil {
		return nil, err
	}
	var out []Volume
	for _, part := range r.Report {
		for _, row := range part.LV {
			v := Volume{
				Name: strings.Trim(row["lv_name"], "[]"), Group: row["vg_name"], UUID: row["lv_uuid"], Path: row["lv_path"],
				Role: row["lv_role"], Skip: row["lv_skip_activation"] != "",
			}
			if v.Name == "" || v.Group == "" || compact(v.UUID) == "" {
				return nil, fmt.Errorf("cannot read the report of lvs: a logical volume has no name, group or uuid")
			}
			out = append(out, v)
		}
	}
	return out, nil
}

// PhysicalFields are the columns that [ParsePhysical] reads, for -o.
const PhysicalFields = "pv_name,vg_name,pv_missing"

// ParsePhysical reads the report of pvs with [PhysicalFields]: the devices of each
// volume group. One that is missing is an error: what is on it cannot be said.
func ParsePhysical(b []byte) (map[string][]string, error) {
	r, err := parse(b, "pvs")
	if err != nil {
		return nil, err
	}
	out := map[string][]string{}
	for _, part := range r.Report {
		for _, row := range part.PV {
			for f := range strings.SplitSeq(PhysicalFields, ",") {
				if !has(row, f) {
					return nil, fmt.Errorf("cannot read the report of pvs: column %s is not in it", f)
				}
			}
			name, group := row["pv_name"], row["vg_name"]
			switch {
			case group == "":
			case row["pv_missing"] != "" || !strings.HasPrefix(name, "/"):
				return nil, fmt.Errorf("volume group %s lacks one of its physical volumes — look at pvs and at the paths to the storage", group)
			default:
				out[group] = append(out[group], name)
			}
		}
	}
	return out, nil
}

// systemID is what lvmsystemid(7) allows in a system id.
var systemID = regexp.MustCompile(`^[A-Za-z0-9+_.-]{1,128}$`)

// ValidSystemID reports whether s can be a host's system id. Others are never put
// into a command.
func ValidSystemID(s string) bool { return systemID.MatchString(s) }

// ParseSystemID reads what `lvm systemid` prints, "" if the host has none.
func ParseSystemID(text string) (string, error) {
	label, id, ok := strings.Cut(strings.TrimSpace(text), ":")
	id = strings.TrimSpace(id)
	if !ok || label != "system ID" || id != "" && !ValidSystemID(id) {
		return "", fmt.Errorf("cannot read this host's system id: lvm systemid said %q", clip(text))
	}
	return id, nil
}

// compact is an uuid as device mapper has it: without its dashes.
func compact(uuid string) string { return strings.ReplaceAll(uuid, "-", "") }

func clip(s string) string {
	s = strings.TrimSpace(s)
	if len(s) > 200 {
		return s[:200] + "…"
	}
	return s
}
