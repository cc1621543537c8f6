package config

import "time"

// What a key means when it is left out, with the reason. reference.toml states
// the same values; a test compares them.
const (
	// DefaultKeyFile lies beside the configuration, which only root reads.
	DefaultKeyFile = "/etc/understudy/cluster.key"

	// DefaultTTL bounds how long a takeover without a fence device waits. Five
	// seconds survive an election of the store and a machine at load 15.
	DefaultTTL = 5 * time.Second
	// DefaultRenew and DefaultRequest let one renewal fail and another succeed
	// before the node's own deadline: 1 + 2 × 1 < 5 − 1.
	DefaultRenew   = time.Second
	DefaultRequest = time.Second
	// DefaultMargin is what a node has to stop writing before the store forgets
	// it; also far more than two clocks drift apart in a ttl.
	DefaultMargin = time.Second

	// StepNeeds is what must be left of a lease when a step on shared storage
	// begins. It is no key: a step that is shorter than this never outlives it.
	StepNeeds = 500 * time.Millisecond

	// DefaultTick and DefaultElection are etcd's own (etcd.io, "Tuning").
	DefaultTick     = 100 * time.Millisecond
	DefaultElection = time.Second
	// DefaultPeerPort is not etcd's 2380, so that an etcd on the same machine is
	// not in the way. TCP.
	DefaultPeerPort = 7402

	// DefaultInterval and DefaultTimeout: five lost packets in a row, on every
	// network, are silence.
	DefaultInterval = 200 * time.Millisecond
	DefaultTimeout  = time.Second
	// DefaultKeepalivePort is of keep-alives. UDP.
	DefaultKeepalivePort = 7400

	// DefaultWatchdogTimeout is long enough for a restart of understudy itself, and
	// within what every device can count (i6300esb: 2 to 2046 s, softdog: to 65535 s).
	DefaultWatchdogTimeout = 10 * time.Second
	// DefaultWatchdogRelease is DefaultStopLimit: what one application may take to
	// stop. DefaultDiskRelease is for a store where others wait for it.
	DefaultWatchdogRelease = DefaultStopLimit
	DefaultDiskRelease     = 3 * time.Second

	// DefaultFenceTimeout covers a slow management board: off and its
	// confirmation together.
	DefaultFenceTimeout = 30 * time.Second

	// DefaultSettle lets the home of a group win the race of a common start.
	DefaultSettle = 5 * time.Second
	// DefaultRestarts in DefaultRestartWindow: a daemon that dies a fourth time
	// in ten minutes will not live here.
	DefaultRestarts      = 3
	DefaultRestartWindow = 10 * time.Minute
	// DefaultFailovers in DefaultFailoverWindow: a group that has failed on its nodes
	// three times in an hour fails for a reason that a fourth takeover does not mend.
	DefaultFailovers      = 3
	DefaultFailoverWindow = time.Hour

	// DefaultUnread outlasts a disk whose paths fail over; one that answers nothing for
	// longer is told of.
	DefaultUnread = time.Minute

	// DefaultStartLimit and DefaultStopLimit suit a database; longer ones are
	// declared, since every failover may have to wait for them.
	DefaultStartLimit = time.Minute
	DefaultStopLimit  = time.Minute
	// DefaultProbeLimit and DefaultProbeInterval: a probe that takes longer is bad.
	DefaultProbeLimit    = 10 * time.Second
	DefaultProbeInterval = 10 * time.Second
	// DefaultProbeFailures of as many probes: the first bad one counts.
	DefaultProbeFailures = 1

	// DefaultHookLimit is enough for a page or a mail, and bounds what a hook that
	// hangs adds to a failover.
	DefaultHookLimit = 30 * time.Second
)

// span is the range of a duration, ends included.
type span struct{ least, most time.Duration }

// The ranges. The upper ends refuse what is surely a slip of the unit.
var (
	rangeTTL       = span{time.Second, 10 * time.Minute}
	rangeTimer     = span{10 * time.Millisecond, 10 * time.Minute}
	rangeInterval  = span{10 * time.Millisecond, time.Minute}
	rangeSettle    = span{0, time.Hour}
	rangeWindow    = span{time.Second, 7 * 24 * time.Hour}
	rangeLimit     = span{100 * time.Millisecond, 24 * time.Hour}
	rangeProbe     = span{0, 24 * time.Hour}
	rangeUnread    = span{0, 24 * time.Hour}
	leastUnread    = 5 * time.Second // of one that is not 0: a single look may take so long
	mostRestarts   = int64(1000)
	mostProbes     = int64(100)
	mostFailovers  = int64(20)   // each is kept in the claim
	defaultElect   = time.Second // what an existing etcd is taken to have
	maxLabel       = 15          // IFNAMSIZ − 1, linux/if.h
	maxFileSize    = 4 << 20
	maxName        = 63 // bytes; one label of a host name (RFC 1035, 2.3.4)
	maxHostname    = 64 // bytes; HOST_NAME_MAX of Linux
	maxFenceOption = 4096
)

// The ranges of a watchdog. A device that is fed four times per timeout is not fed
// late from three seconds on.
var (
	rangeWatchdog   = span{3 * time.Second, 10 * time.Minute}
	rangePretimeout = span{0, 10 * time.Minute}
	rangeRelease    = span{100 * time.Millisecond, 24 * time.Hour}
)
