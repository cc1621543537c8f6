package lease

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	"understudy/config"
	"understudy/reconcile"
)

// RequestTTL is how long an operator's request waits to be fulfilled. It covers
// a slow stop here and a slow start there.
const RequestTTL = 10 * time.Minute

// Keeper keeps this node's lease and is the only writer of its claims. Its
// methods may be called from any goroutine, and before, during and after Run.
type Keeper struct {
	store Store
	cfg   config.Lease
	node  string
	boot  string
	log   *slog.Logger
	clock Clock

	changes chan struct{} // something below changed
	look    chan struct{} // read the store again
	again   chan struct{} // renew now, not at the next tick
	rearm   chan struct{} // the own deadline has moved
	lane    chan struct{} // holds one token while a lease request is under way

	mu      sync.Mutex // guards what follows; never held across a wait
	id      LeaseID    // zero: the store gave none, or has ended it
	granted moment     // when Grant returned id
	sent    moment     // when the last renewal that succeeded was sent
	ever    bool       // sent has been set
	failure string     // of the last renewal, "" if it succeeded
	leaving bool       // Leave was called: renew no more

	view    reconcile.StoreView
	viewAt  moment // when the reading of view began
	applied moment // when view was last replaced
	read    bool   // view has been set
	readErr error  // of the last reading, nil if it succeeded

	// signing holds, by group, the sign-off of a claim of ours that has
	// been sent and not been answered. It may take effect at any time.
	signing map[string]reconcile.SignOff
}

// NewKeeper makes a keeper for one boot of a node. It does nothing before Run.
func NewKeeper(store Store, cfg config.Lease, node, bootID string, log *slog.Logger) *Keeper {
	return &Keeper{
		store: store, cfg: cfg, node: node, boot: bootID, log: log, clock: bootClock,
		changes: make(chan struct{}, 1),
		look:    make(chan struct{}, 1),
		again:   make(chan struct{}, 1),
		rearm:   make(chan struct{}, 1),
		lane:    make(chan struct{}, 1),
		signing: map[string]reconcile.SignOff{},
	}
}

// WithClock replaces the boot clock, for tests in virtual time. It must be
// called before anything else.
func (k *Keeper) WithClock(c Clock) *Keeper {
	k.clock = c
	return k
}

// Run keeps the lease and the view until ctx ends; then it returns nil. It does
// not give the lease back: what this node holds may still be up.
func (k *Keeper) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	wg.Go(func() { k.renewals(ctx) })
	wg.Go(func() { k.deadline(ctx) })
	wg.Go(func() { k.readings(ctx) })
	wg.Go(func() { k.watch(ctx) })
	wg.Wait()
	return nil
}

// Changes receives after every change of the view or of the lease, after every
// failed renewal, and when the own deadline passes. It means "look again".
func (k *Keeper) Changes() <-chan struct{} { return k.changes }

// poke puts a token into a channel of size one; tokens merge.
func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Lease is this node's own lease at this moment. Its deadline lies in the past
// as soon as the store is known to have ended the lease.
func (k *Keeper) Lease() reconcile.Lease {
	k.mu.Lock()
	defer k.mu.Unlock()
	l := reconcile.Lease{Err: k.failure}
	switch {
	case !k.ever:
	case k.id == 0:
		l.Until = k.sent.mono
	default:
		now := time.Now() // before left is read: what delays us only makes it less
		l.Until = now.Add(k.leftLocked())
	}
	return l
}

// leftLocked is the time to the own deadline; it may be negative.
func (k *Keeper) leftLocked() time.Duration {
	if k.id == 0 {
		return 0
	}
	return k.cfg.TTL - k.cfg.Margin - k.since(k.sent)
}

// hold returns the lease as it may be used now, and the time left.
func (k *Keeper) hold() (LeaseID, time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.id, k.leftLocked()
}

// View is what the store said last, unread if that is older than the ttl. A
// claim that this node is signing off shows as released already: the answer may
// be lost, and the store may release it at any time.
func (k *Keeper) View() reconcile.Seen[reconcile.StoreView] {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.read {
		err := k.readErr
		if err == nil {
			err = reconcile.ErrNotRead
		}
		return reconcile.Unread[reconcile.StoreView](err, time.Now())
	}
	if k.id != 0 && k.since(k.viewAt) > k.since(k.granted) {
		// Whatever was ours before this lease may be another's by now.
		return reconcile.Unread[reconcile.StoreView](errors.New("nothing has been read since the lease was won"), k.viewAt.mono)
	}
	if age := k.since(k.viewAt); age > k.cfg.TTL {
		err := k.readErr
		if err == nil {
			err = errors.New("no answer yet")
		}
		return reconcile.Unread[reconcile.StoreView](
			fmt.Errorf("cannot trust what the store said %s ago: %w", age.Round(time.Millisecond), err), k.viewAt.mono)
	}
	v := k.view
	if len(k.signing) > 0 {
		v.Claims = maps.Clone(v.Claims)
		for group, st := range k.signing {
			if c, ok := v.Claims[group]; ok && k.mine(c) && c.Epoch == st.Epoch {
				c.Released, c.GaveUp, c.Down = true, st.GaveUp, st.Down
				v.Claims[group] = c
			}
		}
	}
	return reconcile.Read(v, k.viewAt.mono)
}

// mine reports whether c is a claim of this boot of this node.
func (k *Keeper) mine(c reconcile.Claim) bool { return c.Holder == k.node && c.BootID == k.boot }
