//go:build linux

package lab

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"
)

// Options is what a lab is made of. The zero value is a complete lab: two nodes,
// a witness and a client, two networks, one shared disk, default timers.
type Options struct {
	Name   string // of the lab; several may run side by side. "" is "demo"
	Dir    string // where disks, logs and the hosts' own state lie; needs direct I/O. "" is /var/lib/understudy-lab/NAME
	Binary string // the program that hosts run; "" is this program

	Hosts   []Host   // nil: alpha, beta, witness, client (see [DefaultHosts])
	Disks   int      // shared disks, /dev/shared0 upwards; 0 means 1, negative none
	DiskMiB int      // size of each; 0 means 256
	Format  []string // command that makes a file system, the image is appended; nil is a small ext4
	// StateMiB gives every host that has a service a disk of its own, of this size, for
	// its state: a power cut takes from it what was not forced to it, and it can be
	// full. 0: its state is a folder of the machine, which loses nothing.
	StateMiB int

	// Config makes the file /etc/understudy/understudy.toml of every host. Nil is
	// [DefaultConfig].
	Config func(Options) string
	Timers Timers // default or tuned; for the default configuration
	Policy string // of the group of the default configuration; "" is cascading
	// Extra is appended to the file, whoever made it.
	Extra string
	// Profile "dce" puts the stand-ins for DCE before the application of the default
	// configuration, installed on the nodes and configured on the shared disks.
	Profile string
	// Group is TOML lines put into the default configuration's group table.
	Group string
	// Top is TOML lines before the first table.
	Top string
	// Groups is TOML that stands in the place of the default configuration's group:
	// tables of groups, services and hooks of the test's own.
	Groups string
	// App is more arguments of the default configuration's application.
	App []string

	// Files are part of the hosts' installation.
	Files []File

	// Services starts a host's resident service at every boot, as an enabled unit
	// would be. Without it a boot ends with an idle host.
	Services bool
	// LifeLine ends the lab when this process ends, by whatever means. Without it
	// the lab stays until [Down].
	LifeLine bool
	// Nice is the niceness of the whole lab; negative for a higher priority.
	Nice int
}

// Timers chooses the times of the default configuration.
type Timers string

// The choices.
const (
	DefaultTimers Timers = ""      // nothing is set: the program's own defaults
	TunedTimers   Timers = "tuned" // keep-alives every 50 ms, silence after 250 ms
)

// Host is one machine of a lab.
type Host struct {
	Name      string
	Addresses map[string]netip.Prefix // by adapter; the network's name is its first adapter's name too
	Disks     bool                    // it is cabled to the shared disks
	Service   []string                // its resident service, "" in a host that has none
}

// The names the default lab uses.
const (
	Alpha   = "alpha"
	Beta    = "beta"
	Witness = "witness"
	Client  = "client"

	PublicNet  = "public"
	StorageNet = "storage"
	// StandbyLink is a second adapter on the public network, see [StandbyHosts].
	StandbyLink = "public2"
)

const (
	binaryInside = "/opt/understudy/bin/understudy" // the program, as a host sees it
	fenceInside  = "/opt/understudy/bin/fence_lab"  // the agent of the fence-agents API
	stateInside  = "/var/lib/understudy"            // survives a crash of its host
)

var networks = []string{PublicNet, StorageNet}

// adapters are the links that a host may have, in the order of their numbers: one on
// each network, and the second one on the public network.
var adapters = append(slices.Clone(networks), StandbyLink)

// networkOf is the network that an adapter is on.
func networkOf(adapter string) string {
	if adapter == StandbyLink {
		return PublicNet
	}
	return adapter
}

// StandbyHosts are the default hosts, with a second adapter of both nodes on the public
// network, in a subnet of its own (guide: boot and standby adapters).
func StandbyHosts() []Host {
	hosts := DefaultHosts()
	for i := range hosts {
		if h := &hosts[i]; h.Disks {
			a := h.Addresses[PublicNet].Addr().As4()
			a[1] = 17 // 10.17.0.0/24
			h.Addresses[StandbyLink] = netip.PrefixFrom(netip.AddrFrom4(a), 24)
		}
	}
	return hosts
}

