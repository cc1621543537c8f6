package config

import (
	"net/netip"
	"slices"
	"time"
)

// Config is one cluster as its file declares it, with every default filled in.
// It is valid by construction: [Parse] returns no other kind.
type Config struct {
	Cluster string // name of the cluster; part of every key in the store
	KeyFile string // path of the shared secret: 32 bytes, base64
	// SocketGroup is the group of the system whose members may ask the service on its
	// socket, and order nothing; "" for root alone.
	SocketGroup string
	// Configuration is what the file says that its groups amount to, "" if it does
	// not say; they do.
	Configuration Configuration
	// Stop is what the service of a node does when it is told to stop and not how.
	Stop StopMode
	// Rejoin is how a node that was fenced comes back, unless it says so itself.
	Rejoin RejoinMode
	// Skew is what a node does whose file is not the one that counts.
	Skew SkewPolicy

	Lease     Lease     // who may own, and for how long without asking again
	Keepalive Keepalive // how silence is noticed
	Watchdog  Watchdog  // what resets this host when it holds on and may not
	Witness   *Witness  // the third vote; nil with an external store
	Networks  []Network // the wires, sorted by name; derived from the addresses of nodes and witness
	Nodes     []Node    // in the order of the file
	Groups    []Group   // in the order of the file
	Services  []Service // kept up on their own nodes, whoever holds the groups; in start order
	Hooks     []Hook    // in the order of the file, which is the order they run in
	// ProfileFiles are the files of the user's own profiles that are in use, by name.
	ProfileFiles []string

	Hash string // SHA-256, hex, of the bytes parsed, profiles of the user's own among them: nodes compare it
}

// StopMode is what becomes of a node's groups when its service stops.
type StopMode string

// The modes of stopping.
const (
	// StopHandOver: let go in order, and another node takes them at once.
	StopHandOver StopMode = "hand-over"
	// StopAll: let go in order, and nobody takes them before this node's service has
	// started again or a person has cleared them.
	StopAll StopMode = "stop"
	// StopLeave: touch nothing. The groups go on, and the next start carries on.
	StopLeave StopMode = "leave"
)

// SkewPolicy is what a node does whose file is not the one that the nodes have agreed
// upon.
type SkewPolicy string

// The policies of skew.
const (
	// SkewHold: it keeps what it has, and takes nothing over.
	SkewHold SkewPolicy = "hold"
	// SkewWarn: it says so, and goes by its own file.
	SkewWarn SkewPolicy = "warn"
)

// RejoinMode is how a node that was fenced comes back after its next boot.
type RejoinMode string

// The modes of rejoining.
const (
	// RejoinAutomatic: by itself, as soon as it is clean.
	RejoinAutomatic RejoinMode = "automatic"
	// RejoinByHand: it stays out until a person who has looked at it says so.
	RejoinByHand RejoinMode = "by-hand"
)

// StoreKind names where claims and leases live (design, section 5).
type StoreKind string

// The kinds of store.
const (
	StoreEmbedded StoreKind = "embedded" // etcd inside the program on every node, and the witness
	StoreEtcd     StoreKind = "etcd"     // an etcd cluster that exists already
	StoreDisk     StoreKind = "disk"     // a small part of a disk that every node reaches
	// StoreExternal: another cluster manager, or a person, moves addresses and disks;
	// a group is held where its mounts and addresses are seen.
	StoreExternal StoreKind = "external"
)

// Lease says where ownership is recorded and the times that bound it.
type Lease struct {
	Store StoreKind

	// TTL is how long the store keeps a node's lease without a renewal.
	TTL time.Duration
	// Renew is the interval between renewals; each is counted from its sending.
	Renew time.Duration
	// Margin is subtracted from TTL to get this node's own deadline: it begins to
	// let go that much earlier than the store forgets it.
	Margin time.Duration
	// Request is the time limit of one request to the store, a renewal among them.
	// Renew + 2 × Request < TTL − Margin, so that one may fail and the next succeed.
	Request time.Duration

	Device string // StoreDisk: absolute path, the same on every node

	Endpoints []string // StoreEtcd: URLs of the existing cluster
	TLS       TLS      // StoreEtcd: paths; zero means plain HTTP endpoints

	// Tick and Election are etcd's heartbeat interval and election timeout of the
	// embedded store. They and the ports are zero with another store.
	Tick, Election time.Duration
	PeerPort       uint16 // embedded store, TCP
}

