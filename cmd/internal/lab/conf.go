//go:build linux

package lab

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// ServiceAddress is the address that moves in the default configuration.
var ServiceAddress = netip.MustParsePrefix("10.7.0.50/24")

// Of the default configuration.
const (
	Group       = "files"
	SharedDisk  = "/dev/shared0"
	SharedMount = "/srv/shared"
	AnswersFile = SharedMount + "/answers"
	ServicePort = 7000
)

// DefaultConfig is the cluster "lab": its nodes are the hosts that are cabled to
// the disks, its one group is a file system, an address and [Dispatch]'s own
// application.
func DefaultConfig(o Options) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }

	line("cluster = %q", "lab")
	if o.Top != "" {
		line("%s", strings.TrimSpace(o.Top))
	}
	if o.Timers == TunedTimers {
		line("\n[keepalive]\ninterval = %q\ntimeout  = %q", "50ms", "250ms")
	}
	var nodes []string
	for _, h := range o.Hosts {
		if h.Name == Witness {
			line("\n[witness]\naddresses = %s", inline(h))
		}
		if !h.Disks {
			continue
		}
		nodes = append(nodes, fmt.Sprintf("%q", h.Name))
		line("\n[node.%s]\naddresses = %s", h.Name, inline(h))
		line("fence     = { agent = %q, options = { plug = %q } }", fenceInside, h.Name)
	}
	if o.Groups != "" {
		line("\n%s", strings.TrimSpace(o.Groups))
		return b.String()
	}
	policy := o.Policy
	if policy == "" {
		policy = "cascading"
	}
	line("\n[group.%s]\npolicy = %q\nnodes  = [%s]", Group, policy, strings.Join(nodes, ", "))
	disk := SharedDisk
	if o.Profile == ProfileDCE {
		disk = AggregateDev // the others are DCE's
		if policy == "rotating" {
			line("hostname = %q", CellHost)
		}
	}
	if o.Group != "" {
		line("%s", strings.TrimRight(o.Group, "\n"))
	}
	if !strings.Contains(o.Group, "failovers") {
		line("failovers = 0") // a lab is for failures, as many as one likes
	}
	line("\n[[group.%s.address]]\nlabel   = %q\nprefix  = %q\nnetwork = %q", Group, "svc", ServiceAddress, PublicNet)
	line("\n[[group.%s.filesystem]]\nmount  = %q\ndevice = %q\ntype   = %q", Group, SharedMount, disk, "ext4")
	if o.Profile == ProfileDCE {
		b.WriteString(DCEFilesystems(Group))
		line("\n[[group.%s.application]]\nprofile = %q", Group, o.Profile)
	}
	line("\n[[group.%s.application]]\nname = %q\nrun  = [", Group, "answers")
	for _, a := range AppCommand(o.App...) {
		line("  %q,", a)
	}
	line("]")
	return b.String()
}

// AppCommand is the application of the default configuration, with more
// arguments.
func AppCommand(more ...string) []string {
	return append([]string{binaryInside, "lab-app",
		"--listen", netip.AddrPortFrom(ServiceAddress.Addr(), ServicePort).String(), "--file", AnswersFile}, more...)
}

// inline is a host's addresses as a TOML inline table, networks in fixed order.
func inline(h Host) string {
	of := map[string][]string{}
	for _, a := range adapters {
		if p, ok := h.Addresses[a]; ok {
			of[networkOf(a)] = append(of[networkOf(a)], strconv.Quote(p.String()))
		}
	}
	var parts []string
	for _, n := range networks {
		switch text := strings.Join(of[n], ", "); len(of[n]) {
		case 0:
		case 1:
			parts = append(parts, n+" = "+text)
		default:
			parts = append(parts, n+" = ["+text+"]")
		}
	}
	return "{ " + strings.Join(parts, ", ") + " }"
}

// newKey is a cluster key: 32 random bytes, base64.
func newKey() []byte {
	var k [32]byte
	rand.Read(k[:]) // never fails (crypto/rand)
	return []byte(base64.StdEncoding.EncodeToString(k[:]) + "\n")
}
