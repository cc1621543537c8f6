package disk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"
)

// ErrClash says that somebody else has written into the slot of this incarnation:
// another machine under the same name, or a copy of this one.
var ErrClash = errors.New("another machine writes into this node's slot of the disk")

// ErrDamaged says that a slot holds nothing that passes its checksum although it
// was written to. Nothing can be decided without it.
var ErrDamaged = errors.New("a slot of the disk is damaged")

// rereads is how often a slot is read again that does not pass: its owner may be
// writing it at this very moment.
const rereads = 5

// reading is one look at every slot. It is not one moment: each slot is as it was
// at some moment between begun and ended.
type reading struct {
	begun, ended time.Time
	blocks       []*block // by slot, nil where nothing was ever written
}

// latest is the block that voted at the highest ballot, nil if none has.
func (r reading) latest() *block {
	var best *block
	for _, b := range r.blocks {
		if b != nil && b.Voted > 0 && (best == nil || b.Voted > best.Voted || b.Voted == best.Voted && b.Decided) {
			best = b
		}
	}
	return best
}

// begunBy is the highest ballot begun in any slot but one.
func (r reading) begunBeside(slot int) ballot {
	var most ballot
	for i, b := range r.blocks {
		if b != nil && i != slot {
			most = max(most, b.Begun)
		}
	}
	return most
}

// decided is the state that was chosen last, if the reading shows it: false while
// a ballot is under way, or was left in the middle. nil: nothing was ever chosen.
func (r reading) decided() (*value, bool) {
	b := r.latest()
	switch {
	case b != nil && b.Decided:
		return b.Value, true
	case b == nil && r.begunBeside(-1) == 0:
		return nil, true
	}
	return nil, false
}

// quiet reports that the reading shows a chosen state and no ballot above it.
func (r reading) quiet() (*value, bool) {
	v, ok := r.decided()
	if b := r.latest(); ok && b != nil {
		ok = r.begunBeside(-1) <= b.Voted
	}
	return v, ok
}

// look reads every slot.
func (s *Store) look(ctx context.Context) (reading, error) {
	if err := s.broken(); err != nil {
		return reading{}, err
	}
	var err error
	for try := range rereads {
		if try > 0 {
			if werr := sleep(ctx, time.Duration(try)*time.Millisecond); werr != nil {
				return reading{}, werr
			}
		}
		var r reading
		if r, err = s.lookOnce(ctx); !errors.Is(err, ErrDamaged) {
			return r, err
		}
	}
	return reading{}, err
}

func (s *Store) lookOnce(ctx context.Context) (reading, error) {
	s.mu.Lock()
	least := s.written // what is on the disk for certain, before the look begins
	s.mu.Unlock()
	r := reading{begun: time.Now(), blocks: make([]*block, s.header.slots())}
	raw, err := s.lane.read(ctx, 0, s.header.heads())
	if err != nil {
		return r, err
	}
	if !bytes.Equal(raw[:BlockSize], s.first) {
		return r, fmt.Errorf("%w: its header has changed since it was opened", ErrForeign)
	}
	for slot := range r.blocks {
		if r.blocks[slot], err = s.slot(ctx, raw, slot); err != nil {
			return r, err
		}
	}
	r.ended = time.Now()
	if s.joined {
		err = s.ours(r.blocks[s.place], least)
	}
	return r, err
}

// slot picks the newer of the two copies of a slot. A copy that does not pass is
// one whose write has not completed; then the other one is what was completed
// last. Where neither passes, and more than one write was begun, the disk has not
// kept what it promised to keep.
func (s *Store) slot(ctx context.Context, raw []byte, slot int) (*block, error) {
	var best *first
	at, torn := 0, 0
	for c := range copies {
		off := s.header.headAt(slot, c)
		f, err := parseFirst(raw[off:off+BlockSize], s.key, slot)
		switch {
		case err != nil:
			torn++
		case f != nil && (best == nil || f.seq > best.seq):
			best, at = f, c
		}
	}
	if best == nil {
		if torn == copies {
			return nil, fmt.Errorf("%w: slot %d", ErrDamaged, slot)
		}
		return nil, nil
	}
	s.cacheMu.Lock()
	known := s.cache[slot]
	s.cacheMu.Unlock()
	if known != nil && known.mac == best.mac {
		return known, nil
	}
	var tail []byte
	if n := best.tail(); n > 0 {
		var err error
		if tail, err = s.lane.read(ctx, s.header.tailAt(slot, at), n); err != nil {
			return nil, err
		}
	}
	b, err := best.block(tail)
	if err != nil {
		return nil, fmt.Errorf("%w: slot %d: %w", ErrDamaged, slot, err)
	}
	s.cacheMu.Lock()
	s.cache[slot] = b
	s.cacheMu.Unlock()
	return b, nil
}

// ours checks that this incarnation is the only one that writes its slot: what is
// there is its own, and at least as new as what it had written before the look.
func (s *Store) ours(b *block, least uint64) error {
	switch {
	case b != nil && b.Nonce == s.nonce && b.seq >= least && s.wrote(b):
		return nil
	case b == nil:
		return s.breaks(fmt.Errorf("%w: it is empty — was the disk made anew?", ErrClash))
	case b.Nonce == s.nonce:
		return s.breaks(fmt.Errorf("%w: it holds sequence %d, which is not what this node has written after %d — is there a copy of this machine, or has the disk lost a write?", ErrClash, b.seq, least))
	}
	return s.breaks(fmt.Errorf("%w: boot %s calls itself %s too — give each machine its own name", ErrClash, b.Boot, b.Node))
}

// wrote reports whether this incarnation has sent such a block.
func (s *Store) wrote(b *block) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	mac, ok := s.sent[b.seq]
	return ok && mac == b.mac
}

// sleep waits for d or the end of ctx.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}