// Poll is how often each node looks at the shared disk of StoreDisk: four times in
// a renewal interval, and not more often than every 50 ms.
func (l *Lease) Poll() time.Duration { return max(l.Renew/4, 50*time.Millisecond) }

// TLS names the PEM files for an existing etcd cluster.
type TLS struct{ CA, Cert, Key string }

// Keepalive is the silence detector. Its verdict is never evidence that a node
// has stopped (design, section 5).
type Keepalive struct {
	Interval time.Duration // between two packets on each network
	Timeout  time.Duration // silence on every network for this long: the peer is silent
	Port     uint16        // UDP
}

// Witness votes and hosts nothing.
type Witness struct {
	Name      string        // always "witness"
	Addresses []NodeAddress // at least one; sorted as those of a node
}

// Network is a wire with the addresses of those on it.
type Network struct {
	Name    string
	Members []Member // nodes in file order, each with its adapters in theirs, then the witness
}

// Member is one machine's address on a network. A machine with several adapters
// there is as many members.
type Member struct {
	Machine string
	Prefix  netip.Prefix
}

// NodeAddress is an address of a machine on a named network. The witness's
// prefix may be a host prefix (/32, /128).
type NodeAddress struct {
	Network string
	Prefix  netip.Prefix
}

// Node is one machine that may hold groups.
type Node struct {
	Name      string
	Addresses []NodeAddress // sorted by network; of one network in the order of the file, each on an adapter of its own
	// Fences are the ways to switch it off, tried in this order until one confirms
	// off. None: this node cannot be fenced, and its claims wait for other evidence.
	Fences []Fence
	Rejoin RejoinMode // how it comes back after a fence
	Line   int
}

// Fence is one agent of the fence-agents API with its options. Options whose
// name ends in "_file" are read from that file at the moment of use and passed
// under the name without the suffix, so that no secret stands in the TOML file;
// cookie_file, debug_file, identity_file, status_file and token_file are agents'
// own options and passed as they are.
type Fence struct {
	Agent   string        // a program name or an absolute path
	Options []Option      // sorted by key
	Timeout time.Duration // for off and its confirmation together
	// Settle is how long is waited after the confirmation, so that what is still under
	// way from that machine to the disks has arrived. Zero: nothing is waited for.
	Settle time.Duration `json:",omitempty"`
	Line   int
}

// Option is one key=value line on an agent's standard input.
type Option struct{ Key, Value string }

// Policy says whether a group has a home (guide, "HACMP Supported Configurations").
type Policy string

// The policies.
const (
	Cascading Policy = "cascading" // has a home, the first of its nodes, and goes back to it
	Rotating  Policy = "rotating"  // has no home and stays where it is
)

// FallbackKind says when a cascading group goes back to its home.
type FallbackKind string

// The kinds of fallback.
const (
	FallbackImmediate FallbackKind = "immediate" // as soon as the home stands by
	FallbackNever     FallbackKind = "never"     // only when a person moves it
	FallbackWindow    FallbackKind = "window"    // between two times of day, local time
)

// Fallback is when a group may go back to its home.
type Fallback struct {
	Kind     FallbackKind
	From, To time.Duration // since midnight, for FallbackWindow; To < From spans midnight
}

// ReleaseFailure says what happens when a group cannot be let go.
type ReleaseFailure string

// What may be declared for a failed release.
const (
	BlockOnReleaseFailure  ReleaseFailure = "block"      // stay, say so, wait for a person
	RebootOnReleaseFailure ReleaseFailure = "self-fence" // reset this host at once
)

