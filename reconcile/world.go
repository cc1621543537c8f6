package reconcile

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"understudy/config"
	"understudy/fsm"
)

// World is a model of the whole cluster: one snapshot per node and one store.
// Deciding on it is done by the same functions that decide for a host; only the
// carrying out is a model, and it succeeds at every step.
type World struct {
	Config *config.Config
	Now    time.Time
	Hosts  []*Snapshot // in file order; Store and Peers are filled in for every decision
	Down   map[string]bool
	Store  StoreView
	// NoLease and NoStore name nodes that cannot renew their lease and nodes that
	// cannot read the store. Both may be nil.
	NoLease, NoStore map[string]bool
	// NeverHeard names nodes that nobody has heard since its own start, as after a
	// power cut of all. It may be nil.
	NeverHeard map[string]bool
	// Fails names, by node, steps ("start dfs") that fail there. It may be nil.
	Fails map[string][]string
	// Deaf names, by node, links over which nothing gets through although they have a
	// carrier. It may be nil.
	Deaf map[string][]string
	// Reserved is, by device or volume group, the key that its disks know. Everything
	// is reached by one path.
	Reserved map[string]ReservationKey
	boots    int
}

// Stage is one plan that would run, in the order of events.
type Stage struct {
	Plan Plan
}

// rounds is how many passes every node gets to come to rest. Each failover takes
// three; more means that the model does not settle.
const rounds = 24

// Steady is the cluster of a file at rest: every node up, every group where it
// belongs. It is what what-if assumes when no resident service can be asked.
func Steady(c *config.Config, now time.Time) *World {
	w := &World{
		Config: c, Now: now, Down: map[string]bool{},
		Store: StoreView{
			Revision: 1, Claims: map[string]Claim{}, Live: map[string]string{},
			Fenced: map[string]FenceRecord{}, Confirms: map[string]Confirmation{}, Requests: map[string]Request{},
		},
	}
	for _, n := range c.Nodes {
		w.Hosts = append(w.Hosts, w.boot(n.Name, now.Add(-time.Hour)))
	}
	w.begin()
	w.Settle()
	return w
}

// Around builds a world about one node's real snapshot: that node as it is, the
// others as their claims and keep-alives say.
func Around(c *config.Config, s *Snapshot) *World {
	w := &World{Config: c, Now: s.At, Down: map[string]bool{}, Store: s.Store.Value, Reserved: map[string]ReservationKey{}}
	for _, r := range s.Reservations.Value {
		w.Reserved[r.Object] = r.Holder
	}
	w.Store.Claims = maps.Clone(w.Store.Claims)
	w.Store.Fenced = maps.Clone(w.Store.Fenced)
	w.Store.Confirms = maps.Clone(w.Store.Confirms)
	w.Store.Requests = maps.Clone(w.Store.Requests)
	for _, n := range c.Nodes {
		if n.Name == s.Node {
			own := *s
			own.Memory = maps.Clone(s.Memory)
			if own.Memory == nil {
				own.Memory = map[string]Memory{}
			}
			w.Hosts = append(w.Hosts, &own)
			continue
		}
		h := w.boot(n.Name, s.At.Add(-time.Hour))
		p := s.Peer(n.Name)
		if p.BootID != "" {
			h.BootID = p.BootID
		}
		w.Down[n.Name] = p.State == PeerSilent
		for i := range c.Groups {
			g := &c.Groups[i]
			m := Memory{Role: p.Status.Group(g.Name).Role}
			dirty := p.Status.Group(g.Name).Dirty
			if claim := w.Store.Claims[g.Name]; claim.Holder == n.Name && !claim.Released {
				h.BootID = claim.BootID
				m.Whole = claim.Epoch
				dirty = dirty || rebootToRelease(g) && m.Role.Holds() && claim.Rehearsal == NoRehearsal
				h.switchOn(g)
				for _, fs := range outerFirst(g.Filesystems) {
					h.mount(fs)
				}
				for _, a := range g.Addresses {
					h.address(a, a.Network)
				}
				for _, a := range g.Applications {
					if claim.Rehearsal == NoRehearsal {
						h.run(g.Name, a)
					}
				}
			}
			if dirty {
				m.Dirty = h.BootID
			}
			h.Memory[g.Name] = m
		}
		for _, sv := range ServicesOn(c, n.Name) {
			if !w.Down[n.Name] {
				h.run(NodeGroup, sv.Application)
			}
		}
		w.Hosts = append(w.Hosts, h)
	}
	return w
}

