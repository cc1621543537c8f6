package reconcile

import (
	"fmt"
	"slices"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"understudy/config"
)

// reserved puts a key on the disks of the model, or takes it off.
func (s *scenario) reserved(object, who string, rest []string) error {
	switch who {
	case "nobody":
		s.w.reserved(object, 0)
		return nil
	case "foreign":
		s.w.reserved(object, 0x0bad_f00d_0000_0001)
		return nil
	}
	epoch, err := strconv.ParseUint(rest[0], 10, 64)
	if err != nil {
		return err
	}
	for i := range s.c.Groups {
		g := &s.c.Groups[i]
		if slices.ContainsFunc(toReserve(g), func(r Reserve) bool { return r.object() == object }) {
			s.w.reserved(object, NewReservationKey(s.c, g.Name, who, epoch))
			return nil
		}
	}
	return fmt.Errorf("no group reserves %s", object)
}

// perturbReservation changes what a disk knows.
func perturbReservation(t *rapid.T, w *World, g *config.Group) {
	for _, r := range toReserve(g) {
		k := NewReservationKey(w.Config, g.Name, rapid.SampledFrom(g.Nodes).Draw(t, "reserved by"), rapid.Uint64Range(0, 3).Draw(t, "epoch"))
		w.reserved(r.object(), rapid.SampledFrom([]ReservationKey{0, 0x0bad_f00d_0000_0001, k}).Draw(t, "key"))
	}
}

// provedBefore reports that the proof is the last step but for keys taken off.
func provedBefore(steps []Planned) bool {
	for _, p := range slices.Backward(steps) {
		if !isA[Unreserve](p.Step) {
			return isA[ProveRelease](p.Step)
		}
	}
	return false
}

// reservedFirst: where reservations are required, nothing on shared storage is touched
// before its disks refuse the others, and a key is taken off only behind the proof or
// where the claim is another's.
func reservedFirst(t failer, c *config.Config, g *config.Group, s *Snapshot, d Decision) {
	t.Helper()
	claim := s.Store.Value.Claims[g.Name]
	epoch, done := claim.Epoch, map[string]bool{}
	check := func(device, volume string) {
		object := device
		if volume != "" {
			object = volume
		}
		if !slices.ContainsFunc(toReserve(g), func(r Reserve) bool { return r.object() == object }) || done[object] {
			return
		}
		if st, why := reservation(object, NewReservationKey(c, g.Name, s.Node, epoch), nil, s); st != reservedOurs {
			t.Fatalf("%s is touched and not reserved (%s):\n%s", object, why, text(d.Plan))
		}
	}
	for i, p := range d.Plan.Steps {
		switch st := p.Step.(type) {
		case TakeClaim:
			epoch = st.Epoch
		case Reserve:
			if st.Key.Epoch() != uint32(epoch) {
				t.Fatalf("the key is of epoch %d, the claim of %d", st.Key.Epoch(), epoch)
			}
			done[st.object()] = true
		case Unreserve:
			if ours(claim, s) && s.Store.OK() && !provedBefore(d.Plan.Steps[:i]) {
				t.Fatalf("a key is taken off before the proof:\n%s", text(d.Plan))
			}
		case Activate:
			check(st.Device, st.Volume.Name)
		case MountFS:
			if !st.FS.Local {
				check(st.FS.Device, st.FS.Volume)
			}
		}
	}
}

// TestReservationKeys: the key of a claim tells apart clusters, groups, nodes and
// epochs, and only keys of the same group and an earlier claim are older.
func TestReservationKeys(t *testing.T) {
	c := &config.Config{Cluster: "c", Nodes: []config.Node{{Name: "alpha"}, {Name: "beta"}}}
	k := NewReservationKey(c, "g", "beta", 7)
	if k.Node() != 2 || k.Epoch() != 7 || k == 0 {
		t.Errorf("%s: node %d, epoch %d", k, k.Node(), k.Epoch())
	}
	older := NewReservationKey(c, "g", "alpha", 6)
	other := NewReservationKey(&config.Config{Cluster: "d", Nodes: c.Nodes}, "g", "alpha", 6)
	for _, tc := range []struct {
		k        ReservationKey
		old, of  bool
		sentence string
	}{
		{k, true, true, "the key of beta for epoch 7"},
		{older, true, false, "the key of alpha for epoch 6"},
		{NewReservationKey(c, "g", "beta", 3), true, true, "the key of beta for epoch 3"},
		{NewReservationKey(c, "g", "beta", 8), false, true, "the key of beta for epoch 8"},
		{NewReservationKey(c, "g", "alpha", 7), false, false, "the key of alpha for epoch 7"}, // two claims of one epoch cannot be
		{NewReservationKey(c, "h", "beta", 6), false, false, ""},
		{other, false, false, "a key of another cluster, group or program (" + other.String() + ")"},
		{0, false, false, ""},
	} {
		if tc.k.Older(k) != tc.old || tc.k.Of(k) != tc.of {
			t.Errorf("%s: older %v, of the node %v", tc.k, tc.k.Older(k), tc.k.Of(k))
		}
		if got := tc.k.Words(k, []string{"alpha", "beta"}); tc.sentence != "" && got != tc.sentence {
			t.Errorf("%s: %s", tc.k, got)
		}
	}
}

