package disk

import (
	"context"
	"fmt"
	"time"

	"understudy/reconcile"
)

// Inspection is what a device says to somebody who has the key and writes nothing.
type Inspection struct {
	Header
	Slots []SlotInspection `json:"slots"`
}

// SlotInspection is one slot. Node is "" if it was never used.
type SlotInspection struct {
	Slot        int    `json:"slot"`
	Node        string `json:"node,omitempty"`
	Boot        string `json:"boot,omitempty"`
	Incarnation uint64 `json:"incarnation,omitempty"`
	Sequence    uint64 `json:"sequence,omitempty"`
	Begun       uint64 `json:"begun,omitempty"`
	Voted       uint64 `json:"voted,omitempty"`
	Error       string `json:"error,omitempty"`

	// View is the state that it voted for at Voted, and Decided tells that it says
	// that this state was chosen.
	View    reconcile.StoreView `json:"-"`
	Decided bool                `json:"-"`
}

// Inspect reads a device, made with a key or a former one, within limit for each
// read, and closes it.
func Inspect(ctx context.Context, dev Device, key []byte, former [][]byte, limit time.Duration) (Inspection, error) {
	s := &Store{lane: newLane(dev, limit), cache: map[int]*block{}}
	defer s.lane.close()
	head, err := s.lane.read(ctx, 0, BlockSize)
	if err != nil {
		return Inspection{}, err
	}
	if s.header, key, err = believe(head, key, former); err != nil {
		return Inspection{}, fmt.Errorf("cannot inspect the disk: %w", err)
	}
	s.key = s.header.slotKey(key)
	raw, err := s.lane.read(ctx, 0, s.header.heads())
	if err != nil {
		return Inspection{}, err
	}
	out := Inspection{Header: s.header}
	for i := range s.header.slots() {
		in := SlotInspection{Slot: i}
		b, err := s.slot(ctx, raw, i)
		switch {
		case err != nil:
			in.Error = err.Error()
		case b != nil:
			in.Node, in.Boot, in.Incarnation, in.Sequence = b.Node, b.Boot, b.Join, b.seq
			in.Begun, in.Voted, in.Decided = uint64(b.Begun), uint64(b.Voted), b.Decided
			in.View = b.Value.view(nil)
		}
		out.Slots = append(out.Slots, in)
	}
	return out, nil
}
