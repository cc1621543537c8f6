package leasetest

import (
	"maps"
	"sync"
	"time"

	"understudy/reconcile"
	"understudy/reconcile/lease"
)

// Store is a lease store in memory. It works in virtual time (testing/synctest).
type Store struct {
	mu       sync.Mutex
	rev      int64
	lastID   lease.LeaseID
	live     map[string]entry
	claims   map[string]reconcile.Claim
	fenced   map[string]reconcile.FenceRecord
	confirms map[string]reconcile.Confirmation
	requests map[string]request
	watchers map[chan struct{}]bool
	rate     float64        // of its clock
	pending  sync.WaitGroup // requests and replies on their way
}

type entry struct {
	id     lease.LeaseID
	boot   string
	ttl    time.Duration
	expiry time.Time
}

type request struct {
	reconcile.Request
	expiry time.Time
}

// New makes an empty store.
func New() *Store {
	return &Store{
		live: map[string]entry{}, claims: map[string]reconcile.Claim{},
		fenced: map[string]reconcile.FenceRecord{}, confirms: map[string]reconcile.Confirmation{},
		requests: map[string]request{}, watchers: map[chan struct{}]bool{}, rate: 1,
	}
}

// Rate sets at which rate its clock runs: a lease of a ttl ends after ttl × rate. It
// is called first.
func (s *Store) Rate(rate float64) { s.rate = rate }

// Now is what it holds.
func (s *Store) Now() reconcile.StoreView {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire()
	return s.viewed()
}

// Wait waits until no request is on its way any more. A test calls it last.
func (s *Store) Wait() { s.pending.Wait() }

// Expiry is when the store forgets the lease of a node, and the boot it is of.
func (s *Store) Expiry(node string) (bootID string, at time.Time, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire()
	e, ok := s.live[node]
	return e.boot, e.expiry, ok
}

// Claim is the claim of a group as the store holds it.
func (s *Store) Claim(group string) reconcile.Claim {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.claims[group]
}

// Expire ends the lease of a node at once, as a store that lost it would.
func (s *Store) Expire(node string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.live, node)
	s.changed()
}

// expire ends what has run out.
func (s *Store) expire() {
	now := time.Now()
	for node, e := range s.live {
		if !now.Before(e.expiry) {
			delete(s.live, node)
			s.changed()
		}
	}
	for group, r := range s.requests {
		if !now.Before(r.expiry) {
			delete(s.requests, group)
			s.changed()
		}
	}
}

// changed counts the revision and wakes whoever watches.
func (s *Store) changed() int64 {
	s.rev++
	for w := range s.watchers {
		select {
		case w <- struct{}{}:
		default:
		}
	}
	return s.rev
}

// do runs f as the store does: alone, after what has run out is gone.
func (s *Store) do(f func() error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire()
	return f()
}

// later looks for what has run out at a moment, so that watchers hear of it.
func (s *Store) later(ttl time.Duration) {
	time.AfterFunc(ttl, func() { s.do(func() error { return nil }) })
}

func (s *Store) grant(node, boot string, ttl time.Duration) (lease.LeaseID, error) {
	if s.fenced[node].BootID == boot || s.confirms[node].BootID == boot {
		return 0, lease.ErrFenced
	}
	if e, ok := s.live[node]; ok && e.boot != boot {
		return 0, lease.ErrOtherBoot
	}
	s.lastID++
	ttl = time.Duration(float64(ttl) * s.rate)
	s.live[node] = entry{s.lastID, boot, ttl, time.Now().Add(ttl)}
	s.later(ttl)
	s.changed()
	return s.lastID, nil
}

func (s *Store) renew(id lease.LeaseID) error {
	for node, e := range s.live {
		if e.id == id {
			e.expiry = time.Now().Add(e.ttl)
			s.live[node] = e
			s.later(e.ttl)
			return nil
		}
	}
	return lease.ErrNoLease
}

func (s *Store) revoke(node, boot string) {
	if e, ok := s.live[node]; ok && e.boot == boot {
		delete(s.live, node)
		s.changed()
	}
}

func (s *Store) take(id lease.LeaseID, next reconcile.Claim, was int64) (int64, error) {
	if e := s.live[next.Holder]; id == 0 || e.id != id {
		return 0, lease.ErrNoLease
	}
	if s.claims[next.Group].Revision != was {
		return 0, lease.ErrChanged
	}
	next.Revision = s.changed()
	s.claims[next.Group] = next
	return next.Revision, nil
}

func (s *Store) viewed() reconcile.StoreView {
	v := reconcile.StoreView{
		Revision: s.rev,
		Claims:   maps.Clone(s.claims),
		Live:     map[string]string{},
		Fenced:   maps.Clone(s.fenced),
		Confirms: maps.Clone(s.confirms),
		Requests: map[string]reconcile.Request{},
	}
	for node, e := range s.live {
		v.Live[node] = e.boot
	}
	for group, r := range s.requests {
		v.Requests[group] = r.Request
	}
	return v
}
