package reconcile

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"

	"understudy/config"
)

// Presence is three-valued: what could not be read is neither here nor gone.
type Presence int

// The presences.
const (
	Unknown Presence = iota
	Absent
	Present
	Wrong // something is there, and it is not what the file names
)

// String is the presence's word.
func (p Presence) String() string {
	return [...]string{"unknown", "absent", "present", "wrong"}[p]
}

// ItemKind says what kind of resource an item is.
type ItemKind string

// The kinds of item, in the order of taking up.
const (
	VolumeItem ItemKind = "volume group"
	MountItem  ItemKind = "mount"
	// AggregateItem is a device that is not mounted; with store external only.
	AggregateItem ItemKind = "aggregate"
	AddressItem   ItemKind = "address"
	AppItem       ItemKind = "application"
)

// Item is one resource of a group as this host has it.
type Item struct {
	Kind   ItemKind
	Name   string // mount point, label, application
	State  Presence
	Detail string // why it is not Present, for people
}

// Inventory is what this host has of one group.
type Inventory struct {
	Items []Item // volume groups, then file systems outer first, then addresses, then applications in start order
}

// Clean reports that nothing of the group is here and that all of it was read.
func (inv Inventory) Clean() bool { return inv.all(Absent) }

// Whole reports that all of the group is here as the file names it.
func (inv Inventory) Whole() bool { return inv.all(Present) }

// Anything reports that something of the group is here, whole or not.
func (inv Inventory) Anything() bool {
	return slices.ContainsFunc(inv.Items, func(i Item) bool { return i.State == Present || i.State == Wrong })
}

// serving reports that an application of the group runs here, whole or not.
func (inv Inventory) serving() bool {
	return slices.ContainsFunc(inv.Items, func(i Item) bool { return i.Kind == AppItem && (i.State == Present || i.State == Wrong) })
}

// Unread lists the items that could not be read.
func (inv Inventory) Unread() []Item { return inv.in(Unknown) }

// Missing lists the items that are not here as they should be.
func (inv Inventory) Missing() []Item {
	var out []Item
	for _, i := range inv.Items {
		if i.State == Absent || i.State == Wrong {
			out = append(out, i)
		}
	}
	return out
}

// State returns the state of one item, Unknown if there is none of that name.
func (inv Inventory) State(k ItemKind, name string) Presence { return inv.item(k, name).State }

func (inv Inventory) item(k ItemKind, name string) Item {
	for _, i := range inv.Items {
		if i.Kind == k && i.Name == name {
			return i
		}
	}
	return Item{Kind: k, Name: name}
}

func (inv Inventory) all(p Presence) bool {
	return !slices.ContainsFunc(inv.Items, func(i Item) bool { return i.State != p })
}

func (inv Inventory) in(p Presence) []Item {
	var out []Item
	for _, i := range inv.Items {
		if i.State == p {
			out = append(out, i)
		}
	}
	return out
}

// takeInventory looks up everything that g declares in a snapshot.
func takeInventory(c *config.Config, g *config.Group, s *Snapshot) Inventory {
	inv := Inventory{Items: volumeItems(g, s)}
	for _, fs := range outerFirst(g.Filesystems) {
		inv.Items = append(inv.Items, mountItem(fs, s))
	}
	for _, a := range g.Addresses {
		inv.Items = append(inv.Items, addressItem(c, a, s))
	}
	for _, a := range g.Applications {
		inv.Items = append(inv.Items, appItem(g.Name, a, s))
	}
	return inv
}

func mountItem(fs config.Filesystem, s *Snapshot) Item {
	it := Item{Kind: MountItem, Name: fs.Mount}
	if !s.Mounts.OK() {
		it.Detail = "mount table: " + s.Mounts.Why().Error()
		return it
	}
	it.State, it.Detail = Absent, "not mounted"
	// The last line wins: a later mount at the same point hides the earlier one.
	isOurs := ofDevice(fs.Device, s)
	for _, m := range s.Mounts.Value {
		ours := isOurs(m)
		switch {
		case m.Point == fs.Mount && ours:
			it.State, it.Detail = Present, ""
			if m.ReadOnly && !slices.Contains(fs.Options, "ro") {
				it.State, it.Detail = Wrong, "mounted read-only; the kernel may have found errors on "+fs.Device
			}
		case m.Point == fs.Mount:
			it.State, it.Detail = Wrong, fmt.Sprintf("%s (%s) is mounted there", m.Source, m.FSType)
		case it.State == Present && isBelow(fs.Mount, m.Point):
			it.State, it.Detail = Wrong, fmt.Sprintf("hidden by what was mounted at %s after it", m.Point)
		case ours && it.State == Absent:
			it.State, it.Detail = Wrong, fmt.Sprintf("%s is mounted at %s", fs.Device, m.Point)
		}
	}
	return it
}