// DefaultHosts are two nodes, a witness, and a client that is on the public
// network only.
func DefaultHosts() []Host {
	run := []string{binaryInside, "run"}
	return []Host{
		{Name: Alpha, Addresses: addressesAt(11, networks...), Disks: true, Service: run},
		{Name: Beta, Addresses: addressesAt(12, networks...), Disks: true, Service: run},
		{Name: Witness, Addresses: addressesAt(13, networks...), Service: []string{binaryInside, "witness"}},
		{Name: Client, Addresses: addressesAt(100, PublicNet)},
	}
}

// addressesAt are the addresses of the nth machine on some networks.
func addressesAt(n int, on ...string) map[string]netip.Prefix {
	m := make(map[string]netip.Prefix)
	for _, network := range on {
		third := byte(7 + slices.Index(networks, network))
		m[network] = netip.PrefixFrom(netip.AddrFrom4([4]byte{10, third, 0, byte(n)}), 24)
	}
	return m
}

// A host's name is part of an interface name, of which the kernel allows 15
// characters (IFNAMSIZ, netdevice(7)), and of paths of unix sockets.
var validName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,11}$`)

func (o Options) withDefaults() (Options, error) {
	if o.Name == "" {
		o.Name = "demo"
	}
	if !validName.MatchString(o.Name) {
		return o, fmt.Errorf("cannot make lab %q: the name must be 1 to 12 of a-z, 0-9 and '-', a letter first", o.Name)
	}
	if o.Dir == "" {
		o.Dir = filepath.Join("/var/lib/understudy-lab", o.Name)
	}
	if o.Binary == "" {
		self, err := os.Executable()
		if err != nil {
			return o, fmt.Errorf("cannot make a lab: own executable unknown: %v", err)
		}
		o.Binary = self
	}
	for _, p := range []*string{&o.Dir, &o.Binary} {
		abs, err := filepath.Abs(*p)
		if err != nil {
			return o, fmt.Errorf("cannot make a lab: %v", err)
		}
		*p = abs
	}
	if o.Hosts == nil {
		o.Hosts = DefaultHosts()
	}
	seen := make(map[string]bool)
	for _, h := range o.Hosts {
		if !validName.MatchString(h.Name) || seen[h.Name] {
			return o, fmt.Errorf("cannot make host %q: a name must be unique and 1 to 12 of a-z, 0-9 and '-'", h.Name)
		}
		seen[h.Name] = true
		for network := range h.Addresses {
			if !slices.Contains(adapters, network) {
				return o, fmt.Errorf("cannot cable host %q to network %q — the networks are %v", h.Name, network, networks)
			}
		}
	}
	for _, f := range o.Files {
		if err := f.check(); err != nil {
			return o, err
		}
	}
	switch o.Profile {
	case "":
	case ProfileDCE:
		if !slices.ContainsFunc(o.Files, func(f File) bool { return f.Path == startDCE }) {
			o.Files = append(DCEFiles(), o.Files...)
		}
		o.Disks = max(o.Disks, DCEDisks)
	default:
		return o, fmt.Errorf("cannot make a lab with profile %q — the profiles are: %s", o.Profile, ProfileDCE)
	}
	if o.Disks == 0 {
		o.Disks = 1
	}
	o.Disks = max(o.Disks, 0)
	if o.DiskMiB == 0 {
		o.DiskMiB = 256
	}
	if o.Format == nil {
		o.Format = smallExt4
	}
	if o.Config == nil {
		o.Config = DefaultConfig
	}
	return o, nil
}

// smallExt4 makes a small file system. No lazy initialisation: nothing may write to
// the disk that the hosts did not ask for.
var smallExt4 = []string{"mkfs.ext4", "-q", "-F", "-m", "0", "-b", "4096", "-N", "4096", "-J", "size=4",
	"-E", "lazy_itable_init=0,lazy_journal_init=0,nodiscard"}

// runDir holds a lab's sockets and its record; it is what makes a name taken.
func runDir(name string) string { return filepath.Join("/run/understudy-lab", name) }

// The deadlines of a lab's own work. They are far above what was measured (a
// boot takes about 60 ms, a crash about 10 ms) because a loaded machine must not
// fail a test that is about something else.
const (
	bootLimit  = time.Minute
	crashLimit = time.Minute
	downLimit  = 90 * time.Second
)
