package config

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"
)

// claimed remembers what groups have taken so far: value -> "group NAME".
type claimed struct {
	addresses map[netip.Addr]string
	labels    map[string]string
	mounts    map[string]string
	devices   map[string]string
	volumes   map[string]string
	local     []localDevice
}

// groups reads every group and compares them with each other.
func (b *builder) groups() {
	seen := &claimed{addresses: map[netip.Addr]string{}, labels: map[string]string{}, mounts: map[string]string{},
		devices: map[string]string{}, volumes: map[string]string{}}
	for _, n := range b.config.Networks {
		for _, m := range n.Members {
			seen.addresses[m.Prefix.Addr()] = machine(m.Machine)
		}
	}
	if b.file.lacks("group", len(b.file.Group)) {
		b.add(ruleNoGroup, b.file.line, "write [group.NAME]", "the file has no group")
	}
	for i := range b.file.Group {
		b.config.Groups = append(b.config.Groups, b.group(&b.file.Group[i], seen))
	}
	b.nested(seen)
	b.apartFromShared(seen)
}

func machine(name string) string {
	if name == witnessName {
		return "the witness"
	}
	return "node " + name
}

func (b *builder) group(f *fileGroup, seen *claimed) Group {
	g := Group{Name: f.name, Line: f.line}
	what := "group " + f.name
	if f.bad {
		return g
	}
	b.name(f.name, f.line, "group")
	g.Policy = word(b, &f.Policy, Cascading, what+": policy", Cascading, Rotating)
	b.groupNodes(f, &g, what)
	g.Fallback = b.fallback(f, g.Policy, what)
	g.Settle = b.within(&f.Settle, DefaultSettle, rangeSettle, what+": settle")
	g.Restarts = int(b.number(&f.Restarts, DefaultRestarts, 0, mostRestarts, what+": restarts"))
	g.RestartWindow = b.within(&f.RestartWindow, DefaultRestartWindow, rangeWindow, what+": restart_window")
	g.Failovers = int(b.number(&f.Failovers, DefaultFailovers, 0, mostFailovers, what+": failovers"))
	g.FailoverWindow = b.within(&f.FailoverWindow, DefaultFailoverWindow, rangeWindow, what+": failover_window")
	g.Hostname = b.hostname(f, g.Policy, what)
	g.OnReleaseFailure = word(b, &f.OnReleaseFailure, BlockOnReleaseFailure, what+": on_release_failure",
		BlockOnReleaseFailure, RebootOnReleaseFailure)
	g.Unread = b.unread(f, what)
	g.Reboot = word(b, &f.Reboot, RebootByHand, what+": reboot", RebootByHand, RebootByUnderstudy)
	g.Reservation = word(b, &f.Reservation, ReservationNone, what+": reservation", ReservationNone, ReservationRequired)
	for i := range f.Address {
		if a, ok := b.serviceAddress(&f.Address[i], &g, seen, what); ok {
			g.Addresses = append(g.Addresses, a)
		}
	}
	for i := range f.Filesystem {
		g.Filesystems = append(g.Filesystems, b.filesystem(&f.Filesystem[i], &g, seen, what))
	}
	for i := range f.Aggregate {
		g.Aggregates = append(g.Aggregates, b.aggregate(&f.Aggregate[i], &g, seen, what))
	}
	for i := range f.Application {
		g.Applications = append(g.Applications, b.application(&f.Application[i], &g, what))
	}
	if f.lacks("address", len(f.Address)) && f.lacks("filesystem", len(f.Filesystem)) && f.lacks("aggregate", len(f.Aggregate)) && f.lacks("application", len(f.Application)) {
		b.add(ruleEmptyGroup, f.line, "add an address, a filesystem or an application", "%s holds nothing", what)
	}
	b.reservation(f, &g, what)
	holds := func(a Application) bool { return a.RebootToRelease }
	if g.Reboot == RebootByUnderstudy && !slices.ContainsFunc(g.Applications, holds) {
		b.add(ruleReboot, f.Reboot.line, "take it out", "%s: reboot = \"automatic\", but no application has reboot_to_release", what)
	}
	return g
}

