package sim

import (
	"context"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"understudy/reconcile"
	"understudy/reconcile/lease"
)

// A run can be made again because every thing of a host happens at a moment of its
// own: what the scheduler of Go would put in any order is put apart by some
// microseconds, which the dice throw.

// apart lets a moment pass that nothing else has, for what the key names.
func (w *world) apart(key string) {
	time.Sleep(w.between("apart/"+key, time.Microsecond, 50*time.Microsecond))
}

// later is apart, and reports false if ctx ends before.
func (w *world) later(ctx context.Context, key string) bool {
	return wait(ctx, w.between("apart/"+key, time.Microsecond, 50*time.Microsecond))
}

// signal says that something has changed. What changes at one moment is one signal,
// which comes a little later, and not while its host is frozen.
type signal struct {
	h    *host
	key  string
	out  chan struct{}
	sent atomic.Bool // and not there yet
}

func newSignal(h *host, key string) *signal {
	return &signal{h: h, key: key + "/" + h.name, out: make(chan struct{}, 1)}
}

// poke may be called with the world's mutex or without.
func (s *signal) poke() {
	if !s.sent.CompareAndSwap(false, true) {
		return
	}
	w := s.h.w
	time.AfterFunc(w.between("signal/"+s.key, time.Microsecond, 50*time.Microsecond), func() {
		w.mu.Lock()
		for s.h.frozen {
			thaw := s.h.thaw
			w.mu.Unlock()
			<-thaw
			w.apart(s.key)
			w.mu.Lock()
		}
		w.mu.Unlock()
		s.sent.Store(false)
		select {
		case s.out <- struct{}{}:
		default:
		}
	})
}

// ownLease is the keeper as the loop has it: what it tells comes as a signal.
type ownLease struct {
	*lease.Keeper
	signal *signal
}

// Changes implements loop.Lease.
func (k ownLease) Changes() <-chan struct{} { return k.signal.out }

// relay hands on what the keeper tells.
func (k ownLease) relay(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-k.Keeper.Changes():
			k.signal.poke()
		}
	}
}

// apartStore is a way to the store whose calls begin each at a moment of its own.
type apartStore struct {
	lease.Store
	p *process
}

// caller is the key under which a context says who calls the store.
type caller struct{}

func (s *apartStore) turn(ctx context.Context, call string) {
	who, _ := ctx.Value(caller{}).(string)
	s.p.h.w.later(ctx, call+"/"+s.p.h.name+"/"+who)
}

// Grant implements lease.Store, as all that follow.
func (s *apartStore) Grant(ctx context.Context, node, bootID string, ttl time.Duration) (lease.LeaseID, error) {
	s.turn(ctx, "grant")
	return s.Store.Grant(ctx, node, bootID, ttl)
}

func (s *apartStore) Renew(ctx context.Context, id lease.LeaseID) error {
	s.turn(ctx, "renew")
	return s.Store.Renew(ctx, id)
}

func (s *apartStore) Take(ctx context.Context, id lease.LeaseID, next reconcile.Claim, was int64) (int64, error) {
	s.turn(ctx, "take")
	return s.Store.Take(ctx, id, next, was)
}

func (s *apartStore) View(ctx context.Context) (reconcile.StoreView, error) {
	s.turn(ctx, "view")
	return s.Store.View(ctx)
}

func (s *apartStore) Watch(ctx context.Context, changed func()) error {
	w := s.p.h.w
	return s.Store.Watch(ctx, func() {
		time.AfterFunc(w.between("watch/"+s.p.h.name, time.Microsecond, 50*time.Microsecond), changed)
	})
}

// oneProcessor has the goroutines of a test run one after the other until it ends. Where
// two of one host still have something to do at one moment, as two that wait for the
// store's disk, Go then takes them in the same order every time.
func oneProcessor(t *testing.T) {
	was := runtime.GOMAXPROCS(1)
	t.Cleanup(func() { runtime.GOMAXPROCS(was) })
}
