package disk

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// BlockSize is the unit of every read and write, in bytes. It is the larger of
// the two logical block sizes that disks have, so that O_DIRECT takes it on both.
const BlockSize = 4096

const (
	headerMagic = "UNDSTDYH"
	version     = 1

	copies    = 2  // of every slot, written in turn
	perNode   = 2  // slots of a node, used in turn by its incarnations
	tailSize  = 15 // blocks behind the first one of a copy
	maxNodes  = 8
	headerMAC = 16 // offset of the header's MAC
	headerLen = 48 // offset of the length of its text
	headerTxt = 52 // offset of its text
)

// ErrForeign says that the device does not carry the store of this cluster.
var ErrForeign = errors.New("the device does not carry the store of this cluster")

// Header is the first block of the device. It is written once, by [Format].
type Header struct {
	Cluster string   `json:"cluster"`
	ID      string   `json:"id"`    // random: tells this device, made at this time, from all others
	Nodes   []string `json:"nodes"` // the place of a node here is the place of its slots
}

// Size is how much of the device is used, in bytes.
func (h Header) Size() int64 {
	n := int64(len(h.Nodes) * perNode * copies)
	return BlockSize * (1 + n + n*tailSize)
}

// slots is the number of slots.
func (h Header) slots() int { return len(h.Nodes) * perNode }

// heads is the length of what every look reads: the header and the first block of
// each copy of each slot.
func (h Header) heads() int { return BlockSize * (1 + h.slots()*copies) }

func (h Header) headAt(slot, copy int) int64 { return BlockSize * int64(1+slot*copies+copy) }

func (h Header) tailAt(slot, copy int) int64 {
	return int64(h.heads()) + BlockSize*tailSize*int64(slot*copies+copy)
}

// first is the first of the slots of a node; false if the device has none for it.
func (h Header) first(node string) (int, bool) {
	i := slices.Index(h.Nodes, node)
	return i * perNode, i >= 0
}

// encode writes the header as a block: magic, version, MAC, length, JSON.
func (h Header) encode(key []byte) ([]byte, error) {
	text, err := json.Marshal(h)
	if err != nil {
		return nil, err
	}
	if len(h.Nodes) == 0 || len(h.Nodes) > maxNodes || headerTxt+len(text) > BlockSize {
		return nil, fmt.Errorf("cannot write a header for %d nodes: a device has slots for 1 to %d with names of usual length", len(h.Nodes), maxNodes)
	}
	b := make([]byte, BlockSize)
	copy(b, headerMagic)
	binary.BigEndian.PutUint32(b[8:], version)
	binary.BigEndian.PutUint32(b[headerLen:], uint32(len(text)))
	copy(b[headerTxt:], text)
	copy(b[headerMAC:], sum(headerKey(key), b, headerMAC))
	return b, nil
}

// parseHeader reads a header made with the same key.
func parseHeader(b, key []byte) (Header, error) {
	switch {
	case len(b) != BlockSize || !bytes.HasPrefix(b, []byte(headerMagic)):
		return Header{}, fmt.Errorf("%w: it has no header", ErrForeign)
	case binary.BigEndian.Uint32(b[8:]) != version:
		return Header{}, fmt.Errorf("%w: it is of format %d, and this program knows %d", ErrForeign, binary.BigEndian.Uint32(b[8:]), version)
	case !hmac.Equal(b[headerMAC:headerLen], sum(headerKey(key), b, headerMAC)):
		return Header{}, fmt.Errorf("%w: its header is damaged or was made with another key", ErrForeign)
	}
	n := binary.BigEndian.Uint32(b[headerLen:])
	if n > BlockSize-headerTxt {
		return Header{}, fmt.Errorf("%w: its header is %d bytes long", ErrForeign, n)
	}
	var h Header
	if err := json.Unmarshal(b[headerTxt:headerTxt+n], &h); err != nil {
		return Header{}, fmt.Errorf("%w: %w", ErrForeign, err)
	}
	if len(h.Nodes) == 0 || len(h.Nodes) > maxNodes {
		return Header{}, fmt.Errorf("%w: it has slots for %d nodes", ErrForeign, len(h.Nodes))
	}
	return h, nil
}

// believe reads a header made with a key or a former one, and says with which.
func believe(b, key []byte, former [][]byte) (Header, []byte, error) {
	h, err := parseHeader(b, key)
	if err == nil {
		return h, key, nil
	}
	for _, k := range former {
		if h, err := parseHeader(b, k); err == nil {
			return h, k, nil
		}
	}
	return Header{}, nil, err
}

func headerKey(key []byte) []byte { return derive(key, "understudy disk store: header") }

// slotKey is the key of the slots of one device: a block of another device, or of
// the same one made anew, does not pass with it.
func (h Header) slotKey(key []byte) []byte {
	return derive(key, "understudy disk store: slots of "+h.ID+" of "+h.Cluster)
}

func derive(key []byte, purpose string) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(purpose))
	return m.Sum(nil)
}

// sum is the MAC of a block, in which the MAC's own place at offset at counts as
// zero.
func sum(key, block []byte, at int) []byte {
	var zero [sha256.Size]byte
	m := hmac.New(sha256.New, key)
	m.Write(block[:at])
	m.Write(zero[:])
	m.Write(block[at+sha256.Size:])
	return m.Sum(nil)
}
