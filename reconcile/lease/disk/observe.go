package disk

import (
	"context"
	"time"
)

// watched is what this incarnation has seen of the lease of one node. All times
// are of this process's own monotonic clock, which stands still while the host is
// suspended: what it measures is never longer than what has passed.
type watched struct {
	boot string
	id   int64  // of the lease seen last; it may have ended. Zero: none was seen
	slot int    // where its beats are
	beat uint64 // zero: none yet
	ttl  time.Duration
	sign time.Time // after the look that first showed this beat
	last time.Time // after the latest look
}

// asked is when a request was first seen.
type asked struct {
	id    int64
	since time.Time
}

// beat is how often a lease was renewed by what its slot shows, zero if it shows
// nothing of it.
func (r reading) beat(slot int, id int64) uint64 {
	if slot < 0 || slot >= len(r.blocks) || r.blocks[slot] == nil {
		return 0
	}
	return r.blocks[slot].Beats[id]
}

// bound is the watchdog bound of a boot whose last lease was seen as w, by its own
// word: the file here may say something else. It is the longest of the incarnation
// that had the lease and of all later ones of that boot, which may run with another
// file and have had no lease of their own yet. Zero: one of them is not guarded, or
// nothing is known of it.
func (r reading) bound(node string, w watched) time.Duration {
	var since uint64
	if w.id != 0 && w.slot < len(r.blocks) {
		if b := r.blocks[w.slot]; b != nil && b.Node == node && b.Boot == w.boot {
			since = b.Join
		}
	}
	var most time.Duration
	for _, b := range r.blocks {
		if b == nil || b.Node != node || b.Boot != w.boot || b.Join < since {
			continue
		}
		if b.Bound <= 0 {
			return 0
		}
		most = max(most, b.Bound)
	}
	return most
}

// observe takes note of what a look shows of every lease and request of a chosen
// state. Looks may come in any order; an older one than the last says nothing new.
func (s *Store) observe(r reading, v *value) {
	s.obsMu.Lock()
	defer s.obsMu.Unlock()
	for node, l := range v.clone().Live {
		beat := r.beat(l.Slot, l.ID)
		w, known := s.watch[node]
		switch {
		case known && r.begun.Before(w.last):
			continue
		case !known || w.boot != l.Boot || w.id != l.ID || beat != 0 && beat != w.beat || r.begun.Sub(w.last) > l.TTL/2:
			// A sign of life, or a gap in the watch that is too long to say anything.
			w = watched{boot: l.Boot, id: l.ID, slot: l.Slot, beat: beat, ttl: l.TTL, sign: r.ended}
		}
		w.last = r.ended
		s.watch[node] = w
	}
	if v == nil {
		return
	}
	for _, c := range v.Claims {
		if c.Released { // needs no proof, and may be of an earlier boot than one that does
			continue
		}
		if l, ok := v.Live[c.Holder]; ok && l.Boot == c.BootID {
			continue
		}
		if _, other := v.Live[c.Holder]; other {
			continue
		}
		// No lease of the holder's boot can be renewed any more. Its last renewal came
		// before this look, and where its beat is still the one that was seen last,
		// before the look that showed that first.
		w, known := s.watch[c.Holder]
		switch {
		case known && r.begun.Before(w.last):
			continue
		case !known || w.boot != c.BootID:
			w = watched{boot: c.BootID, ttl: s.opts.TTL, sign: r.ended}
		case r.begun.Sub(w.last) > w.ttl/2: // a gap in the watch: there may have been another lease
			w = watched{boot: c.BootID, ttl: w.ttl, sign: r.ended}
		case w.id != 0 && r.beat(w.slot, w.id) != w.beat:
			w.beat, w.sign = r.beat(w.slot, w.id), r.ended
		}
		w.last = r.ended
		s.watch[c.Holder] = w
	}
	for g, q := range v.Requests {
		if s.asked[g].id != q.ID {
			s.asked[g] = asked{id: q.ID, since: r.ended}
		}
	}
	for g := range s.asked {
		if _, ok := v.Requests[g]; !ok {
			delete(s.asked, g)
		}
	}
}

// ended is what has run out, by this node's own watch.
type ended struct {
	leases   map[string]watched // by node
	requests map[string]int64   // by group, the id
}

// overdue says what of a chosen state has shown no sign of life for its whole ttl
// up to the beginning of a look.
func (s *Store) overdue(r reading, v *value) ended {
	s.obsMu.Lock()
	defer s.obsMu.Unlock()
	e := ended{leases: map[string]watched{}, requests: map[string]int64{}}
	if v == nil {
		return e
	}
	for node, l := range v.Live {
		if w := s.watch[node]; w.id == l.ID && w.boot == l.Boot && r.begun.Sub(w.sign) > l.TTL {
			e.leases[node] = w
		}
	}
	for g, q := range v.Requests {
		if a := s.asked[g]; a.id == q.ID && r.begun.Sub(a.since) > q.TTL {
			e.requests[g] = q.ID
		}
	}
	return e
}

// end takes what has run out off the state, by a ballot: whoever renews meanwhile
// is seen to do so once the ballot is announced, and keeps its lease.
func (s *Store) end(ctx context.Context, e ended) error {
	var gone []string
	_, err := s.agree(ctx, func(v *value, r reading) (int64, error) {
		gone = gone[:0]
		for node, w := range e.leases {
			l, ok := v.Live[node]
			if !ok || l.ID != w.id {
				continue
			}
			if beat := r.beat(l.Slot, l.ID); beat != 0 && beat != w.beat {
				continue
			}
			delete(v.Live, node)
			v.Rev++
			gone = append(gone, node)
		}
		for g, id := range e.requests {
			if v.Requests[g].ID == id {
				delete(v.Requests, g)
				v.Rev++
			}
		}
		return v.Rev, nil
	})
	if err == nil {
		for _, node := range gone {
			s.log.Info("lease ended: its slot does not change", "peer", node, "boot_id", e.leases[node].boot, "ttl", e.leases[node].ttl)
		}
	}
	return err
}

// outlasted lists the boots of claim holders that have no lease any more and have
// shown no sign of life, while this node looked, for so long that their watchdog
// has reset them.
func (s *Store) outlasted(r reading, v *value) map[string]string {
	if s.opts.WatchdogBound <= 0 || v == nil {
		return nil
	}
	s.obsMu.Lock()
	defer s.obsMu.Unlock()
	var out map[string]string
	for _, c := range v.Claims {
		w, ok := s.watch[c.Holder]
		if _, lives := v.Live[c.Holder]; lives || c.Released || !ok || w.boot != c.BootID {
			continue
		}
		bound := r.bound(c.Holder, w)
		if bound > 0 && Outlasted(r.begun.Sub(w.sign), w.ttl, max(bound, s.opts.WatchdogBound)) {
			if out == nil {
				out = map[string]string{}
			}
			out[c.Holder] = c.BootID
		}
	}
	return out
}

// Outlasted reports whether a holder whose slot has not changed for a time has
// been reset by its watchdog. Its last renewal was sent before the change was
// seen, and bound later it had been reset, by its own clock. Both that clock and
// ours may be wrong by a part in a thousand. Zero bound: there is no watchdog that
// can be relied upon, and no silence is long enough.
func Outlasted(still, ttl, bound time.Duration) bool {
	after := max(ttl, bound)
	return bound > 0 && ttl > 0 && still > after+2*after/1000
}
