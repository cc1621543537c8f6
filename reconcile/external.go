package reconcile

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"understudy/config"
	"understudy/fsm"
)

// With store external another cluster manager, or a person, moves addresses and
// disks, and "held" is what is observed: all that it moves of the group (its lent
// items) is here. What is ours is the host name, the purge, the applications, and
// file systems on the node's own disks, which no other manager knows. Nothing that
// is lent is ever mounted, unmounted, added or dropped; what is not wholly here is
// not started, and stopped at once.

// Evidence of a claim that is seen and not written.
const EvidenceSeen EvidenceKind = "seen"

// EpochSeen is the epoch of every claim that is seen: nobody counts them.
const EpochSeen = 1

// partlyLimit is how long the other manager may take over bringing or taking a
// group before a person is asked to look.
const partlyLimit = 2 * time.Minute

// PeerMark is the last that a peer said about a group's disks. It outlives the
// peer's voice and, on disk, this program.
type PeerMark struct {
	BootID string `json:"boot_id"`
	Dirty  bool   `json:"dirty"` // only a reboot of that boot lets go of them
}

// IsExternal reports whether another manager decides who may own.
func IsExternal(c *config.Config) bool { return c.Lease.Store == config.StoreExternal }

// sight is what one snapshot shows of one group whose storage another manager moves.
type sight struct {
	c    *config.Config
	g    *config.Group
	s    *Snapshot
	inv  Inventory
	m    Memory
	lent []Item
}

func look(c *config.Config, g *config.Group, s *Snapshot) sight {
	v := sight{c: c, g: g, s: s, m: s.Memory[g.Name]}
	local := map[string]bool{}
	for _, fs := range outerFirst(g.Filesystems) {
		local[fs.Mount] = fs.Local
		v.inv.Items = append(v.inv.Items, surely(mountItem(fs, s), fs, s))
	}
	for _, a := range g.Aggregates {
		v.inv.Items = append(v.inv.Items, aggregateSeen(a, s))
	}
	for _, a := range g.Addresses {
		v.inv.Items = append(v.inv.Items, labelItem(a, s))
	}
	for _, i := range v.inv.Items {
		if i.Kind != MountItem || !local[i.Name] {
			v.lent = append(v.lent, i)
		}
	}
	for _, a := range g.Applications {
		v.inv.Items = append(v.inv.Items, appItem(g.Name, a, s))
	}
	return v
}

// surely calls a mount unknown where it could only be told by a device that cannot
// be looked at: what is mounted there may well be the group's.
func surely(i Item, fs config.Filesystem, s *Snapshot) Item {
	if i.State != Wrong || slices.ContainsFunc(s.Devices.Value, func(d Device) bool { return s.Devices.OK() && d.Path == fs.Device && d.Present }) {
		return i
	}
	for _, m := range s.Mounts.Value {
		if m.Point == fs.Mount {
			i.State, i.Detail = Unknown, fmt.Sprintf("%s is mounted there, and %s cannot be looked at to compare", m.Source, fs.Device)
		}
	}
	return i
}

func aggregateSeen(a config.Aggregate, s *Snapshot) Item {
	i := Item{Kind: AggregateItem, Name: a.Device}
	if !s.Devices.OK() {
		i.Detail = "devices: " + s.Devices.Why().Error()
		return i
	}
	for _, d := range s.Devices.Value {
		if d.Path == a.Device {
			if i.State = Present; !d.Present {
				i.State, i.Detail = Absent, "the device is not there"
			}
			return i
		}
	}
	i.Detail = "the device was not looked at"
	return i
}

// labelItem looks for a service address on any link but the loopback: another
// manager may have a link of its own for it (keepalived's use_vmac).
func labelItem(a config.ServiceAddress, s *Snapshot) Item {
	i := Item{Kind: AddressItem, Name: a.Label}
	if !s.Addrs.OK() {
		i.Detail = "addresses: " + s.Addrs.Why().Error()
		return i
	}
	i.State, i.Detail = Absent, "not on any link"
	for _, h := range s.Addrs.Value {
		switch {
		case h.Prefix.Addr() != a.Prefix.Addr() || h.Link == "lo" || h.Link == "lo0":
		case h.Conflict:
			i.State, i.Detail = Wrong, "another host on the wire has it"
		default:
			i.State, i.Detail = Present, ""
		}
	}
	return i
}

// held is Present if every lent item is here, Absent if one surely is not, and
// Unknown otherwise.
func (v sight) held() Presence {
	out := Present
	for _, i := range v.lent {
		switch i.State {
		case Absent, Wrong:
			return Absent
		case Unknown:
			out = Unknown
		}
	}
	if len(v.lent) == 0 {
		return Unknown // nothing would show where it is
	}
	return out
}

// partly reports that some of what is lent is here and some surely is not.
func (v sight) partly() bool {
	return v.held() == Absent && slices.ContainsFunc(v.lent, func(i Item) bool { return i.State == Present || i.State == Wrong })
}

// running is the first application of the group that is up here, even in part.
func (v sight) running() (Item, bool) { return v.first(AppItem, Present, Wrong) }

func (v sight) first(k ItemKind, states ...Presence) (Item, bool) {
	for _, i := range v.inv.Items {
		if i.Kind == k && slices.Contains(states, i.State) {
			return i, true
		}
	}
	return Item{}, false
}

// ours are the items that understudy itself brings: local mounts and applications.
func (v sight) ours() []Item {
	var out []Item
	for _, i := range v.inv.Items {
		if !slices.ContainsFunc(v.lent, func(l Item) bool { return l.Kind == i.Kind && l.Name == i.Name }) {
			out = append(out, i)
		}
	}
	return out
}