// unread is a time that outlasts a look that was merely slow.
func (b *builder) unread(f *fileGroup, what string) time.Duration {
	d := b.within(&f.Unread, DefaultUnread, rangeUnread, what+": unread")
	if d > 0 && d < leastUnread {
		b.add(ruleRange, f.Unread.line, "write 0s, or a duration from "+short(leastUnread)+" to "+short(rangeUnread.most), "%s: unread is %s", what, short(d))
		f.Unread.bad = true
		return DefaultUnread
	}
	return d
}

func (b *builder) groupNodes(f *fileGroup, g *Group, what string) {
	if !f.Nodes.set || f.Nodes.ok() && len(f.Nodes.v) == 0 {
		b.required(false, max(f.line, f.Nodes.line), what, "nodes", `["alpha", "beta"]`)
		return
	}
	if f.Nodes.bad {
		return
	}
	for _, e := range f.Nodes.v {
		switch {
		case b.config.Node(e.text) == nil:
			b.add(ruleUnknownNode, e.line, "write [node."+bare(e.text)+"], or correct the name", "%s: no node is named %s", what, quote(e.text))
		case slices.Contains(g.Nodes, e.text):
			b.add(ruleNodeTwice, e.line, "name it once, at its priority", "%s: node %s is listed twice", what, e.text)
		default:
			g.Nodes = append(g.Nodes, e.text)
		}
	}
	if len(f.Nodes.v) == 1 && len(b.config.Nodes) > 1 {
		b.add(ruleOneNodeGroup, f.Nodes.line, "add the node that shall take over", "%s has one node", what)
	}
}

// timeOfDay is one end of a fallback window.
var timeOfDay = regexp.MustCompile(`^([01][0-9]|2[0-3]):([0-5][0-9])$`)

func (b *builder) fallback(f *fileGroup, policy Policy, what string) Fallback {
	v := &f.Fallback
	if policy == Rotating {
		if v.set {
			b.add(ruleFallback, v.line, "take it out, or write policy = \"cascading\"", "%s: fallback is set, but the group is rotating", what)
		}
		return Fallback{Kind: FallbackNever}
	}
	text := v.or(string(FallbackImmediate))
	switch FallbackKind(text) {
	case FallbackImmediate, FallbackNever:
		return Fallback{Kind: FallbackKind(text)}
	}
	from, to, isWindow := strings.Cut(text, "-")
	if !isWindow {
		b.add(ruleWord, v.line, `known: immediate, never, or a window such as "02:00-04:00"`, "%s: fallback is %s", what, quote(text))
		return Fallback{}
	}
	w := Fallback{Kind: FallbackWindow, From: clock(from), To: clock(to)}
	if w.From < 0 || w.To < 0 || w.From == w.To {
		b.add(ruleWindow, v.line, `write two different times of day, 00:00 to 23:59: "02:00-04:00"`, "%s: fallback window %s", what, quote(text))
	}
	return w
}

// clock is a time of day since midnight, -1 if it is none.
func clock(text string) time.Duration {
	if !timeOfDay.MatchString(text) {
		return -1
	}
	var h, m int
	_, _ = fmt.Sscanf(text, "%d:%d", &h, &m) // the expression above has checked it
	return time.Duration(h)*time.Hour + time.Duration(m)*time.Minute
}

func (b *builder) hostname(f *fileGroup, policy Policy, what string) string {
	v := &f.Hostname
	switch {
	case !v.ok():
		return ""
	case policy == Cascading:
		b.add(ruleHostname, v.line, `take it out, or write policy = "rotating"`,
			"%s: hostname is set, but the group is cascading and every node keeps its own name", what)
	case placeholder.MatchString(v.v):
		b.add(rulePlaceholder, v.line, "write the name that belongs to the service address", "%s: hostname %s is not the name of a service", what, quote(v.v))
	case v.v != "" && (len(v.v) > maxHostname || !hostSyntax.MatchString(v.v)):
		b.add(ruleName, v.line, "use letters, digits, '-' and '.' (RFC 1123)", "%s: hostname %s is not a host name", what, quote(v.v))
	}
	return v.v
}

