package disk

import (
	"bytes"
	"compress/flate"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

const (
	slotMagic = "UNDSTDYS"
	blockSeq  = 16
	blockLen  = 24
	blockTail = 32 // SHA-256 of what lies behind the first block
	blockMAC  = 64
	blockText = 96

	maxText = BlockSize - blockText + tailSize*BlockSize
	maxJSON = 1 << 20 // of a text inflated, in bytes
)

// errTorn says that a copy is not what one write has written: it was torn, or is
// being written at this moment, or is foreign.
var errTorn = errors.New("the block does not pass its checksum")

// errTooBig says that the state does not fit into a slot.
var errTooBig = errors.New("the state does not fit into a slot of the disk — declare fewer groups")

// block is what an incarnation of a node says in its slot. A block that was
// written or read is not changed any more.
type block struct {
	Node  string `json:"node"`
	Boot  string `json:"boot"`
	Nonce string `json:"nonce"` // of the incarnation: one opening of the device by one process
	Join  uint64 `json:"join"`  // grows with each incarnation of the node

	// Bound is how long after the sending of its last renewal the host of this
	// incarnation has been reset if it still holds something, as it was guarded when
	// this was written. Zero: its silence says nothing; so do slots that were written
	// before there was such a field.
	Bound time.Duration `json:"bound,omitempty"`

	Begun   ballot `json:"begun"`             // mbal of the paper: the highest ballot begun
	Voted   ballot `json:"voted"`             // bal: the ballot at which Value was written
	Decided bool   `json:"decided,omitempty"` // Value is known to be chosen
	Value   *value `json:"value,omitempty"`   // inp

	// Beats counts the renewals of each lease that this incarnation holds.
	Beats map[int64]uint64 `json:"beats,omitempty"`

	seq uint64 // of the write, grows by one with each
	mac [sha256.Size]byte
}

// ballot is the number of a ballot. Those of two slots are never equal. Zero is
// none.
type ballot uint64

// above is the least ballot of a slot that is higher than b.
func (b ballot) above(slot, slots int) ballot {
	return (b/ballot(slots)+1)*ballot(slots) + ballot(slot)
}

// encode makes the first block of a copy and what lies behind it, a whole number
// of blocks, nil if everything fits into the first.
func (b *block) encode(key []byte, slot int) (head, tail []byte, err error) {
	var text bytes.Buffer
	w, _ := flate.NewWriter(&text, flate.BestSpeed)
	if err := json.NewEncoder(w).Encode(b); err != nil {
		return nil, nil, err
	}
	if err := w.Close(); err != nil {
		return nil, nil, err
	}
	if text.Len() > maxText {
		return nil, nil, errTooBig
	}
	head = make([]byte, BlockSize)
	copy(head, slotMagic)
	binary.BigEndian.PutUint32(head[8:], version)
	binary.BigEndian.PutUint32(head[12:], uint32(slot))
	binary.BigEndian.PutUint64(head[blockSeq:], b.seq)
	binary.BigEndian.PutUint32(head[blockLen:], uint32(text.Len()))
	n := copy(head[blockText:], text.Bytes())
	if rest := text.Bytes()[n:]; len(rest) > 0 {
		tail = make([]byte, (len(rest)+BlockSize-1)/BlockSize*BlockSize)
		copy(tail, rest)
	}
	h := sha256.Sum256(tail)
	copy(head[blockTail:], h[:])
	copy(head[blockMAC:], sum(key, head, blockMAC))
	copy(b.mac[:], head[blockMAC:])
	return head, tail, nil
}

// first is the first block of a copy, verified by itself.
type first struct {
	seq  uint64
	text int // length of the text, in bytes
	mac  [sha256.Size]byte
	head []byte
}

// tail is how much lies behind the first block, in bytes.
func (f first) tail() int {
	rest := max(0, f.text-(BlockSize-blockText))
	return (rest + BlockSize - 1) / BlockSize * BlockSize
}

// parseFirst verifies the first block of a copy. It returns nil without an error
// for one that was never written.
func parseFirst(head, key []byte, slot int) (*first, error) {
	if len(head) != BlockSize {
		return nil, errTorn
	}
	if !bytes.ContainsFunc(head, func(r rune) bool { return r != 0 }) {
		return nil, nil
	}
	if !bytes.HasPrefix(head, []byte(slotMagic)) || binary.BigEndian.Uint32(head[8:]) != version ||
		binary.BigEndian.Uint32(head[12:]) != uint32(slot) || !hmac.Equal(head[blockMAC:blockText], sum(key, head, blockMAC)) {
		return nil, errTorn
	}
	f := &first{seq: binary.BigEndian.Uint64(head[blockSeq:]), text: int(binary.BigEndian.Uint32(head[blockLen:])), head: head}
	copy(f.mac[:], head[blockMAC:])
	if f.text > maxText {
		return nil, errTorn
	}
	return f, nil
}

// block decodes the whole copy.
func (f *first) block(tail []byte) (*block, error) {
	if len(tail) != f.tail() {
		return nil, errTorn
	}
	if h := sha256.Sum256(tail); !bytes.Equal(h[:], f.head[blockTail:blockMAC]) {
		return nil, errTorn
	}
	text := append(bytes.Clone(f.head[blockText:]), tail...)[:f.text]
	d := json.NewDecoder(io.LimitReader(flate.NewReader(bytes.NewReader(text)), maxJSON))
	b := &block{seq: f.seq, mac: f.mac}
	if err := d.Decode(b); err != nil {
		return nil, fmt.Errorf("cannot read the block of slot sequence %d: %w", f.seq, err)
	}
	if b.Voted > b.Begun || (b.Voted == 0) != (b.Value == nil) {
		return nil, fmt.Errorf("cannot believe the block of slot sequence %d: it voted in ballot %d and has begun %d", f.seq, b.Voted, b.Begun)
	}
	return b, nil
}
