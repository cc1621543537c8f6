package disk

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"log/slog"
	mrand "math/rand/v2"
	"sync"
	"time"

	"understudy/reconcile"
	"understudy/reconcile/lease"
)

// Options of a store. Those without a remark are needed.
type Options struct {
	Cluster string
	Key     []byte // the secret of the cluster
	// Former are secrets that are still believed: a store that was made with one of
	// them is opened with it, and keeps it.
	Former [][]byte
	Node   string // this one; the header must know it
	Boot   string // id of this boot
	Log    *slog.Logger

	// TTL is that of the file. Only a boot whose lease this node has never seen is
	// measured by it.
	TTL time.Duration
	// Limit bounds one read or write of the device.
	Limit time.Duration
	// Poll is the interval at which Watch looks.
	Poll time.Duration
	// Settle is how long a new incarnation waits for another of the same name
	// before it counts a slot as its own.
	Settle time.Duration
	// WatchdogBound is how long after its last renewal a node that still holds
	// something has been reset by a watchdog that every node must have. Zero: there
	// is none, and no silence is evidence here.
	WatchdogBound time.Duration
	// Guarded is the bound that holds for this host at the moment of the call: zero
	// while its watchdog is not armed and proven. It is asked before every write, and
	// must not wait. Nil: WatchdogBound, always.
	Guarded func() time.Duration
	// Chance is a random number below n, for waits; nil: the usual generator.
	Chance func(n int64) int64
}

// Store is a lease.Store on a shared disk. It is one incarnation of its node: a
// process that has opened the device once.
type Store struct {
	opts   Options
	log    *slog.Logger
	lane   *lane
	header Header
	first  []byte // the header's block
	key    []byte // of the slots
	nonce  string
	place  int  // the slot of this incarnation
	joined bool // place is ours

	// turn is held by whoever changes the slot; it guards what follows.
	turn   chan struct{}
	leased bool   // it had a lease, or has one in the vote under way
	mine   block  // as sent last; it may not have arrived
	seq    uint64 // of mine
	good   int    // the copy that holds what was completed last
	seen   ballot // the highest one seen
	ops    uint64

	mu      sync.Mutex
	sent    map[uint64][sha256.Size]byte // MACs of our blocks, by sequence
	written uint64                       // the latest sequence that is on the disk for certain
	fault   error                        // for good

	cacheMu sync.Mutex
	cache   map[int]*block // by slot, the one read last

	obsMu sync.Mutex
	watch map[string]watched // by node
	asked map[string]asked   // by group
}

var _ lease.Store = (*Store)(nil)

// Open joins the store on a device as a new incarnation of a node, and owns the
// device from then on. It takes Settle at least.
func Open(ctx context.Context, dev Device, o Options) (*Store, error) {
	if o.Chance == nil {
		o.Chance = mrand.Int64N
	}
	s := &Store{
		opts: o, log: o.Log, lane: newLane(dev, o.Limit), nonce: rand.Text(), turn: make(chan struct{}, 1),
		sent: map[uint64][sha256.Size]byte{}, cache: map[int]*block{}, watch: map[string]watched{}, asked: map[string]asked{},
	}
	if err := s.join(ctx); err != nil {
		s.lane.close()
		return nil, fmt.Errorf("cannot join the store on the disk: %w", err)
	}
	return s, nil
}

// join reads the header, picks a slot and takes it.
func (s *Store) join(ctx context.Context) error {
	var err error
	if s.first, err = s.lane.read(ctx, 0, BlockSize); err != nil {
		return err
	}
	key := s.opts.Key
	if s.header, key, err = believe(s.first, s.opts.Key, s.opts.Former); err != nil {
		return err
	}
	if s.header.Cluster != s.opts.Cluster {
		return fmt.Errorf("%w: it is of cluster %s", ErrForeign, s.header.Cluster)
	}
	s.key = s.header.slotKey(key)
	at, ok := s.header.first(s.opts.Node)
	if !ok {
		return fmt.Errorf("%w: it has no slot for %s, only for %v — stop every node and run: understudy disk init --force", ErrForeign, s.opts.Node, s.header.Nodes)
	}
	r, err := s.look(ctx)
	if err != nil {
		return err
	}
	// The slot that was not used last: a late write of the incarnation before this
	// one falls into the other, which counts for no more than what it holds.
	s.place = at
	var joins, least uint64
	for i := range perNode {
		var n uint64
		if b := r.blocks[at+i]; b != nil {
			n = b.Join
		}
		if joins = max(joins, n); i == 0 || n < least {
			s.place, least = at+i, n
		}
	}
	if l, ok := s.lane.dev.(locker); ok {
		if err := l.lock(s.header.headAt(s.place, 0), BlockSize*copies); err != nil {
			return fmt.Errorf("another process of this host has the slot: %w", err)
		}
	}
	// What the slot holds may be what was chosen last: it is carried on.
	if b := r.blocks[s.place]; b != nil {
		s.mine = *b
		s.seq = b.seq
		s.good, err = s.copyOf(ctx, b)
		if err != nil {
			return err
		}
	}
	s.mine.Node, s.mine.Boot, s.mine.Nonce, s.mine.Join, s.mine.Beats = s.opts.Node, s.opts.Boot, s.nonce, joins+1, nil
	s.seen = r.begunBeside(-1)
	if err := s.put(ctx, s.mine); err != nil {
		return err
	}
	if err := sleep(ctx, s.opts.Settle); err != nil {
		return err
	}
	s.joined = true
	_, err = s.look(ctx)
	return err
}

