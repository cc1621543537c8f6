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
	for round := range rounds {
		keys, held, err := d.look(ctx)
		if err != nil {
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
		if round > 0 && alone && len(keys) >= len(d.paths) && held.Key == want && held.Type.Serves(d.all) {
			return nil
		}
		if err := d.step(ctx, round, want, typ, keys, held); err != nil {
			if h, err := d.paths[0].Reservation(); err == nil && h.Key != want {
				d.backOut(want)
			}
			return err
		}
	}
	return fmt.Errorf("%s shows another reservation after %d attempts to put it right — see who else registers with it: sg_persist --in --read-full-status /dev/%s", d.name, rounds, d.name)
}

// step brings the disk nearer to what it is to show. A conflict is no error: what was
// read is not so any more, and is read again.
func (d reservable) step(ctx context.Context, round int, want scsi.Key, typ scsi.Type, keys []scsi.Key, held scsi.Held) error {
	if n := count(keys, want); round == 0 || n < len(d.paths) {
		if err := d.register(ctx, want, n > 0); err != nil {
			return err
		}
	}
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
	case held.Key == want && !held.Type.Serves(d.all):
		return d.do(ctx, mine, scsi.Order{Action: scsi.PreemptAndAbort, Key: want, Other: want, Type: typ})
	}
	return nil
}

// register makes the key known by every path. Where one of them has it, the others
// follow only while it still has.
func (d reservable) register(ctx context.Context, want scsi.Key, known bool) error {
	rest := d.paths
	if known {
		rest = nil
		for _, p := range d.paths {
			switch err := d.give(ctx, p, scsi.Order{Action: scsi.Register, Key: want, Other: want, Persist: d.persist}); {
			case errors.Is(err, scsi.ErrConflict):
				rest = append(rest, p)
			case err != nil:
				return err
			}
		}
		if len(rest) == len(d.paths) {
			rest = d.paths // by a path that this host has not got any more
		}
	}
	for _, p := range rest {
		if err := d.do(ctx, p, scsi.Order{Action: scsi.RegisterAndIgnore, Other: want, Persist: d.persist}); err != nil {
			return err
		}
	}
	return nil
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
				if err := d.do(ctx, d.paths[0], scsi.Order{Action: scsi.RegisterAndIgnore, Other: own, Persist: d.persist}); err != nil {
					return err
				}
				if err := d.do(ctx, d.paths[0], scsi.Order{Action: scsi.PreemptAndAbort, Key: own, Other: k, Type: reconcile.TypeFor(d.all)}); err != nil {
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
