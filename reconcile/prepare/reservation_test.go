package prepare

import (
	"errors"
	"strings"
	"testing"
	"time"

	"understudy/config"
	"understudy/reconcile"
)

// TestReservationItems: what a disk must be to be reserved.
func TestReservationItems(t *testing.T) {
	c := parsed(t)
	g := &c.Groups[0]
	g.Reservation = config.ReservationRequired
	object := SharedObjects(g)[0]
	other := *g
	other.Name, other.Reservation, other.Filesystems = "other", config.ReservationNone, []config.Filesystem{{Mount: "/o", Device: "/dev/other", Type: "ext4"}}
	other.Aggregates, other.Volumes, other.Applications, other.Addresses = nil, nil, nil, nil
	c.Groups = append(c.Groups, other)
	good := DiskFact{ID: "naa.1", Name: "sdb", Paths: 1, Able: true, Says: true, Persist: true, Keys: []reconcile.ReservationKey{reconcile.NewReservationKey(c, g.Name, "alpha", 3)}}
	with := func(f func(*DiskFact)) DiskFact { d := good; f(&d); return d }
	for _, tc := range []struct {
		name  string
		d     DiskFact
		state State
		seen  string
	}{
		{"good", good, Done, `sdb, by 1 path, as "write exclusive"`},
		{"two paths", with(func(d *DiskFact) { d.Paths = 2 }), Done, `by 2 paths, as "write exclusive, registrants only"`},
		{"a type it has not got", with(func(d *DiskFact) { d.Able = false }), Blocked, `cannot be reserved as "write exclusive"`},
		{"it does not tell its types", with(func(d *DiskFact) { d.Able, d.Says = false, false }), Done, "sdb"},
		{"forgetful", with(func(d *DiskFact) { d.Persist = false }), ByHand, "forgets reservations when its power goes"},
		{"a partition", with(func(d *DiskFact) { d.Partly = true }), ByHand, "the whole is reserved"},
		{"nameless", with(func(d *DiskFact) { d.ID = "" }), ByHand, "no designation"},
		{"in use", with(func(d *DiskFact) { d.Keys = append(d.Keys, 0xbad) }), Blocked, "another cluster, group or program (0x0000000000000bad)"},
		{"another group's", with(func(d *DiskFact) { d.ID, d.Name = "naa.2", "sdx" }), Blocked, "also the disk of group other (/dev/other)"},
		{"the store's", with(func(d *DiskFact) { d.ID, d.Name = "naa.3", "sdy" }), Blocked, "also the disk of the store (/dev/votes)"},
	} {
		c.Lease.Device = "/dev/votes"
		f := ready(c, "beta")
		at := time.Now()
		f.Disks = map[string]reconcile.Seen[[]DiskFact]{
			object: reconcile.Read([]DiskFact{tc.d}, at), "/dev/other": reconcile.Read([]DiskFact{{ID: "naa.2", Name: "sdc"}}, at),
			"/dev/votes": reconcile.Read([]DiskFact{{ID: "naa.3", Name: "sdd"}}, at),
		}
		items := Items(c, f)
		it := named(items, "reservation of "+object)
		if it.State != tc.state || !strings.Contains(it.Seen, tc.seen) || (it.Way == "") != (tc.state == Done) {
			t.Errorf("%s: %+v", tc.name, it)
		}
		sane(t, items)
		f.Disks[object] = reconcile.Unread[[]DiskFact](errors.New("nvme0n1: it is no SCSI disk"), at)
		if it := named(Items(c, f), "reservation of "+object); it.State != Unknown || !strings.Contains(it.Seen, "no SCSI disk") {
			t.Errorf("unread: %+v", it)
		}
	}
	c.Groups[0].Reservation = config.ReservationNone
	if len(AskDisks(c)) != 0 {
		t.Errorf("asks for %v", AskDisks(c))
	}
}

func named(items []Item, name string) Item {
	for _, it := range items {
		if it.Name == name {
			return it
		}
	}
	return Item{}
}
