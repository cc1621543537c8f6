package config

import (
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"
)

func (b *builder) cluster() {
	c := &b.file.Cluster
	if b.required(c.set, b.file.line, "the file", "cluster", `"cell1"`) && c.ok() && b.name(c.v, c.line, "cluster") {
		b.config.Cluster = c.v
	}
}

func (b *builder) lease() {
	f, l := &b.file.Lease, &b.config.Lease
	l.Store = word(b, &f.Store, StoreEmbedded, "store", StoreEmbedded, StoreEtcd, StoreDisk, StoreExternal)
	if !f.Store.bad && l.Store == StoreExternal {
		b.external(f, l)
		b.keyFile()
		return
	}
	l.TTL = b.within(&f.TTL, DefaultTTL, rangeTTL, "ttl")
	l.Renew = b.within(&f.Renew, DefaultRenew, rangeTimer, "renew")
	l.Request = b.within(&f.Request, DefaultRequest, rangeTimer, "request")
	l.Margin = b.within(&f.Margin, DefaultMargin, rangeTimer, "margin")
	if f.Store.bad {
		return // which keys go with the store is unknown
	}
	switch l.Store {
	case StoreEmbedded:
		b.embedded(f, l)
	case StoreDisk:
		b.disk(f, l)
	default:
		b.existing(f, l)
	}
	b.notFor(f.Device.set && l.Store != StoreDisk, f.Device.line, "device", l.Store)
	b.leaseTimes(f, l)
	b.keyFile()
}

// embedded reads the keys of the store inside the program.
func (b *builder) embedded(f *fileLease, l *Lease) {
	b.notFor(f.Endpoints.set, f.Endpoints.line, "endpoints", l.Store)
	b.notFor(f.TLS.set, f.TLS.line, "tls", l.Store)
	l.Tick = b.within(&f.Tick, DefaultTick, rangeTimer, "tick")
	l.Election = b.within(&f.Election, DefaultElection, rangeTimer, "election")
	l.PeerPort = b.port(&f.PeerPort, DefaultPeerPort, "peer_port")
	if l.Election < 5*l.Tick && !f.Tick.bad && !f.Election.bad {
		b.add(ruleElection, max(f.Election.line, f.Tick.line), fmt.Sprintf("write election = %q or more", short(5*l.Tick)),
			"election %s is less than 5 × tick %s = %s", short(l.Election), short(l.Tick), short(5*l.Tick))
	}
}

// external refuses the keys of stores that are there: another cluster manager
// decides who may own, so there is neither a lease nor a vote nor a fence.
func (b *builder) external(f *fileLease, l *Lease) {
	for _, k := range []struct {
		set  bool
		line int
		key  string
	}{
		{f.TTL.set, f.TTL.line, "ttl"}, {f.Renew.set, f.Renew.line, "renew"}, {f.Request.set, f.Request.line, "request"},
		{f.Margin.set, f.Margin.line, "margin"}, {f.Device.set, f.Device.line, "device"}, {f.Endpoints.set, f.Endpoints.line, "endpoints"}, {f.TLS.set, f.TLS.line, "tls"},
		{f.Tick.set, f.Tick.line, "tick"}, {f.Election.set, f.Election.line, "election"}, {f.PeerPort.set, f.PeerPort.line, "peer_port"},
		{b.file.Witness.set, b.file.Witness.line, "witness"},
	} {
		b.notFor(k.set, k.line, k.key, l.Store)
	}
	b.notFor(b.file.Rejoin.set, b.file.Rejoin.line, "rejoin", l.Store)
	for i := range b.file.Node {
		n := &b.file.Node[i]
		b.notFor(n.Rejoin.set, n.Rejoin.line, "node "+n.name+": rejoin", l.Store)
		for k := range n.Fence {
			b.notFor(true, n.Fence[k].line, "node "+n.name+": fence", l.Store)
		}
	}
	for i := range b.file.Group {
		g := &b.file.Group[i]
		b.notFor(g.Settle.set, g.Settle.line, "group "+g.name+": settle", l.Store)
		b.notFor(g.Unread.set, g.Unread.line, "group "+g.name+": unread", l.Store)
		b.notFor(g.Fallback.set, g.Fallback.line, "group "+g.name+": fallback", l.Store)
		b.notFor(g.Failovers.set, g.Failovers.line, "group "+g.name+": failovers", l.Store)
		b.notFor(g.Reservation.set, g.Reservation.line, "group "+g.name+": reservation", l.Store)
		b.notFor(g.FailoverWindow.set, g.FailoverWindow.line, "group "+g.name+": failover_window", l.Store)
		moves := !g.lacks("address", len(g.Address)) || !g.lacks("aggregate", len(g.Aggregate)) || g.bad
		for k := range g.Filesystem {
			fs := &g.Filesystem[k]
			moves = moves || !fs.Local.or(false)
			b.notFor(fs.MMP.set && !fs.Local.or(false), fs.MMP.line, "group "+g.name+": filesystem "+fs.Mount.or("")+": mmp", l.Store)
		}
		if !moves {
			b.add(ruleRequired, g.line, `write [[group.`+bare(g.name)+`.address]] or [[group.`+bare(g.name)+`.filesystem]]`,
				"group %s has nothing that the other manager moves, and nothing would show where it is", g.name)
		}
	}
}

