package config

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Explain writes a Config as the file that would declare it with nothing left
// out: every default filled in, every profile spelled out, a word on every key.
// Parsed again it gives an equal Config, apart from lines and Hash.
func Explain(c *Config) []byte {
	p := &printer{external: c.Lease.Store == StoreExternal}
	p.key("cluster", quote(c.Cluster), "part of every key in the store")
	p.key("key_file", quote(c.KeyFile), "shared by all machines; authenticates their traffic")
	if c.SocketGroup != "" {
		p.key("socket_group", quote(c.SocketGroup), "may ask the service, and order nothing")
	}
	if c.Configuration != "" {
		p.key("configuration", quote(string(c.Configuration)), "what the groups amount to")
	}
	p.key("stop", quote(string(c.Stop)), "what becomes of the groups when the service stops")
	p.key("skew", quote(string(c.Skew)), "what a node does whose file is not the one that counts")
	p.lease(c)
	p.header("[keepalive]")
	p.span("interval", c.Keepalive.Interval, "between two packets on each network")
	p.span("timeout", c.Keepalive.Timeout, "silence on every network for so long is reported")
	p.key("port", strconv.Itoa(int(c.Keepalive.Port)), "UDP")
	p.watchdog(&c.Watchdog)
	if c.Witness != nil {
		p.header("[witness]")
		p.key("addresses", addressTable(c.Witness.Addresses), "the third vote; hosts nothing")
	}
	for i := range c.Nodes {
		p.node(&c.Nodes[i])
	}
	for i := range c.Groups {
		p.group(&c.Groups[i])
	}
	for i := range c.Services {
		s := &c.Services[i]
		p.header("[[service]]")
		p.application(&s.Application)
		p.key("nodes", list(s.Nodes), "where it is kept up; it never moves")
	}
	for i := range c.Hooks {
		p.hook(&c.Hooks[i])
	}
	return p.out.Bytes()
}

// printer writes TOML with a comment behind each key.
type printer struct {
	out      bytes.Buffer
	external bool // what only a store of our own needs is left out
}

func (p *printer) header(h string) { fmt.Fprintf(&p.out, "\n%s\n", h) }

func (p *printer) key(name, value, comment string) {
	fmt.Fprintf(&p.out, "%-18s = %-28s # %s\n", name, value, comment)
}

func (p *printer) span(name string, d time.Duration, comment string) {
	p.key(name, quote(short(d)), comment)
}

func (p *printer) lease(c *Config) {
	l := &c.Lease
	p.header("[lease]")
	if p.external {
		p.key("store", quote(string(l.Store)), "held is what is seen: another cluster manager moves it")
		return
	}
	p.key("store", quote(string(l.Store)), "where claims and leases live")
	p.span("ttl", l.TTL, "a lease ends so long after its last renewal")
	p.span("renew", l.Renew, "between two renewals")
	p.span("request", l.Request, "limit of one request to the store")
	p.span("margin", l.Margin, "a node lets go so much before its lease ends")
	if l.Store == StoreDisk {
		p.key("device", quote(l.Device), "part of a disk that every node reaches; nothing else is on it")
		return
	}
	if l.Store == StoreEtcd {
		p.key("endpoints", list(l.Endpoints), "of the etcd that exists")
		if l.TLS != (TLS{}) {
			p.key("tls", fmt.Sprintf("{ ca = %s, cert = %s, key = %s }", quote(l.TLS.CA), quote(l.TLS.Cert), quote(l.TLS.Key)), "PEM files")
		}
		return
	}
	p.span("tick", l.Tick, "heartbeat of the embedded store")
	p.span("election", l.Election, "without a heartbeat for so long it elects a leader")
	p.key("peer_port", strconv.Itoa(int(l.PeerPort)), "TCP")
}

func (p *printer) watchdog(w *Watchdog) {
	if p.external {
		return
	}
	p.header("[watchdog]")
	if w.Mode == WatchdogOff {
		p.key("mode", quote(string(w.Mode)), "nothing resets a host that hangs")
		return
	}
	p.key("mode", quote(string(w.Mode)), "required: no storage is touched unless it is armed")
	p.key("device", quote(w.Device), "auto: the first there is, hardware before softdog")
	p.span("timeout", w.Timeout, "the host is reset so long after the last feeding")
	p.span("pretimeout", w.Pretimeout, "the kernel is told so long before; 0s: never")
	p.span("release", w.Release, "it is fed so long after the lease, to let go in order")
	p.key("fallback", quote(string(w.Fallback)), "weaker, without a device: none, sysrq or reboot")
	p.key("on_leave", quote(string(w.OnLeave)), "armed or disarm, when understudy leaves the service running")
}

func (p *printer) node(n *Node) {
	p.header("[node." + bare(n.Name) + "]")
	comment := "one on each network"
	if len(n.networks()) < len(n.Addresses) {
		comment = "one for each adapter"
	}
	p.key("addresses", addressTable(n.Addresses), comment)
	if len(n.Fences) == 0 && !p.external {
		p.out.WriteString("# no fence: after a crash its groups wait for other evidence\n")
	}
	if !p.external {
		p.key("rejoin", quote(string(n.Rejoin)), "after a fence: automatic, or by-hand when a person has looked")
	}
	for i := range n.Fences {
		f, header := &n.Fences[i], "[node."+bare(n.Name)+".fence]"
		if len(n.Fences) > 1 { // tried in this order
			header = "[" + header + "]"
		}
		p.header(header)
		p.key("agent", quote(f.Agent), "switches this node off")
		p.key("options", optionTable(f.Options), "for the agent; NAME_file is read at the moment of use")
		p.span("timeout", f.Timeout, "for off and its confirmation together")
		p.span("settle", f.Settle, "then waited for what is under way to the disks")
	}
}

