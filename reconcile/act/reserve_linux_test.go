package act

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"

	"understudy/config"
	"understudy/observers/scsi"
	"understudy/reconcile"
)

// lun is a disk as SPC-4, 5.13 has it: one command after the other.
type lun struct {
	keys   map[string]scsi.Key // by nexus
	holder string              // nexus; "" for nobody
	typ    scsi.Type
	wrong  error // what everything fails with
}

func newLUN() *lun { return &lun{keys: map[string]scsi.Key{}} }

// writable reports whether a write that arrives by a nexus now is taken.
func (d *lun) writable(nexus string) bool {
	switch {
	case d.holder == "":
		return true
	case d.typ == reconcile.WriteExclusive:
		return nexus == d.holder
	}
	return d.keys[nexus] != 0
}

func (d *lun) remove(nexus string) {
	delete(d.keys, nexus)
	if d.holder == nexus {
		d.holder, d.typ = "", 0
	}
}

func (d *lun) do(nexus string, o scsi.Order) error {
	have := d.keys[nexus]
	switch o.Action {
	case scsi.Register, scsi.RegisterAndIgnore:
		if o.Action == scsi.Register && have != o.Key {
			return scsi.ErrConflict
		}
		if o.Other == 0 {
			d.remove(nexus)
			return nil
		}
		d.keys[nexus] = o.Other
		return nil
	}
	if have == 0 || have != o.Key {
		return scsi.ErrConflict
	}
	switch o.Action {
	case scsi.Reserve:
		if d.holder != "" && (d.holder != nexus || d.typ != o.Type) {
			return scsi.ErrConflict
		}
		d.holder, d.typ = nexus, o.Type
	case scsi.Release:
		if d.holder == nexus {
			if d.typ != o.Type {
				return &scsi.StatusError{Status: 2, Sense: 5, ASC: 0x26, ASCQ: 4}
			}
			d.holder, d.typ = "", 0
		}
	case scsi.PreemptAndAbort:
		var theirs []string
		for n, k := range d.keys {
			if k == o.Other {
				theirs = append(theirs, n)
			}
		}
		if len(theirs) == 0 {
			return scsi.ErrConflict
		}
		holds := slices.Contains(theirs, d.holder)
		for _, n := range theirs {
			if n != nexus || !holds {
				d.remove(n)
			}
		}
		if holds {
			d.holder, d.typ = nexus, o.Type
		}
	default:
		return fmt.Errorf("no such action: %s", o.Action)
	}
	return nil
}

// lunPath is a nexus whose commands wait for their turn.
type lunPath struct {
	disk  *lun
	name  string
	turn  func() // nil: at once
	calls int
}

func (p *lunPath) wait() error {
	if p.turn != nil {
		p.turn()
	}
	p.calls++
	return p.disk.wrong
}

func (p *lunPath) Keys() (scsi.Keys, error) {
	err := p.wait()
	var k scsi.Keys
	for _, v := range p.disk.keys {
		k.Keys = append(k.Keys, v)
	}
	return k, err
}

func (p *lunPath) Reservation() (scsi.Held, error) {
	err := p.wait()
	return scsi.Held{Key: p.disk.keys[p.disk.holder], Type: p.disk.typ}, err
}

func (p *lunPath) Do(o scsi.Order) error {
	if err := p.wait(); err != nil {
		return err
	}
	return p.disk.do(p.name, o)
}

func (d *lun) from(host string, paths int, turn func()) reservable {
	r := reservable{name: "sda", all: paths, log: slog.New(slog.DiscardHandler), persist: true}
	for i := range paths {
		r.paths = append(r.paths, &lunPath{disk: d, name: fmt.Sprintf("%s%d", host, i), turn: turn})
	}
	return r
}

var reserveNodes = []string{"alpha", "beta"}

func keyOf(node string, epoch uint64) scsi.Key {
	return reconcile.NewReservationKey(&config.Config{Cluster: "c", Nodes: []config.Node{{Name: "alpha"}, {Name: "beta"}}}, "g", node, epoch)
}