// isExternal reports whether another cluster manager decides who may own.
func (b *builder) isExternal() bool { return b.config.Lease.Store == StoreExternal }

// existing reads the keys of an etcd that is there already.
func (b *builder) existing(f *fileLease, l *Lease) {
	b.notFor(f.Tick.set, f.Tick.line, "tick", l.Store)
	b.notFor(f.Election.set, f.Election.line, "election", l.Store)
	b.notFor(f.PeerPort.set, f.PeerPort.line, "peer_port", l.Store)
	b.notFor(b.file.Witness.set, b.file.Witness.line, "witness", l.Store)
	if f.TLS.set {
		l.TLS.CA = b.pem(&f.TLS.CA, f.TLS.line, "ca")
		l.TLS.Cert = b.pem(&f.TLS.Cert, f.TLS.line, "cert")
		l.TLS.Key = b.pem(&f.TLS.Key, f.TLS.line, "key")
	}
	if !f.Endpoints.set || f.Endpoints.ok() && len(f.Endpoints.v) == 0 {
		line := max(f.line, f.Store.line, f.Endpoints.line)
		b.add(ruleRequired, line, `write endpoints = ["https://192.0.2.1:2379"]`, "store etcd has no endpoints")
	}
	for _, e := range f.Endpoints.v {
		if why := badEndpoint(e.text, f.TLS.set); why != "" && f.Endpoints.ok() {
			b.add(ruleEndpoint, e.line, "write SCHEME://HOST:PORT", "endpoint %s %s", quote(e.text), why)
		}
	}
	l.Endpoints = stringsOf(f.Endpoints.v)
}

func (b *builder) notFor(set bool, line int, key string, store StoreKind) {
	if set {
		b.add(ruleNotForStore, line, "take it out", "%s means nothing with store %s", key, store)
	}
}

func (b *builder) pem(v *val[string], line int, key string) string {
	if !b.required(v.set, line, "tls", key, `"/etc/understudy/etcd-`+key+`.pem"`) || !v.ok() {
		return ""
	}
	b.cleanPath(v.v, v.line, "tls "+key)
	return v.v
}

// badEndpoint says what is wrong with the URL of an etcd, "" if nothing is.
func badEndpoint(url string, tls bool) string {
	scheme, rest, _ := strings.Cut(url, "://")
	switch {
	case scheme != "http" && scheme != "https":
		return "is not an http or https URL"
	case tls && scheme != "https":
		return "is not https, but tls is declared"
	}
	if _, err := netip.ParseAddrPort(rest); err == nil {
		return ""
	}
	host, port, _ := strings.Cut(rest, ":")
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "has no port"
	}
	if !hostSyntax.MatchString(host) {
		return "has no host"
	}
	return ""
}

