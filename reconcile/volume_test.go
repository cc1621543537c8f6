package reconcile

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"understudy/config"
)

// volumeWord is NODE volume NAME on|off|lacks-a-disk|gone|exported|no-system-id|owner=ID:
// what that host sees of a volume group from now on.
func volumeWord(h *Snapshot, args []string) error {
	h.Volumes.Value = slices.Clone(h.Volumes.Value)
	i := slices.IndexFunc(h.Volumes.Value, func(st VolumeState) bool { return st.Name == args[0] })
	if i < 0 {
		return errors.New("no such volume group")
	}
	st := &h.Volumes.Value[i]
	word, id, _ := strings.Cut(args[1], "=")
	switch word {
	case "on", "off":
		st.Active = word == "on"
	case "lacks-a-disk":
		st.Visible, st.Missing, st.Why = false, 1, "volume group "+st.Name+" lacks 1 of its physical volumes — look at pvs"
	case "gone":
		*st = VolumeState{Name: st.Name, Active: st.Active, Why: "cannot find volume group " + st.Name + " — attach its disks"}
	case "exported":
		st.Why = "volume group " + st.Name + " is exported — vgimport " + st.Name
	case "no-system-id":
		st.Ours, st.Why = false, "this host has no LVM system id — set system_id_source"
	case "owner":
		st.SystemID, st.Ours = id, id == h.Node
	default:
		return errors.New("no such state of a volume group")
	}
	return nil
}

// perturbVolume changes what a host sees of a volume group.
func perturbVolume(t *rapid.T, h *Snapshot, g *config.Group) {
	if len(g.Volumes) == 0 || !h.Volumes.OK() {
		return
	}
	word := rapid.SampledFrom([]string{"on", "off", "lacks-a-disk", "gone", "owner=elsewhere", "no-system-id"}).Draw(t, "volume group")
	if err := volumeWord(h, []string{g.Volumes[0].Name, word}); err != nil {
		t.Fatal(err)
	}
}

// A volume group that nobody looked at is unknown, never off.
func TestVolumeGroupNotLookedAt(t *testing.T) {
	g := &config.Group{Volumes: []config.Volume{{Name: "vg", Kind: config.LVM}}, Filesystems: []config.Filesystem{{Volume: "vg"}}}
	for _, s := range []*Snapshot{{}, {Volumes: Unread[[]VolumeState](errors.New("input/output error"), noon)}, {Volumes: Read([]VolumeState{{Name: "other"}}, noon)}} {
		items := volumeItems(g, s)
		if len(items) != 1 || items[0].State != Unknown || items[0].Detail == "" {
			t.Errorf("%+v", items)
		}
		if _, yes := volumeUnfit(g, s); !yes {
			t.Errorf("fit with %+v", s.Volumes)
		}
	}
	// A group whose volume group holds local file systems alone does not move it.
	g.Filesystems[0].Local = true
	if items := volumeItems(g, &Snapshot{}); len(items) != 0 {
		t.Errorf("%+v", items)
	}
}