// isDevice reports whether m is a mount of the block device at path.
func isDevice(device string, m Mount, s *Snapshot) bool { return ofDevice(device, s)(m) }

// ofDevice returns the test for a mount of the block device at path. The device
// is looked up once, as there may be thousands of devices and mounts.
func ofDevice(device string, s *Snapshot) func(Mount) bool {
	if s.Devices.OK() {
		for i := range s.Devices.Value {
			if d := &s.Devices.Value[i]; d.Path == device && d.Present {
				major, minor := d.Major, d.Minor
				return func(m Mount) bool {
					if m.Major == 0 { // btrfs and others mount under an anonymous number
						return m.Source == device
					}
					return m.Major == major && m.Minor == minor
				}
			}
		}
	}
	return func(m Mount) bool { return m.Source == device }
}

// mountsOf lists every point at which a file system of fs is mounted here, in
// the order of the mount table.
func mountsOf(fs config.Filesystem, s *Snapshot) []string {
	var points []string
	isOurs := ofDevice(fs.Device, s)
	for _, m := range s.Mounts.Value {
		if isOurs(m) {
			points = append(points, m.Point)
		}
	}
	return points
}

// strangerAt is the mount that is seen at a point, if it is not of fs.
func strangerAt(point string, fs config.Filesystem, s *Snapshot) (Mount, bool) {
	for _, m := range slices.Backward(s.Mounts.Value) {
		if m.Point == point {
			return m, !isDevice(fs.Device, m, s)
		}
	}
	return Mount{}, false
}

func addressItem(c *config.Config, a config.ServiceAddress, s *Snapshot) Item {
	it := Item{Kind: AddressItem, Name: a.Label}
	if !s.Addrs.OK() {
		it.Detail = "addresses: " + s.Addrs.Why().Error()
		return it
	}
	it.State, it.Detail = Absent, "not on any link"
	place, placed := placeOf(a, c, s)
	for _, h := range s.Addrs.Value {
		if h.Prefix.Addr() != a.Prefix.Addr() {
			continue
		}
		switch {
		case h.Conflict:
			it.State, it.Detail = Wrong, "another host on the wire has it"
		case placed && h.Link != place.Link:
			it.State, it.Detail = Wrong, fmt.Sprintf("on %s instead of %s", h.Link, place.Link)
			if from, ok := swappedFrom(a, place, c, s); ok && from.Link == h.Link {
				it.Detail = fmt.Sprintf("%s; %s has network %s too", from.Detail, place.Link, a.Network)
			}
		case it.State != Wrong:
			it.State, it.Detail = Present, ""
		}
	}
	return it
}

func appItem(group string, a config.Application, s *Snapshot) Item {
	it := Item{Kind: AppItem, Name: a.Name}
	st, ok := appState(group, a.Name, s)
	if !ok {
		it.Detail = "processes: " + cmp.Or(s.Apps.Why(), ErrNotRead).Error()
		return it
	}
	var up, down []string
	for _, d := range st.Daemons {
		if len(d.Processes) > 0 {
			up = append(up, d.Name)
		} else if !d.Optional {
			down = append(down, d.Name)
		}
	}
	switch {
	case len(up) == 0:
		it.State, it.Detail = Absent, "not running"
	case len(down) > 0:
		it.State, it.Detail = Wrong, strings.Join(down, ", ")+" not running"
	case st.Probe == ProbeBad:
		it.State, it.Detail = Wrong, "probe failed: "+st.ProbeErr
	default:
		it.State, it.Detail = Present, st.Doubt
	}
	return it
}

func appState(group, app string, s *Snapshot) (AppState, bool) {
	if s.Apps.OK() {
		for _, st := range s.Apps.Value {
			if st.Group == group && st.App == app {
				return st, true
			}
		}
	}
	return AppState{}, false
}

// outerFirst orders file systems so that a mount comes before those below it,
// and keeps the file's order otherwise.
func outerFirst(in []config.Filesystem) []config.Filesystem {
	out := slices.Clone(in)
	slices.SortStableFunc(out, func(a, b config.Filesystem) int {
		return cmp.Compare(strings.Count(path.Clean(a.Mount), "/"), strings.Count(path.Clean(b.Mount), "/"))
	})
	return out
}

// networks lists the networks that the group's addresses are on, sorted.
func networks(g *config.Group) []string {
	var out []string
	for _, a := range g.Addresses {
		if !slices.Contains(out, a.Network) {
			out = append(out, a.Network)
		}
	}
	slices.Sort(out)
	return out
}

// NetworksUp lists the networks of the file on which this host can serve, sorted
// as in the file.
func NetworksUp(c *config.Config, s *Snapshot) []string {
	var out []string
	for _, n := range c.Networks {
		if up, _ := networkUp(n.Name, c, s); up == Present {
			out = append(out, n.Name)
		}
	}
	return out
}
