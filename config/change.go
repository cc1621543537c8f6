package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// Shed is what of a group a changed file has not got any more, or has otherwise, and
// what of it must be let go before the changed file is taken over. The group that
// carries it is still as the former file has it.
type Shed struct {
	Filesystems  []string // mount points
	Addresses    []string // labels
	Volumes      []string
	Aggregates   []string // devices
	Applications []string // from the first that changes on: the later ones stand on it
}

// Empty reports that nothing must be let go.
func (s *Shed) Empty() bool {
	return s == nil || len(s.Filesystems)+len(s.Addresses)+len(s.Volumes)+len(s.Aggregates)+len(s.Applications) == 0
}

// Staged is what a node goes by on its way from one file to the next: all of the next
// one, but groups that have something to shed, and are not done, as the former one has
// them. A group that the next file does not name is among them, as Gone, and the hooks
// of such groups are. Its Hash is the next one's. done may be nil: no group is.
func Staged(old, next *Config, done func(group string) bool) *Config {
	c := *next
	c.Groups = make([]Group, 0, len(next.Groups))
	former := map[string]bool{} // groups as the former file has them
	for i := range next.Groups {
		n, o := next.Groups[i], old.Group(next.Groups[i].Name)
		if o == nil {
			c.Groups = append(c.Groups, n)
			continue
		}
		n.Added = added(o, &n)
		if shed := shedOf(o, &n); !shed.Empty() && (done == nil || !done(n.Name)) {
			n = *o
			n.Shed = shed
			former[n.Name] = true
		}
		c.Groups = append(c.Groups, n)
	}
	for _, g := range old.Groups {
		if next.Group(g.Name) == nil && (done == nil || !done(g.Name)) {
			g.Gone = true
			c.Groups = append(c.Groups, g)
			former[g.Name] = true
		}
	}
	c.Hooks = slices.DeleteFunc(slices.Clone(next.Hooks), func(h Hook) bool { return former[h.Group] })
	for _, h := range old.Hooks {
		if former[h.Group] {
			c.Hooks = append(c.Hooks, h)
		}
	}
	return &c
}

// Rebased is a file with the groups, and their hooks, of a former one: what a node
// goes by whose file is not the one that counts. Its Hash is the file's own.
func Rebased(former, c *Config) *Config {
	out := *c
	out.Groups, out.Hooks = former.Groups, former.Hooks
	return &out
}

// shedOf compares a group of two files.
func shedOf(o, n *Group) *Shed {
	s := &Shed{}
	fresh := added(o, n)
	for _, fs := range o.Filesystems {
		i := slices.IndexFunc(n.Filesystems, func(x Filesystem) bool { return x.Mount == fs.Mount })
		if i < 0 || !alike(fs.mounted(), n.Filesystems[i].mounted()) {
			s.Filesystems = append(s.Filesystems, fs.Mount)
		}
	}
	for _, fs := range o.Filesystems { // what lies below one that goes, or below one that comes
		if !slices.Contains(s.Filesystems, fs.Mount) && slices.ContainsFunc(slices.Concat(s.Filesystems, fresh), func(m string) bool {
			return strings.HasPrefix(fs.Mount, m+"/")
		}) {
			s.Filesystems = append(s.Filesystems, fs.Mount)
		}
	}
	for _, v := range o.Volumes {
		if !slices.Contains(n.Volumes, v) {
			s.Volumes = append(s.Volumes, v.Name)
		}
	}
	for _, a := range o.Aggregates {
		if !slices.ContainsFunc(n.Aggregates, func(x Aggregate) bool { return alike(a, x) }) {
			s.Aggregates = append(s.Aggregates, a.Device)
		}
	}
	for _, a := range o.Addresses {
		if !slices.ContainsFunc(n.Addresses, func(x ServiceAddress) bool { return alike(a, x) }) {
			s.Addresses = append(s.Addresses, a.Label)
		}
	}
	first := len(o.Applications)
	if len(s.Filesystems)+len(s.Volumes)+len(s.Aggregates) > 0 || o.Hostname != n.Hostname {
		first = 0 // they may have files of it open, or carry the name
	}
	for i, a := range o.Applications {
		k := slices.IndexFunc(n.Applications, func(x Application) bool { return x.Name == a.Name })
		if k < 0 || restarts(a, n.Applications[k]) || a.RPCExclude && !sameAddresses(o, n) {
			first = min(first, i)
		}
	}
	for _, a := range o.Applications[first:] {
		s.Applications = append(s.Applications, a.Name)
	}
	return s
}

