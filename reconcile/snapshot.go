package reconcile

import (
	"errors"
	"net/netip"
	"time"

	"understudy/fsm"
)

// ErrNotRead is the reason of a Seen that nobody has filled in.
var ErrNotRead = errors.New("not read yet")

// Seen is a reading that may have failed. The zero value means "not read":
// unknown, which is never the same as absent.
type Seen[T any] struct {
	Value T
	Err   error     // why Value must not be used
	At    time.Time // when the reading began
}

// Read wraps a value that was read at a time.
func Read[T any](v T, at time.Time) Seen[T] { return Seen[T]{Value: v, At: at} }

// Unread wraps the reason why a value could not be read.
func Unread[T any](err error, at time.Time) Seen[T] { return Seen[T]{Err: err, At: at} }

// OK reports whether Value may be used.
func (s Seen[T]) OK() bool { return s.Err == nil && !s.At.IsZero() }

// Why is the reason Value must not be used, nil if it may be.
func (s Seen[T]) Why() error {
	if s.Err == nil && s.At.IsZero() {
		return ErrNotRead
	}
	return s.Err
}

// Snapshot is everything one node knows at one moment. It is built whole and
// never changed; slices and maps in it must not be modified.
type Snapshot struct {
	At     time.Time // when the look began; the only clock the pure core has
	Node   string    // the node that looked
	BootID string    // of this boot of this node (/proc/sys/kernel/random/boot_id; on AIX see observers/aix)
	Since  time.Time // when this process began to look

	// Host.
	Mounts  Seen[[]Mount]       // in the order of the mount table
	Addrs   Seen[[]Addr]        // every address of every link
	Links   Seen[[]Link]        // by index
	Apps    Seen[[]AppState]    // every application of every group of the file, and the services of this node
	Devices Seen[[]Device]      // every device that the file names
	Volumes Seen[[]VolumeState] // every volume group that the file names
	// Reservations of the disks of every group that requires them, see Reservation.
	Reservations Seen[[]Reservation]
	Hostname     Seen[string]

	// Cluster.
	Peers []Peer          // every other node of the file, and the witness, in file order
	Lease Lease           // this node's own lease
	Store Seen[StoreView] // claims and what else the store says

	// What this node remembers of each group; an absent group is the zero Memory.
	Memory map[string]Memory

	// Stopping is why this node is leaving the cluster, "" if it is not. It then
	// hands over what it holds and takes nothing.
	Stopping string
}

// Peer returns the peer of that name, the zero Peer if there is none.
func (s *Snapshot) Peer(name string) Peer {
	for _, p := range s.Peers {
		if p.Name == name {
			return p
		}
	}
	return Peer{}
}

// Mount is one line of the mount table.
type Mount struct {
	ID       int    // unique while mounted
	Major    uint32 // of the device
	Minor    uint32
	Root     string // directory of the file system that is mounted here
	Point    string // absolute, as this host sees it
	FSType   string
	Source   string // as the kernel reports it, may be empty
	ReadOnly bool
}

// Addr is one address of a link.
type Addr struct {
	Link      string
	Prefix    netip.Prefix
	Label     string // IPv4 only
	Tentative bool   // IPv6: duplicate address detection has not ended
	Conflict  bool   // IPv6: duplicate address detection found another holder
}

// Device is a block device that the file names.
type Device struct {
	Path    string
	Present bool   // it is there and is a block device
	Major   uint32 // zero with Minor zero if it is not present
	Minor   uint32
}

// VolumeState is a volume group of the file as this host sees it.
type VolumeState struct {
	Name    string
	Visible bool // its physical volumes are here and whole
	Active  bool // at least one of its logical volumes can be used here
	// SystemID is the host that the metadata names as its owner, "" if none; Ours says
	// that it is this host.
	SystemID string
	Ours     bool
	Missing  int    // physical volumes that are not here
	Why      string // what is wrong with it, for people; "" for nothing
	// Physical are the devices of its physical volumes, where a group requires their
	// reservation and they could be read.
	Physical []string
}

