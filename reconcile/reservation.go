package reconcile

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"understudy/config"
)

// A persistent reservation (SPC-4, 5.13) is kept by the disk itself: it refuses the
// writes of every host but those that the reservation allows, whatever those hosts
// believe, and however late the write arrives. That is a lock beside our own and no
// evidence: a node takes a reservation over only behind a claim, and a claim is taken
// on the evidence that it needs without reservations.
//
// Every claim has a key of its own. It names the cluster and group, the node, and the
// claim's epoch, and a node removes only keys of lower epochs. So a host that wakes
// late cannot take the reservation back: its own epoch is the lower one, and what it
// had read before it fell asleep is not registered any more.

// ReservationKey is what a host registers with a disk: 24 bits of the SHA-256 of
// cluster and group, the node's number in the file from 1, and the low 32 bits of the
// epoch. Zero: no key.
type ReservationKey uint64

// NewReservationKey is the key of a node of a file for one claim of a group.
func NewReservationKey(c *config.Config, group, node string, epoch uint64) ReservationKey {
	sum := sha256.Sum256([]byte(c.Cluster + "\x00" + group))
	number := slices.IndexFunc(c.Nodes, func(n config.Node) bool { return n.Name == node }) + 1
	return ReservationKey(uint64(binary.BigEndian.Uint32(sum[:4])>>8)<<40 | uint64(uint8(number))<<32 | uint64(uint32(epoch)))
}

// String is the key as the tools of sg3_utils write it.
func (k ReservationKey) String() string { return fmt.Sprintf("0x%016x", uint64(k)) }

// Same reports whether two keys are of one group of one cluster.
func (k ReservationKey) Same(o ReservationKey) bool { return k != 0 && k>>40 == o>>40 }

// Node is the node's number in the file, from 1.
func (k ReservationKey) Node() int { return int(uint8(k >> 32)) }

// Epoch is the low half of the claim's epoch.
func (k ReservationKey) Epoch() uint32 { return uint32(k) }

// Of reports whether two keys are of one node for one group.
func (k ReservationKey) Of(o ReservationKey) bool { return k.Same(o) && k.Node() == o.Node() }

// Older reports whether k is of the same group as o and of an earlier claim, or of
// the same node and claim: only such a key may be removed for o.
func (k ReservationKey) Older(o ReservationKey) bool {
	return k == o || k.Same(o) && k.Epoch() < o.Epoch()
}

// Words says whose key it is. nodes are those of the file.
func (k ReservationKey) Words(own ReservationKey, nodes []string) string {
	if !k.Same(own) {
		return "a key of another cluster, group or program (" + k.String() + ")"
	}
	name := fmt.Sprintf("node number %d", k.Node())
	if n := k.Node(); n >= 1 && n <= len(nodes) {
		name = nodes[n-1]
	}
	return fmt.Sprintf("the key of %s for epoch %d", name, k.Epoch())
}

// ReservationType says whom a disk lets write. The numbers are those of SPC-4, table
// "Persistent reservation type codes".
type ReservationType uint8

// The types in use. With one path the disk takes writes from that path alone, so that
// a key which is registered late allows nothing. With several it must take them from
// every path that is registered.
const (
	WriteExclusive                ReservationType = 1
	WriteExclusiveRegistrantsOnly ReservationType = 5
)

// String is the type's name, as in SPC-4.
func (t ReservationType) String() string {
	switch t {
	case 0:
		return "none"
	case WriteExclusive:
		return "write exclusive"
	case WriteExclusiveRegistrantsOnly:
		return "write exclusive, registrants only"
	}
	return fmt.Sprintf("type %d", uint8(t))
}

// TypeFor is the type of a reservation for a disk to which so many paths lead.
func TypeFor(paths int) ReservationType {
	if paths > 1 {
		return WriteExclusiveRegistrantsOnly
	}
	return WriteExclusive
}

// Serves reports whether a reservation of type t is good for a disk with so many
// paths. One for many is good for one: a path that has gone may come back.
func (t ReservationType) Serves(paths int) bool {
	return t == WriteExclusiveRegistrantsOnly || t == TypeFor(paths)
}