// added are the mount points, and the labels of the addresses, that a group has only in
// the next file.
func added(o, n *Group) []string {
	var out []string
	for _, fs := range n.Filesystems {
		if !slices.ContainsFunc(o.Filesystems, func(x Filesystem) bool { return x.Mount == fs.Mount }) {
			out = append(out, fs.Mount)
		}
	}
	for _, a := range n.Addresses {
		if !slices.ContainsFunc(o.Addresses, func(x ServiceAddress) bool { return x.Prefix.Addr() == a.Prefix.Addr() }) {
			out = append(out, a.Label)
		}
	}
	return out
}

// mounted is what matters of a file system to one that is mounted: what a mount demands
// is asked at the next.
func (fs Filesystem) mounted() Filesystem {
	fs.RequireMMP = false
	return fs
}

// restarts reports whether what differs between two declarations of an application
// matters to one that runs. How it is stopped, probed and purged, its limits and what
// is only checked are taken over as it runs.
func restarts(o, n Application) bool {
	of := func(a Application) []any {
		return []any{a.Run, a.Start, a.Environment, a.Daemons, a.RPCExclude, a.RPCInterfaces, a.Kind, a.RebootToRelease}
	}
	return !reflect.DeepEqual(of(o), of(n))
}

func sameAddresses(o, n *Group) bool {
	return len(o.Addresses) == len(n.Addresses) && !slices.ContainsFunc(o.Addresses, func(a ServiceAddress) bool {
		return !slices.ContainsFunc(n.Addresses, func(x ServiceAddress) bool { return alike(a, x) })
	})
}

// alike compares two values of one type by all but the lines they stand on.
func alike[T any](a, b T) bool {
	return reflect.DeepEqual(unlined(reflect.ValueOf(a)).Interface(), unlined(reflect.ValueOf(b)).Interface())
}

// unlined is a copy with every Line zero, in structs and in slices of them.
func unlined(v reflect.Value) reflect.Value {
	out := reflect.New(v.Type()).Elem()
	out.Set(v)
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			switch f := out.Field(i); {
			case !f.CanSet():
			case v.Type().Field(i).Name == "Line":
				f.SetZero()
			default:
				f.Set(unlined(f))
			}
		}
	case reflect.Slice:
		if v.IsNil() {
			return v
		}
		out = reflect.MakeSlice(v.Type(), v.Len(), v.Len())
		for i := range v.Len() {
			out.Index(i).Set(unlined(v.Index(i)))
		}
	}
	return out
}

// ruleFixed marks what [Fixed] finds. It is no rule of the file alone.
const ruleFixed = "change"

// Fixed lists what a changed file must not change while the service runs, as findings
// in it: what the store, the keep-alives and the watchdog are built with, and what
// would let a group be in two places. data is the changed file, and file its name.
func Fixed(old, next *Config, file string, data []byte) []Finding {
	r := &report{file: file}
	at, _ := index(data)
	refuse := func(line int, way, format string, args ...any) {
		r.findings = append(r.findings, Finding{Rule: ruleFixed, Severity: Error, File: file, Line: max(line, 1), Message: printable(fmt.Sprintf(format, args...)), WayOut: way})
	}
	const stopAll = "stop every node, change the file on all of them, and start them"
	for _, f := range fixed {
		if reflect.DeepEqual(f.of(old), f.of(next)) {
			continue
		}
		refuse(at.find(f.path...).line, stopAll, "%s differs from the file in force", f.what)
	}
	for _, n := range next.Nodes {
		if o := old.Node(n.Name); o != nil && !reflect.DeepEqual(o.Addresses, n.Addresses) {
			refuse(n.Line, stopAll, "the addresses of node %s differ from the file in force", n.Name)
		}
	}
	for i := range next.Groups {
		n := &next.Groups[i]
		if o := old.Group(n.Name); o != nil && o.Policy != n.Policy {
			refuse(at.find("group", n.Name, "policy").line, stopAll, "the policy of group %s differs from the file in force", n.Name)
		}
		if o := old.Group(n.Name); o != nil && !reflect.DeepEqual(o.reserves(), n.reserves()) {
			refuse(at.find("group", n.Name, "reservation").line, stopAll, "the disks that group %s has reserved differ from the file in force", n.Name)
		}
		for _, m := range movedTo(old, n) {
			refuse(m.line, "make it two changes: first without it, then with it where it is to be", "%s belongs to group %s in the file in force, and to %s in this one", m.what, m.from, n.Name)
		}
	}
	return r.sorted()
}