func (b *builder) serviceAddress(f *fileAddress, g *Group, seen *claimed, what string) (ServiceAddress, bool) {
	a := ServiceAddress{Label: f.Label.or(""), Line: f.line}
	if f.bad {
		return a, false
	}
	if b.required(f.Label.set, f.line, what+": address", "label", `"NAME"`) && f.Label.ok() {
		b.label(f, seen, what)
	}
	if !b.required(f.Prefix.set, f.line, titled(what, "address", a.Label), "prefix", `"192.0.2.50/24"`) || !f.Prefix.ok() {
		return a, false
	}
	what = titled(what, "address", a.Label)
	prefix, ok := b.prefix(f.Prefix.v, f.Prefix.line, what)
	if !ok {
		return a, false
	}
	a.Prefix = prefix
	if other := seen.addresses[prefix.Addr()]; other != "" {
		b.add(ruleAddressTwice, f.Prefix.line, "give each its own", "%s: %s is also of %s", what, prefix.Addr(), other)
	} else {
		seen.addresses[prefix.Addr()] = "group " + g.Name
	}
	return a, b.serviceNetwork(f, &a, g, what)
}

func (b *builder) label(f *fileAddress, seen *claimed, what string) {
	label, line := f.Label.v, f.Label.line
	if !b.name(label, line, what+": label") {
		return
	}
	if len(label) > maxLabel {
		b.add(ruleLabelLength, line, "shorten it", "%s: label %s has %d bytes, more than %d", what, label, len(label), maxLabel)
	}
	if other := seen.labels[label]; other != "" {
		b.add(ruleLabelTwice, line, "give each address its own label", "%s: label %s is also in %s", what, label, other)
		return
	}
	seen.labels[label] = what
}

// serviceNetwork finds the network of a service address: the named one, or the
// one whose prefix contains it.
func (b *builder) serviceNetwork(f *fileAddress, a *ServiceAddress, g *Group, what string) bool {
	if f.Network.bad {
		return false
	}
	name, line := f.Network.v, f.Network.line
	net := b.network(name)
	if !f.Network.set {
		line = f.Prefix.line
		net = b.containing(a.Prefix.Addr())
	}
	switch {
	case net == nil && f.Network.set:
		b.add(ruleUnknownNetwork, line, "known: "+strings.Join(b.networkNames(), ", "), "%s: no node is on network %s", what, quote(name))
		return false
	case net == nil:
		b.add(ruleServiceNetwork, line, "correct it, or give the nodes addresses there", "%s: %s is in no network of the nodes", what, a.Prefix)
		return false
	}
	a.Network = net.Name
	wire := net.Members[0].Prefix.Masked()
	for _, p := range net.Subnets() {
		if p.Contains(a.Prefix.Addr()) {
			wire = p
		}
	}
	if !wire.Contains(a.Prefix.Addr()) || a.Prefix.Bits() != wire.Bits() && !a.Prefix.IsSingleIP() {
		b.add(ruleServiceNetwork, f.Prefix.line, fmt.Sprintf("give an address of %s, with /%d or as a single address", wire, wire.Bits()),
			"%s: %s does not belong to network %s %s", what, a.Prefix, net.Name, wire)
		return false
	}
	for _, n := range g.Nodes {
		if !net.has(n) && !b.claimsToBeOn(n, net.Name) {
			b.add(ruleNodeOffNetwork, line, "give node "+n+" an address there, or take it out of the group's nodes",
				"%s: node %s is not on network %s", what, n, net.Name)
		}
	}
	return true
}

// claimsToBeOn reports whether the file gives a node an address on a network. If
// the node is not on it all the same, a finding has said why.
func (b *builder) claimsToBeOn(node, network string) bool {
	for i := range b.file.Node {
		if n := &b.file.Node[i]; n.name == node {
			return n.Addresses.bad || slices.ContainsFunc(n.Addresses.v, func(p pair) bool { return p.key == network })
		}
	}
	return false
}