// Link is a network interface.
type Link struct {
	Index   int
	Name    string
	MAC     string // "" if it has none
	Up      bool   // administratively
	Carrier bool   // the wire answers
}

// NodeGroup stands in the place of a group's name for services of the node itself
// and for hooks without a group. No group can have this name.
const NodeGroup = "@node"

// AppState is what is known of one application on this host. Group is NodeGroup
// for a service.
type AppState struct {
	Group, App string
	Daemons    []DaemonState // one for each daemon of the application, same order
	Probe      Probe         // of the last probe since the application was started
	ProbeErr   string        // what the last probe said when it was bad
	// Doubt is how many of the latest probes were bad and what the last of them said,
	// while they are too few for Probe to be bad; "" if none was.
	Doubt string
}

// Probe is the verdict of a probe.
type Probe int

// The verdicts. The zero value: none is declared, or none has run.
const (
	ProbeUnknown Probe = iota
	ProbeGood
	ProbeBad
)

// DaemonState is the processes that one daemon's declaration matches.
type DaemonState struct {
	Name      string
	Processes []Process // by pid; empty means it does not run
	Optional  bool      // as declared: it need not run while its application is up
}

// Process is identified by pid and start time together.
type Process struct {
	PID   int
	Start uint64 // clock ticks after boot, field 22 of proc_pid_stat(5); on AIX nanoseconds since 1970
	Exe   string // "" where it could not be read
}

// PeerState is what is known of another machine's life.
type PeerState int

// The states of a peer. None of them is evidence that it has stopped.
const (
	PeerUnknown PeerState = iota // not heard, and not listened for long enough to say more
	PeerHeard                    // heard on one network at least within the timeout
	PeerDistant                  // silent to us, but another machine that we hear, hears it
	PeerSilent                   // silent on every network, to us and to all that we hear
)

// String is the state's word.
func (p PeerState) String() string {
	switch p {
	case PeerHeard:
		return "heard"
	case PeerDistant:
		return "distant"
	case PeerSilent:
		return "silent"
	}
	return "unknown"
}

// Peer is another machine of the cluster as this node hears it.
type Peer struct {
	Name   string
	State  PeerState
	BootID string     // from its latest keep-alive, "" if none was heard
	Links  []PeerLink // one for each network it is on, sorted; one for each pair of adapters that are in one subnet
	Status NodeStatus // from its latest keep-alive
	// LastWord is what it said last of its own end, the zero LastWord if it has not.
	LastWord LastWord
	// Clock is how far its wall clock is ahead of this node's, where ClockKnown. It is
	// for people; nothing is decided by it.
	Clock      time.Duration
	ClockKnown bool
}

// LastWord is why one boot of a machine is about to be reset, by its own word. It
// outlives that boot, and is no evidence that it has ended.
type LastWord struct{ BootID, Text string }

// PeerLink is what is heard of a peer on one network, from one adapter of its to
// one of ours.
type PeerLink struct {
	Network string
	// Local and Remote are the two adapters' own addresses. Local is not valid where
	// this node has none that the peer's could be heard on.
	Local, Remote netip.Addr
	Heard         bool          // within the timeout
	Age           time.Duration // since the last packet; negative: never
	Hears         bool          // the peer says that it hears us on this network
	// Silent: not heard here for the timeout, in which we listened here all the time
	// and heard the peer elsewhere all the time.
	Silent bool
}

