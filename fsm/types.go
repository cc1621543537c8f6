package fsm

// Role is what a node is for a group. The zero value is Rejoining, because every
// start begins there.
type Role int

// The four roles (design, section 2).
const (
	Rejoining Role = iota // came back or was set aside: must become clean before anything else
	Standby               // holds nothing, clean, ready to take over
	Takeover              // holds the group for a home that is gone
	Owner                 // holds the group and is its home, or holds a rotating group
)

// Roles lists every role in the order a failover passes them.
var Roles = []Role{Rejoining, Standby, Takeover, Owner}

// Holds reports whether a node in this role may have the group's resources up.
func (r Role) Holds() bool { return r == Takeover || r == Owner }

// String is the role's word in the glossary.
func (r Role) String() string {
	switch r {
	case Rejoining:
		return "rejoining"
	case Standby:
		return "standby"
	case Takeover:
		return "takeover"
	case Owner:
		return "owner"
	}
	return "invalid role"
}

// Event is what the present snapshot shows, the first in this order that is true.
//
// Where another manager moves addresses and disks (store external) the claim is
// what is seen: it is ours where all that this manager moves of the group is here,
// and another node's where that one says so.
type Event int

// The events, highest priority first.
const (
	// LeaseLost: this node's own deadline has passed, or it never had a lease.
	LeaseLost Event = iota
	// HeldElsewhere: the claim names another node, or this node before its last boot.
	HeldElsewhere
	// Stray: the claim is not ours, and something of the group (a mount, an IP
	// label, a daemon) is here all the same.
	Stray
	// Unsure: something that decides could not be read; the lease is still good.
	Unsure
	// Yield: the claim is ours and the group should be elsewhere: an operator's
	// move, the home is back, a network of the group is down here, or the budget
	// of restarts is spent.
	Yield
	// Broken: the claim is ours and a mount, an IP label or a daemon that belongs
	// here is not here.
	Broken
	// Held: the claim is ours and all of the group is here.
	Held
	// Free: nobody holds the claim, or what its holder left behind may be taken.
	Free
)

// Events lists every event, highest priority first.
var Events = []Event{LeaseLost, HeldElsewhere, Stray, Unsure, Yield, Broken, Held, Free}

// String is the event's word in tables and logs.
func (e Event) String() string {
	switch e {
	case LeaseLost:
		return "lease-lost"
	case HeldElsewhere:
		return "held-elsewhere"
	case Stray:
		return "stray"
	case Unsure:
		return "unsure"
	case Yield:
		return "yield"
	case Broken:
		return "broken"
	case Held:
		return "held"
	case Free:
		return "free"
	}
	return "invalid event"
}

// Facts is what the guards may read. It is comparable and small on purpose.
type Facts struct {
	Home     bool // this node is the group's home
	Rotating bool // the group has no home
	// Clean: nothing of the group is on this host, and all of it could be read. Of a
	// group that another manager moves, nothing of what understudy itself brings.
	Clean bool
}
