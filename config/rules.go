package config

import "slices"

// Rule is one thing that a file must obey. Ids are stable: a rule may be
// reworded, but an id is never given to another rule.
type Rule struct {
	ID       string
	Severity Severity
	Sentence string
}

// Rules returns every rule, by id.
func Rules() []Rule { return slices.Clone(rules) }

// The ids, in the order of the table below.
const (
	ruleSyntax         = "C001"
	ruleUnknownKey     = "C002"
	ruleType           = "C003"
	ruleDuration       = "C004"
	ruleRange          = "C005"
	ruleRequired       = "C006"
	ruleName           = "C007"
	ruleWord           = "C008"
	rulePath           = "C009"
	ruleCommand        = "C010"
	ruleRenew          = "C011"
	ruleKeepalive      = "C012"
	ruleElection       = "C013"
	ruleTTLElection    = "C014"
	ruleTTLSeconds     = "C015"
	ruleDiskNodes      = "C016"
	ruleKeyFile        = "C017"
	ruleWitness        = "C018"
	ruleNotForStore    = "C019"
	ruleEndpoint       = "C020"
	ruleStepNeeds      = "C021"
	ruleNoNode         = "C022"
	ruleOneNode        = "C023"
	ruleAddress        = "C024"
	ruleUsable         = "C025"
	ruleNetworkPrefix  = "C026"
	ruleNetworkOverlap = "C027"
	ruleAddressTwice   = "C028"
	ruleWitnessNetwork = "C029"
	ruleOneNetwork     = "C030"
	ruleNoFence        = "C031"
	ruleFenceOption    = "C032"
	ruleSecret         = "C033"
	ruleNoGroup        = "C034"
	ruleEmptyGroup     = "C035"
	ruleUnknownNode    = "C036"
	ruleNodeTwice      = "C037"
	ruleOneNodeGroup   = "C038"
	ruleFallback       = "C039"
	ruleWindow         = "C040"
	ruleHostname       = "C041"
	ruleLabelLength    = "C042"
	ruleLabelTwice     = "C043"
	ruleUnknownNetwork = "C044"
	ruleServiceNetwork = "C045"
	ruleNodeOffNetwork = "C046"
	ruleMountPoint     = "C047"
	ruleMountTwice     = "C048"
	ruleMountNested    = "C049"
	ruleDevice         = "C050"
	ruleDeviceTwice    = "C051"
	ruleVolumeTwice    = "C052"
	ruleMountOption    = "C053"
	ruleProfile        = "C054"
	ruleNothingToStart = "C055"
	ruleRunAndStart    = "C056"
	ruleRunAndStop     = "C057"
	ruleStartNoStop    = "C058"
	ruleStartNoDaemon  = "C059"
	ruleRunAndDaemon   = "C060"
	ruleDaemonHow      = "C061"
	ruleRegexp         = "C062"
	ruleAppTwice       = "C063"
	ruleDaemonTwice    = "C064"
	ruleProbe          = "C065"
	ruleEnvironment    = "C066"
	rulePurge          = "C067"
	ruleVotes          = "C068"
	ruleApart          = "C069"
	ruleRole           = "C070"
	ruleNotice         = "C071"
	ruleProbeTwice     = "C072"
	ruleRequirement    = "C073"
	rulePort           = "C074"
	ruleServiceKey     = "C075"
	ruleHookTwice      = "C076"
	ruleHookGroup      = "C077"
	ruleHookWhen       = "C078"
	ruleHookStop       = "C079"
	ruleLocal          = "C080"
	ruleReboot         = "C081"

	ruleConfiguration     = "C082"
	ruleSupported         = "C083"
	ruleServerOnPeer      = "C084"
	ruleClientMoves       = "C085"
	ruleNeedsClient       = "C086"
	ruleDFSNeeds          = "C087"
	ruleStandbyConfigured = "C088"
	ruleServerService     = "C089"
	ruleOneDCE            = "C090"
	ruleServiceLabel      = "C091"
	ruleSharedMount       = "C092"
	ruleLocalPath         = "C093"
	ruleExports           = "C094"
	ruleReplicas          = "C095"
	rulePeerPurge         = "C096"
	ruleServiceName       = "C097"
	rulePlaceholder       = "C098"
	ruleSameAction        = "C099"
	ruleTooMany           = "C100"
	ruleAutomaticName     = "C101"
	ruleLogVolume         = "C102"
	ruleDiskTakeover      = "C103"
	ruleWatchdogSeconds   = "C104"
	ruleWatchdogBound     = "C105"
	ruleWatchdogFallback  = "C106"
	ruleWatchdogOff       = "C107"
	ruleWatchdogStops     = "C108"
	ruleDiskUnguarded     = "C109"
	ruleWatchdogContained = "C110"
	ruleWatchdogLeave     = "C111"
	ruleAdapterSubnet     = "C112"
	ruleAdapterAlone      = "C113"
	ruleReservation       = "C114"
	ruleReservedStore     = "C115"
	ruleMMP               = "C116"
)

