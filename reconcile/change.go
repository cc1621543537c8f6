package reconcile

import (
	"fmt"
	"slices"
	"time"

	"understudy/config"
)

// Which file counts is kept in the store like a claim, under a name that no group can
// have: written at a revision, by a node with a lease, in one transaction. Its epoch
// counts the files. A change is two writes of it: the first proposes a file, and every
// node says yes or no to it; the second makes it the one that counts, or takes the
// proposal back. What a node that fell over in between has to do it reads there.

// FileKey is the name of the claim that says which file counts.
const FileKey = "@file"

// FileRecord says which file counts.
type FileRecord struct {
	Hash   string    `json:"hash"`
	Sealed []byte    `json:"sealed"` // the file and its profiles, under the key of the cluster
	By     string    `json:"by"`     // who put it in force
	Reason string    `json:"reason,omitempty"`
	At     time.Time `json:"at"` // for people
	// Next is a file that is being voted on, nil if none is. It means nothing until it
	// is the one that counts.
	Next *Proposal `json:"next,omitempty"`
	// Last is what became of the proposal before, for people.
	Last string `json:"last,omitempty"`
}

// Proposal is a file that shall count.
type Proposal struct {
	ID      string    `json:"id"` // of this attempt
	Hash    string    `json:"hash"`
	Sealed  []byte    `json:"sealed"`
	Node    string    `json:"node"`              // whose service asks
	Without []string  `json:"without,omitempty"` // nodes that get it when they return
	By      string    `json:"by"`
	Reason  string    `json:"reason,omitempty"`
	At      time.Time `json:"at"` // for people
}

// Vote is the order under which a node keeps its answer to a proposal: To is the
// proposal's id, By the node, and Reason why not, "" for a yes.
const Vote Order = "vote"

// CountingFile is what the store says of the file that counts, false if it says nothing
// or could not be read.
func CountingFile(s *Snapshot) (FileRecord, bool) {
	c, ok := s.Store.Value.Claims[FileKey]
	if !s.Store.OK() || !ok || c.File == nil {
		return FileRecord{}, false
	}
	return *c.File, true
}

// VoteOf is a node's answer to a proposal, false if it has given none.
func VoteOf(v *StoreView, p *Proposal, node string) (refusal string, voted bool) {
	r, ok := v.Requests[OrderKey(Vote, node)]
	return r.Reason, ok && r.Order == Vote && r.To == p.ID
}

// Protocol is what this program knows of what nodes tell each other and keep in the
// store. It grows when something comes that an older program would misread:
//
//	1  claims, fences, confirmations, requests
//	2  the file that counts
const Protocol = 2

// Spoken is what all nodes of the file know: the lowest of what they were last heard to
// know. One that has not been heard yet counts as the oldest there is. What an older
// program does not know is held back until this says that all do.
func Spoken(c *config.Config, s *Snapshot) int {
	out := Protocol
	for _, n := range c.Nodes {
		if n.Name != s.Node {
			out = min(out, max(1, s.Peer(n.Name).Status.Speaks))
		}
	}
	return out
}

// skewed says that this node's file is not the one that counts, and that it therefore
// takes nothing over.
func skewed(c *config.Config, s *Snapshot) (Reason, bool) {
	f, ok := CountingFile(s)
	if !ok || c.Skew != config.SkewHold || f.Hash == c.Hash {
		return Reason{}, false
	}
	return Reason{
		Text: fmt.Sprintf("the file of this node (%.8s) is not the one that counts (%.8s)", c.Hash, f.Hash),
		Way:  "see the configuration note of: understudy status",
	}, true
}

// changing says that a changed file has not got the group, or that something of it has
// to be let go here first.
func changing(g *config.Group) (Reason, bool) {
	switch {
	case g.Gone:
		return Reason{Text: "the changed file has not got it"}, true
	case g.Shed != nil:
		return Reason{Text: "something of it is let go first that the changed file has not got"}, true
	}
	return Reason{}, false
}

// toShed lists what of a group is here and must be let go for a changed file, and
// whether all of that could be read.
func toShed(g *config.Group, s *Snapshot, inv Inventory) (here []Item, read bool) {
	read = true
	if g.Shed == nil {
		return nil, true
	}
	names := map[ItemKind][]string{
		VolumeItem: g.Shed.Volumes, MountItem: g.Shed.Filesystems, AddressItem: g.Shed.Addresses, AppItem: g.Shed.Applications,
	}
	for _, i := range inv.Items {
		if !slices.Contains(names[i.Kind], i.Name) {
			continue
		}
		switch {
		case i.State == Unknown:
			read = false
		case i.Kind == MountItem:
			// What else is mounted at its place is not of it.
			k := slices.IndexFunc(g.Filesystems, func(fs config.Filesystem) bool { return fs.Mount == i.Name })
			if len(mountsOf(g.Filesystems[k], s)) > 0 {
				here = append(here, i)
			}
		case i.State != Absent:
			here = append(here, i)
		}
	}
	return here, read
}

