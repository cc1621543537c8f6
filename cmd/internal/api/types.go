package api

import (
	"context"
	"encoding/json"
	"net/netip"
	"time"

	"understudy/config"
	"understudy/reconcile"
	"understudy/reconcile/journal"
)

// Status is what one node says of itself and of what it knows of the others.
type Status struct {
	Cluster    string          `json:"cluster"`
	Node       string          `json:"node"`
	Version    string          `json:"version"`
	BootID     string          `json:"boot_id"`
	At         time.Time       `json:"at"`
	ConfigHash string          `json:"config_hash"`
	ConfigNote string          `json:"config_note,omitempty"`   // the file on disk is another one, or is refused
	Counts     string          `json:"counting_hash,omitempty"` // of the file that counts, "" if the store names none
	Changing   string          `json:"changing,omitempty"`      // what is still done here for a changed file
	Speaks     int             `json:"speaks"`                  // what this program knows
	Spoken     int             `json:"spoken"`                  // what the programs of all nodes know
	Stopping   string          `json:"stopping,omitempty"`
	Orders     []OrderStatus   `json:"orders,omitempty"` // what operators have ordered, until it ends
	Lease      LeaseStatus     `json:"lease"`
	Store      StoreStatus     `json:"store"`
	Groups     []GroupStatus   `json:"groups"`
	Services   []ServiceStatus `json:"services,omitempty"`
	Hooks      *HookStatus     `json:"hooks,omitempty"` // nil while none waits and none was dropped
	Adapters   []AdapterStatus `json:"adapters,omitempty"`
	Peers      []PeerStatus    `json:"peers"`
	Journal    JournalStatus   `json:"journal"`
	Watchdog   *WatchdogStatus `json:"watchdog,omitempty"` // nil: none is declared
	Keys       []string        `json:"keys,omitempty"`     // ids of the cluster's secrets; the first signs
}

// WatchdogStatus is how it stands with the watchdog of this node's host.
type WatchdogStatus struct {
	Mode      string `json:"mode"`
	Device    string `json:"device,omitempty"`
	Identity  string `json:"identity,omitempty"`
	Fallback  string `json:"fallback,omitempty"` // the weaker way that is in use instead of a device
	TimeoutMS int64  `json:"timeout_ms,omitempty"`
	Armed     bool   `json:"armed"`              // it is fed
	Ready     bool   `json:"ready"`              // it is proven, and a step on shared storage may begin
	NoWayOut  bool   `json:"nowayout,omitempty"` // it cannot be switched off
	Holds     bool   `json:"holds"`              // this host holds something
	FedForMS  int64  `json:"fed_for_ms"`         // how long it goes on being fed without a new lease; -1: for good
	LeftMS    int64  `json:"left_ms,omitempty"`  // to the reset, if it were not fed again
	Late      uint32 `json:"late,omitempty"`     // feedings that came too late
	WasReset  bool   `json:"was_reset,omitempty"`
	Error     string `json:"error,omitempty"` // why it does not protect
}

// AdapterStatus is one of this node's adapters on a network, by networks and in the
// order in which the file prefers them.
type AdapterStatus struct {
	Network string       `json:"network"`
	Address netip.Prefix `json:"address"`           // this node's own on it
	Link    string       `json:"link,omitempty"`    // "" if the address is on none, or that is not known
	State   string       `json:"state"`             // works, lost or unknown
	Why     string       `json:"why,omitempty"`     // it does not work, or nobody can say
	Carries []string     `json:"carries,omitempty"` // labels of the service addresses that are on it
}

// OrderStatus is an operator's order that is in force.
type OrderStatus struct {
	Order  string    `json:"order"`  // freeze, drain or stop
	Object string    `json:"object"` // the group, or the node
	By     string    `json:"by"`
	Reason string    `json:"reason,omitempty"`
	At     time.Time `json:"at"`
	Until  time.Time `json:"until,omitzero"` // zero: until it is taken back
}

// LeaseStatus is this node's lease.
type LeaseStatus struct {
	Valid  bool   `json:"valid"`
	LeftMS int64  `json:"left_ms"`
	Error  string `json:"error,omitempty"`
}

// StoreStatus is how the store can be reached from here.
type StoreStatus struct {
	Kind     string `json:"kind"` // embedded, etcd or external
	Readable bool   `json:"readable"`
	Error    string `json:"error,omitempty"`
	Leader   string `json:"leader,omitempty"` // embedded store: the raft leader
}

// JournalStatus tells whether the record is being kept.
type JournalStatus struct {
	Error   string `json:"error,omitempty"`
	Held    int    `json:"held,omitempty"`    // records kept in memory until the disk takes them
	Dropped int    `json:"dropped,omitempty"` // records lost because memory was full too
}

