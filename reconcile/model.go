package reconcile

import (
	"maps"
	"net/netip"
	"slices"

	"understudy/config"
)

// apply does to the model what act does to a host.
func (w *World) apply(s *Snapshot, g *config.Group, step Step) {
	switch st := step.(type) {
	case Fence:
		w.Down[st.Node] = true
		w.Store.Fenced[st.Node] = FenceRecord{Node: st.Node, BootID: st.BootID, By: s.Node, Agent: st.Agents(), At: w.Now}
	case TakeClaim:
		w.Store.Revision++
		w.Store.Claims[st.Group] = Claim{
			Group: st.Group, Holder: s.Node, BootID: s.BootID, From: st.Was.Holder, Epoch: st.Epoch, Evidence: st.Evidence,
			Reason: st.Reason, Pinned: st.Pinned, Rehearsal: st.Rehearsal, Failovers: st.Failovers, At: w.Now, Revision: w.Store.Revision,
		}
	case SignOff:
		w.Store.Revision++
		c := w.Store.Claims[st.Group]
		c.Released, c.Revision, c.GaveUp, c.Down = true, w.Store.Revision, st.GaveUp, st.Down
		w.Store.Claims[st.Group] = c
	case MountFS:
		s.mount(st.FS)
	case Unmount:
		s.Mounts.Value = slices.DeleteFunc(slices.Clone(s.Mounts.Value), func(m Mount) bool { return m.Point == st.Point })
	case AddAddress:
		s.drop(st.Address.Prefix.Addr())
		s.address(st.Address, st.Link)
	case DropAddress:
		s.drop(st.Address.Prefix.Addr())
	case SetHostname:
		m := s.Memory[g.Name]
		if m.SavedHostname == "" {
			m.SavedHostname = s.Hostname.Value
		}
		s.Memory[g.Name] = m
		s.Hostname.Value = st.Name
	case RestoreHostname:
		m := s.Memory[g.Name]
		s.Hostname.Value, m.SavedHostname = st.Name, ""
		s.Memory[g.Name] = m
	case Start:
		s.run(st.Group, st.App)
	case Stop:
		s.setApp(AppState{Group: st.Group, App: st.App.Name, Daemons: stopped(st.App)})
	case MarkDirty:
		m := s.Memory[g.Name]
		m.Dirty = st.BootID
		s.Memory[g.Name] = m
	case Reboot:
		w.reboot(s)
	case Reserve:
		w.reserved(st.object(), st.Key)
	case Unreserve:
		if w.Reserved[st.object()].Of(st.Key) {
			w.reserved(st.object(), 0)
		}
	case Activate:
		w.volume(s, st.Volume, true)
	case Deactivate:
		w.volume(s, st.Volume, false)
	case PurgeFiles, Verify, ProveRelease, RunHook, Notify:
		// nothing that a snapshot shows
	}
}

func (s *Snapshot) mount(fs config.Filesystem) {
	m := Mount{ID: len(s.Mounts.Value) + 1, Point: fs.Mount, Root: "/", FSType: fs.Type, Source: fs.Device, ReadOnly: slices.Contains(fs.Options, "ro")}
	for _, d := range s.Devices.Value {
		if d.Path == fs.Device {
			m.Major, m.Minor = d.Major, d.Minor
		}
	}
	s.Mounts.Value = append(slices.Clone(s.Mounts.Value), m)
}

func (s *Snapshot) address(a config.ServiceAddress, link string) {
	s.Addrs.Value = append(slices.Clone(s.Addrs.Value), Addr{Link: link, Prefix: a.Prefix, Label: a.Label})
}

func (s *Snapshot) drop(ip netip.Addr) {
	s.Addrs.Value = slices.DeleteFunc(slices.Clone(s.Addrs.Value), func(a Addr) bool { return a.Prefix.Addr() == ip })
}

func (s *Snapshot) run(group string, a config.Application) {
	st := AppState{Group: group, App: a.Name}
	for i, d := range a.Daemons {
		st.Daemons = append(st.Daemons, DaemonState{Name: d.Name, Optional: d.Optional, Processes: []Process{{PID: 1000 + i, Start: 1, Exe: d.Exe}}})
	}
	if len(a.Probes) > 0 {
		st.Probe = ProbeGood
	}
	s.setApp(st)
}

func (s *Snapshot) setApp(st AppState) {
	out := slices.Clone(s.Apps.Value)
	for i := range out {
		if out[i].Group == st.Group && out[i].App == st.App {
			out[i] = st
		}
	}
	s.Apps.Value = out
}

func stopped(a config.Application) []DaemonState {
	out := make([]DaemonState, len(a.Daemons))
	for i, d := range a.Daemons {
		out[i].Name, out[i].Optional = d.Name, d.Optional
	}
	return out
}

// Lose takes one resource away from a host of the model, behind its back.
func Lose(s *Snapshot, g *config.Group, e WhatIf) { lose(s, g, e) }

func lose(s *Snapshot, g *config.Group, e WhatIf) {
	switch e.Kind {
	case AddressLost:
		for _, a := range g.Addresses {
			if a.Label == e.Name {
				s.drop(a.Prefix.Addr())
			}
		}
	case MountLost:
		s.Mounts.Value = slices.DeleteFunc(slices.Clone(s.Mounts.Value), func(m Mount) bool { return m.Point == e.Name })
	case DaemonDied:
		for _, a := range g.Applications {
			if !hasDaemon(a, e.Name) {
				continue
			}
			st, _ := appState(g.Name, a.Name, s)
			st.Daemons = slices.Clone(st.Daemons)
			for i := range st.Daemons {
				if a.Name == e.Name || st.Daemons[i].Name == e.Name {
					st.Daemons[i].Processes = nil
				}
			}
			s.setApp(st)
		}
	}
}

// Host is a node's own part of the model, nil if there is no such node. Changing
// it is something happening behind understudy's back.
func (w *World) Host(node string) *Snapshot {
	for _, s := range w.Hosts {
		if s.Node == node {
			return s
		}
	}
	return nil
}

// View is what a node sees of the world at this moment. Later changes of the
// world do not reach it.
func (w *World) View(node string) *Snapshot {
	s := w.look(w.Host(node))
	st := &s.Store.Value
	st.Claims, st.Live, st.Fenced = maps.Clone(st.Claims), maps.Clone(st.Live), maps.Clone(st.Fenced)
	st.Confirms, st.Requests = maps.Clone(st.Confirms), maps.Clone(st.Requests)
	s.Memory = maps.Clone(s.Memory)
	return s
}

// Carry carries out a step of a node's plan for a group on the model.
func (w *World) Carry(node, group string, step Step) {
	w.apply(w.Host(node), w.Config.Group(group), step)
}
