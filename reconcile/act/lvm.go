package act

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// lvmReport is the output of lvs and vgs with --reportformat json (lvmreport(7)).
type lvmReport struct {
	Report []struct {
		LV []logicalVolume `json:"lv"`
		VG []volumeGroup   `json:"vg"`
	} `json:"report"`
}

// logicalVolume is one line of lvs -o lv_name,lv_path,lv_active,lv_device_open,lv_role.
// Everything is a string there.
type logicalVolume struct {
	Name   string `json:"lv_name"`
	Path   string `json:"lv_path"`
	Active string `json:"lv_active"`      // "active", "active exclusively", …, "" if not
	Open   string `json:"lv_device_open"` // "open" or ""
	Role   string `json:"lv_role"`        // "public", "private", … comma separated
}

func (v logicalVolume) active() bool { return strings.HasPrefix(v.Active, "active") }

// private volumes are parts of others (mirror legs, pool data) and follow them.
func (v logicalVolume) private() bool {
	for role := range strings.SplitSeq(v.Role, ",") {
		if role == "private" {
			return true
		}
	}
	return false
}

// volumeGroup is one line of vgs -o vg_name,vg_missing_pv_count,vg_exported.
type volumeGroup struct {
	Name     string `json:"vg_name"`
	Missing  string `json:"vg_missing_pv_count"`
	Exported string `json:"vg_exported"` // "exported" or ""
}

// usable says why a volume group must not be activated, nil if it may be.
func (g volumeGroup) usable() error {
	if g.Exported != "" {
		return fmt.Errorf("volume group %s is exported — vgimport %s", g.Name, g.Name)
	}
	n, err := strconv.Atoi(g.Missing)
	if err != nil {
		return fmt.Errorf("cannot read how many physical volumes of %s are missing: %q", g.Name, g.Missing)
	}
	if n > 0 {
		return fmt.Errorf("volume group %s lacks %d physical volumes — look at pvs and the paths to the storage", g.Name, n)
	}
	return nil
}

// parseLVs reads the report of lvs.
func parseLVs(b []byte) ([]logicalVolume, error) {
	var r lvmReport
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, fmt.Errorf("cannot read the report of lvs: %w", err)
	}
	if len(r.Report) == 0 {
		return nil, fmt.Errorf("cannot read the report of lvs: there is no report in it")
	}
	var out []logicalVolume
	for _, part := range r.Report {
		for _, v := range part.LV {
			if v.Name == "" {
				return nil, fmt.Errorf("cannot read the report of lvs: a logical volume has no name")
			}
			out = append(out, v)
		}
	}
	return out, nil
}

// parseVG reads the report of vgs for one volume group.
func parseVG(b []byte, name string) (volumeGroup, error) {
	var r lvmReport
	if err := json.Unmarshal(b, &r); err != nil {
		return volumeGroup{}, fmt.Errorf("cannot read the report of vgs: %w", err)
	}
	for _, part := range r.Report {
		for _, g := range part.VG {
			if g.Name == name {
				return g, nil
			}
		}
	}
	return volumeGroup{}, fmt.Errorf("cannot find volume group %s in the report of vgs — is the storage attached?", name)
}