// Reservation is what one disk says, below a device or a volume group of the file.
type Reservation struct {
	Object string // the device as in the file, or the volume group's name
	Disk   string // the kernel's name of the first path: "sdb"; "" if it could not be told
	Paths  int    // that lead to it here
	Up     int    // those of them that work
	Keys   []ReservationKey
	Holder ReservationKey // zero: nobody holds a reservation
	Type   ReservationType
	Why    string // why it could not be read; "": it was
}

// reserved is what a group's reservation is, as far as its claim is concerned.
type reserved int

const (
	reservedUnknown reserved = iota // one disk at least could not be read
	reservedOurs                    // every disk refuses all hosts but this one
	reservedNot                     // it can be put in place beneath what is mounted
	reservedAway                    // it must be put in place, and not beneath what is mounted
	reservedTaken                   // somebody has it who must not
)

// toReserve are the devices and volume groups that a group has reserved, in the order
// of the file.
func toReserve(g *config.Group) []Reserve {
	if g.Reservation != config.ReservationRequired {
		return nil
	}
	var out []Reserve
	add := func(device, volume string) {
		r := Reserve{Device: device}
		if i := slices.IndexFunc(g.Volumes, func(v config.Volume) bool { return v.Name == volume }); volume != "" && i >= 0 {
			r = Reserve{Volume: g.Volumes[i]}
		}
		if !slices.ContainsFunc(out, func(o Reserve) bool { return o.Device == r.Device && o.Volume == r.Volume }) {
			out = append(out, r)
		}
	}
	for _, fs := range g.Filesystems {
		if !fs.Local {
			add(fs.Device, fs.Volume)
		}
	}
	for _, a := range g.Aggregates {
		add(a.Device, a.Volume)
	}
	return out
}

// ReservedObjects names what a group has reserved: devices, and volume groups.
func ReservedObjects(g *config.Group) (devices, volumes []string) {
	for _, r := range toReserve(g) {
		if r.Device != "" {
			devices = append(devices, r.Device)
		} else {
			volumes = append(volumes, r.Volume.Name)
		}
	}
	return devices, volumes
}

func (s Reserve) object() string   { return objectOf(s.Device, s.Volume) }
func (s Unreserve) object() string { return objectOf(s.Device, s.Volume) }

func objectOf(device string, v config.Volume) string {
	if device != "" {
		return device
	}
	return v.Name
}

// disksOf are the readings below one object. Why is set if nothing may be concluded.
func disksOf(object string, s *Snapshot) (disks []Reservation, why string) {
	if !s.Reservations.OK() {
		return nil, s.Reservations.Why().Error()
	}
	for _, r := range s.Reservations.Value {
		if r.Object != object {
			continue
		}
		if r.Why != "" {
			return nil, r.Why
		}
		disks = append(disks, r)
	}
	if len(disks) == 0 {
		return nil, "it was not looked at"
	}
	return disks, ""
}

// reservation is the state of one object for a claim with the key want, and what is
// wrong with it.
func reservation(object string, want ReservationKey, nodes []string, s *Snapshot) (reserved, string) {
	disks, why := disksOf(object, s)
	if why != "" {
		return reservedUnknown, fmt.Sprintf("the reservation of %s could not be read: %s", object, why)
	}
	worst, detail := reservedOurs, ""
	for _, d := range disks {
		if st, text := d.state(want, nodes); st > worst {
			worst, detail = st, fmt.Sprintf("reservation of %s: %s", object, text)
		}
	}
	return worst, detail
}