// GroupStatus is one group as this node has it.
type GroupStatus struct {
	Group     string        `json:"group"`
	Policy    string        `json:"policy"`
	Role      string        `json:"role"`
	Phase     string        `json:"phase"`
	Event     string        `json:"event"`
	Because   string        `json:"because"` // what in the snapshot made the event
	Reason    string        `json:"reason,omitempty"`
	Ready     bool          `json:"ready"`
	Claim     ClaimStatus   `json:"claim"`
	Request   string        `json:"request,omitempty"` // an operator's move that is under way
	Failed    string        `json:"failed,omitempty"`  // why this node does not take it again by itself
	Error     string        `json:"error,omitempty"`   // the last plan's failure
	Resources []Resource    `json:"resources"`
	Flight    *FlightStatus `json:"plan,omitempty"`
	Waits     []string      `json:"waits,omitempty"`
	Notice    *NoticeStatus `json:"notice,omitempty"`
	Blocked   []string      `json:"blocked,omitempty"`
	Hostname  string        `json:"saved_hostname,omitempty"`
	Dirty     string        `json:"needs_reboot,omitempty"` // the application that only a reboot of this node ends
	Rehearsed time.Time     `json:"rehearsed,omitzero"`     // when this node last let it go with proof after all of it was up; zero: never
	Programs  string        `json:"programs,omitempty"`     // checksum over the programs that every node of the group must have alike
}

// ServiceStatus is one service of this node.
type ServiceStatus struct {
	Name   string `json:"name"`
	State  string `json:"state"`
	Detail string `json:"detail,omitempty"`
	Waits  string `json:"waits,omitempty"`  // why it is not started now
	Error  string `json:"error,omitempty"`  // of its last start
	Starts int    `json:"starts,omitempty"` // that make its next one wait
}

// HookStatus is how it stands with the hooks that have no group.
type HookStatus struct {
	Waiting int `json:"waiting,omitempty"`
	Dropped int `json:"dropped,omitempty"` // not run, because too many waited
}

// NoticeStatus is the last that people were told about a group, and how often
// since the service began: as often as its credentials were thrown away.
type NoticeStatus struct {
	App   string    `json:"app"`
	Text  string    `json:"text"`
	At    time.Time `json:"at"`
	Count int       `json:"count"`
}

// ClaimStatus is the claim of a group as the store has it.
type ClaimStatus struct {
	Holder   string    `json:"holder,omitempty"`
	BootID   string    `json:"boot_id,omitempty"`
	Epoch    uint64    `json:"epoch"`
	Released bool      `json:"released,omitempty"`
	Evidence string    `json:"evidence,omitempty"`
	Detail   string    `json:"evidence_detail,omitempty"`
	Reason   string    `json:"reason,omitempty"`
	Pinned   string    `json:"pinned,omitempty"`
	At       time.Time `json:"at,omitzero"`
	// Rehearsal: it is held without its applications, "once" or until it is moved, "hold".
	Rehearsal string `json:"rehearsal,omitempty"`
}

// Resource is one resource of a group on this node.
type Resource struct {
	Kind   string `json:"kind"`
	Name   string `json:"name"`
	State  string `json:"state"`
	Detail string `json:"detail,omitempty"`
}

// FlightStatus is how far the plan that runs now has got.
type FlightStatus struct {
	Fingerprint string    `json:"fingerprint"`
	Goal        string    `json:"goal"`
	N           int       `json:"n"`
	Of          int       `json:"of"`
	Step        string    `json:"step"`
	Since       time.Time `json:"since"`
}

// PeerStatus is another machine.
type PeerStatus struct {
	Name     string                  `json:"name"`
	State    string                  `json:"state"`
	BootID   string                  `json:"boot_id,omitempty"`
	Lease    bool                    `json:"lease"`
	Config   string                  `json:"config_hash,omitempty"`
	Changing string                  `json:"changing,omitempty"` // what it still does for a changed file
	Speaks   int                     `json:"speaks,omitempty"`   // what its program knows; absent in the first versions
	Stopping bool                    `json:"stopping,omitempty"`
	Doomed   string                  `json:"doomed,omitempty"` // why its watchdog is about to reset it
	Links    []LinkStatus            `json:"links"`
	Lost     []reconcile.LostAdapter `json:"lost_adapters,omitempty"` // of its own, as it says
	Groups   []reconcile.GroupStatus `json:"groups,omitempty"`
	Cell     string                  `json:"cell,omitempty"` // the DCE cell that is configured there
	Keys     []string                `json:"keys,omitempty"` // ids of the secrets that it believes; it signs with the first
	// ClockMS is how far its wall clock is ahead of this node's, absent if it has not told it.
	ClockMS *int64 `json:"clock_ahead_ms,omitempty"`
}

// LinkStatus is what is heard of a peer on one network.
type LinkStatus struct {
	Network string `json:"network"`
	Heard   bool   `json:"heard"`
	AgeMS   int64  `json:"age_ms"` // since the last packet; -1: never
	Hears   bool   `json:"hears_us"`
}

// PlanReply is the answer to a plan: every plan, in order, and why there may be
// none.
type PlanReply struct {
	Basis   string            `json:"basis"` // what the plans start from
	Plans   []json.RawMessage `json:"plans"` // as reconcile.Plan writes itself
	Text    string            `json:"text"`  // the same for a person
	Steps   int               `json:"steps"` // of all plans
	Blocked int               `json:"blocked"`
}

