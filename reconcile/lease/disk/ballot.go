package disk

import (
	"context"
	"maps"
	"strconv"
	"time"
)

// remembered is how many of its own blocks an incarnation tells from others'. A
// look that is under way sees one that is a few writes old.
const remembered = 1024

// change is one agreed step of the state: f changes the clone it is given, and
// returns what is remembered as its result. An error of f is final: the state for
// which it was returned has been chosen, without f's change. f may be called more
// than once, each time with another state; it sees the slots as they were after
// the ballot was announced.
type change func(v *value, r reading) (result int64, err error)

// agree brings f into the state by a ballot (doc.go has the algorithm and why it
// is right). Any error but f's own leaves open whether f's change is or will be
// made.
func (s *Store) agree(ctx context.Context, f change) (int64, error) {
	if err := s.enter(ctx); err != nil {
		return 0, err
	}
	defer s.leave()
	if _, err := s.lookAround(ctx); err != nil { // is the slot still ours? after a pause it may not be
		return 0, err
	}
	s.ops++
	op := s.nonce + "/" + strconv.FormatUint(s.ops, 10)
	for try := 0; ; try++ {
		result, err, ok, fault := s.ballot(ctx, op, f)
		if fault != nil {
			return 0, fault
		}
		if ok {
			return result, err
		}
		// Somebody else has begun a higher ballot. Two who always overtake each other
		// agree on nothing: each waits for a random while, the longer the later.
		if err := sleep(ctx, time.Duration(s.opts.Chance(int64(2*time.Millisecond)<<min(try, 6)))+time.Millisecond); err != nil {
			return 0, err
		}
	}
}

// ballot tries once. It returns false if it was overtaken; fault is an error of
// the disk or of the context.
func (s *Store) ballot(ctx context.Context, op string, f change) (result int64, err error, ok bool, fault error) {
	b := max(s.seen, s.mine.Begun).above(s.place, s.header.slots())

	// First phase: announce the ballot, then see what was voted for before.
	next := s.mine
	next.Begun = b
	if fault = s.put(ctx, next); fault != nil {
		return
	}
	r, fault := s.lookAround(ctx)
	if fault != nil || r.begunBeside(s.place) > b {
		return 0, nil, false, fault
	}
	base := s.mine.Value
	if l := r.latest(); l != nil && l.Voted > s.mine.Voted {
		base = l.Value
	}
	v := base.clone()
	if d := v.Done[s.place]; d.Op == op {
		result = d.Result // an earlier ballot of ours was overtaken, and its value taken over
	} else if result, err = f(v, r); err != nil {
		v = base.clone()
	} else {
		v.Done[s.place] = done{Op: op, Result: result}
	}

	// Second phase: vote, then see whether the vote came before every other ballot.
	next = s.mine
	next.Voted, next.Value, next.Decided = b, v, false
	if fault = s.put(ctx, next); fault != nil {
		return
	}
	r, fault = s.lookAround(ctx)
	if fault != nil || r.begunBeside(s.place) > b {
		return 0, nil, false, fault
	}

	// It is chosen. Saying so spares the others a ballot of their own for a read.
	next = s.mine
	next.Decided = true
	if e := s.put(ctx, next); e != nil {
		s.log.Debug("the decision could not be written down; whoever reads next finds it", "err", e)
	}
	return result, err, true, nil
}

// lookAround looks, and remembers the highest ballot there is.
func (s *Store) lookAround(ctx context.Context) (reading, error) {
	r, err := s.look(ctx)
	if err == nil {
		s.seen = max(s.seen, r.begunBeside(-1))
	}
	return r, err
}

// put writes a block of this incarnation, over the copy that is not the newest
// one known to be complete. The caller has entered. Whatever comes of it, the
// block counts as ours from here on: it may be on the disk.
func (s *Store) put(ctx context.Context, b block) error {
	if err := s.broken(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	b.Beats, b.Bound = maps.Clone(s.mine.Beats), s.guarded()
	b.seq = s.seq + 1
	head, tail, err := b.encode(s.key, s.place)
	if err != nil {
		return err
	}
	s.seq = b.seq
	s.mine = b
	s.mu.Lock()
	s.sent[b.seq] = b.mac
	s.mu.Unlock()
	to := copies - 1 - s.good
	if len(tail) > 0 {
		if err := s.lane.write(ctx, s.header.tailAt(s.place, to), tail); err != nil {
			return err
		}
	}
	if err := s.lane.write(ctx, s.header.headAt(s.place, to), head); err != nil {
		return err
	}
	s.good = to
	s.mu.Lock()
	s.written = b.seq
	if b.seq > remembered {
		delete(s.sent, b.seq-remembered)
	}
	s.mu.Unlock()
	return nil
}

// guarded is the bound that this block declares. An incarnation that has had no lease
// yet declares none: what it may hold is held since the lease of an earlier one, which
// may have run with another file.
func (s *Store) guarded() time.Duration {
	switch {
	case !s.leased:
		return 0
	case s.opts.Guarded == nil:
		return s.opts.WatchdogBound
	}
	return s.opts.Guarded()
}

// enter waits for this incarnation's own turn: it makes one change at a time.
func (s *Store) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case s.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (s *Store) leave() { <-s.turn }
