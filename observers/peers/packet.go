package peers

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"time"
)

const (
	version   = 1
	maxPacket = 1400 // bytes; fits every path that carries Ethernet frames, tunnels included
	macSize   = sha256.Size
	never     = ^uint32(0) // an age: not heard at all
)

// nonce is a random challenge. The zero value is none.
type nonce [16]byte

// session is one life of the program on a machine.
type session struct {
	boot        string
	incarnation uint64 // random
}

// heardAge is how long ago the sender of a packet heard something.
type heardAge struct {
	name string // of a network, or of a machine
	age  time.Duration
	ok   bool // false: never
}

// packet is one keep-alive. It is made for one receiver on one network.
type packet struct {
	session                            session
	sequence                           uint64 // of the sender, for all its packets
	cluster, sender, receiver, network string
	challenge                          nonce      // what the sender wants to see echoed
	echo                               nonce      // the last challenge heard from the receiver
	hears                              []heardAge // the receiver, by network
	heard                              []heardAge // every other machine, on its best network
	status                             chunk
	// clock is the sender's wall clock, milliseconds since 1970; zero: not said, as by
	// earlier versions. It is for people only.
	clock uint64
}

// chunk is one piece of the sender's status, which may be larger than a packet.
type chunk struct {
	version   uint32 // grows with every status of a session
	index, of uint8
	text      []byte
}

var errForeign = errors.New("not a keep-alive of this cluster")

// sealer signs packets with the first of the cluster's keys, and believes those
// signed with any. It is not safe for concurrent use.
type sealer struct {
	macs []hash.Hash // one per key, in their order; never empty
	sum  [macSize]byte
}

// newSealer derives keys of its own, so that a packet is good for nothing else.
func newSealer(keys ...[]byte) *sealer {
	if len(keys) == 0 {
		keys = [][]byte{nil} // proves nothing
	}
	s := new(sealer)
	for _, key := range keys {
		d := hmac.New(sha256.New, key)
		d.Write([]byte("understudy keep-alive 1"))
		s.macs = append(s.macs, hmac.New(sha256.New, d.Sum(nil)))
	}
	return s
}

func (s *sealer) sign(b []byte) []byte {
	mac := s.macs[0]
	mac.Reset()
	mac.Write(b)
	return mac.Sum(b)
}

// open returns what was signed, or nil.
func (s *sealer) open(b []byte) []byte {
	if len(b) < macSize || len(b) > maxPacket {
		return nil
	}
	body, sum := b[:len(b)-macSize], b[len(b)-macSize:]
	for _, mac := range s.macs {
		mac.Reset()
		mac.Write(body)
		if hmac.Equal(mac.Sum(s.sum[:0]), sum) {
			return body
		}
	}
	return nil
}

// append writes the packet without its signature. It is wrong for names longer
// than 255 bytes and lists longer than 255, which no file has.
func (p *packet) append(b []byte) []byte {
	b = append(b, 'u', 's', version)
	b = binary.BigEndian.AppendUint64(b, p.session.incarnation)
	b = binary.BigEndian.AppendUint64(b, p.sequence)
	b = append(b, p.challenge[:]...)
	b = append(b, p.echo[:]...)
	for _, s := range [...]string{p.session.boot, p.cluster, p.sender, p.receiver, p.network} {
		b = appendString(b, s)
	}
	b = appendAges(b, p.hears)
	b = appendAges(b, p.heard)
	b = binary.BigEndian.AppendUint32(b, p.status.version)
	b = append(b, p.status.index, p.status.of)
	b = binary.BigEndian.AppendUint16(b, uint16(len(p.status.text)))
	b = append(b, p.status.text...)
	if p.clock != 0 {
		b = binary.BigEndian.AppendUint64(b, p.clock)
	}
	return b
}

func appendString(b []byte, s string) []byte {
	s = s[:min(len(s), 255)]
	return append(append(b, byte(len(s))), s...)
}

func appendAges(b []byte, list []heardAge) []byte {
	list = list[:min(len(list), 255)]
	b = append(b, byte(len(list)))
	for _, h := range list {
		b = appendString(b, h.name)
		age := never
		if h.ok {
			age = uint32(min(max(h.age.Milliseconds(), 0), int64(never-1)))
		}
		b = binary.BigEndian.AppendUint32(b, age)
	}
	return b
}

// parse reads what append wrote. Bytes after the known fields are left to later
// versions of the program. The chunk's text lies in b; names are looked up in
// known, so that a packet of this cluster makes no garbage.
func (p *packet) parse(b []byte, known map[string]string) error {
	r := reader{b: b, known: known}
	head := r.bytes(3)
	if len(head) < 3 || head[0] != 'u' || head[1] != 's' {
		return errForeign
	}
	if head[2] != version {
		return fmt.Errorf("keep-alive of version %d, this program speaks %d", head[2], version)
	}
	p.session.incarnation = r.uint64()
	p.sequence = r.uint64()
	copy(p.challenge[:], r.bytes(16))
	copy(p.echo[:], r.bytes(16))
	p.session.boot = r.string()
	p.cluster, p.sender, p.receiver, p.network = r.string(), r.string(), r.string(), r.string()
	p.hears = r.ages(p.hears[:0])
	p.heard = r.ages(p.heard[:0])
	p.status.version = uint32(r.uint(4))
	p.status.index, p.status.of = uint8(r.uint(1)), uint8(r.uint(1))
	p.status.text = r.bytes(int(r.uint(2)))
	if r.short {
		return errors.New("keep-alive is cut off")
	}
	if p.clock = 0; len(r.b) >= 8 {
		p.clock = r.uint64()
	}
	return nil
}

// reader takes a packet apart. After the first shortage everything is zero.
type reader struct {
	b     []byte
	known map[string]string
	short bool
}

func (r *reader) bytes(n int) []byte {
	if r.short || n > len(r.b) {
		r.short = true
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) uint(n int) (v uint64) {
	for _, c := range r.bytes(n) {
		v = v<<8 | uint64(c)
	}
	return v
}

func (r *reader) uint64() uint64 { return r.uint(8) }

func (r *reader) string() string {
	b := r.bytes(int(r.uint(1)))
	if s, ok := r.known[string(b)]; ok {
		return s
	}
	return string(b)
}

func (r *reader) ages(list []heardAge) []heardAge {
	for range r.uint(1) {
		h := heardAge{name: r.string()}
		if age := uint32(r.uint(4)); age != never && !r.short {
			h.age, h.ok = time.Duration(age)*time.Millisecond, true
		}
		if r.short {
			break
		}
		list = append(list, h)
	}
	return list
}