// TestReserveInEveryState: from whatever the former holder, a crash half way or this
// host's own earlier claim has left, one call ends with this host alone on the disk;
// and the release ends with none of its keys.
func TestReserveInEveryState(t *testing.T) {
	const owner, standby = "alpha", "beta"
	for _, paths := range []int{1, 2} {
		for name, before := range map[string]func(*lun){
			"nothing":              func(*lun) {},
			"the former holder":    func(d *lun) { d.left(t, owner, paths, keyOf(owner, 4)) },
			"one path of it":       func(d *lun) { d.left(t, owner, 1, keyOf(owner, 4)) },
			"registered only":      func(d *lun) { d.keys["alpha0"] = keyOf(owner, 4) },
			"two earlier claims":   func(d *lun) { d.left(t, owner, paths, keyOf(owner, 4)); d.keys["alpha1"] = keyOf(owner, 3) },
			"our own earlier boot": func(d *lun) { d.left(t, standby, paths, keyOf(standby, 3)) },
			"done already":         func(d *lun) { d.left(t, standby, paths, keyOf(standby, 5)) },
			"half done":            func(d *lun) { d.keys["beta0"] = keyOf(standby, 5) },
			"half done over the former holder": func(d *lun) {
				d.left(t, owner, paths, keyOf(owner, 4))
				d.keys["beta0"] = keyOf(standby, 5)
			},
			"a path that this host has not got any more": func(d *lun) { d.keys["beta9"] = keyOf(standby, 5); d.holder, d.typ = "beta9", 5 },
			"one that holds it alone": func(d *lun) {
				d.keys["beta9"], d.holder, d.typ = keyOf(standby, 5), "beta9", reconcile.WriteExclusive
			},
			"another type": func(d *lun) { d.left(t, owner, paths, keyOf(owner, 4)); d.typ = 3 },
			"ours, for one path": func(d *lun) {
				d.keys["beta0"] = keyOf(standby, 5)
				d.holder, d.typ = "beta0", reconcile.WriteExclusive
			},
		} {
			t.Run(fmt.Sprintf("%d paths/%s", paths, name), func(t *testing.T) {
				d := newLUN()
				before(d)
				us := d.from(standby, paths, nil)
				if err := us.reserve(t.Context(), keyOf(standby, 5), reserveNodes); err != nil {
					t.Fatalf("%v, on %+v", err, *d)
				}
				for n, k := range d.keys {
					if k != keyOf(standby, 5) {
						t.Errorf("%s has %s", n, k)
					}
				}
				for i := range paths {
					if !d.writable(fmt.Sprintf("beta%d", i)) || d.writable(fmt.Sprintf("alpha%d", i)) {
						t.Errorf("path %d: %+v", i, *d)
					}
				}
				if err := us.release(t.Context(), keyOf(standby, 6)); err != nil || len(d.keys) > 0 || d.holder != "" {
					t.Errorf("%v, left %+v", err, *d)
				}
			})
		}
	}
}

// left reserves for a host, as it would have been.
func (d *lun) left(t *testing.T, host string, paths int, k scsi.Key) {
	t.Helper()
	if err := d.from(host, paths, nil).reserve(context.Background(), k, reserveNodes); err != nil {
		t.Fatal(err)
	}
}

// TestReserveRefuses what a node must not remove, and leaves the disk as it was.
func TestReserveRefuses(t *testing.T) {
	for name, k := range map[string]scsi.Key{
		"the key of alpha for epoch 6":                        keyOf("alpha", 6),
		"the key of alpha for epoch 5":                        keyOf("alpha", 5),
		"a key of another cluster, group or program (0x00000": 0xbad,
	} {
		for _, held := range []bool{true, false} {
			d := newLUN()
			d.keys["alpha0"] = k
			if held {
				d.holder, d.typ = "alpha0", reconcile.WriteExclusive
			}
			err := d.from("beta", 1, nil).reserve(t.Context(), keyOf("beta", 5), reserveNodes)
			wantError(t, err, "sda has "+name, "sg_persist --out --clear")
			if !errors.Is(err, errNewer) || len(d.keys) != 1 || d.keys["alpha0"] != k || (d.holder != "") != held {
				t.Errorf("%v, %+v", err, *d)
			}
		}
	}
	d := newLUN()
	d.wrong = &scsi.StatusError{Host: 1}
	wantError(t, d.from("beta", 1, nil).reserve(t.Context(), keyOf("beta", 5), reserveNodes), "not reached")
	wantError(t, d.from("beta", 1, nil).release(t.Context(), keyOf("beta", 5)), "not reached")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("lease lost"))
	fresh := newLUN()
	wantError(t, fresh.from("beta", 1, nil).reserve(ctx, keyOf("beta", 5), reserveNodes), "lease lost")
	if len(fresh.keys) > 0 {
		t.Errorf("%+v", *fresh)
	}
}

// TestSleeperCannotTakeTheDiskBack: the owner of an earlier claim is stopped between
// any two of its commands, and goes on when another has reserved the disk. With one
// path not one write of it is taken from then on, whatever it still sends; with two,
// none is when its call has ended. What the other has is never taken from it.
func TestSleeperCannotTakeTheDiskBack(t *testing.T) {
	for i := range 2 * 5 * 13 * 2 {
		paths, before, sleeps, lost := 1+i%2, i/2%5, i/10%13, i/130 > 0
		t.Run(fmt.Sprintf("%d paths/before %d/asleep before command %d/lease lost %v", paths, before, sleeps+1, lost), func(t *testing.T) {
			sleeperCannotTakeTheDiskBack(t, paths, before, sleeps, lost)
		})
	}
}

