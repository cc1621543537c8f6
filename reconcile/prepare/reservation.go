package prepare

import (
	"fmt"
	"strings"

	"understudy/config"
	"understudy/reconcile"
)

// DiskFact is one disk below a device or a volume group of the file, or below the
// store's own device.
type DiskFact struct {
	ID     string // its own designation, "" if it tells none
	Name   string // the kernel's name of the first path
	Paths  int
	Partly bool // only a part of it is used
	// Able says that it has the type of reservation that so many paths need, Says that
	// it told its types at all. Persist: registrations outlive a power cut of it.
	Able, Says, Persist bool
	Keys                []reconcile.ReservationKey
}

// reservationItems are the disks that a group has reserved. They lie in the same row
// as what keeps other hosts off shared disks.
func (b *builder) reservationItems(g *config.Group) {
	devices, volumes := reconcile.ReservedObjects(g)
	for _, object := range append(devices, volumes...) {
		b.add(b.reservation(g, object))
	}
}

func (b *builder) reservation(g *config.Group, object string) Item {
	it := Item{Name: "reservation of " + object, Rows: []string{"S105"}, Section: Storage, Group: g.Name,
		Want: "whole SCSI disks that can be reserved, and that nothing else uses"}
	s := b.f.Disks[object]
	if !s.OK() {
		it.State, it.Seen, it.Way = Unknown, s.Why().Error(), `attach SCSI disks, or: reservation = "none"`
		return it
	}
	own := reconcile.NewReservationKey(b.c, g.Name, b.f.Node, 0)
	var seen []string
	it.State = Done
	worse := func(st State, text, way string) {
		if it.State != Blocked {
			it.State, it.Way = st, way
		}
		seen = append(seen, text)
	}
	for _, d := range s.Value {
		typ := reconcile.TypeFor(d.Paths)
		switch other := b.usedBy(d, g, object); {
		case other != "":
			worse(Blocked, fmt.Sprintf("%s is also the disk of %s, whose writes would be refused", d.Name, other), "give each a disk of its own")
		case d.Says && !d.Able:
			worse(Blocked, fmt.Sprintf("%s cannot be reserved as %q", d.Name, typ), `enable persistent reservations on the array, or: reservation = "none"`)
		case foreign(d.Keys, own) != 0:
			k := foreign(d.Keys, own)
			worse(Blocked, fmt.Sprintf("%s has %s", d.Name, k.Words(own, nil)), reconcile.ClearReservations(d.Name))
		case !d.Persist:
			worse(ByHand, fmt.Sprintf("%s forgets reservations when its power goes", d.Name), "enable APTPL on the array; until then a power cut of it takes the lock off for some seconds")
		case d.Partly:
			worse(ByHand, fmt.Sprintf("a part of %s is used, and the whole is reserved", d.Name), "see that nothing else is on the disk, or use it whole")
		case d.ID == "":
			worse(ByHand, d.Name+" tells no designation, so that a second path to it would not be known", "use it by one path")
		default:
			seen = append(seen, fmt.Sprintf("%s, by %s, as %q", d.Name, paths(d.Paths), typ))
		}
	}
	it.Seen = strings.Join(seen, "; ")
	return it
}

// foreign is a key that is not of the group, 0 if there is none.
func foreign(keys []reconcile.ReservationKey, own reconcile.ReservationKey) reconcile.ReservationKey {
	for _, k := range keys {
		if !k.Same(own) {
			return k
		}
	}
	return 0
}

// usedBy is what else of the file lies on a disk, "" if nothing does.
func (b *builder) usedBy(d DiskFact, g *config.Group, object string) string {
	on := func(other string) bool {
		for _, o := range b.f.Disks[other].Value {
			if d.ID != "" && o.ID == d.ID || o.Name == d.Name {
				return true
			}
		}
		return false
	}
	if dev := b.c.Lease.Device; dev != "" && dev != object && on(dev) {
		return "the store (" + dev + ")"
	}
	for i := range b.c.Groups {
		if o := &b.c.Groups[i]; o.Name != g.Name {
			for _, object := range SharedObjects(o) {
				if on(object) {
					return "group " + o.Name + " (" + object + ")"
				}
			}
		}
	}
	return ""
}

// SharedObjects names the shared devices and volume groups of a group.
func SharedObjects(g *config.Group) []string {
	all := *g
	all.Reservation = config.ReservationRequired
	devices, volumes := reconcile.ReservedObjects(&all)
	return append(devices, volumes...)
}

// AskDisks names what disks are looked for below: nothing where no group requires a
// reservation, and otherwise all that could lie on the same disk.
func AskDisks(c *config.Config) []string {
	var out []string
	required := false
	for i := range c.Groups {
		required = required || c.Groups[i].Reservation == config.ReservationRequired
		out = append(out, SharedObjects(&c.Groups[i])...)
	}
	if !required {
		return nil
	}
	if c.Lease.Device != "" {
		out = append(out, c.Lease.Device)
	}
	return out
}

func paths(n int) string {
	if n == 1 {
		return "1 path"
	}
	return fmt.Sprintf("%d paths", n)
}