// Group is a resource group: what moves together.
type Group struct {
	Name     string
	Policy   Policy
	Nodes    []string // highest priority first
	Fallback Fallback // of a rotating group: never
	// Settle is how long a node waits at its start for nodes of higher priority
	// before it takes a free group. Zero: it does not wait.
	Settle time.Duration
	// Restarts is how often an application may be restarted in place within
	// RestartWindow before the group is handed to another node.
	Restarts      int
	RestartWindow time.Duration
	// Failovers is how often the group may be taken over after a failure within
	// FailoverWindow, on all nodes together; then it stays down until a person clears
	// it. Zero: there is no limit. With store external they mean
	// nothing.
	Failovers        int
	FailoverWindow   time.Duration
	Hostname         string // rotating groups: set around start and stop; "" leaves the host name alone
	OnReleaseFailure ReleaseFailure
	// Unread is how long a part of the group may stay unread on the node that holds it
	// before that counts as a release that has failed, see OnReleaseFailure. Zero: for ever.
	Unread time.Duration
	// Reboot says how a node gets rid of an application that only a reboot ends; it
	// matters if an application has RebootToRelease.
	Reboot RebootPolicy
	// Reservation says whether the disks refuse the writes of every host but the
	// holder's. It is in no plan's fingerprint but by the steps that it makes.
	Reservation ReservationMode `json:"-"`
	// Configuration is which of the guide's configurations the group amounts to, ""
	// if none. What is declared in the file must be the same.
	Configuration Configuration
	Addresses     []ServiceAddress
	Volumes       []Volume // volume groups, in the order of first use
	Aggregates    []Aggregate
	Filesystems   []Filesystem
	Applications  []Application // in start order
	Line          int

	// What follows is not in any file: [Staged] fills it in while a changed file is
	// being taken over. Gone: the changed file has not got the group. Shed is what must
	// be let go first, nil for nothing. Added are mount points, and labels of
	// addresses, that the former file had not: that they are not here yet says nothing
	// about what runs, and nothing about who has them.
	Gone  bool     `json:"-"`
	Shed  *Shed    `json:"-"`
	Added []string `json:"-"`
}

// Configuration is one of the four that the guide allows (guide, "HACMP Supported
// Configurations").
type Configuration string

// The configurations.
const (
	HotStandbyCascading Configuration = "hot-standby-cascading" // one home, and the standby does nothing else
	OneSidedTakeover    Configuration = "one-sided-takeover"    // one home, and the standby has work of its own
	HotStandbyRotating  Configuration = "hot-standby-rotating"  // no home
	MutualTakeover      Configuration = "mutual-takeover"       // each of the two nodes is the home of a group
)

// RebootPolicy says who reboots a node that holds the disks until it is rebooted
// (guide, "DFS Reintegration Actions").
type RebootPolicy string

// The policies of rebooting.
const (
	RebootByHand       RebootPolicy = "by-hand"   // a person does; the group serves on until then
	RebootByUnderstudy RebootPolicy = "automatic" // the node does it itself, after the stop
)

// Home is the node the group belongs to, "" for a rotating group and for one of a
// refused file that names no nodes.
func (g *Group) Home() string {
	if g.Policy == Rotating || len(g.Nodes) == 0 {
		return ""
	}
	return g.Nodes[0]
}

// Priority is the place of node in the group's list, 0 highest; -1 if it is not
// one of its nodes.
func (g *Group) Priority(node string) int { return slices.Index(g.Nodes, node) }

// ServiceAddress is an IP label that moves with its group.
type ServiceAddress struct {
	Label   string // 1 to 15 characters; also the name clients know
	Prefix  netip.Prefix
	Network string
	Line    int
}

// VolumeKind says how a volume group is switched on.
type VolumeKind string

// LVM is a volume group of the Logical Volume Manager.
const LVM VolumeKind = "lvm"