// rules is the closed table. A test holds it against the constants and against
// the cases in testdata: every rule has a file that breaks it.
var rules = []Rule{
	{ruleSyntax, Error, "the file is TOML of at most 4 MiB"},
	{ruleUnknownKey, Error, "every key is one that is documented, in lower case"},
	{ruleType, Error, "every value has the type of its key"},
	{ruleDuration, Error, `a duration is a string with a unit, like "5s"`},
	{ruleRange, Error, "a number or duration lies in the range of its key"},
	{ruleRequired, Error, "keys without a default are given"},
	{ruleName, Error, "names are made of letters, digits, '-', '_' and '.', and are short"},
	{ruleWord, Error, "a key with a closed set of words has one of them"},
	{rulePath, Error, "paths are absolute and clean"},
	{ruleCommand, Error, "a command is a list of arguments that begins with an absolute path"},
	{ruleRenew, Error, "a renewal may fail once and still be in time: renew + 2 × request < ttl − margin"},
	{ruleKeepalive, Error, "silence is more than two lost packets: keepalive timeout ≥ 3 × interval"},
	{ruleElection, Error, "the embedded store's election timeout is at least 5 ticks"},
	{ruleTTLElection, Error, "the lease outlives an election: ttl ≥ 1.5 × election, in whole seconds"},
	{ruleTTLSeconds, Error, "ttl is a whole number of seconds, since etcd counts leases in seconds"},
	{ruleDiskNodes, Error, "a shared disk has slots for the nodes that use it, at most eight"},
	{ruleKeyFile, Error, "traffic between machines is authenticated by a shared key"},
	{ruleWitness, Error, "two nodes with the embedded store have a witness, since two votes survive no loss"},
	{ruleNotForStore, Error, "keys of one kind of store are not given with another"},
	{ruleEndpoint, Error, "an existing etcd has endpoints that are URLs, https if TLS is declared"},
	{ruleStepNeeds, Error, "ttl − margin − renew − request leaves the time that a step on shared storage needs"},
	{ruleNoNode, Error, "there is a node"},
	{ruleOneNode, Warning, "there are two nodes, or nothing can take over"},
	{ruleAddress, Error, "an address parses, with its prefix length where one is needed"},
	{ruleUsable, Error, "an address is one that a machine can have"},
	{ruleNetworkPrefix, Error, "all machines of a network have an address of the same prefix, and further adapters one of a prefix apart from it"},
	{ruleNetworkOverlap, Error, "the prefixes of two networks do not overlap"},
	{ruleAddressTwice, Error, "no address is given twice"},
	{ruleWitnessNetwork, Error, "the witness is on a network that a node is on"},
	{ruleOneNetwork, Warning, "two networks carry keep-alives, or one broken wire silences a peer"},
	{ruleNoFence, Warning, "every node can be fenced, or its claims wait for other evidence"},
	{ruleFenceOption, Error, "fence options are words for the agent's standard input, and the action is not among them"},
	{ruleSecret, Error, "no secret stands in the file, which is printed and copied"},
	{ruleNoGroup, Warning, "there is a group, or the cluster does nothing"},
	{ruleEmptyGroup, Warning, "a group holds an address, a file system or an application"},
	{ruleUnknownNode, Error, "the nodes of a group are nodes of the file"},
	{ruleNodeTwice, Error, "a group lists a node once"},
	{ruleOneNodeGroup, Warning, "a group has two nodes, or nothing can take it over"},
	{ruleFallback, Error, "only a cascading group has a fallback, since a rotating one has no home"},
	{ruleWindow, Error, `a fallback window is two different times of day, like "02:00-04:00"`},
	{ruleHostname, Error, "only a rotating group sets the host name"},
	{ruleLabelLength, Error, "a label has at most 15 bytes, the kernel's limit"},
	{ruleLabelTwice, Error, "no two service addresses have the same label"},
	{ruleUnknownNetwork, Error, "a service address is on a network of the file"},
	{ruleServiceNetwork, Error, "a service address lies inside its network's prefix"},
	{ruleNodeOffNetwork, Error, "every node of a group is on the networks of its service addresses"},
	{ruleMountPoint, Error, "nothing is mounted over what the system itself needs"},
	{ruleMountTwice, Error, "a mount point is used once"},
	{ruleMountNested, Error, "no group mounts below a mount of another"},
	{ruleDevice, Error, "a device is a path, the same on every node"},
	{ruleDeviceTwice, Error, "a device belongs to one group, and is mounted once unless it holds btrfs subvolumes"},
	{ruleVolumeTwice, Error, "a volume group belongs to one group"},
	{ruleMountOption, Error, "a file system type and mount options are single words"},
	{ruleProfile, Error, "a profile is one that this version has or that stands beside the file, and holds the keys of an application without its name"},
	{ruleNothingToStart, Error, "an application has run, start or a profile"},
	{ruleRunAndStart, Error, "an application has run or start, not both"},
	{ruleRunAndStop, Error, "an application with run has no stop, since run is its stop too"},
	{ruleStartNoStop, Error, "start and stop are given together"},
	{ruleStartNoDaemon, Error, "an application with start says how its processes are recognised, and one of them is always there"},
	{ruleRunAndDaemon, Error, "an application with run has no daemons, since its process is known"},
	{ruleDaemonHow, Error, "a daemon is recognised by exe, pid_file or match"},
	{ruleRegexp, Error, "match is a regular expression (RE2)"},
	{ruleAppTwice, Error, "the applications of a group have different names"},
	{ruleDaemonTwice, Error, "the daemons of an application have different names"},
	{ruleProbe, Error, "probe_interval, probe_failures and probe_of are given only with a probe"},
	{ruleEnvironment, Error, "the environment is made of names and strings without NUL"},
	{rulePurge, Error, "purge stays strictly below a mount of its group"},
	{ruleVotes, Warning, "the embedded store has an odd number of votes, or the last one adds a way to fail and none to survive"},
	{ruleApart, Error, "every two nodes share a network"},
	{ruleRole, Error, "roles are those that the guide covers for the kind, and only security and cds have replicas"},
	{ruleNotice, Error, "a notice is one line"},
	{ruleProbeTwice, Error, "the probes of an application have different names"},
	{ruleRequirement, Error, "a requirement is stated once, with a version of numbers and dots"},
	{rulePort, Error, `a port is a number and a protocol, like "135/tcp", and is named once`},
	{ruleServiceKey, Error, "a service, which never moves, has no keys that are about shared storage"},
	{ruleHookTwice, Error, "hooks have different names"},
	{ruleHookGroup, Error, "the group of a hook exists, and its event is one that happens with a group or without"},
	{ruleHookWhen, Error, "a hook waits for something that can happen, on a side of it where it can still run"},
	{ruleHookStop, Error, "only a hook of a group's taking up may stop the plan"},
	{ruleLocal, Error, "a local file system lies outside of the volume groups that move"},
	{ruleReboot, Error, "a node reboots by itself only for an application that holds its disks until a reboot"},
	{ruleConfiguration, Error, "the groups amount to the configuration that the file states"},
	{ruleSupported, Error, "DCE and DFS are in one of the four configurations of the guide"},
	{ruleServerOnPeer, Error, "no server of DCE or DFS is on a node of a mutual takeover"},
	{ruleClientMoves, Error, "in a mutual takeover a client of DCE or DFS is a service of both nodes, and no group takes it along"},
	{ruleNeedsClient, Error, "an application that uses DCE or DFS finds a client before it in its group, or on every node of it"},
	{ruleDFSNeeds, Error, "DFS has DCE before it, in its group or on its node"},
	{ruleStandbyConfigured, Error, "where a group holds DCE or DFS, its nodes have no client of their own: nothing is configured on a standby"},
	{ruleServerService, Error, "a server of DCE or DFS belongs to a group"},
	{ruleOneDCE, Error, "a host has one dced"},
	{ruleServiceLabel, Error, "a group with servers of DCE or DFS, or with applications that use them, has a service address"},
	{ruleSharedMount, Error, "the mounts that an application names are file systems of its group on shared storage"},
	{ruleLocalPath, Error, "the local_paths of an application, such as the cache of DFS, are not on shared storage"},
	{ruleExports, Warning, "what a DFS file server exports is an aggregate or a file system of its group"},
	{ruleReplicas, Warning, "a group protects a server that can be written, since a replica is never made the master by itself"},
	{rulePeerPurge, Error, "nothing of DCE is purged in a mutual takeover, where the other node's clients use it"},
	{ruleServiceName, Error, "a rotating group with a DCE server sets the host name"},
	{rulePlaceholder, Error, "a host name is that of a service, and no placeholder"},
	{ruleSameAction, Error, "no action is both an application's and a hook's, or that of two hooks at the same moment"},
	{ruleTooMany, Error, "no node can have more than ten addresses for RPC servers to keep off"},
	{ruleAutomaticName, Warning, "volume groups and logical volumes that move have names that no system gives by itself"},
	{ruleLogVolume, Error, "the log of a file system is in its volume group, or it would not be there after a takeover"},
	{ruleDiskTakeover, Warning, "a takeover by what the shared disk shows ends within 1.2 × ttl: a look, the drift of clocks and three requests ≤ ttl / 5"},
	{ruleWatchdogSeconds, Error, "a watchdog's timeout and pretimeout are whole seconds, as the kernel counts them, and the pretimeout is the shorter"},
	{ruleWatchdogBound, Warning, "where silence on the shared disk is evidence beside fences, the watchdog has reset the host within the ttl: release + timeout + 1 s ≤ margin, or a takeover waits longer where a fence fails"},
	{ruleWatchdogFallback, Error, "a fallback belongs to an optional watchdog, since it is weaker than one"},
	{ruleWatchdogOff, Warning, "a watchdog that is declared is used"},
	{ruleWatchdogStops, Warning, "the watchdog's release covers what the applications of a group may take to stop"},
	{ruleDiskUnguarded, Error, "with the store on a shared disk a node without a fence has a required watchdog, or nobody could ever take over from it"},
	{ruleWatchdogContained, Error, "with the store on a shared disk the watchdog of a node without a fence has reset its host within the ttl: release + timeout + 1 s ≤ margin"},
	{ruleWatchdogLeave, Error, "a watchdog on which the other nodes count is not switched off while something is held"},
	{ruleAdapterSubnet, Warning, "the adapters of a node on one network have subnets of their own"},
	{ruleAdapterAlone, Warning, "a further adapter has another node in its subnet, or nothing is heard on it"},
	{ruleReservation, Error, "a group with reservation = \"required\" has shared storage that can be reserved"},
	{ruleReservedStore, Error, "the store's own disk is none that a group reserves"},
	{ruleMMP, Error, "multi-mount protection is required of ext4 only, which has it"},
}

var severities = func() map[string]Severity {
	m := make(map[string]Severity, len(rules))
	for _, r := range rules {
		m[r.ID] = r.Severity
	}
	return m
}()

func severity(id string) Severity { return severities[id] }