// NodeStatus is what a node says of itself in every keep-alive.
type NodeStatus struct {
	ConfigHash string   `json:"config_hash"`
	Lease      bool     `json:"lease"`    // it holds a valid lease
	Networks   []string `json:"networks"` // networks that are up there, sorted
	// Lost are its own adapters that do not work, in file order.
	Lost     []LostAdapter `json:"lost,omitempty"`
	Groups   []GroupStatus `json:"groups"` // groups it may hold, in file order
	Leader   bool          `json:"leader,omitempty"`
	Stopping bool          `json:"stopping,omitempty"` // it is leaving, and takes nothing
	// HoldsNothing: nothing of any group is held there or being taken up, as it has told
	// its watchdog. False as well if that is not known, or of an older program.
	HoldsNothing bool `json:"holds_nothing,omitempty"`
	// Doomed is why it resets itself or its watchdog is about to, "" if it is not so: the
	// last that is heard of it may be this.
	Doomed string `json:"doomed,omitempty"`
	// Away: its program ends and leaves what it holds as it is, to be started again. It
	// is not fenced while its lease lasts.
	Away bool `json:"away,omitempty"`
	// Speaks is what its program knows (see Protocol), zero for one of before that was told.
	Speaks int `json:"speaks,omitempty"`
	// Changing is what it still does for a changed file, "" if nothing.
	Changing string `json:"changing,omitempty"`
	// Cell is the DCE cell that is configured where it holds the group, without /.../.
	Cell string `json:"cell,omitempty"`
	// Keys are the ids of the secrets that it believes; it signs with the first.
	Keys []string `json:"keys,omitempty"`
}

// LostAdapter is an adapter that its own node says does not work.
type LostAdapter struct {
	Network string     `json:"network"`
	Address netip.Addr `json:"address"`
	Link    string     `json:"link,omitempty"` // "" if the address is on none
	Why     string     `json:"why"`
}

// Group returns what the node says of a group, the zero GroupStatus if nothing.
func (n *NodeStatus) Group(name string) GroupStatus {
	for _, g := range n.Groups {
		if g.Group == name {
			return g
		}
	}
	return GroupStatus{}
}

// GroupStatus is what a node says of itself and one group.
type GroupStatus struct {
	Group string   `json:"group"`
	Role  fsm.Role `json:"role"`
	Phase Phase    `json:"phase"`
	// Ready: it stands by, is clean, holds a lease, and would take the group now.
	Ready bool `json:"ready"`
	// Unfit: it could not hold the group now, and does not expect to by itself: it
	// leaves, has failed it, or lacks a network or a disk. A node that only has not
	// come that far yet is neither ready nor unfit.
	Unfit bool `json:"unfit,omitempty"`
	// Dirty: only a reboot of the node lets go of the group's disks.
	Dirty bool `json:"dirty,omitempty"`
	// Rested is the boot that came to the barrier there for no failure, see Memory.
	Rested string `json:"rested,omitempty"`
	// Here: every file system and address of the group is seen there. Running: one of
	// its applications is. Both are said only with store external.
	Here    bool   `json:"here,omitempty"`
	Running bool   `json:"running,omitempty"`
	Reason  string `json:"reason,omitempty"` // why not ready, or what the phase waits for
	// Programs is one checksum over the programs that every node of the group must
	// have alike, "" if it is not known.
	Programs string `json:"programs,omitempty"`
	// Rehearsed is when it last let the group go with proof after all of it had been up
	// there: it can take it up. Zero: never. Its own clock; for people.
	Rehearsed time.Time `json:"rehearsed,omitzero"`
}

// Phase is derived on every pass and never stored.
type Phase string

// The phases.
const (
	Idle      Phase = "idle"
	Acquiring Phase = "acquiring"
	Serving   Phase = "serving"
	Releasing Phase = "releasing"
	Waiting   Phase = "waiting" // for evidence, a peer, a time; Reason says for what
	Blocked   Phase = "blocked" // a person must look; Reason says at what
)

// Lease is this node's own lease as its keeper sees it.
type Lease struct {
	// Until is this node's own deadline: the sending of the last renewal that
	// succeeded, plus ttl, minus margin. Zero: it never had a lease.
	Until time.Time
	Err   string // why the last renewal failed, "" if it did not
}

