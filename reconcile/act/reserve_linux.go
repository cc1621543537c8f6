package act

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"understudy/observers/scsi"
	"understudy/reconcile"
)

// nexus is one path from this host to a disk, as the disk tells it from others.
type nexus interface {
	Keys() (scsi.Keys, error)
	Reservation() (scsi.Held, error)
	Do(scsi.Order) error
}

// reservable is one disk with the paths to it that work.
type reservable struct {
	name    string
	paths   []nexus
	all     int  // paths, those that do not work among them
	persist bool // it keeps registrations when its power goes
	log     *slog.Logger
}

// rounds is how often a disk is looked at and put right before it is given up: what a
// former holder does meanwhile shows in the next round.
const rounds = 8

// errNewer is why a host that comes late leaves a disk alone.
var errNewer = errors.New("a disk knows a key that this node must not remove")

// reserve has the disk refuse the writes of all but this host. It is done when the disk
// shows the key want alone, by every path, and that it holds the reservation.
//
// Only keys of the group's earlier claims are removed, and each by its value: a host
// that sleeps between two of these commands finds at its next one that what it had
// read is not registered any more. Once it is registered itself by such a late command
// it takes that back.
func (d reservable) reserve(ctx context.Context, want scsi.Key, nodes []string) error {
	typ := reconcile.TypeFor(d.all)
	missed := false
	for round := range rounds {
		keys, held, err := d.look(ctx)
		if err != nil {
			d.unlessHeld(want)
			return err
		}
		alien := func(k scsi.Key) bool { return !k.Older(want) }
		if i := slices.IndexFunc(append(slices.Clone(keys), held.Key), func(k scsi.Key) bool { return k != 0 && alien(k) }); i >= 0 {
			k := append(slices.Clone(keys), held.Key)[i]
			if held.Key != want {
				d.backOut(want)
			}
			return fmt.Errorf("%w: %s has %s — %s", errNewer, d.name, k.Words(want, nodes), reconcile.ClearReservations(d.name))
		}
		alone := !slices.ContainsFunc(keys, func(k scsi.Key) bool { return k != want })
		if round > 0 && !missed && alone && len(keys) >= len(d.paths) && d.good(want, keys, held) {
			return nil
		}
		if round == 0 || missed || count(keys, want) < len(d.paths) {
			if missed, err = d.register(ctx, want, keys, missed); missed {
				continue
			}
		}
		if err == nil {
			err = d.step(ctx, want, typ, keys, held)
		}
		if err != nil {
			d.unlessHeld(want)
			return err
		}
	}
	return fmt.Errorf("%s shows another reservation after %d attempts to put it right — see who else registers with it: sg_persist --in --read-full-status /dev/%s", d.name, rounds, d.name)
}

// step brings a disk that knows the key want nearer to what it is to show. A conflict
// is no error: what was read is not so any more, and is read again.
func (d reservable) step(ctx context.Context, want scsi.Key, typ scsi.Type, keys []scsi.Key, held scsi.Held) error {
	mine := d.paths[0]
	var seen []scsi.Key
	for _, k := range keys {
		if k == want || slices.Contains(seen, k) {
			continue
		}
		seen = append(seen, k)
		if err := d.do(ctx, mine, scsi.Order{Action: scsi.PreemptAndAbort, Key: want, Other: k, Type: typ}); err != nil {
			return err
		}
	}
	switch {
	case held.Key == 0:
		return d.do(ctx, mine, scsi.Order{Action: scsi.Reserve, Key: want, Type: typ})
	case held.Key == want && !d.good(want, keys, held):
		return d.do(ctx, mine, scsi.Order{Action: scsi.PreemptAndAbort, Key: want, Other: want, Type: typ})
	}
	return nil
}

// good reports whether a reservation that is held with the key want is of use by every
// path. Where one path alone may write and several have the key, it may be another that
// holds the disk, which this host has not got any more.
func (d reservable) good(want scsi.Key, keys []scsi.Key, held scsi.Held) bool {
	return held.Key == want && held.Type.Serves(d.all) && (held.Type != reconcile.WriteExclusive || count(keys, want) == 1)
}