func sleeperCannotTakeTheDiskBack(t *testing.T, paths, before, sleeps int, lost bool) {
	d := newLUN()
	old, now := keyOf("alpha", 4), keyOf("beta", 5)
	switch before {
	case 1:
		d.keys["beta0"], d.holder, d.typ = keyOf("beta", 3), "beta0", reconcile.TypeFor(paths)
	case 2: // it is the owner, and puts back what was cleared
		for i := range paths {
			d.keys[fmt.Sprintf("alpha%d", i)] = old
		}
	case 3: // a path of it has come back
		d.keys["alpha0"], d.holder, d.typ = old, "alpha0", reconcile.TypeFor(paths)
	case 4: // it claimed anew
		for i := range paths {
			d.keys[fmt.Sprintf("alpha%d", i)] = keyOf("alpha", 2)
		}
		d.holder, d.typ = "alpha0", reconcile.TypeFor(paths)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	n, slept := 0, false
	check := func() {
		if slept && d.keys[d.holder] != now {
			t.Fatalf("the disk was taken back: %+v", *d)
		}
		for i := range paths {
			if slept && paths == 1 && d.writable(fmt.Sprintf("alpha%d", i)) {
				t.Fatalf("a write of the former owner would be taken: %+v", *d)
			}
		}
	}
	sleeper := d.from("alpha", paths, func() {
		check()
		if n++; n == sleeps+1 {
			// While it sleeps the other takes the disk, whole.
			if err := d.from("beta", paths, nil).reserve(context.Background(), now, reserveNodes); err != nil {
				t.Fatalf("the other: %v", err)
			}
			slept = true
			if lost {
				cancel(errors.New("lease lost"))
			}
		}
	})
	err := sleeper.reserve(ctx, old, reserveNodes)
	check()
	if slept && err == nil && n > sleeps+2 { // it looked at the disk at least once after it woke
		t.Fatalf("it believes that the disk is its own: %+v", *d)
	}
	if slept && err != nil {
		for i := range paths {
			if d.writable(fmt.Sprintf("alpha%d", i)) {
				t.Fatalf("after %v it may write: %+v", err, *d)
			}
		}
	}
	if !slept && err != nil {
		t.Fatal(err)
	}
}

// TestSleeperWithMountsAndSeveralPaths: an owner looks at a disk that knows it, falls
// asleep before it gives an order, and wakes when another has reserved the disk. It is
// not registered again, not for a moment: what is mounted would be written then.
func TestSleeperWithMountsAndSeveralPaths(t *testing.T) {
	for name, had := range map[string]scsi.Key{"a path has come back": keyOf("alpha", 4), "claimed anew": keyOf("alpha", 3)} {
		for sleeps := 1; sleeps <= 2; sleeps++ {
			d, n := newLUN(), 0
			d.keys["alpha0"], d.holder, d.typ = had, "alpha0", reconcile.WriteExclusiveRegistrantsOnly
			check := func() {
				if n > sleeps && (d.writable("alpha0") || d.writable("alpha1")) {
					t.Fatalf("%s, asleep after command %d: a write of the former owner would be taken: %+v", name, sleeps, *d)
				}
			}
			sleeper := d.from("alpha", 2, func() {
				check()
				if n++; n == sleeps+1 {
					if err := d.from("beta", 2, nil).reserve(t.Context(), keyOf("beta", 5), reserveNodes); err != nil {
						t.Fatal(err)
					}
				}
			})
			err := sleeper.reserve(t.Context(), keyOf("alpha", 4), reserveNodes)
			check()
			if !errors.Is(err, errNewer) {
				t.Errorf("%s, asleep after command %d: %v", name, sleeps, err)
			}
		}
	}
}

// TestReleaseBringsNoKey: a node takes off a key that it left by a path which it has not
// got any more, while another has claimed the group and is about to reserve. What the
// other finds meanwhile is never a key that it must not remove.
func TestReleaseBringsNoKey(t *testing.T) {
	for _, paths := range []int{1, 2} {
		d := newLUN()
		d.keys["alpha9"], d.holder, d.typ = keyOf("alpha", 4), "alpha9", reconcile.TypeFor(paths)
		next := keyOf("beta", 5)
		late := d.from("alpha", paths, func() {
			for n, k := range d.keys {
				if !k.Older(next) {
					t.Fatalf("%s has %s", n, k)
				}
			}
		})
		if err := late.release(t.Context(), keyOf("alpha", 5)); err != nil || len(d.keys) > 0 || d.holder != "" {
			t.Errorf("%d paths: %v, left %+v", paths, err, *d)
		}
	}
}