// clean reports that nothing of what understudy itself brings is here.
func (v sight) clean() bool {
	return v.m.SavedHostname == "" && !slices.ContainsFunc(v.ours(), func(i Item) bool { return i.State != Absent })
}

// served reports that the group was up here, or half up, when it was last seen.
func (v sight) served() bool { return v.m.Role.Holds() || v.m.Whole > 0 }

// classify is [classify] where another manager moves the storage.
func (v sight) classify() (fsm.Event, string) {
	if len(v.lent) == 0 {
		return fsm.Unsure, "the group has neither a file system nor an address that another manager could move: nothing shows where it is"
	}
	switch v.held() {
	case Absent:
		return v.elsewhere()
	case Unknown:
		i := v.lent[slices.IndexFunc(v.lent, func(i Item) bool { return i.State == Unknown })]
		return fsm.Unsure, fmt.Sprintf("%s %s could not be read: %s", i.Kind, i.Name, i.Detail)
	}
	if r, ok := v.rival(); ok {
		return fsm.HeldElsewhere, r.Text
	}
	if i, ok := v.unread(); ok {
		return fsm.Unsure, fmt.Sprintf("%s %s could not be read: %s", i.Kind, i.Name, i.Detail)
	}
	if why := v.mustStop(); why != "" {
		return fsm.Yield, why
	}
	var missing Item
	for _, i := range slices.Backward(v.ours()) {
		if i.State == Absent || i.State == Wrong {
			missing = i
		}
	}
	if missing.Name == "" && v.m.SavedHostname == "" {
		return fsm.Held, "every file system and address is here, and everything is up"
	}
	if r := v.holdUps(); len(r) > 0 && v.m.Whole == 0 && missing.Name != "" {
		if i, up := v.running(); up {
			return fsm.Stray, fmt.Sprintf("%s %s runs, and may not yet: %s", i.Kind, i.Name, r[0].Text)
		}
		return fsm.Free, "every file system and address is here; " + r[0].Text
	}
	if missing.Name == "" {
		return fsm.Broken, "the host name " + v.m.SavedHostname + " is to be put back"
	}
	return fsm.Broken, fmt.Sprintf("every file system and address is here; %s %s: %s", missing.Kind, missing.Name, missing.Detail)
}

// elsewhere is for a group that is surely not wholly here.
func (v sight) elsewhere() (fsm.Event, string) {
	gone := v.lent[slices.IndexFunc(v.lent, func(i Item) bool { return i.State == Absent || i.State == Wrong })]
	what := fmt.Sprintf("%s %s is not here (%s)", gone.Kind, gone.Name, gone.Detail)
	for _, i := range slices.Backward(v.ours()) {
		if i.State == Present || i.State == Wrong {
			return fsm.Stray, fmt.Sprintf("%s, and %s %s is up", what, i.Kind, i.Name)
		}
	}
	if v.m.SavedHostname != "" {
		return fsm.Stray, what + ", and the host name " + v.m.SavedHostname + " is to be put back"
	}
	if i, ok := v.unread(); ok {
		why := fmt.Sprintf("%s, and %s %s could not be read: %s", what, i.Kind, i.Name, i.Detail)
		if v.served() || v.m.ErrorVerb != "" {
			return fsm.Stray, why
		}
		return fsm.Unsure, why
	}
	for _, n := range v.others() {
		if p := v.s.Peer(n); p.State == PeerHeard && p.Status.Group(v.g.Name).Here {
			return fsm.HeldElsewhere, "every file system and address of it is on " + n
		}
	}
	if v.partly() {
		return fsm.Free, "only a part of it is here: " + what
	}
	return fsm.Free, "nothing of it is here"
}

func (v sight) unread() (Item, bool) {
	for _, i := range v.ours() {
		if i.State == Unknown {
			return i, true
		}
	}
	return Item{}, false
}

// mustStop says why the applications must not run although everything is here, ""
// if nothing speaks against it.
func (v sight) mustStop() string {
	switch {
	case v.m.Released != "" && v.m.Released == v.s.BootID:
		return "the other manager has said that it takes the group away"
	case v.s.Stopping != "":
		return "this node is leaving: " + v.s.Stopping
	}
	return v.m.Failed
}

// others are the other nodes of the group, highest priority first.
func (v sight) others() []string {
	return slices.DeleteFunc(slices.Clone(v.g.Nodes), func(n string) bool { return n == v.s.Node })
}

// rival is another node that holds the group, or sees all of it, while all of it is
// here too. A node that serves goes on if the other only sees it: that one does not
// start. If both serve, both stop, and then neither starts again: that it has served
// before puts none of them before the other.
func (v sight) rival() (Reason, bool) {
	way := "take the file systems and addresses away on one of the two: one disk on two hosts is destroyed"
	_, running := v.running()
	for _, n := range v.others() {
		p := v.s.Peer(n)
		gs := p.Status.Group(v.g.Name)
		switch {
		case p.State != PeerHeard:
		case gs.Role.Holds():
			return Reason{Text: "all of it is here, and " + n + " says that it holds it too", Way: way}, true
		case gs.Here && !v.m.Role.Holds() && (gs.Running || !running):
			return Reason{Text: "all of it is here, and on " + n + " as well", Way: way}, true
		}
	}
	return Reason{}, false
}

// names lists items for a sentence.
func names(items []Item) string {
	out := make([]string, len(items))
	for i, it := range items {
		out[i] = it.Name
		if it.Detail != "" {
			out[i] += " (" + it.Detail + ")"
		}
	}
	return strings.Join(out, ", ")
}