// Left is the time left at a moment, never negative.
func (l Lease) Left(at time.Time) time.Duration {
	if l.Until.IsZero() || !at.Before(l.Until) {
		return 0
	}
	return l.Until.Sub(at)
}

// StoreView is what the store holds, as last seen.
type StoreView struct {
	Revision int64
	Claims   map[string]Claim        // by group
	Live     map[string]string       // node -> boot id, for every node with a live lease
	Fenced   map[string]FenceRecord  // by node: its last confirmed fence
	Confirms map[string]Confirmation // by node: an operator's word
	Requests map[string]Request      // by group: an operator's move

	// Outlasted lists node -> boot id for boots without a lease which have been
	// still, under this node's own watch, for the ttl and the watchdog bound. Only
	// the store on a shared disk fills it, and only if every node must have a watchdog.
	Outlasted map[string]string
}

// Claim is the record "node holds group since epoch, boot id". It survives its
// holder. The zero Claim: the group has never been claimed.
type Claim struct {
	Group    string   `json:"group"`
	Holder   string   `json:"holder"`
	BootID   string   `json:"boot_id"`        // of the holder when it claimed
	From     string   `json:"from,omitempty"` // the holder before, "" if there was none
	Epoch    uint64   `json:"epoch"`          // grows by one with every claim; zero: never claimed
	Released bool     `json:"released,omitempty"`
	Evidence Evidence `json:"evidence"`         // why it was safe to take
	Reason   string   `json:"reason,omitempty"` // the sentence that `why` prints
	Pinned   string   `json:"pinned,omitempty"` // an operator put it here: it does not fall back by itself
	// Rehearsal: file systems and addresses are held, and no application is started.
	Rehearsal Rehearsal `json:"rehearsal,omitempty"`
	// Failovers are the takings lately that followed a failure, oldest first: seconds
	// since 1970 by the clocks of those who took. They are counted; nothing is taken on
	// their word, so that clocks that differ only shift the window.
	Failovers []int64 `json:"failovers,omitempty"`
	// GaveUp is the failure for which its holder signed it off, "" if it did so for
	// another reason.
	GaveUp string `json:"gave_up,omitempty"`
	// Down is why nobody takes it by itself, "" if who may does. A person clears it.
	Down string `json:"down,omitempty"`
	// File is which file counts, in the one claim that is about no group (see FileKey).
	File     *FileRecord `json:"file,omitempty"`
	At       time.Time   `json:"at"` // holder's wall clock; for people, never compared
	Revision int64       `json:"-"`  // of the store; a claim is replaced only at this revision
}

// EvidenceKind says what proves that a claim may be taken.
type EvidenceKind string

// The kinds of evidence (design, section 2).
const (
	EvidenceNone      EvidenceKind = ""
	EvidenceFirst     EvidenceKind = "first claim"    // the group was never claimed
	EvidenceReleased  EvidenceKind = "clean release"  // its holder proved that it let go
	EvidenceFenced    EvidenceKind = "fence"          // a fence agent confirmed the holder's boot is off
	EvidenceRebooted  EvidenceKind = "other boot id"  // the holder runs another boot than the one that claimed
	EvidenceConfirmed EvidenceKind = "operator"       // a person confirmed that boot is down
	EvidenceWatchdog  EvidenceKind = "watchdog bound" // its slot was still for ttl and watchdog bound, as this node watched
	EvidenceOwn       EvidenceKind = "own claim"      // this boot held it, lost its lease, let go, and nobody took it
)

// Evidence is why a claim could be taken over.
type Evidence struct {
	Kind   EvidenceKind `json:"kind"`
	Detail string       `json:"detail,omitempty"` // e.g. "fence_ipmilan off of alpha confirmed by beta"
}

// FenceRecord is a fence that its agent confirmed.
type FenceRecord struct {
	Node   string    `json:"node"`
	BootID string    `json:"boot_id"` // the boot that was ended
	By     string    `json:"by"`
	Agent  string    `json:"agent"`
	At     time.Time `json:"at"` // for people
}