// copyOf finds the copy that holds a block of our slot.
func (s *Store) copyOf(ctx context.Context, b *block) (int, error) {
	for c := range copies {
		head, err := s.lane.read(ctx, s.header.headAt(s.place, c), BlockSize)
		if err != nil {
			return 0, err
		}
		if f, err := parseFirst(head, s.key, s.place); err == nil && f != nil && f.mac == b.mac {
			return c, nil
		}
	}
	return 0, fmt.Errorf("%w while it was being taken", ErrClash)
}

// locker is a device that can keep other processes of this host off a range.
type locker interface{ lock(off, n int64) error }

// Close ends the incarnation. It does not wait for a call that hangs.
func (s *Store) Close() error {
	s.breaks(lease.ErrNoLease)
	s.lane.close()
	return nil
}

// broken is why nothing is done any more, nil if nothing is wrong.
func (s *Store) broken() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fault
}

// breaks ends this incarnation's part: it never writes again.
func (s *Store) breaks(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fault == nil {
		s.fault = fmt.Errorf("this node has left the store on the disk until it is started again: %w", err)
	}
	return s.fault
}

// Grant implements lease.Store.
func (s *Store) Grant(ctx context.Context, node, bootID string, ttl time.Duration) (lease.LeaseID, error) {
	// What has run out by now does not stand in the way.
	if _, _, err := s.current(ctx); err != nil {
		return 0, err
	}
	id, err := s.agree(ctx, func(v *value, _ reading) (int64, error) {
		id, err := v.grant(node, bootID, ttl, s.place)
		s.leased = s.leased || err == nil
		return id, err
	})
	return lease.LeaseID(id), err
}

// Revoke implements lease.Store.
func (s *Store) Revoke(ctx context.Context, node, bootID string) error {
	return s.edit(ctx, func(v *value) { v.revoke(node, bootID) })
}

// Take implements lease.Store.
func (s *Store) Take(ctx context.Context, id lease.LeaseID, next reconcile.Claim, was int64) (int64, error) {
	return s.agree(ctx, func(v *value, _ reading) (int64, error) { return v.take(id, next, was) })
}

// PutFence implements lease.Store.
func (s *Store) PutFence(ctx context.Context, f reconcile.FenceRecord) error {
	return s.edit(ctx, func(v *value) { v.fence(f) })
}

// PutConfirm implements lease.Store.
func (s *Store) PutConfirm(ctx context.Context, c reconcile.Confirmation) error {
	return s.edit(ctx, func(v *value) {
		v.Rev++
		v.Confirms[c.Node] = c
	})
}

// PutRequest implements lease.Store.
func (s *Store) PutRequest(ctx context.Context, r reconcile.Request, ttl time.Duration) error {
	return s.edit(ctx, func(v *value) {
		v.Rev++
		v.Requests[r.Group] = request{Request: r, ID: v.Rev, TTL: ttl}
	})
}

// DeleteRequest implements lease.Store.
func (s *Store) DeleteRequest(ctx context.Context, group string) error {
	return s.edit(ctx, func(v *value) {
		if _, ok := v.Requests[group]; ok {
			v.Rev++
			delete(v.Requests, group)
		}
	})
}

func (s *Store) edit(ctx context.Context, f func(*value)) error {
	_, err := s.agree(ctx, func(v *value, _ reading) (int64, error) {
		f(v)
		return v.Rev, nil
	})
	return err
}

// View implements lease.Store.
func (s *Store) View(ctx context.Context) (reconcile.StoreView, error) {
	r, v, err := s.current(ctx)
	if err != nil {
		return reconcile.StoreView{}, err
	}
	return v.view(s.outlasted(r, v)), nil
}