// boot makes a host that has just come up: its own addresses, its disks, and
// nothing of any group.
func (w *World) boot(name string, since time.Time) *Snapshot {
	w.boots++
	s := &Snapshot{
		At: w.Now, Node: name, BootID: fmt.Sprintf("boot%d-%s", w.boots, name), Since: since,
		Mounts: Read([]Mount{}, w.Now), Hostname: Read(name, w.Now),
		Lease: Lease{Until: w.Now.Add(w.Config.Lease.TTL - w.Config.Lease.Margin)}, Memory: map[string]Memory{},
	}
	var addrs []Addr
	var ls []Link
	for i, a := range w.Config.Node(name).Addresses {
		link := a.Network
		if k := slices.Index(w.Config.Node(name).Adapters(a.Network), a.Prefix); k > 0 {
			link = fmt.Sprintf("%s%d", a.Network, k+1)
		}
		addrs = append(addrs, Addr{Link: link, Prefix: a.Prefix})
		ls = append(ls, Link{Index: i + 2, Name: link, Up: true, Carrier: true})
	}
	s.Addrs, s.Links = Read(addrs, w.Now), Read(ls, w.Now)
	var devices []Device
	var apps []AppState
	for _, g := range w.Config.Groups {
		for _, fs := range g.Filesystems {
			devices = append(devices, Device{Path: fs.Device, Present: true, Major: 7, Minor: uint32(len(devices) + 1)})
		}
		for _, a := range g.Aggregates {
			devices = append(devices, Device{Path: a.Device, Present: true, Major: 7, Minor: uint32(len(devices) + 1)})
		}
		for _, a := range g.Applications {
			apps = append(apps, AppState{Group: g.Name, App: a.Name, Daemons: stopped(a)})
		}
	}
	for _, sv := range ServicesOn(w.Config, name) {
		apps = append(apps, AppState{Group: NodeGroup, App: sv.Name, Daemons: stopped(sv.Application)})
	}
	s.Devices, s.Apps = Read(devices, w.Now), Read(apps, w.Now)
	s.Volumes = Read(w.volumesAt(name), w.Now)
	return s
}

// Settle lets every node decide and act until all are at rest, and returns the
// plans that ran.
func (w *World) Settle() []Stage {
	var out []Stage
	for range rounds {
		moved := false
		for _, s := range w.Hosts {
			if w.Down[s.Node] {
				continue
			}
			if sv := DecideServices(w.Config, w.look(s)); !sv.Plan.Empty() {
				moved = true
				for _, p := range sv.Plan.Steps {
					w.apply(s, nil, p.Step)
				}
				out = appendStage(out, sv.Plan)
			}
			for i := range w.Config.Groups {
				g := &w.Config.Groups[i]
				if g.Priority(s.Node) < 0 {
					continue
				}
				seen := w.look(s)
				d := Decide(w.Config, g, seen)
				m := s.Memory[g.Name]
				moved = moved || m.Role != d.Transition.To
				m.Role = d.Transition.To
				m = d.Stays(g, seen, m)
				if d.Transition.Event == fsm.Held {
					moved = moved || seen.Store.Value.Claims[g.Name].Rehearsal == RehearseOne
					m.Whole = seen.Store.Value.Claims[g.Name].Epoch
				}
				came := m.Came
				m = Remember(w.Config, g, seen, m)
				moved = moved || !m.Came.Equal(came)
				s.Memory[g.Name] = m
				if !d.Plan.Empty() {
					moved = true
					w.carryOut(s, g, d.Plan)
				}
				if !d.Plan.Empty() || len(d.Plan.Blocked) > 0 {
					out = appendStage(out, d.Plan)
				}
			}
		}
		if !moved {
			break
		}
		if IsExternal(w.Config) {
			w.Now = w.Now.Add(w.Config.Keepalive.Interval) // who has it is told first
		}
	}
	return out
}

// appendStage keeps a plan that is blocked once, however often it is decided.
func appendStage(out []Stage, p Plan) []Stage {
	if len(p.Blocked) > 0 && slices.ContainsFunc(out, func(s Stage) bool {
		return s.Plan.Group == p.Group && s.Plan.Node == p.Node && len(s.Plan.Blocked) > 0
	}) {
		return out
	}
	return append(out, Stage{Plan: p})
}

