package reconcile

import (
	"fmt"
	"slices"
	"strings"

	"understudy/config"
)

// volumeState is what is seen of a volume group, false if it was not looked at.
func volumeState(name string, s *Snapshot) (VolumeState, bool) {
	if s.Volumes.OK() {
		for _, st := range s.Volumes.Value {
			if st.Name == name {
				return st, true
			}
		}
	}
	return VolumeState{}, false
}

// volumeItems are the volume groups that move with a group.
func volumeItems(g *config.Group, s *Snapshot) []Item {
	var out []Item
	for _, v := range g.Volumes {
		if shared(g, v) {
			out = append(out, volumeItem(v, s))
		}
	}
	return out
}

// volumeItem tells whether a volume group is switched on here. Its metadata do not
// matter for that: what is switched on stays so when its disks cannot be read. They
// do where they name another host: what is on here is on for that host, too.
func volumeItem(v config.Volume, s *Snapshot) Item {
	it := Item{Kind: VolumeItem, Name: v.Name}
	st, ok := volumeState(v.Name, s)
	switch {
	case !s.Volumes.OK():
		it.Detail = "volume groups: " + s.Volumes.Why().Error()
	case !ok:
		it.Detail = "it was not looked at"
	case !st.Active:
		it.State, it.Detail = Absent, "not switched on"
	case st.SystemID != "" && !st.Ours:
		it.State, it.Detail = Wrong, "it is switched on here, and its metadata name "+st.SystemID+" as its owner"
	default:
		it.State = Present
	}
	return it
}

// volumeUnfit says why a volume group could not be switched on here. Unknown is
// unfit: a standby must be known to see the disks before it is needed.
func volumeUnfit(g *config.Group, s *Snapshot) (Reason, bool) {
	for _, v := range g.Volumes {
		if !shared(g, v) {
			continue
		}
		if !s.Volumes.OK() {
			return Reason{Text: "volume groups could not be looked at: " + s.Volumes.Why().Error()}, true
		}
		st, ok := volumeState(v.Name, s)
		text, way, _ := strings.Cut(st.Why, " — ")
		switch {
		case !ok:
			return Reason{Text: fmt.Sprintf("volume group %s was not looked at", v.Name)}, true
		case text != "":
			if !strings.Contains(text, v.Name) {
				text = fmt.Sprintf("volume group %s: %s", v.Name, text)
			}
			return Reason{Text: text, Way: way}, true
		case !st.Visible || st.Missing > 0:
			return Reason{Text: fmt.Sprintf("volume group %s is not whole here", v.Name), Way: "attach its disks"}, true
		}
	}
	return Reason{}, false
}

// volume does to the model's volume groups what switching one on or off on a host
// does: its metadata name the host that switched it on last.
func (w *World) volume(s *Snapshot, v config.Volume, on bool) {
	if v.Name == "" {
		return
	}
	for _, h := range w.Hosts {
		if !h.Volumes.OK() {
			continue
		}
		h.Volumes.Value = slices.Clone(h.Volumes.Value)
		for i := range h.Volumes.Value {
			st := &h.Volumes.Value[i]
			if st.Name != v.Name {
				continue
			}
			if h == s {
				st.Active = on
			}
			if on {
				st.SystemID, st.Ours = s.Node, h == s
			}
		}
	}
}

// switchOn shows a group's volume groups as the model's host has them that holds it.
func (s *Snapshot) switchOn(g *config.Group) {
	for i := range s.Volumes.Value {
		if st := &s.Volumes.Value[i]; slices.ContainsFunc(g.Volumes, func(v config.Volume) bool { return v.Name == st.Name }) {
			st.Active, st.SystemID, st.Ours = true, s.Node, true
		}
	}
}

// volumesAt are the volume groups of the file as a host that has just booted sees
// them.
func (w *World) volumesAt(node string) []VolumeState {
	out := []VolumeState{}
	for i := range w.Config.Groups {
		for _, v := range w.Config.Groups[i].Volumes {
			st := VolumeState{Name: v.Name, Visible: true}
			for _, h := range w.Hosts {
				if known, ok := volumeState(v.Name, h); ok && known.SystemID != "" {
					st.SystemID, st.Ours = known.SystemID, known.SystemID == node
				}
			}
			out = append(out, st)
		}
	}
	return out
}