// Confirmation is an operator's word that one boot of a node is down.
type Confirmation struct {
	Node   string    `json:"node"`
	BootID string    `json:"boot_id"`
	By     string    `json:"by"`
	Reason string    `json:"reason"`
	At     time.Time `json:"at"` // for people
}

// Request is an operator's wish to have a group on a node, or an order. It ends when
// it is fulfilled, taken back, or when the store's lease on it runs out.
type Request struct {
	Group  string `json:"group"` // of an order: its key, see OrderKey
	To     string `json:"to"`    // a node; of an order: what it is about
	By     string `json:"by"`
	Reason string `json:"reason,omitempty"`
	Epoch  uint64 `json:"epoch"` // of the claim when it was asked for
	// BootID is the boot that an order is about, where it is about one.
	BootID string `json:"boot_id,omitempty"`
	// Order is what is asked for if it is no move.
	Order Order `json:"order,omitempty"`
	// Lasts is how long it is kept at most. Zero: as long as the store keeps a move.
	Lasts time.Duration `json:"lasts,omitempty"`
	// Rehearse: it is to be held there for a rehearsal only.
	Rehearse Rehearsal `json:"rehearse,omitempty"`
	At       time.Time `json:"at"` // for people
}

// Memory is what a node remembers of a group between passes.
type Memory struct {
	Role fsm.Role
	// Whole is the epoch in which everything was last seen up; it tells a repair
	// from an acquisition.
	Whole uint64
	// Lost is the epoch in which this node lost its lease while it held the
	// claim: what it let go then it takes up again only with a new epoch.
	Lost uint64
	// Restarts in place within the declared window, the latest last.
	Restarts []time.Time
	// Rehearsed is when this node last let the group go with proof after all of it had
	// been up here, in a rehearsal or in service. Zero: never. A wall clock, for people.
	Rehearsed time.Time
	// Failed is why this node must not take the group again before a person clears
	// it, "" if it may.
	Failed string
	// Cleared is when a person cleared the group for all nodes, as far as this node
	// has heeded it: by the clock of who recorded it, and compared for being the same.
	Cleared time.Time
	// Stuck is why this node could not let the group go although it was to be
	// elsewhere, "" if it could: it stays and serves until a person clears it or the
	// group has been let go after all.
	Stuck string
	// Unread is since when this node, with claim and lease, could not read a part of the
	// group, zero if it could.
	Unread time.Time
	// Retry is the earliest time of the next attempt after a failed plan.
	Retry time.Time
	// Error is the failure of the last plan, "" if it did not fail, and ErrorVerb
	// the verb of the step that failed.
	Error     string
	ErrorVerb string
	// SavedHostname is the host name to be put back, "" if none is.
	SavedHostname string
	// Dirty is the boot in which an application was started that only a reboot
	// ends, "" if none was. It matters while that boot lasts.
	Dirty string
	// Ran is the boot in which such an application was only seen to run, "" if none was.
	// It makes this host dirty as well; that it ever held the disks it does not say.
	Ran string
	// DirtyErr is why the record of it could not be read, "" if it could: then it is
	// not known whether a reboot is needed, and nothing is started that would need one.
	DirtyErr string
	// Rested is the boot in which this node let go what it could and waits, or waited,
	// for the reboot that lets go of the rest, and no failure was the cause; "" if there
	// is none, or if it has served since. What follows does not count as a failover.
	Rested string

	// With store external only. Released is the boot in which the other manager said
	// that it takes the group away, "" if it did not, or if the group has been away
	// since. Partly is since when only a part of it is here, zero if it is not so.
	// Left is the boot in which it was taken away from a host that only a reboot makes
	// let go. Peers is the last that each peer said about the group's disks.
	Released string
	Left     string
	// From is the other node that was seen last with all of it, until it is up here;
	// Came is since when all of it is here, zero if it is not.
	From   string
	Came   time.Time
	Partly time.Time
	Peers  map[string]PeerMark
}
