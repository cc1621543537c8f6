//go:build linux

package vmlab

import (
	"bufio"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// A fabric is one private ethernet: it learns addresses and passes frames between
// the guests' cards. Nothing of it reaches the networks of this machine.
type fabric struct {
	mu     sync.Mutex // guards all following fields
	ports  map[string]*port
	cards  map[[6]byte]*port
	faults map[[2]string]Fault // from, to
}

// Fault is what happens to the frames from one guest to another. The carrier stays
// up. The zero value: nothing.
type Fault struct {
	Cut   bool
	Loss  float64 // 0 to 1
	Delay time.Duration
}

type port struct {
	node string
	out  chan []byte
}

func newFabric() *fabric {
	return &fabric{ports: map[string]*port{}, cards: map[[6]byte]*port{}, faults: map[[2]string]Fault{}}
}

func (f *fabric) set(from, to string, fault Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults[[2]string{from, to}] = fault
}

// mostFrame bounds what is taken for a frame, in bytes.
const mostFrame = 256 << 10

// attach serves one guest's card until its qemu goes away. A frame on the socket
// has its length before it, in 4 bytes, big endian (qemu(1), -netdev stream).
func (f *fabric) attach(node string, c net.Conn) {
	defer c.Close()
	p := &port{node: node, out: make(chan []byte, 1024)}
	f.mu.Lock()
	f.ports[node] = p
	f.mu.Unlock()
	done := make(chan struct{})
	defer close(done)
	go p.feed(c, done)
	r := bufio.NewReaderSize(c, 64<<10)
	for {
		var head [4]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			break
		}
		n := binary.BigEndian.Uint32(head[:])
		if n > mostFrame {
			break
		}
		frame := make([]byte, n)
		if _, err := io.ReadFull(r, frame); err != nil {
			break
		}
		f.forward(p, frame)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ports[node] == p {
		delete(f.ports, node)
	}
	for card, q := range f.cards {
		if q == p {
			delete(f.cards, card)
		}
	}
}

func (p *port) feed(c net.Conn, done <-chan struct{}) {
	w := bufio.NewWriterSize(c, 64<<10)
	for {
		select {
		case frame := <-p.out:
			var head [4]byte
			binary.BigEndian.PutUint32(head[:], uint32(len(frame)))
			_, _ = w.Write(head[:])
			_, _ = w.Write(frame)
			if len(p.out) == 0 && w.Flush() != nil {
				return
			}
		case <-done:
			return
		}
	}
}

func (f *fabric) forward(p *port, frame []byte) {
	if len(frame) < 14 {
		return
	}
	to, from := [6]byte(frame[:6]), [6]byte(frame[6:12])
	const group = 1 // the lowest bit of an address's first byte
	f.mu.Lock()
	defer f.mu.Unlock()
	if from[0]&group == 0 {
		f.cards[from] = p
	}
	if q := f.cards[to]; q != nil && to[0]&group == 0 {
		if q != p {
			f.send(p, q, frame)
		}
		return
	}
	for _, q := range f.ports {
		if q != p {
			f.send(p, q, frame)
		}
	}
}

func (f *fabric) send(p, q *port, frame []byte) {
	fault := f.faults[[2]string{p.node, q.node}]
	if fault.Cut || fault.Loss > 0 && rand.Float64() < fault.Loss {
		return
	}
	put := func() {
		select {
		case q.out <- frame:
		default: // as a switch does when a port cannot keep up
		}
	}
	if fault.Delay > 0 {
		time.AfterFunc(fault.Delay, put)
		return
	}
	put()
}
