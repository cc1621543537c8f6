package reconcile

import "time"

// Order is what an operator asks for that is no move. It is kept as a request, under
// a key that no group can have as its name.
type Order string

// The orders.
const (
	NoOrder Order = ""
	// Clear forgets what a group has failed, on every node.
	Clear Order = "clear"
	// Freeze has nothing done for a group: it is held where it is, and neither
	// repaired nor moved nor taken. A lost lease, or the claim of another node, still
	// lets it go.
	Freeze Order = "freeze"
	// Drain has a node give up what it holds as soon as another one is ready for it,
	// and take nothing.
	Drain Order = "drain"
	// Stopped has nobody take a group that its node, By, has let go to be down with it.
	// That node ends it at its next start.
	Stopped Order = "stop"
	// Rejoin lets a node stand by again that was set aside after a fence: the one of the
	// boot that the order names.
	Rejoin Order = "rejoin"
)

// UntilCleared is how long an order lasts that only a person ends.
const UntilCleared = 10 * 365 * 24 * time.Hour

// OrderKey is under what an order about an object is kept in [StoreView.Requests].
func OrderKey(o Order, object string) string { return "@" + string(o) + "/" + object }

// ClearedAt is when a person cleared a group for all nodes, by the clock of who
// recorded it; zero if nobody has.
func ClearedAt(s *Snapshot, group string) time.Time {
	r, _ := order(s, Clear, group)
	return r.At
}

// order is an order about an object that is in force, if one is.
func order(s *Snapshot, o Order, object string) (Request, bool) {
	r, ok := s.Store.Value.Requests[OrderKey(o, object)]
	return r, ok && r.Order == o
}
