package reconcile

import (
	"errors"
	"slices"
	"time"

	"understudy/fsm"
)

// external are the words for a cluster whose storage another manager moves: what
// that one does to a host, and what it says.
func (s *scenario) external(h *Snapshot, word string, args []string) error {
	arg := func(i int) string {
		if i < len(args) {
			return args[i]
		}
		return ""
	}
	if word == "device-absent" { // NODE device-absent PATH: it was looked at, and is not there
		h.Devices.Value = slices.Clone(h.Devices.Value)
		for i := range h.Devices.Value {
			h.Devices.Value[i].Present = h.Devices.Value[i].Present && h.Devices.Value[i].Path != arg(0)
		}
		return nil
	}
	g := s.c.Group(arg(0))
	if g == nil {
		return errors.New("no such word for a node, or no such group")
	}
	switch word {
	case "brought": // NODE brought GROUP [MOUNT|LABEL]: the other manager brings it, or all
		if arg(1) == "" {
			s.w.bring(g, h.Node)
		}
		for _, fs := range g.Filesystems {
			if fs.Mount == arg(1) {
				h.mount(fs)
			}
		}
		for _, a := range g.Addresses {
			if a.Label == arg(1) {
				h.address(a, a.Network)
			}
		}
	case "taken": // NODE taken GROUP: the other manager takes all of it
		for _, fs := range g.Filesystems {
			h.Mounts.Value = slices.DeleteFunc(slices.Clone(h.Mounts.Value), func(m Mount) bool { return !fs.Local && m.Point == fs.Mount })
		}
		for _, a := range g.Addresses {
			h.drop(a.Prefix.Addr())
		}
		h.aggregates(g, false)
	case "released": // NODE released GROUP: understudy release was said there
		return s.remember(h, g.Name, func(m *Memory) error { m.Released = h.BootID; return nil })
	case "partly": // NODE partly GROUP DURATION: only a part has been there for so long
		d, err := time.ParseDuration(arg(1))
		if err != nil {
			return err
		}
		return s.remember(h, g.Name, func(m *Memory) error { m.Partly = s.w.Now.Add(-d); return nil })
	case "forgets": // NODE forgets GROUP: it has just been installed, or lost its disk
		h.Memory[g.Name] = Memory{Role: fsm.Rejoining}
	default:
		return errors.New("no such word for a node")
	}
	return nil
}