// state judges one disk. What grants a host nothing that it has not got already may
// be repaired beneath what is mounted; see TypeFor.
func (d Reservation) state(want ReservationKey, nodes []string) (reserved, string) {
	alien := func(k ReservationKey) bool { return !k.Older(want) }
	if d.Holder != 0 && alien(d.Holder) {
		return reservedTaken, d.Disk + " is held by " + d.Holder.Words(want, nodes)
	}
	// A registration alone allows writing only where registrants may write.
	if i := slices.IndexFunc(d.Keys, alien); i >= 0 && d.Type != WriteExclusive {
		return reservedTaken, d.Disk + " has " + d.Keys[i].Words(want, nodes)
	}
	var own, exact int
	rest := false
	for _, k := range d.Keys {
		switch {
		case k == want:
			own, exact = own+1, exact+1
		case k.Of(want):
			own++
		case k.Older(want):
			rest = true
		}
	}
	repair := reservedNot
	if d.Paths > 1 && own == 0 {
		repair = reservedAway
	}
	switch {
	case own == 0:
		return repair, d.Disk + " does not know this host"
	case exact < d.Up:
		return repair, fmt.Sprintf("%d of %d paths to %s are registered for this claim", exact, d.Up, d.Disk)
	case d.Holder != want:
		return repair, d.Disk + " is not reserved for this claim"
	case !d.Type.Serves(d.Paths):
		return repair, fmt.Sprintf("%s is reserved as %s, with %d paths", d.Disk, d.Type, d.Paths)
	case rest:
		return reservedNot, d.Disk + " knows another node's key of an earlier claim"
	}
	return reservedOurs, ""
}

// reservedFor is the state of all that a group has reserved, for the claim that this
// node holds.
func reservedFor(c *config.Config, g *config.Group, s *Snapshot, claim Claim) (reserved, string) {
	want := NewReservationKey(c, g.Name, s.Node, claim.Epoch)
	worst, detail, unread := reservedOurs, "", ""
	for _, r := range toReserve(g) {
		switch st, text := reservation(r.object(), want, nodeNames(c), s); {
		case st == reservedUnknown:
			unread = text
		case st > worst:
			worst, detail = st, text
		}
	}
	if worst == reservedOurs && unread != "" {
		return reservedUnknown, unread
	}
	return worst, detail
}

func nodeNames(c *config.Config) []string {
	out := make([]string, len(c.Nodes))
	for i, n := range c.Nodes {
		out[i] = n.Name
	}
	return out
}

// reservationLost says why the holder of a claim must let go because of its disks, ""
// if it need not. Another's reservation means that the storage is lost, whatever the
// claim says. Where several paths lead to a disk, its own is not put back beneath what
// is mounted: until the disk was asked who holds it, a host that slept would have
// writes let through that came before.
func reservationLost(c *config.Config, g *config.Group, s *Snapshot, claim Claim, inv Inventory) string {
	st, text := reservedFor(c, g, s, claim)
	mounted := slices.ContainsFunc(g.Filesystems, func(fs config.Filesystem) bool {
		state := inv.State(MountItem, fs.Mount)
		return !fs.Local && (state == Present || state == Wrong)
	})
	switch {
	case st == reservedTaken:
		return text + ", and this node has the claim: its writes are refused"
	case st == reservedAway && (mounted || inv.serving()):
		return text + ", and it is not put back beneath what is mounted"
	}
	return ""
}

// reservationBroken says what of its reservation the holder of a claim must put back,
// "" if nothing.
func reservationBroken(c *config.Config, g *config.Group, s *Snapshot, claim Claim) string {
	if st, text := reservedFor(c, g, s, claim); st == reservedNot || st == reservedAway {
		return text
	}
	return ""
}

// reservationUnfit says why a node that stands by could not reserve the disks: they
// know a key that it must not remove, or could not be read. Unknown is unfit.
func reservationUnfit(c *config.Config, g *config.Group, s *Snapshot) (Reason, bool) {
	next := NewReservationKey(c, g.Name, s.Node, s.Store.Value.Claims[g.Name].Epoch+1)
	for _, r := range toReserve(g) {
		disks, why := disksOf(r.object(), s)
		if why != "" {
			text, way, _ := strings.Cut(why, " — ")
			return Reason{Text: fmt.Sprintf("the reservation of %s could not be read: %s", r.object(), text), Way: way}, true
		}
		for _, d := range disks {
			if i := slices.IndexFunc(d.Keys, func(k ReservationKey) bool { return !k.Older(next) }); i >= 0 {
				return Reason{Text: fmt.Sprintf("reservation of %s: %s has %s", r.object(), d.Disk, d.Keys[i].Words(next, nodeNames(c))), Way: ClearReservations(d.Disk)}, true
			}
		}
	}
	return Reason{}, false
}

