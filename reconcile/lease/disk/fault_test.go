package disk

import (
	"errors"
	"log/slog"
	"math/rand"
	"sync"
	"testing"
	"time"
)

// secret is the key of every cluster here.
var secret = []byte("a secret of thirty-two bytes, or so")

// platter is a disk in memory. What a write has brought over is seen sector by
// sector, as it comes.
type platter struct {
	mu   sync.Mutex
	data []byte
}

const sector = 512

// fate is what becomes of one call.
type fate struct {
	before time.Duration // until the first sector is written or read
	within time.Duration // between the two parts of a write
	keep   int           // sectors that arrive, of a write that fails; all of one that does not
	err    error
}

// path is one opening of a platter, with faults.
type path struct {
	p    *platter
	mu   sync.Mutex
	next func(write bool, off int64, n int) fate // nil: no fault
	gone bool                                    // the host has lost its power: nothing arrives any more
	now  int                                     // calls under way
	most int
}

var errIO = errors.New("input/output error")

func (h *path) enter(write bool, off int64, n int) fate {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now++
	h.most = max(h.most, h.now)
	if h.next == nil {
		return fate{}
	}
	return h.next(write, off, n)
}

func (h *path) leave() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now--
}

func (h *path) dead() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.gone
}

func (h *path) die() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.gone = true
}

func (h *path) faults(f func(write bool, off int64, n int) fate) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.next = f
}

func (h *path) ReadAt(p []byte, off int64) (int, error) {
	f := h.enter(false, off, len(p))
	defer h.leave()
	time.Sleep(f.before)
	if f.err != nil || h.dead() {
		return 0, errIO
	}
	h.p.mu.Lock()
	defer h.p.mu.Unlock()
	return copy(p, h.p.data[off:]), nil
}

func (h *path) WriteAt(p []byte, off int64) (int, error) {
	f := h.enter(true, off, len(p))
	defer h.leave()
	time.Sleep(f.before)
	n := len(p)
	if f.err != nil {
		n = min(n, f.keep*sector)
	}
	half := n / 2 / sector * sector
	if f.within == 0 {
		half = n
	}
	if !h.put(p[:half], off) {
		return 0, errIO
	}
	if f.within > 0 {
		time.Sleep(f.within)
		if !h.put(p[half:n], off+int64(half)) {
			return 0, errIO
		}
	}
	if f.err != nil {
		return 0, f.err
	}
	return n, nil
}

func (h *path) put(p []byte, off int64) bool {
	if h.dead() {
		return false
	}
	h.p.mu.Lock()
	defer h.p.mu.Unlock()
	copy(h.p.data[off:], p)
	return true
}

func (h *path) Close() error { return nil }

// newPlatter makes a disk with the store of x and y on it.
func newPlatter(t testing.TB) *platter {
	h := Header{Cluster: "c", ID: "one", Nodes: []string{"x", "y"}}
	p := &platter{data: make([]byte, h.Size())}
	b, err := h.encode(secret)
	if err != nil {
		t.Fatal(err)
	}
	copy(p.data, b)
	return p
}

var quick = Options{
	Cluster: "c", Key: secret, Log: slog.New(slog.DiscardHandler), TTL: 5 * time.Second, Limit: time.Second,
	Poll: 250 * time.Millisecond, Settle: time.Second,
}

// join opens a disk in memory as a new incarnation of a node.
func join(t *testing.T, p *platter, node, boot string) (*Store, *path) {
	t.Helper()
	h := &path{p: p}
	s, err := joinBy(t, h, node, boot)
	if err != nil {
		t.Fatal(err)
	}
	return s, h
}

func joinBy(t *testing.T, h *path, node, boot string) (*Store, error) {
	o := quick
	o.Node, o.Boot = node, boot
	s, err := Open(t.Context(), h, o)
	if err == nil {
		t.Cleanup(func() { s.Close(); s.lane.wg.Wait() })
	}
	return s, err
}

// trouble draws faults: slow calls, errors before and after something arrived, torn
// writes, and now and then a call that hangs and then does what it was told.
func trouble(r *rand.Rand, often float64) func(write bool, off int64, n int) fate {
	var mu sync.Mutex
	return func(write bool, _ int64, n int) fate {
		mu.Lock()
		defer mu.Unlock()
		f := fate{before: time.Duration(r.Intn(4)) * time.Millisecond}
		if write && r.Intn(2) == 0 {
			f.within = time.Duration(1+r.Intn(5)) * time.Millisecond
		}
		if r.Float64() >= often {
			return f
		}
		switch r.Intn(4) {
		case 0:
			f.err = errIO
			f.keep = r.Intn(n/sector + 1)
		case 1:
			f.err, f.keep = errIO, n/sector // everything arrived, and an error all the same
		case 2:
			f.before += time.Duration(r.Intn(3000)) * time.Millisecond // longer than the limit, now and then
		case 3:
			f.before += 50 * time.Millisecond
		}
		return f
	}
}

func newRand(seed int64) *rand.Rand { return rand.New(rand.NewSource(seed)) }

// joinBound joins as a node whose file has a watchdog bound.
func joinBound(t *testing.T, p *platter, node, boot string, bound time.Duration) *Store {
	t.Helper()
	o := quick
	o.Node, o.Boot, o.WatchdogBound = node, boot, bound
	s, err := Open(t.Context(), &path{p: p}, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(); s.lane.wg.Wait() })
	return s
}
