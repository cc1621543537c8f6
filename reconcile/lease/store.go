package lease

import (
	"context"
	"errors"
	"time"

	"understudy/reconcile"
)

// ErrChanged says that the store no longer holds what the caller looked at.
var ErrChanged = errors.New("the store has changed meanwhile")

// ErrNoLease says that the store does not know this node's lease any more.
var ErrNoLease = errors.New("the store does not know this node's lease")

// ErrFenced says that this boot of the node is recorded as ended, by a fence or
// by an operator's word: it may not hold a lease again before it has rebooted.
var ErrFenced = errors.New("this boot is recorded as ended")

// ErrOtherBoot says that another boot of the node has a lease that has not ended.
// It is waited for: a request of a boot that is long gone may arrive late, and a
// second machine may run under the same name.
var ErrOtherBoot = errors.New("another boot of this node has a lease that has not ended")

// Store is where claims and leases live. Every method may block until its
// context ends; none may succeed without a majority of the store. All of it is
// linearizable: a read that begins after a write has returned sees it. A call
// that returns ErrChanged, ErrNoLease, ErrFenced or ErrOtherBoot has changed nothing and never
// will; after any other error its effect is unknown and may still come.
// Implementations pass leasetest.Conformance.
type Store interface {
	// Grant asks for a lease of ttl for this boot of a node, and lists the node
	// as live under it. A lease that the same boot held before is ended; that of
	// another boot must have ended (ErrOtherBoot). The store keeps it for ttl or
	// longer, never shorter. ErrFenced: a fence record or a confirmation names
	// this boot.
	Grant(ctx context.Context, node, bootID string, ttl time.Duration) (LeaseID, error)
	// Renew extends the lease by its ttl. ErrNoLease: it has run out.
	Renew(ctx context.Context, id LeaseID) error
	// Revoke ends the live entry of a node, whoever granted it, if it is of that
	// boot. Without such an entry it does nothing.
	Revoke(ctx context.Context, node, bootID string) error

	// Take writes next as the claim of next.Group if the present claim has
	// revision was (zero: there is none) and the lease id is live. It returns
	// the new revision; ErrChanged or ErrNoLease if one of the two does not hold.
	Take(ctx context.Context, id LeaseID, next reconcile.Claim, was int64) (int64, error)

	// PutFence, PutConfirm and PutRequest record evidence and wishes. PutFence
	// ends the live entry of that boot in the same transaction, so that the boot
	// can take nothing from then on. A request ends by itself after ttl or later.
	// DeleteRequest of none is no error.
	PutFence(ctx context.Context, f reconcile.FenceRecord) error
	PutConfirm(ctx context.Context, c reconcile.Confirmation) error
	PutRequest(ctx context.Context, r reconcile.Request, ttl time.Duration) error
	DeleteRequest(ctx context.Context, group string) error

	// View reads everything.
	View(ctx context.Context) (reconcile.StoreView, error)
	// Watch calls changed after every change, and once after each reconnection,
	// until ctx ends. A call means "read again", nothing more.
	Watch(ctx context.Context, changed func()) error
}

// LeaseID names a lease in its store. Zero is none.
type LeaseID int64
