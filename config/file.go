package config

import (
	"slices"
	"time"
)

// The structs below mirror the file, key by key. They hold what was written,
// unchecked, with lines; the rest of the package turns them into a Config.

// val is one key of the file. Bad: it is there, and a finding says that its value
// cannot be used; nobody else complains about it then.
type val[T any] struct {
	v    T
	set  bool
	bad  bool
	line int // of the key, or of the table that lacks it
}

// or is the value, or another if there is none that can be used.
func (v *val[T]) or(other T) T {
	if v.set && !v.bad {
		return v.v
	}
	return other
}

// ok reports whether there is a value that can be used.
func (v *val[T]) ok() bool { return v.set && !v.bad }

// element is one string of a list, with its line.
type element struct {
	text string
	line int
}

// pair is one key of a table with free keys, in the order of the file.
type pair struct {
	key, value string
	line       int
}

// options are pairs whose values may also be integers and booleans.
type options []pair

// adapters are pairs whose values may also be lists of strings; each string of a
// list is a pair of its own, under the same key.
type adapters []pair

// stringsOf strips the lines.
func stringsOf(list []element) []string {
	if len(list) == 0 {
		return nil
	}
	out := make([]string, len(list))
	for i, e := range list {
		out[i] = e.text
	}
	return out
}

// table is embedded in every struct that is a table of the file.
type table struct {
	name string // its key, for a table in a table with free keys
	set  bool
	bad  bool // it is there, but is not a table: a finding says so
	line int

	badKeys []string // keys below it that should be lists or tables of tables and are not
}

// lacks reports whether a key that holds tables is really missing, rather than of
// a wrong type.
func (t *table) lacks(key string, n int) bool { return n == 0 && !slices.Contains(t.badKeys, key) }

func (t *table) head() *table { return t }

// tabler is every struct that is a table of the file.
type tabler interface{ head() *table }

type fileConfig struct {
	table
	Cluster       val[string]   `toml:"cluster"`
	KeyFile       val[string]   `toml:"key_file"`
	SocketGroup   val[string]   `toml:"socket_group"`
	Configuration val[string]   `toml:"configuration"`
	Stop          val[string]   `toml:"stop"`
	Rejoin        val[string]   `toml:"rejoin"`
	Skew          val[string]   `toml:"skew"`
	Lease         fileLease     `toml:"lease"`
	Keepalive     fileKeepalive `toml:"keepalive"`
	Watchdog      fileWatchdog  `toml:"watchdog"`
	Witness       fileWitness   `toml:"witness"`
	Node          []fileNode    `toml:"node,named"`
	Group         []fileGroup   `toml:"group,named"`
	Service       []fileService `toml:"service"`
	Hook          []fileHook    `toml:"hook"`
}

type fileLease struct {
	table
	Store     val[string]        `toml:"store"`
	TTL       val[time.Duration] `toml:"ttl"`
	Renew     val[time.Duration] `toml:"renew"`
	Request   val[time.Duration] `toml:"request"`
	Margin    val[time.Duration] `toml:"margin"`
	Tick      val[time.Duration] `toml:"tick"`
	Election  val[time.Duration] `toml:"election"`
	PeerPort  val[int64]         `toml:"peer_port"`
	Device    val[string]        `toml:"device"`
	Endpoints val[[]element]     `toml:"endpoints"`
	TLS       fileTLS            `toml:"tls"`
}

type fileTLS struct {
	table
	CA   val[string] `toml:"ca"`
	Cert val[string] `toml:"cert"`
	Key  val[string] `toml:"key"`
}

type fileKeepalive struct {
	table
	Interval val[time.Duration] `toml:"interval"`
	Timeout  val[time.Duration] `toml:"timeout"`
	Port     val[int64]         `toml:"port"`
}

type fileWatchdog struct {
	table
	Mode       val[string]        `toml:"mode"`
	Device     val[string]        `toml:"device"`
	Timeout    val[time.Duration] `toml:"timeout"`
	Pretimeout val[time.Duration] `toml:"pretimeout"`
	Release    val[time.Duration] `toml:"release"`
	Fallback   val[string]        `toml:"fallback"`
	OnLeave    val[string]        `toml:"on_leave"`
}

type fileWitness struct {
	table
	Address   val[string]   `toml:"address"`
	Addresses val[adapters] `toml:"addresses"`
}

type fileNode struct {
	table
	Addresses val[adapters] `toml:"addresses"`
	Fence     []fileFence   `toml:"fence,or-one"`
	Rejoin    val[string]   `toml:"rejoin"`
}

type fileFence struct {
	table
	Agent   val[string]        `toml:"agent"`
	Options val[options]       `toml:"options"`
	Timeout val[time.Duration] `toml:"timeout"`
	Settle  val[time.Duration] `toml:"settle"`
}

