package reconcile

import (
	"fmt"
	"slices"

	"understudy/config"
)

// The other manager of the model moves a group as HACMP does: to the next node when
// one is lost, back to its home when that returns, and where it is told to. It says
// so before it takes anything (understudy release).

// begin puts every group where the other manager has it at rest.
func (w *World) begin() {
	if !IsExternal(w.Config) {
		return
	}
	for _, n := range w.Config.Nodes {
		w.away(n.Name)
	}
	for i := range w.Config.Groups {
		g := &w.Config.Groups[i]
		w.bring(g, g.Nodes[0])
	}
}

// happenExternal is [World.Happen] where another manager moves the storage.
func (w *World) happenExternal(e WhatIf) ([]Stage, error) {
	var out []Stage
	switch e.Kind {
	case NodeDown:
		if w.Down[e.Node] {
			return nil, fmt.Errorf("cannot lose %s: it is down already", e.Node)
		}
		var moves []*config.Group
		for i := range w.Config.Groups {
			if s := w.seenAt(&w.Config.Groups[i]); s != nil && s.Node == e.Node {
				moves = append(moves, &w.Config.Groups[i])
			}
		}
		w.Down[e.Node] = true
		for _, g := range moves {
			if i := slices.IndexFunc(g.Nodes, func(n string) bool { return !w.Down[n] }); i >= 0 {
				w.bring(g, g.Nodes[i])
			}
		}
	case NodeUp:
		if !w.Down[e.Node] { // what it comes back to is a cluster that did without it
			if _, err := w.happenExternal(WhatIf{Kind: NodeDown, Node: e.Node, Name: e.Node}); err != nil {
				return nil, err
			}
		}
		w.Down[e.Node] = false
		i := slices.IndexFunc(w.Hosts, func(s *Snapshot) bool { return s.Node == e.Node })
		w.reboot(w.Hosts[i])
		w.away(e.Node)
		out = append(out, w.Settle()...)
		for i := range w.Config.Groups {
			g := &w.Config.Groups[i]
			if s := w.seenAt(g); g.Priority(e.Node) >= 0 && (s == nil || g.Home() == e.Node && s.Node != e.Node) {
				out = append(out, w.hand(g, e.Node)...)
			}
		}
	case Move:
		if w.Down[e.Node] {
			return nil, fmt.Errorf("cannot move %s to %s: it is down", e.Group, e.Node)
		}
		return w.hand(w.Config.Group(e.Group), e.Node), nil
	default:
		g := w.Config.Group(e.Group)
		s := w.seenAt(g)
		if s == nil {
			return nil, fmt.Errorf("cannot lose %s: group %s is on no node now", e.Name, e.Group)
		}
		lose(s, g, e)
	}
	return append(out, w.Settle()...), nil
}

// away takes the devices of aggregates from a node that has just booted.
func (w *World) away(node string) {
	for i := range w.Config.Groups {
		w.Host(node).aggregates(&w.Config.Groups[i], false)
	}
}

// hand moves a group: it is announced, taken away where it is, and brought.
func (w *World) hand(g *config.Group, to string) []Stage {
	var out []Stage
	if s := w.seenAt(g); s != nil {
		if s.Node == to {
			return nil
		}
		m := s.Memory[g.Name]
		m.Released = s.BootID
		s.Memory[g.Name] = m
		out = append(out, w.Settle()...)
		for _, fs := range g.Filesystems {
			if !fs.Local {
				lose(s, g, WhatIf{Kind: MountLost, Name: fs.Mount})
			}
		}
		for _, a := range g.Addresses {
			s.drop(a.Prefix.Addr())
		}
		s.aggregates(g, false)
		out = append(out, w.Settle()...)
	}
	w.bring(g, to)
	return append(out, w.Settle()...)
}

// Bring lets the other manager bring all of a group to a node of the model.
func (w *World) Bring(group, node string) { w.bring(w.Config.Group(group), node) }

// bring lets the other manager bring all of a group to a node.
func (w *World) bring(g *config.Group, to string) {
	s := w.Host(to)
	for _, fs := range outerFirst(g.Filesystems) {
		if !fs.Local {
			s.mount(fs)
		}
	}
	for _, a := range g.Addresses {
		s.address(a, a.Network)
	}
	s.aggregates(g, true)
}

// aggregates makes the devices of a group's aggregates appear or vanish.
func (s *Snapshot) aggregates(g *config.Group, here bool) {
	out := slices.Clone(s.Devices.Value)
	for _, a := range g.Aggregates {
		i := slices.IndexFunc(out, func(d Device) bool { return d.Path == a.Device })
		if i < 0 {
			i, out = len(out), append(out, Device{Path: a.Device, Major: 7, Minor: uint32(len(out) + 1)})
		}
		out[i].Present = here
	}
	s.Devices.Value = out
}

// seenAt is the host that has all of a group, nil if none does.
func (w *World) seenAt(g *config.Group) *Snapshot {
	for _, s := range w.Hosts {
		if !w.Down[s.Node] && g.Priority(s.Node) >= 0 && look(w.Config, g, s).held() == Present {
			return s
		}
	}
	return nil
}