var fixed = []struct {
	what string
	path []string
	of   func(*Config) any
}{
	{"cluster", []string{"cluster"}, func(c *Config) any { return c.Cluster }},
	{"key_file", []string{"key_file"}, func(c *Config) any { return c.KeyFile }},
	{"lease store", []string{"lease", "store"}, func(c *Config) any { return c.Lease.Store }},
	{"lease ttl", []string{"lease", "ttl"}, func(c *Config) any { return c.Lease.TTL }},
	{"lease renew", []string{"lease", "renew"}, func(c *Config) any { return c.Lease.Renew }},
	{"lease request", []string{"lease", "request"}, func(c *Config) any { return c.Lease.Request }},
	{"lease margin", []string{"lease", "margin"}, func(c *Config) any { return c.Lease.Margin }},
	{"another key of the lease", []string{"lease"}, func(c *Config) any {
		l := c.Lease
		l.Store, l.TTL, l.Renew, l.Request, l.Margin = "", 0, 0, 0, 0
		return l
	}},
	{"keepalive", []string{"keepalive"}, func(c *Config) any { return c.Keepalive }},
	{"watchdog", []string{"watchdog"}, func(c *Config) any { return c.Watchdog }},
	{"witness", []string{"witness"}, func(c *Config) any { return c.Witness }},
	{"the set of nodes", []string{"node"}, func(c *Config) any {
		names := []string{}
		for _, n := range c.Nodes {
			names = append(names, n.Name)
		}
		return names
	}},
}

type moved struct {
	what, from string
	line       int
}

// movedTo lists what a group takes over from other groups of the former file: while
// one node lets it go there, another one could take it up here.
func movedTo(old *Config, n *Group) []moved {
	var out []moved
	for i := range old.Groups {
		o := &old.Groups[i]
		if o.Name == n.Name {
			continue
		}
		devices := func(g *Group) map[string]bool {
			m := map[string]bool{}
			for _, fs := range g.Filesystems {
				m[fs.Device], m[fs.Mount] = !fs.Local, true
			}
			for _, a := range g.Aggregates {
				m[a.Device] = true
			}
			for _, v := range g.Volumes {
				m["volume group "+v.Name] = true
			}
			return m
		}
		has := devices(o)
		for _, fs := range n.Filesystems {
			switch {
			case has[fs.Device] && !fs.Local:
				out = append(out, moved{fs.Device, o.Name, fs.Line})
			case has[fs.Mount]:
				out = append(out, moved{fs.Mount, o.Name, fs.Line})
			}
		}
		for _, a := range n.Aggregates {
			if has[a.Device] {
				out = append(out, moved{a.Device, o.Name, a.Line})
			}
		}
		for _, v := range n.Volumes {
			if has["volume group "+v.Name] && !slices.ContainsFunc(old.Groups, func(g Group) bool { return g.Name == n.Name && slices.Contains(g.Volumes, v) }) {
				out = append(out, moved{"volume group " + v.Name, o.Name, n.Line})
			}
		}
		for _, a := range n.Addresses {
			if slices.ContainsFunc(o.Addresses, func(x ServiceAddress) bool { return x.Prefix.Addr() == a.Prefix.Addr() }) {
				out = append(out, moved{fmt.Sprintf("address %s", a.Prefix.Addr()), o.Name, a.Line})
			}
		}
	}
	return out
}

// find is key along a path.
func (p *place) find(path ...string) *place {
	for _, name := range path {
		p = p.key(name)
	}
	return p
}

// LineOf is the first line of a file that holds a word, 1 if none does: where a
// finding about a host points to.
func LineOf(data []byte, word string) int {
	for i, line := range strings.Split(string(data), "\n") {
		if word != "" && strings.Contains(line, word) {
			return i + 1
		}
	}
	return 1
}

// Moves lists the groups of a former file that have something which belongs to another
// group in the next one.
func Moves(old, next *Config) []string {
	var out []string
	for i := range next.Groups {
		for _, m := range movedTo(old, &next.Groups[i]) {
			if !slices.Contains(out, m.from) {
				out = append(out, m.from)
			}
		}
	}
	return out
}