// Settled reports whether nothing of a group is here any more that must be let go
// before a changed file can be taken over for it.
func Settled(c *config.Config, g *config.Group, s *Snapshot) bool {
	inv := takeInventory(c, g, s)
	if g.Gone {
		return s.Store.OK() && !ours(s.Store.Value.Claims[g.Name], s) && inv.Clean() && s.Memory[g.Name].SavedHostname == ""
	}
	here, read := toShed(g, s, inv)
	return read && len(here) == 0
}

// shed lets go of what a changed file has not got, inner first, and of nothing else;
// when that is not here any more, the group is what the changed file says.
func (b *builder) shed() {
	here, _ := toShed(b.g, b.s, b.inv)
	if len(here) == 0 {
		return
	}
	const why = "the changed file has not got it, or has it otherwise"
	is := func(k ItemKind, name string) bool {
		return slices.ContainsFunc(here, func(i Item) bool { return i.Kind == k && i.Name == name })
	}
	b.stops(func(a config.Application) bool { return is(AppItem, a.Name) })
	for _, a := range slices.Backward(b.g.Addresses) {
		if is(AddressItem, a.Label) {
			b.add(DropAddress{Address: a}, why)
		}
	}
	for _, fs := range b.takeOffOrder() {
		if is(MountItem, fs.Mount) && b.takeOff(fs, "let "+fs.Mount+" go", why) && fs.Volume == "" && !fs.Local {
			b.add(Deactivate{Device: fs.Device}, "nothing may stay in this kernel's buffers")
		}
	}
	for _, a := range slices.Backward(b.g.Aggregates) {
		if a.Volume == "" && slices.Contains(b.g.Shed.Aggregates, a.Device) {
			b.add(Deactivate{Device: a.Device}, "nothing may stay in this kernel's buffers")
		}
	}
	for _, v := range slices.Backward(b.g.Volumes) {
		if is(VolumeItem, v.Name) {
			b.add(Deactivate{Volume: v}, why)
		}
	}
}

// ChangePlans are the plans that follow, on every node, when a changed file is taken
// over, from what one node sees now. What the changed file names anew is taken to be
// there.
func ChangePlans(old, next *config.Config, s *Snapshot) []Stage {
	w := Around(old, s)
	w.Settle() // what is to be done anyway is not of the change
	if c, ok := w.Store.Claims[FileKey]; ok && c.File != nil {
		f := *c.File
		f.Hash, c.File = next.Hash, &f
		w.Store.Claims[FileKey] = c
	}
	w.Learn(next)
	w.Config = config.Staged(old, next, nil)
	out := w.Settle()
	w.Config = config.Staged(old, next, func(string) bool { return true })
	return append(out, w.Settle()...)
}

// Learn gives every host of the model what another file names: its disks, and its
// programs, which do not run.
func (w *World) Learn(c *config.Config) {
	for _, h := range w.Hosts {
		h.learn(c, w)
	}
}

func (s *Snapshot) learn(c *config.Config, w *World) {
	devices := slices.Clone(s.Devices.Value)
	add := func(path string) {
		if i := slices.IndexFunc(devices, func(d Device) bool { return d.Path == path }); i < 0 {
			devices = append(devices, Device{Path: path, Present: true, Major: 7, Minor: uint32(1000 + len(devices))})
		}
	}
	apps := slices.Clone(s.Apps.Value)
	know := func(group string, a config.Application) {
		if !slices.ContainsFunc(apps, func(st AppState) bool { return st.Group == group && st.App == a.Name }) {
			apps = append(apps, AppState{Group: group, App: a.Name, Daemons: stopped(a)})
		}
	}
	for _, g := range c.Groups {
		for _, fs := range g.Filesystems {
			add(fs.Device)
		}
		for _, a := range g.Aggregates {
			add(a.Device)
		}
		for _, a := range g.Applications {
			know(g.Name, a)
		}
	}
	for _, sv := range ServicesOn(c, s.Node) {
		know(NodeGroup, sv.Application)
	}
	volumes := slices.Clone(s.Volumes.Value)
	was := w.Config
	w.Config = c
	for _, v := range w.volumesAt(s.Node) {
		if !slices.ContainsFunc(volumes, func(x VolumeState) bool { return x.Name == v.Name }) {
			volumes = append(volumes, v)
		}
	}
	w.Config = was
	s.Devices.Value, s.Apps.Value, s.Volumes.Value = devices, apps, volumes
}