// leaseTimes checks how the times of the lease relate.
func (b *builder) leaseTimes(f *fileLease, l *Lease) {
	if f.TTL.bad {
		return
	}
	line := max(f.TTL.line, f.Renew.line, f.Request.line, f.Margin.line, 1)
	if need, have := l.Renew+2*l.Request, l.TTL-l.Margin; need >= have && !f.Renew.bad && !f.Request.bad && !f.Margin.bad {
		b.add(ruleRenew, line, "raise ttl, or lower renew, request or margin",
			"renew %s + 2 × request %s = %s is not less than ttl %s − margin %s = %s",
			short(l.Renew), short(l.Request), short(need), short(l.TTL), short(l.Margin), short(have))
	}
	// What is left just before a renewal is answered must carry a step on shared
	// storage, which begins only with that much.
	if left := l.TTL - l.Margin - l.Renew - l.Request; left < max(StepNeeds, l.Margin) && !f.Renew.bad && !f.Request.bad && !f.Margin.bad {
		b.add(ruleStepNeeds, line, "raise ttl, or lower renew, request or margin",
			"ttl %s − margin %s − renew %s − request %s = %s is less than the %s that a step on shared storage needs",
			short(l.TTL), short(l.Margin), short(l.Renew), short(l.Request), short(left), short(max(StepNeeds, l.Margin)))
	}
	if l.Store == StoreDisk {
		b.diskTimes(f, l, line)
		return
	}
	if l.TTL%time.Second != 0 {
		b.add(ruleTTLSeconds, f.TTL.line, fmt.Sprintf("write ttl = %q", short(ceilSecond(l.TTL))), "ttl is %s", short(l.TTL))
	}
	elect, whose := l.Election, "election"
	if l.Store == StoreEtcd {
		elect, whose = defaultElect, "etcd's default election"
	}
	// etcd raises a shorter ttl to this one without a word (lessor, minLeaseTTL).
	if least := ceilSecond(elect * 3 / 2); l.TTL < least && !f.Election.bad {
		b.add(ruleTTLElection, max(line, f.Election.line), fmt.Sprintf("write ttl = %q or more", short(least)),
			"ttl %s is less than 1.5 × %s %s, in whole seconds %s", short(l.TTL), whose, short(elect), short(least))
	}
}

func ceilSecond(d time.Duration) time.Duration {
	return (d + time.Second - 1).Truncate(time.Second)
}

// groupPattern is what shadow-utils take as the name of a group (groupadd(8)).
var groupPattern = regexp.MustCompile(`^[a-z_][a-z0-9_-]{0,31}$`)

func (b *builder) keyFile() {
	v := &b.file.KeyFile
	b.config.KeyFile = v.or(DefaultKeyFile)
	if v := &b.file.SocketGroup; v.ok() {
		b.config.SocketGroup = v.v
		if !groupPattern.MatchString(b.config.SocketGroup) {
			b.add(ruleName, v.line, "name a group of the system, as in /etc/group, or leave the key out",
				"socket_group %s is not the name of a group", quote(b.config.SocketGroup))
		}
	}
	b.config.Rejoin = word(b, &b.file.Rejoin, RejoinAutomatic, "rejoin", RejoinAutomatic, RejoinByHand)
	b.config.Stop = word(b, &b.file.Stop, StopHandOver, "stop", StopHandOver, StopAll, StopLeave)
	b.config.Skew = word(b, &b.file.Skew, SkewHold, "skew", SkewHold, SkewWarn)
	if b.config.KeyFile != "" {
		b.cleanPath(b.config.KeyFile, v.line, "key_file")
		return
	}
	b.add(ruleKeyFile, v.line, "write key_file = "+quote(DefaultKeyFile)+", or leave the key out",
		"key_file is empty, and without it a keep-alive could come from anybody")
}

func (b *builder) keepalive() {
	f, k := &b.file.Keepalive, &b.config.Keepalive
	k.Interval = b.within(&f.Interval, DefaultInterval, rangeInterval, "keepalive interval")
	k.Timeout = b.within(&f.Timeout, DefaultTimeout, rangeTimer, "keepalive timeout")
	k.Port = b.port(&f.Port, DefaultKeepalivePort, "keepalive port")
	if k.Timeout < 3*k.Interval && !f.Interval.bad && !f.Timeout.bad {
		b.add(ruleKeepalive, max(f.Interval.line, f.Timeout.line), fmt.Sprintf("write timeout = %q or more", short(3*k.Interval)),
			"keepalive timeout %s is less than 3 × interval %s = %s", short(k.Timeout), short(k.Interval), short(3*k.Interval))
	}
}

func (b *builder) port(v *val[int64], def int64, what string) uint16 {
	return uint16(b.number(v, def, 1, 65535, what))
}