// Volume is a volume group on shared storage.
type Volume struct {
	Name string
	Kind VolumeKind
}

// Filesystem is a mount of shared storage.
type Filesystem struct {
	Mount   string   // absolute and clean; never "/"
	Device  string   // absolute path of a block device, the same on every node
	Type    string   // ext4, xfs, btrfs, …
	Options []string // as for mount(8) -o
	Volume  string   // name of its volume group, "" for a plain device
	// Local: it lies on a disk of the node's own, as a DFS cache does. It is mounted
	// and unmounted with the group; no other host can have it.
	Local bool
	// RequireMMP: it is not mounted without ext4's multi-mount protection.
	RequireMMP bool `json:",omitempty"`
	Line       int
}

// Aggregate is shared storage that the group needs and that is not mounted: a
// DFS aggregate is exported by DFS itself from its logical volume.
type Aggregate struct {
	Device string // absolute path of a block device, the same on every node
	Volume string // name of its volume group, "" for a plain device
	Line   int
}

// Application is something with a start and a stop.
type Application struct {
	Name    string
	Profile string // the profile its defaults came from, or ""

	// Run is a program that stays in the foreground; understudy starts it in a
	// session of its own and is its only start and stop. Exclusive with Start.
	Run []string
	// Start and Stop are commands that return when the work is done.
	Start, Stop []string
	// Probes exit 0 when what they are named for answers; all of them must. None: the
	// daemons being there is enough.
	Probes []Probe

	StartLimit, StopLimit, ProbeLimit time.Duration
	ProbeInterval                     time.Duration // between probes while serving; zero: only after a start
	// The application is bad while serving when ProbeFailures of its latest ProbeOf
	// probes were, ProbeFailures ≤ ProbeOf. Zero without a probe.
	ProbeFailures, ProbeOf int

	Environment []Option // added to a clean environment, sorted by key
	Daemons     []Daemon // how its processes are recognised; never empty, see Daemon for Run
	Purge       []Purge  // before every start
	RPCExclude  bool     // pass RPC_UNSUPPORTED_NETADDRS (guide, "Planning Considerations for DCE")
	// RPCInterfaces names the variables that carry the links to be excluded, which
	// dced obeys instead: the guide's name and the one in use elsewhere.
	RPCInterfaces []string

	Kind Kind
	// Roles are the parts the servers play, of those that the kind knows; Replicas
	// those of them that are read-only copies here.
	Roles, Replicas []string
	Ports           []Port // that its daemons bind; free again when it has stopped
	// Mounts are mount points that must be file systems of its group on shared
	// storage: without them it would begin anew on the disk below (guide, "Planning
	// Considerations for DCE").
	Mounts []string
	// LocalPaths must not lie on shared storage of its group, as the cache of a DFS
	// client (guide, "Planning Considerations for DFS").
	LocalPaths []string
	// RebootToRelease: once started, it holds the disks until the host is rebooted,
	// as the kernel parts of DFS do (guide, "DFS Reintegration Actions").
	RebootToRelease bool
	// Notice is told to people after every start in which files were purged, "" for
	// nothing: what they must do again.
	Notice string
	// Configured are paths of which one at least exists where it is configured. On a
	// standby, without the group's file systems, none may exist.
	Configured   []string
	Requirements []Requirement
	Line         int
}

// Probe is one question to a running application.
type Probe struct {
	Name    string // what is lost if it fails: "security"; "" for the only one
	Command []string
}

// Kind says what an application is to DCE and DFS.
type Kind string

// The kinds. The zero value is anything that has nothing to do with either.
const (
	KindOther     Kind = ""
	KindDCEServer Kind = "dce-server"
	KindDCEClient Kind = "dce-client"
	KindDCEUser   Kind = "dce-application" // needs a DCE client or server on its node
	KindDFSServer Kind = "dfs-server"
	KindDFSClient Kind = "dfs-client"
	KindDFSUser   Kind = "dfs-application" // needs a DFS client on its node
)