// register makes the key known by every path. Where the disk knew this node by one of
// them, each key is changed only while it is still there, and paths without one follow
// only if another had it: a node that has slept, and whose keys were removed meanwhile,
// is not to be let in with what it has mounted. missed: the disk knows it by none of
// these paths. Only when that was seen before (again), and the disk still shows a key
// of this node, it is by a path that this host has not got any more.
func (d reservable) register(ctx context.Context, want scsi.Key, keys []scsi.Key, again bool) (missed bool, err error) {
	own := slices.DeleteFunc(slices.Clone(keys), func(k scsi.Key) bool { return !k.Of(want) })
	slices.Sort(own)
	own = slices.Compact(own)
	var rest []nexus
	for _, p := range d.paths {
		known := false
		for _, k := range own {
			err := d.give(ctx, p, scsi.Order{Action: scsi.Register, Key: k, Other: want, Persist: d.persist})
			if err != nil && !errors.Is(err, scsi.ErrConflict) {
				return false, err
			}
			if known = err == nil; known {
				break
			}
		}
		if !known {
			rest = append(rest, p)
		}
	}
	if len(own) > 0 && len(rest) == len(d.paths) && !again {
		return true, nil
	}
	for _, p := range rest {
		if err := d.do(ctx, p, scsi.Order{Action: scsi.RegisterAndIgnore, Other: want, Persist: d.persist}); err != nil {
			return false, err
		}
	}
	return false, nil
}

// release takes every key of this host's node off the disk, of whatever claim, and the
// reservation with it.
func (d reservable) release(ctx context.Context, own scsi.Key) error {
	for round := range rounds {
		keys, held, err := d.look(ctx)
		if err != nil {
			return err
		}
		keys = slices.DeleteFunc(keys, func(k scsi.Key) bool { return !k.Of(own) })
		if len(keys) == 0 {
			return nil
		}
		slices.Sort(keys)
		for _, k := range slices.Compact(keys) {
			if round > 1 { // a path has it that this host has not got any more
				// No other key is brought: the epoch of own may be another's claim by now.
				typ := reconcile.TypeFor(d.all)
				if held.Key == k {
					typ = held.Type
				}
				if err := d.do(ctx, d.paths[0], scsi.Order{Action: scsi.RegisterAndIgnore, Other: k, Persist: d.persist}); err != nil {
					return err
				}
				if err := d.do(ctx, d.paths[0], scsi.Order{Action: scsi.PreemptAndAbort, Key: k, Other: k, Type: typ}); err != nil {
					return err
				}
			}
			for _, p := range d.paths {
				if held.Key == k {
					if err := d.do(ctx, p, scsi.Order{Action: scsi.Release, Key: k, Type: held.Type}); err != nil {
						return err
					}
				}
				if err := d.do(ctx, p, scsi.Order{Action: scsi.Register, Key: k, Persist: d.persist}); err != nil {
					return err
				}
			}
		}
	}
	return fmt.Errorf("%s still has a key of this host after %d attempts to take it off", d.name, rounds)
}

// unlessHeld takes this claim's key off again if the disk is not held with it: what came
// before was perhaps carried out late, when another had the disk.
func (d reservable) unlessHeld(want scsi.Key) {
	if h, err := d.paths[0].Reservation(); err == nil && h.Key != want {
		d.backOut(want)
	}
}

// backOut takes this claim's key off again, where it does not hold the disk. The claim
// may be another's by now, so that it waits for nothing and nobody.
func (d reservable) backOut(want scsi.Key) {
	for _, p := range d.paths {
		if err := p.Do(scsi.Order{Action: scsi.Register, Key: want, Persist: d.persist}); err != nil && !errors.Is(err, scsi.ErrConflict) {
			d.log.Warn("registration not taken back", "disk", d.name, "key", want.String(), "err", err)
		}
	}
}

// look reads keys and holder. Between the two readings they may change.
func (d reservable) look(ctx context.Context) ([]scsi.Key, scsi.Held, error) {
	if ctx.Err() != nil {
		return nil, scsi.Held{}, context.Cause(ctx)
	}
	keys, err := d.paths[0].Keys()
	if err != nil {
		return nil, scsi.Held{}, fmt.Errorf("%s: %w", d.name, err)
	}
	held, err := d.paths[0].Reservation()
	if err != nil {
		return nil, scsi.Held{}, fmt.Errorf("%s: %w", d.name, err)
	}
	return keys.Keys, held, nil
}

// do gives an order; that it met a conflict shows when the disk is looked at again.
func (d reservable) do(ctx context.Context, p nexus, o scsi.Order) error {
	if err := d.give(ctx, p, o); !errors.Is(err, scsi.ErrConflict) {
		return err
	}
	return nil
}

// give gives an order, unless the step is over: a command that hung comes back late.
func (d reservable) give(ctx context.Context, p nexus, o scsi.Order) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err := p.Do(o); err != nil {
		return fmt.Errorf("%s: %w", d.name, err)
	}
	return nil
}

func count(keys []scsi.Key, want scsi.Key) (n int) {
	for _, k := range keys {
		if k == want {
			n++
		}
	}
	return n
}