type fileGroup struct {
	table
	Policy           val[string]        `toml:"policy"`
	Nodes            val[[]element]     `toml:"nodes"`
	Fallback         val[string]        `toml:"fallback"`
	Settle           val[time.Duration] `toml:"settle"`
	Restarts         val[int64]         `toml:"restarts"`
	RestartWindow    val[time.Duration] `toml:"restart_window"`
	Failovers        val[int64]         `toml:"failovers"`
	FailoverWindow   val[time.Duration] `toml:"failover_window"`
	Hostname         val[string]        `toml:"hostname"`
	OnReleaseFailure val[string]        `toml:"on_release_failure"`
	Unread           val[time.Duration] `toml:"unread"`
	Reboot           val[string]        `toml:"reboot"`
	Reservation      val[string]        `toml:"reservation"`
	Address          []fileAddress      `toml:"address"`
	Aggregate        []fileAggregate    `toml:"aggregate"`
	Filesystem       []fileFilesystem   `toml:"filesystem"`
	Application      []fileApplication  `toml:"application"`
}

type fileAddress struct {
	table
	Label   val[string] `toml:"label"`
	Prefix  val[string] `toml:"prefix"`
	Network val[string] `toml:"network"`
}

type fileFilesystem struct {
	table
	Mount       val[string]    `toml:"mount"`
	Device      val[string]    `toml:"device"`
	Type        val[string]    `toml:"type"`
	Options     val[[]element] `toml:"options"`
	VolumeGroup val[string]    `toml:"volume_group"`
	Local       val[bool]      `toml:"local"`
	MMP         val[string]    `toml:"mmp"`
}

type fileAggregate struct {
	table
	Device      val[string] `toml:"device"`
	VolumeGroup val[string] `toml:"volume_group"`
}

type fileApplication struct {
	table
	Name          val[string]        `toml:"name"`
	Profile       val[string]        `toml:"profile"`
	Run           val[[]element]     `toml:"run"`
	Start         val[[]element]     `toml:"start"`
	Stop          val[[]element]     `toml:"stop"`
	Probe         val[[]element]     `toml:"probe"`
	StartLimit    val[time.Duration] `toml:"start_limit"`
	StopLimit     val[time.Duration] `toml:"stop_limit"`
	ProbeLimit    val[time.Duration] `toml:"probe_limit"`
	ProbeInterval val[time.Duration] `toml:"probe_interval"`
	ProbeFailures val[int64]         `toml:"probe_failures"`
	ProbeOf       val[int64]         `toml:"probe_of"`
	Environment   val[[]pair]        `toml:"environment"`
	Daemons       []fileDaemon       `toml:"daemons"` // nil: not given
	Purge         []filePurge        `toml:"purge"`   // nil: not given
	RPCExclude    val[bool]          `toml:"rpc_exclude"`
	RPCInterfaces val[[]element]     `toml:"rpc_interfaces"`

	Kind            val[string]       `toml:"kind"`
	Roles           val[[]element]    `toml:"roles"`
	Replicas        val[[]element]    `toml:"replicas"`
	Ports           val[[]element]    `toml:"ports"`
	Mounts          val[[]element]    `toml:"mounts"`
	LocalPaths      val[[]element]    `toml:"local_paths"`
	RebootToRelease val[bool]         `toml:"reboot_to_release"`
	Notice          val[string]       `toml:"notice"`
	Configured      val[[]element]    `toml:"configured"`
	Probes          []fileProbe       `toml:"probes"`       // nil: not given
	Requirements    []fileRequirement `toml:"requirements"` // nil: not given
}

// fileService is an application with nodes of its own instead of a group.
type fileService struct {
	fileApplication
	Nodes val[[]element] `toml:"nodes"`
}

type fileDaemon struct {
	table
	Name     val[string] `toml:"name"`
	Exe      val[string] `toml:"exe"`
	PIDFile  val[string] `toml:"pid_file"`
	Match    val[string] `toml:"match"`
	Optional val[bool]   `toml:"optional"`
}

type fileProbe struct {
	table
	Name    val[string]    `toml:"name"`
	Command val[[]element] `toml:"command"`
}

type fileRequirement struct {
	table
	Name    val[string]    `toml:"name"`
	Command val[[]element] `toml:"command"`
	AtLeast val[string]    `toml:"at_least"`
}

type fileHook struct {
	table
	Name      val[string]        `toml:"name"`
	Event     val[string]        `toml:"event"`
	When      val[string]        `toml:"when"`
	Group     val[string]        `toml:"group"`
	Nodes     val[[]element]     `toml:"nodes"`
	Command   val[[]element]     `toml:"command"`
	Limit     val[time.Duration] `toml:"limit"`
	OnFailure val[string]        `toml:"on_failure"`
}

type filePurge struct {
	table
	Path val[string] `toml:"path"`
	Tree val[bool]   `toml:"tree"`
}
