package disk

import (
	"context"
	"time"

	"understudy/reconcile/lease"
)

// patience is how often a ballot of somebody else is given time to end before one
// of our own ends it.
const patience = 4

// current reads the chosen state, with what has run out taken off. One look is
// enough where it shows a decision; while a ballot is under way it is waited for,
// and then settled by a ballot of our own that changes nothing.
func (s *Store) current(ctx context.Context) (reading, *value, error) {
	for try := 0; ; try++ {
		r, err := s.look(ctx)
		if err != nil {
			return r, nil, err
		}
		v, ok := r.decided()
		if ok {
			s.observe(r, v)
			e := s.overdue(r, v)
			if len(e.leases)+len(e.requests) == 0 {
				return r, v, nil
			}
			err = s.end(ctx, e)
		} else if try < patience {
			err = sleep(ctx, 2*time.Millisecond<<try)
		} else {
			err = s.settle(ctx)
		}
		if err != nil {
			return r, nil, err
		}
	}
}

// settle has the present state chosen once more.
func (s *Store) settle(ctx context.Context) error {
	_, err := s.agree(ctx, func(v *value, _ reading) (int64, error) { return v.Rev, nil })
	return err
}

// Renew implements lease.Store. It looks whether its slot is still its own,
// writes one block there, and looks again: if the look shows the lease in a chosen state and no ballot above that,
// then every ballot that begins later sees the beat, and does not end the lease.
func (s *Store) Renew(ctx context.Context, id lease.LeaseID) error {
	if id == 0 {
		return lease.ErrNoLease
	}
	if err := s.beat(ctx, id); err != nil {
		return err
	}
	check := func(v *value) error {
		if _, l, ok := v.lease(id); !ok || l.Slot != s.place {
			return lease.ErrNoLease
		}
		return nil
	}
	for try := range patience {
		r, err := s.look(ctx)
		if err != nil {
			return err
		}
		if v, ok := r.quiet(); ok {
			s.observe(r, v)
			return check(v)
		}
		if err := sleep(ctx, 2*time.Millisecond<<try); err != nil {
			return err
		}
	}
	_, err := s.agree(ctx, func(v *value, _ reading) (int64, error) { return v.Rev, check(v) })
	return err
}

// beat writes a sign of life for a lease.
func (s *Store) beat(ctx context.Context, id lease.LeaseID) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	if _, err := s.lookAround(ctx); err != nil { // is the slot still ours? after a pause it may not be
		return err
	}
	beats := map[int64]uint64{int64(id): s.mine.Beats[int64(id)] + 1}
	for other, n := range s.mine.Beats {
		if _, _, ok := s.mine.Value.lease(lease.LeaseID(other)); ok && other != int64(id) {
			beats[other] = n
		}
	}
	next := s.mine
	s.mine.Beats = beats
	return s.put(ctx, next)
}

// Watch implements lease.Store. A disk calls nobody: it looks once per Poll. It
// ends leases that have run out, too.
func (s *Store) Watch(ctx context.Context, changed func()) error {
	changed()
	var tick *time.Ticker // from the first look on: at its beginning others may look, too
	var last int64
	var outlasted int
	failed := true
	for {
		lctx, cancel := context.WithTimeout(ctx, max(s.opts.Poll, s.opts.Limit))
		r, v, err := s.current(lctx)
		cancel()
		switch {
		case err != nil:
			failed = true
		default:
			n := len(s.outlasted(r, v))
			if rev := v.clone().Rev; failed || rev != last || n != outlasted {
				last, outlasted, failed = rev, n, false
				changed()
			}
		}
		if tick == nil {
			tick = time.NewTicker(s.opts.Poll)
			defer tick.Stop()
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}