// look gives one host's view of the world at this moment.
func (w *World) look(s *Snapshot) *Snapshot {
	out := *s
	out.At = w.Now
	out.Store = Read(w.Store, w.Now)
	if w.NoStore[s.Node] {
		out.Store = Unread[StoreView](errors.New("no majority"), w.Now)
	}
	out.Lease = Lease{Until: w.Now.Add(w.Config.Lease.TTL - w.Config.Lease.Margin)}
	if w.NoLease[s.Node] {
		out.Lease = Lease{Until: w.Now.Add(-time.Second), Err: "no majority"}
	}
	if out.Reservations.Err == nil {
		out.Reservations = Read(w.reservations(), w.Now)
	}
	out.Peers = nil
	for _, other := range w.Hosts {
		if other.Node == s.Node {
			continue
		}
		p := Peer{Name: other.Node, State: PeerHeard, BootID: other.BootID}
		if w.NeverHeard[other.Node] {
			p.BootID = ""
		} else {
			p.Status = w.says(other)
		}
		var age time.Duration
		if w.Down[other.Node] {
			p.State, age = PeerSilent, time.Hour
		}
		for _, l := range Pairs(w.Config, s.Node, other.Node) {
			l.Heard = !w.Down[other.Node] && w.carries(s, l.Local) && w.carries(other, l.Remote)
			l.Silent = l.Local.IsValid() && !l.Heard && !w.Down[other.Node]
			if l.Hears, l.Age = l.Heard, age; l.Silent {
				l.Age = 2 * w.Config.Keepalive.Timeout
			}
			p.Links = append(p.Links, l)
		}
		out.Peers = append(out.Peers, p)
	}
	if IsExternal(w.Config) {
		out.Lease, out.Store = Lease{}, Observed(w.Config, &out)
	}
	return &out
}

// says is the status a host would put into its keep-alives.
func (w *World) says(s *Snapshot) NodeStatus {
	view := *s
	view.At, view.Store, view.Peers = w.Now, Read(w.Store, w.Now), nil
	if view.Reservations.Err == nil {
		view.Reservations = Read(w.reservations(), w.Now)
	}
	view.Lease = Lease{Until: w.Now.Add(time.Second)}
	st := NodeStatus{Lease: true, Stopping: s.Stopping != "", HoldsNothing: true}
	st.Networks, st.Lost = NetworksUp(w.Config, &view), AdaptersLost(w.Config, &view)
	for i := range w.Config.Groups {
		g := &w.Config.Groups[i]
		role := s.Memory[g.Name].Role
		if IsExternal(w.Config) {
			v := look(w.Config, g, &view)
			st.Groups = append(st.Groups, v.status(Decision{Transition: fsm.Transition{To: role}, Facts: fsm.Facts{Clean: v.clean() && v.dirty() == ""}, Dirty: v.dirty()}))
			continue
		}
		inv := takeInventory(w.Config, g, &view)
		gs := GroupStatus{Group: g.Name, Role: role, Dirty: stays(g, &view, inv) != "", Rested: s.Memory[g.Name].Rested}
		r, fit := unfit(w.Config, g, &view)
		gs.Unfit, gs.Ready = !fit, fit && role == fsm.Standby && inv.Clean() && !gs.Dirty
		st.HoldsNothing = st.HoldsNothing && inv.Clean() && !gs.Dirty
		if gs.Dirty && !role.Holds() && !inv.serving() {
			gs.Phase = Waiting
		}
		if !fit && !role.Holds() {
			gs.Reason = r.String()
		}
		st.Groups = append(st.Groups, gs)
	}
	return st
}

// Happen changes the world as the what-if says and returns the plans that
// follow, on every node.
func (w *World) Happen(e WhatIf) ([]Stage, error) {
	if IsExternal(w.Config) {
		return w.happenExternal(e)
	}
	switch e.Kind {
	case NodeDown:
		if w.Down[e.Node] {
			return nil, fmt.Errorf("cannot lose %s: it is down already", e.Node)
		}
		w.Down[e.Node] = true
	case NodeUp:
		if h := w.Host(e.Node); !w.Down[e.Node] && w.atBarrier(h) {
			w.reboot(h) // what everybody waits for
			break
		}
		if !w.Down[e.Node] { // what it comes back to is a cluster that did without it
			w.Down[e.Node] = true
			w.Settle()
		}
		w.Down[e.Node] = false
		i := slices.IndexFunc(w.Hosts, func(s *Snapshot) bool { return s.Node == e.Node })
		w.Hosts[i] = w.boot(e.Node, w.Now.Add(-time.Hour))
	case Move:
		claim := w.Store.Claims[e.Group]
		w.Store.Requests[e.Group] = Request{Group: e.Group, To: e.Node, By: "operator", Epoch: claim.Epoch}
	case DaemonDied, AddressLost, MountLost:
		s, g := w.holder(e.Group)
		if s == nil {
			return nil, fmt.Errorf("cannot lose %s: no node holds group %s now", e.Name, e.Group)
		}
		lose(s, g, e)
	}
	return w.Settle(), nil
}

// holder is the host that holds a group, nil if none does.
func (w *World) holder(group string) (*Snapshot, *config.Group) {
	claim := w.Store.Claims[group]
	for _, s := range w.Hosts {
		if claim.Holder == s.Node && claim.BootID == s.BootID && !claim.Released && !w.Down[s.Node] {
			return s, w.Config.Group(group)
		}
	}
	return nil, nil
}