// ClearReservations is the way out where a disk knows a key that this program must not
// remove.
func ClearReservations(disk string) string {
	return fmt.Sprintf("if no other host uses the disk: sg_persist --out --register-ignore --param-sark=1 /dev/%s && sg_persist --out --clear --param-rk=1 /dev/%s", disk, disk)
}

// reserve puts the reservations in place that are not, before anything is activated.
// A plan that takes the group does all of it, whatever was seen before.
//
// What could not be read is reserved anew before storage is touched, and left alone
// otherwise.
func (b *builder) reserve(touched bool) {
	epoch := b.claim.Epoch
	for _, p := range b.plan.Steps {
		if t, ok := p.Step.(TakeClaim); ok {
			epoch = t.Epoch
		}
	}
	want := NewReservationKey(b.c, b.g.Name, b.s.Node, epoch)
	for _, r := range toReserve(b.g) {
		st, why := reservation(r.object(), want, nodeNames(b.c), b.s)
		switch {
		case epoch != b.claim.Epoch:
			why = "whoever had it before must not write any more"
		case st == reservedOurs || st == reservedUnknown && !touched:
			continue
		}
		r.Key, r.Nodes = want, nodeNames(b.c)
		b.add(r, why)
	}
}

// unreserve takes this host's keys off the disks: behind the proof of release, or where
// they stayed without a claim.
func (b *builder) unreserve(mine bool) {
	own := NewReservationKey(b.c, b.g.Name, b.s.Node, b.claim.Epoch)
	for _, r := range slices.Backward(toReserve(b.g)) {
		disks, why := disksOf(r.object(), b.s)
		stays := slices.ContainsFunc(disks, func(d Reservation) bool { return slices.ContainsFunc(d.Keys, own.Of) })
		switch {
		case mine && (stays || why != ""):
			b.add(Unreserve{Device: r.Device, Volume: r.Volume, Key: own}, "nothing of the group is left here")
		case !mine && stays && b.s.Store.OK():
			b.add(Unreserve{Device: r.Device, Volume: r.Volume, Key: own}, "this host's key is on it and the claim is not this host's")
		}
	}
}

// Spec implements Step.
func (s Reserve) Spec() Spec {
	sp := Spec{
		Verb: "reserve", Object: s.object(), Detail: "for this host alone, key " + s.Key.String(),
		Command: fmt.Sprintf("PERSISTENT RESERVE OUT to each disk: REGISTER %s by every path, PREEMPT AND ABORT each key of an earlier epoch, RESERVE", s.Key),
		Pre:     "the claim is ours, and no disk knows a key that is not of this group or of a later epoch",
		Post:    "READ KEYS shows this key alone, by every path, and READ RESERVATION that it holds the disk",
		Undo:    "REGISTER no key, by every path",
		Limit:   reserveLimit, Storage: true, Needs: storageNeeds, Expect: reserveExpect,
	}
	if s.Device == "" {
		sp.Command = strings.Replace(sp.Command, "each disk", "each physical volume's disk", 1)
	}
	return sp
}

// Spec implements Step. What it cannot take off does no harm: the next holder does.
func (s Unreserve) Spec() Spec {
	return Spec{
		Verb: "unreserve", Object: s.object(), Detail: "take this host's key off",
		Command: "PERSISTENT RESERVE OUT to each disk: RELEASE, REGISTER no key, by every path",
		Pre:     "nothing of the group is mounted here",
		Post:    "READ KEYS shows no key of this host",
		Limit:   reserveLimit, Expect: reserveExpect, Optional: true,
	}
}
