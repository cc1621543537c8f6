package config

import (
	"fmt"
	"slices"
	"time"
)

// ReservationMode says whether a group's disks are reserved for its holder.
type ReservationMode string

// The modes.
const (
	ReservationNone     ReservationMode = "none"     // the disks refuse nothing
	ReservationRequired ReservationMode = "required" // nothing is activated or mounted before the disks refuse the others
)

// reservation checks that a group has something that can be reserved, and that the
// store is not on it: every node writes to the store all the time.
func (b *builder) reservation(f *fileGroup, g *Group, what string) {
	if g.Reservation != ReservationRequired {
		return
	}
	if len(g.Volumes) == 0 && len(g.Aggregates) == 0 && !slices.ContainsFunc(g.Filesystems, func(fs Filesystem) bool { return !fs.Local }) &&
		!slices.ContainsFunc(f.Filesystem, func(fs fileFilesystem) bool { return fs.bad }) {
		b.add(ruleReservation, f.Reservation.line, "take it out, or declare the disks", "%s: reservation is required, and the group has no shared storage", what)
	}
	device := b.config.Lease.Device
	if b.config.Lease.Store != StoreDisk || device == "" {
		return
	}
	vg := inferVolume(device)
	same := func(path, volume string) bool { return path == device || volume != "" && volume == vg }
	if slices.ContainsFunc(g.Filesystems, func(fs Filesystem) bool { return same(fs.Device, fs.Volume) }) ||
		slices.ContainsFunc(g.Aggregates, func(a Aggregate) bool { return same(a.Device, a.Volume) }) {
		b.add(ruleReservedStore, f.Reservation.line, "give the store a disk of its own", "%s: it would reserve %s, where the store is and every node writes", what, device)
	}
}

// SharedDevices are the paths of the group's shared storage, as the file has them: of its
// file systems, but for those on disks of a node's own, and of its aggregates.
func (g *Group) SharedDevices() []string {
	var out []string
	for _, fs := range g.Filesystems {
		if !fs.Local {
			out = append(out, fs.Device)
		}
	}
	for _, a := range g.Aggregates {
		out = append(out, a.Device)
	}
	return out
}

// reserves are the devices that the disks keep for the holder of the group, sorted, and
// how their volume groups are used; nil without a reservation. They stay the same while
// a group is up: a disk that comes would have to be reserved beneath what is mounted,
// and one that goes would keep its key.
func (g *Group) reserves() []string {
	if g.Reservation != ReservationRequired {
		return nil
	}
	out := g.SharedDevices()
	for _, v := range g.Volumes {
		out = append(out, fmt.Sprint("volume group ", v))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// rangeFenceSettle is how long may be waited after a fence.
var rangeFenceSettle = span{0, 10 * time.Minute}
