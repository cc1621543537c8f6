package reconcile

import (
	"time"

	"understudy/config"
)

// Step is one change to this host or to the store. The set is closed: act
// carries out exactly these.
//
//sumtype:decl
type Step interface {
	// Spec is everything about the step that does not depend on who asks.
	Spec() Spec
	step()
}

// Spec describes a step. Every plan prints it and act obeys it.
type Spec struct {
	Verb    string // one word: "mount"
	Object  string // what it is done to: "/krb5"
	Detail  string // how, for people: "/dev/dcevg/krb5lv ext4"
	Command string // the one exact command or call
	Pre     string // what must hold before; act checks it by looking
	Post    string // what holds after; act verifies it by looking
	Undo    string // how it is taken back; "" if there is nothing to take back

	Limit  time.Duration // it has failed when it takes longer
	Expect time.Duration // what it takes as a rule

	// Storage marks a step that touches shared storage or takes authority. It
	// begins only with a valid lease that has Needs left; it is cancelled when
	// the lease goes.
	Storage bool
	Needs   time.Duration

	// Optional: its failure is recorded, and the plan goes on.
	Optional bool
}

// Fence switches a node off and confirms that it is off. The methods are tried in
// order until the agent of one confirms it; at least one.
type Fence struct {
	Node    string
	BootID  string // the boot that must be ended
	Methods []config.Fence
}

// TakeClaim replaces the claim of a group with one of this node, if the store
// still holds the claim that the evidence is about.
type TakeClaim struct {
	Group    string
	Was      Claim // the claim that is replaced; zero: none
	Epoch    uint64
	Evidence Evidence
	Reason   string
	Pinned   string // see Claim.Pinned
	// Rehearsal: see Claim.Rehearsal.
	Rehearsal Rehearsal `json:",omitempty"`
	Failovers []int64   `json:",omitempty"` // see Claim.Failovers
}

// Activate makes a device or a volume group usable here. For a plain device it
// drops what this kernel cached of it while another host wrote.
type Activate struct {
	Device string // plain device; "" for a volume group
	Volume config.Volume
}

// Reserve has the disks below a device or a volume group refuse the writes of every
// host but this one, and ends the commands of a former holder that they still have.
type Reserve struct {
	Device string // plain device; "" for a volume group
	Volume config.Volume
	Key    ReservationKey // of this node and the claim's epoch
	Nodes  []string       // of the file, by the numbers in keys
}

// Unreserve takes this host's key off the disks below a device or a volume group, and
// with it the reservation. What other hosts have there stays.
type Unreserve struct {
	Device string // plain device; "" for a volume group
	Volume config.Volume
	Key    ReservationKey // the cluster, group and node whose keys go, of whatever epoch
}

// MountFS attaches a file system. Its journal is replayed by the mount; a check
// runs before it only if the superblock says that there were errors.
type MountFS struct{ FS config.Filesystem }

// AddAddress adds a service address to a link after a probe for another holder,
// and announces it.
type AddAddress struct {
	Address config.ServiceAddress
	Link    string
	// Probe is how long another holder is listened for (RFC 5227, 2.1.1). Zero:
	// this node has held it until now and only checks for a conflict afterwards.
	Probe time.Duration
	// Besides are the links of this host's other adapters on the network that do not
	// work. Routes over them into the subnet of the address, and to gateways in it, get
	// a copy over Link that goes before them and ends with the address.
	Besides []string `json:",omitempty"`
}

// SetHostname saves the present host name durably and sets another.
type SetHostname struct{ Name string }

// RestoreHostname puts the saved host name back.
type RestoreHostname struct{ Name string }

// PurgeFiles deletes what a previous holder left behind, beneath one mount of
// the group and never across another, and never while the application runs.
type PurgeFiles struct {
	Group string
	App   config.Application
	Purge config.Purge
	Mount string // the group's mount that the path must lie on
}

// Start starts an application and waits until its daemons are there.
type Start struct {
	Group       string
	App         config.Application
	Environment []config.Option // computed, beside the application's own
}

// Verify waits until an application's daemons are there and its probe is good.
type Verify struct {
	Group string
	App   config.Application
}

// Stop stops an application: its own stop, then signals, then its cgroup.
type Stop struct {
	Group       string
	App         config.Application
	Environment []config.Option
}

// DropAddress removes a service address from every link that has it.
type DropAddress struct{ Address config.ServiceAddress }

// Unmount detaches a file system. It is never lazy: a busy one is an error that
// names who holds it.
type Unmount struct {
	FS    config.Filesystem
	Point string
}

// Deactivate makes a volume group unusable here, or lets a plain device go.
type Deactivate struct {
	Device string
	Volume config.Volume
}

// ProveRelease proves that nothing of the group is left on this host: no
// process, no mount in any namespace, exclusive open succeeds, no address.
type ProveRelease struct{ Group config.Group }

// SignOff marks this node's claim as cleanly released.
type SignOff struct {
	Group  string
	Epoch  uint64
	GaveUp string `json:",omitempty"` // see Claim.GaveUp
	Down   string `json:",omitempty"` // see Claim.Down
}

// MarkDirty records durably, before the start, that from now on only a reboot of
// this host lets go of the group's disks (guide, "DFS Reintegration Actions").
type MarkDirty struct {
	Group  string
	App    string
	BootID string
}

// Reboot reboots this host. Nothing of the plan comes after it.
type Reboot struct {
	Group string
	Why   string
	// AtOnce: nothing is written back, as another node may have the disks.
	AtOnce bool
}

// RunHook runs a hook.
type RunHook struct {
	Hook        config.Hook
	Group       string          // "" for a hook without a group
	Environment []config.Option // what happened: UNDERSTUDY_EVENT, UNDERSTUDY_WHEN, UNDERSTUDY_GROUP, …
}

// Notify tells people what they must do again after a start.
type Notify struct {
	Group string
	App   string
	Text  string
}

func (Reserve) step()         {}
func (Unreserve) step()       {}
func (MarkDirty) step()       {}
func (Reboot) step()          {}
func (RunHook) step()         {}
func (Notify) step()          {}
func (Fence) step()           {}
func (TakeClaim) step()       {}
func (Activate) step()        {}
func (MountFS) step()         {}
func (AddAddress) step()      {}
func (SetHostname) step()     {}
func (RestoreHostname) step() {}
func (PurgeFiles) step()      {}
func (Start) step()           {}
func (Verify) step()          {}
func (Stop) step()            {}
func (DropAddress) step()     {}
func (Unmount) step()         {}
func (Deactivate) step()      {}
func (ProveRelease) step()    {}
func (SignOff) step()         {}