func (p *printer) group(g *Group) {
	name := "group." + bare(g.Name)
	p.header("[" + name + "]")
	p.key("policy", quote(string(g.Policy)), "cascading has a home, rotating has none")
	p.key("nodes", list(g.Nodes), "highest priority first")
	if g.Policy == Rotating {
		p.key("hostname", quote(g.Hostname), `set around start and stop; "" leaves it alone`)
	} else if !p.external {
		p.key("fallback", quote(g.Fallback.String()), "when it goes back to its home, local time")
	}
	if !p.external {
		p.span("settle", g.Settle, "wait at start for nodes of higher priority")
	}
	p.key("restarts", strconv.Itoa(g.Restarts), "in place, before it is handed on")
	p.span("restart_window", g.RestartWindow, "in which they are counted")
	if !p.external {
		p.key("failovers", strconv.Itoa(g.Failovers), "after failures, before it stays down; 0: no limit")
		p.span("failover_window", g.FailoverWindow, "in which they are counted")
	}
	p.key("on_release_failure", quote(string(g.OnReleaseFailure)), "block waits for a person, self-fence resets the host")
	if !p.external {
		p.span("unread", g.Unread, "a part of it, on its holder, before that counts as such a failure; 0s: never")
	}
	p.key("reboot", quote(string(g.Reboot)), "of a node whose disks only a reboot sets free")
	if !p.external {
		p.key("reservation", quote(string(g.Reservation)), "required: the disks refuse the writes of all other hosts")
	}
	for i := range g.Addresses {
		p.address(name, &g.Addresses[i])
	}
	for i := range g.Filesystems {
		p.filesystem(name, &g.Filesystems[i])
	}
	for i := range g.Aggregates {
		p.header("[[" + name + ".aggregate]]")
		p.key("device", quote(g.Aggregates[i].Device), "shared and not mounted; the same on every node")
		p.key("volume_group", quote(g.Aggregates[i].Volume), `switched on before; "" for a plain device`)
	}
	for i := range g.Applications {
		p.header("[[" + name + ".application]]")
		p.application(&g.Applications[i])
	}
}

func (p *printer) address(group string, a *ServiceAddress) {
	p.header("[[" + group + ".address]]")
	p.key("label", quote(a.Label), "the name clients know")
	p.key("prefix", quote(a.Prefix.String()), "moves with the group")
	p.key("network", quote(a.Network), "the wire it is on")
}

func (p *printer) filesystem(group string, fs *Filesystem) {
	p.header("[[" + group + ".filesystem]]")
	p.key("mount", quote(fs.Mount), "outer ones are mounted first")
	p.key("device", quote(fs.Device), "the same on every node")
	p.key("type", quote(fs.Type), "as for mount -t")
	p.key("options", list(fs.Options), "as for mount -o")
	if fs.RequireMMP {
		p.key("mmp", quote(mmpRequired), "ext4's multi-mount protection; a crash takeover waits 22 to 48 s for it")
	}
	if fs.Local {
		p.key("local", "true", "on a disk of the node's own")
		return
	}
	p.key("volume_group", quote(fs.Volume), `switched on before; "" for a plain device`)
}

// String is the fallback as the file writes it.
func (f Fallback) String() string {
	if f.Kind != FallbackWindow {
		return string(f.Kind)
	}
	return timeOf(f.From) + "-" + timeOf(f.To)
}

func timeOf(d time.Duration) string {
	return fmt.Sprintf("%02d:%02d", int(d.Hours()), int(d.Minutes())%60)
}

// list writes an array of strings.
func list(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = quote(w)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// inline writes an inline table of key and value in turns.
func inline(keyValues ...string) string {
	if len(keyValues) == 0 {
		return "{}"
	}
	var pairs []string
	for i := 0; i+1 < len(keyValues); i += 2 {
		pairs = append(pairs, bare(keyValues[i])+" = "+keyValues[i+1])
	}
	return "{ " + strings.Join(pairs, ", ") + " }"
}

func addressTable(addresses []NodeAddress) string {
	of := func(network string) (out []string) {
		for _, a := range addresses {
			if a.Network == network {
				out = append(out, a.Prefix.String())
			}
		}
		return out
	}
	var kv []string
	for i, a := range addresses {
		switch all := of(a.Network); {
		case i > 0 && addresses[i-1].Network == a.Network:
		case len(all) > 1:
			kv = append(kv, a.Network, list(all))
		default:
			kv = append(kv, a.Network, quote(a.Prefix.String()))
		}
	}
	return inline(kv...)
}

func optionTable(options []Option) string {
	var kv []string
	for _, o := range options {
		kv = append(kv, o.Key, quote(o.Value))
	}
	return inline(kv...)
}

// array writes inline tables one a line.
func array[T any](items []T, table func(T) string) string {
	if len(items) == 0 {
		return "[]"
	}
	tables := make([]string, len(items))
	for i, item := range items {
		tables[i] = table(item)
	}
	return "[\n\t" + strings.Join(tables, ",\n\t") + ",\n]"
}