// TestDiskState: what one disk shows, and what may be done about it beneath mounted
// file systems.
func TestDiskState(t *testing.T) {
	c := &config.Config{Cluster: "c", Nodes: []config.Node{{Name: "alpha"}, {Name: "beta"}}}
	key := func(node string, epoch uint64) ReservationKey { return NewReservationKey(c, "g", node, epoch) }
	us, earlier, them, later := key("alpha", 7), key("alpha", 5), key("beta", 6), key("beta", 8)
	const alien = ReservationKey(0xbad)
	keys := func(k ...ReservationKey) []ReservationKey { return k }
	const one, many = WriteExclusive, WriteExclusiveRegistrantsOnly
	for _, tc := range []struct {
		name string
		d    Reservation
		want reserved
	}{
		{"ours", Reservation{Paths: 1, Up: 1, Keys: keys(us), Holder: us, Type: one}, reservedOurs},
		{"ours by two paths", Reservation{Paths: 2, Up: 2, Keys: keys(us, us), Holder: us, Type: many}, reservedOurs},
		{"one of two paths is gone for now", Reservation{Paths: 1, Up: 1, Keys: keys(us, us), Holder: us, Type: many}, reservedOurs},
		{"one of two paths is down", Reservation{Paths: 2, Up: 1, Keys: keys(us), Holder: us, Type: many}, reservedOurs},
		{"nothing", Reservation{Paths: 1, Up: 1}, reservedNot},
		{"nothing, two paths", Reservation{Paths: 2, Up: 2}, reservedAway},
		{"registered and not reserved", Reservation{Paths: 1, Up: 1, Keys: keys(us)}, reservedNot},
		{"one of two paths is registered", Reservation{Paths: 2, Up: 2, Keys: keys(us), Holder: us, Type: many}, reservedNot},
		{"for one path, and there are two", Reservation{Paths: 2, Up: 2, Keys: keys(us, us), Holder: us, Type: one}, reservedNot},
		{"an earlier claim of ours", Reservation{Paths: 2, Up: 2, Keys: keys(earlier, earlier), Holder: earlier, Type: many}, reservedNot},
		{"the former holder's", Reservation{Paths: 1, Up: 1, Keys: keys(them), Holder: them, Type: one}, reservedNot},
		{"the former holder's, two paths", Reservation{Paths: 2, Up: 2, Keys: keys(them), Holder: them, Type: many}, reservedAway},
		{"the former holder registered late", Reservation{Paths: 1, Up: 1, Keys: keys(us, them), Holder: us, Type: one}, reservedNot},
		{"a later claim's", Reservation{Paths: 1, Up: 1, Keys: keys(later), Holder: later, Type: one}, reservedTaken},
		{"a later claim's, and we are registered", Reservation{Paths: 1, Up: 1, Keys: keys(us, later), Holder: later, Type: one}, reservedTaken},
		{"a later claim may write beside us", Reservation{Paths: 2, Up: 2, Keys: keys(us, us, later), Holder: us, Type: many}, reservedTaken},
		{"a later claim is registered and may not write", Reservation{Paths: 1, Up: 1, Keys: keys(us, later), Holder: us, Type: one}, reservedOurs},
		{"another program's", Reservation{Paths: 1, Up: 1, Keys: keys(alien), Holder: alien, Type: one}, reservedTaken},
		{"another program is registered, nobody holds it", Reservation{Paths: 1, Up: 1, Keys: keys(alien)}, reservedTaken},
		{"exclusive access, ours", Reservation{Paths: 1, Up: 1, Keys: keys(us), Holder: us, Type: 3}, reservedNot},
	} {
		if got, why := tc.d.state(us, []string{"alpha", "beta"}); got != tc.want || (why == "") != (got == reservedOurs) {
			t.Errorf("%s: %d (%s), want %d", tc.name, got, why, tc.want)
		}
	}
}