// Port is a port of this host that a daemon binds.
type Port struct {
	Protocol string // tcp or udp
	Number   uint16
}

// Requirement is software that must be installed on every node of the group.
type Requirement struct {
	Name    string
	Command []string // prints the version
	AtLeast string   // numbers with dots, compared as numbers
}

// Service is an application that belongs to nodes and not to a group, as DCE and
// DFS clients do on both peers of a mutual takeover.
type Service struct {
	Application
	Nodes []string // in file order; never empty
}

// Hook is a command that runs when something happens (guide, "HACMP Cluster
// Event Processing").
type Hook struct {
	Name  string
	Event HookEvent
	When  HookWhen
	// Group: it runs inside that group's plans, in its place, and can hold them up: pre
	// before the storage is touched or before the first stop, post when all is up or
	// nothing is left. A group that is let go because the lease is lost, or because
	// another node holds it, waits for no hook: only those of release run, behind the
	// last step. A plan that was broken off and is made again runs its hooks again.
	// "": it is told of the event, and holds nothing up.
	Group     string
	Nodes     []string // where it runs, in file order; never empty
	Command   []string
	Limit     time.Duration
	OnFailure HookFailure
	Line      int
}

// HookEvent is what a hook waits for.
type HookEvent string

// The events. Those of a group: acquire, release, takeover, reintegration, node_up,
// node_down and swap_adapter. Without a group: node_up, node_down, network_up, network_down.
const (
	EventNodeUp        HookEvent = "node_up"       // a node has come (back) and groups move because of it
	EventNodeDown      HookEvent = "node_down"     // a node has gone, or leaves gracefully, and groups move because of it
	EventAcquire       HookEvent = "acquire"       // the group is taken up, for whatever reason
	EventRelease       HookEvent = "release"       // the group is let go, for whatever reason
	EventTakeover      HookEvent = "takeover"      // the group is taken up by a node that is not its home, or from a node that has gone
	EventReintegration HookEvent = "reintegration" // a cascading group goes back to its home: let go here, or taken up there
	EventSwapAdapter   HookEvent = "swap_adapter"  // a service address goes to another adapter of its network on this node
	EventNetworkUp     HookEvent = "network_up"
	EventNetworkDown   HookEvent = "network_down" // this node can not serve on a network
)

// HookWhen is the side of the event on which a hook runs.
type HookWhen string

// The sides.
const (
	Pre  HookWhen = "pre"
	Post HookWhen = "post"
)

// HookFailure says what the failure of a hook means.
type HookFailure string

// What may be declared.
const (
	IgnoreHookFailure HookFailure = "ignore" // it is recorded, and the plan goes on
	StopHookFailure   HookFailure = "stop"   // the plan has failed; only before and during a taking up
)

// Daemon tells how a process is recognised. At least one of Exe, PIDFile and
// Match is set; all that are set must hold. The exception is an application with
// Run: it has exactly one Daemon, with the application's name and the three empty,
// because whoever starts the program keeps track of it and knows its process.
type Daemon struct {
	Name    string
	Exe     string // absolute path of the executable
	PIDFile string
	Match   string // RE2 over the command line, arguments joined by blanks
	// Optional: it may be absent while its application is up, as it runs only where
	// it is configured. After a stop it must be gone like the others.
	Optional bool
}

// Purge is a file, or with Tree every file below a directory, that is deleted
// from shared storage before a start. It never leaves the file system it lies on.
type Purge struct {
	Path string
	Tree bool // Path is a directory: delete the files below it, keep the directory
}

// Node returns the node of that name, nil if there is none.
func (c *Config) Node(name string) *Node {
	for i := range c.Nodes {
		if c.Nodes[i].Name == name {
			return &c.Nodes[i]
		}
	}
	return nil
}

// Group returns the group of that name, nil if there is none.
func (c *Config) Group(name string) *Group {
	for i := range c.Groups {
		if c.Groups[i].Name == name {
			return &c.Groups[i]
		}
	}
	return nil
}