// MoveRequest asks for a group on a node.
type MoveRequest struct {
	Group  string `json:"group"`
	To     string `json:"to"`
	By     string `json:"by"`
	Reason string `json:"reason,omitempty"`
}

// RehearseRequest asks for a rehearsal of a group on a node.
type RehearseRequest struct {
	Group  string `json:"group"`
	To     string `json:"to"`
	By     string `json:"by"`
	Reason string `json:"reason,omitempty"`
	Hold   bool   `json:"hold,omitempty"` // keep it there, without its applications, until it is moved
}

// ConfirmRequest is an operator's word that a node is down.
type ConfirmRequest struct {
	Node   string `json:"node"`
	By     string `json:"by"`
	Reason string `json:"reason"`
}

// ApplyRequest asks for one pass by hand.
type ApplyRequest struct {
	Group  string `json:"group,omitempty"`  // "": every group
	Expect string `json:"expect,omitempty"` // fingerprint that the plan must have
}

// StepReply is a step that was carried out by hand.
type StepReply struct {
	Step string `json:"step"` // "": there was nothing to do
	Left int    `json:"left"` // steps of the plan behind it
}

// OrderRequest is an order of an operator, or its end.
type OrderRequest struct {
	Order   string `json:"order"`            // freeze or drain
	Object  string `json:"object,omitempty"` // a group, "" for every one; a node
	End     bool   `json:"end,omitempty"`    // it is taken back
	By      string `json:"by"`
	Reason  string `json:"reason,omitempty"`
	LastsMS int64  `json:"lasts_ms,omitempty"` // zero: until it is taken back
}

// StopRequest tells the service of a node to stop.
type StopRequest struct {
	Mode   string `json:"mode,omitempty"` // hand-over, stop or leave; "": as the file says
	By     string `json:"by"`
	Reason string `json:"reason,omitempty"`
}

// ChangeRequest asks what a changed file would do, or to take it over on all nodes.
type ChangeRequest struct {
	Name     string            `json:"name"` // of the file, for findings
	File     []byte            `json:"file,omitempty"`
	Profiles map[string][]byte `json:"profiles,omitempty"` // the user's own, by name
	Apply    bool              `json:"apply,omitempty"`
	Adopt    bool              `json:"adopt,omitempty"`   // the file this node was started with shall count; File is not looked at
	Expect   string            `json:"expect,omitempty"`  // the fingerprint that was printed
	Without  []string          `json:"without,omitempty"` // nodes that are off and get it when they return
	By       string            `json:"by"`
	Reason   string            `json:"reason,omitempty"`
}

// ChangeReply is what a changed file does.
type ChangeReply struct {
	Hash        string            `json:"hash"`             // of the changed file
	InForce     string            `json:"in_force"`         // hash of the file in force before
	Counts      string            `json:"counts,omitempty"` // hash of the file that counts, "" if none does
	Refused     []config.Finding  `json:"refused"`          // what of it needs a stop of all nodes
	Notes       []string          `json:"notes,omitempty"`
	Plans       []json.RawMessage `json:"plans"` // that follow, on every node, as reconcile.Plan writes itself
	Text        string            `json:"text"`  // the same for a person
	Steps       int               `json:"steps"`
	Blocked     int               `json:"blocked"`
	Fingerprint string            `json:"fingerprint,omitempty"`
	Done        bool              `json:"done"`            // it counts now
	Nodes       []string          `json:"nodes,omitempty"` // how far each node is, a sentence each
}

// OrderReply says what follows, a sentence each.
type OrderReply struct {
	Text []string `json:"text"`
}

// WordRequest is what another manager says of a group that it moves.
type WordRequest struct {
	Group   string `json:"group"`
	LimitMS int64  `json:"limit_ms"` // how long to wait for it to be carried out
}

// Filter narrows the history.
type Filter struct {
	Group string    `json:"group,omitempty"`
	Since time.Time `json:"since,omitzero"`
	Last  int       `json:"last,omitempty"` // zero: all
}

// Refusal is an error that carries an exit code of the contract.
type Refusal struct {
	Code int    `json:"code"` // 1 failed, 2 usage, 3 plan not empty, 4 blocked
	Text string `json:"error"`
}

// Error is the text.
func (r *Refusal) Error() string { return r.Text }

// Service is what the resident service answers.
type Service interface {
	Status() (Status, error)
	Plan(group string, whatif []string) (PlanReply, error)
	Apply(ctx context.Context, r ApplyRequest) error
	Step(ctx context.Context, r ApplyRequest) (StepReply, error)
	Order(ctx context.Context, r OrderRequest) (OrderReply, error)
	Stop(ctx context.Context, r StopRequest) error
	Move(ctx context.Context, r MoveRequest) error
	Rehearse(ctx context.Context, r RehearseRequest) error
	Confirm(ctx context.Context, r ConfirmRequest) error
	Clear(ctx context.Context, group string) error
	Release(ctx context.Context, r WordRequest) error
	Acquire(ctx context.Context, r WordRequest) error
	History(f Filter) ([]journal.Record, error)
	Change(ctx context.Context, r ChangeRequest) (ChangeReply, error)
}
