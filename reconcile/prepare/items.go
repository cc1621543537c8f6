package prepare

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"understudy/config"
)

// builder collects the items of one node.
type builder struct {
	c     *config.Config
	f     *Facts
	items []Item
}

func (b *builder) add(it Item) {
	it.Seen, it.Want, it.Way = printable(it.Seen), printable(it.Want), printable(it.Way)
	b.items = append(b.items, it)
}

// printable takes out what would break a line or speak to a terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return ' '
		}
		return r
	}, s)
}

// Items is all that is demanded of a node and how it stands, in the order in which it
// is done. The same facts give the same items.
func Items(c *config.Config, f *Facts) []Item {
	b := &builder{c: c, f: f}
	b.clusterItems()
	for _, g := range groupsOf(c, f.Node) {
		b.nameItems(g)
		b.storageItems(g)
		b.configuredItems(g)
		b.operatorItems(g)
	}
	b.wireItem()
	b.environmentItems()
	b.requirementItems()
	b.fileSpaceItems()
	b.kerberosItem()
	b.programItems()
	slices.SortStableFunc(b.items, func(x, y Item) int { return cmp.Compare(x.Section, y.Section) })
	return b.items
}

// Count says how many items are in a state.
func Count(items []Item, s State) int {
	n := 0
	for _, it := range items {
		if it.State == s {
			n++
		}
	}
	return n
}

// Matters reports whether an item is worth telling before the node is armed: it is
// neither met nor a step that is never over.
func (it Item) Matters() bool { return it.State != Done && !it.Routine }

func (b *builder) clusterItems() {
	f := b.f
	sameFile := Item{Name: "configuration file", Rows: []string{"S90", "S104"}, Section: Cluster, Want: "the same file on every node", State: Unknown}
	var same, differ []string
	for _, p := range f.Resident.Peers {
		switch {
		case !p.Heard || p.ConfigHash == "":
		case p.ConfigHash == b.c.Hash:
			same = append(same, p.Name)
		default:
			differ = append(differ, fmt.Sprintf("%s runs %.8s", p.Name, p.ConfigHash))
		}
	}
	switch {
	case len(differ) > 0:
		sameFile.State, sameFile.Seen, sameFile.Way = Blocked, fmt.Sprintf("%.8s here; %s", b.c.Hash, strings.Join(differ, ", ")), "copy it, then restart understudy there"
	case len(same) > 0:
		sameFile.State, sameFile.Seen = Done, fmt.Sprintf("%.8s here and on %s", b.c.Hash, strings.Join(same, ", "))
	default:
		sameFile.Seen, sameFile.Way = fmt.Sprintf("%.8s here; no other node is heard", b.c.Hash), "copy it there; they compare it as soon as understudy runs on both"
		sameFile.Routine = !f.Resident.Answers
	}
	b.add(sameFile)
	b.keyItem()

	state := Item{Name: "state folder " + f.StateDir, Rows: []string{"S90", "S104"}, Section: Cluster, Want: "a directory that only root may use"}
	s := f.path(f.StateDir)
	switch v := s.Value; {
	case !s.OK():
		state.State, state.Seen, state.Way = Unknown, s.Why().Error(), "look at it by hand"
	case v.Kind == Nothing:
		state.State, state.Seen, state.Changes = ToDo, "it is not there", []Change{MakeDir{Path: f.StateDir, Mode: 0o700}}
	case v.Kind != Directory || v.UID != 0 || v.Mode.Perm()&0o022 != 0:
		state.State, state.Seen = Blocked, fmt.Sprintf("%s, owner uid %d, mode %04o", v.Kind, v.UID, v.Mode.Perm())
		state.Way = fmt.Sprintf("chown root %s; chmod 700 %s", word(f.StateDir), word(f.StateDir))
	default:
		state.State, state.Seen = Done, fmt.Sprintf("a directory, mode %04o", v.Mode.Perm())
	}
	b.add(state)
	b.clockItem()
	for _, n := range b.c.Nodes {
		for i := range n.Fences {
			if n.Name != f.Node {
				b.fenceItem(n, i)
			}
		}
	}
}

func (b *builder) keyItem() {
	p := b.c.KeyFile
	it := Item{Name: "shared key", Rows: []string{"S90", "S104"}, Section: Cluster, Want: fmt.Sprintf("%s: base64 of %d bytes, the same on every machine", p, KeySize)}
	s := b.f.path(p)
	first := b.c.Nodes[0].Name
	copying := fmt.Sprintf("copy it to every other machine, the witness too: scp -p %s NODE:%s", p, p)
	switch v := s.Value; {
	case !s.OK():
		it.State, it.Seen, it.Way = Unknown, s.Why().Error(), "look at it by hand"
	case v.Kind == Nothing && b.f.Node == first:
		it.State, it.Seen, it.Way, it.Changes = ToDo, "it is not there", "then "+copying, []Change{WriteKey{Path: p}}
	case v.Kind == Nothing:
		it.State, it.Seen = ByHand, "it is not there"
		it.Way = fmt.Sprintf("copy it from %s, where `understudy prepare --apply` makes it: scp -p %s:%s %s", first, first, p, p)
	case v.Kind != RegularFile:
		it.State, it.Seen, it.Way = Blocked, "it is "+v.Kind.String(), "remove it"
	case v.Mode.Perm()&0o077 != 0 || v.UID != 0:
		it.State, it.Seen = Blocked, fmt.Sprintf("owner uid %d, mode %04o: others can read it", v.UID, v.Mode.Perm())
		it.Way = fmt.Sprintf("make a new one on %s, as this one may be known; or chown root %s; chmod 600 %s", first, word(p), word(p))
	case !goodKey(v.Data):
		it.State, it.Seen, it.Way = Blocked, fmt.Sprintf("it is not base64 of %d bytes or more", KeySize), "move it away and run `understudy prepare --apply` again"
	default:
		it.State, it.Seen = Done, fmt.Sprintf("mode %04o, long enough", v.Mode.Perm())
	}
	b.add(it)
}

// Kerberos and DCE refuse tickets when clocks are five minutes apart; DCE's own
// configuration warns from two (requirements, 2.3).
const (
	clockWarns   = 120
	clockRefuses = 300
)

func (b *builder) clockItem() {
	it := Item{Name: "clocks", Rows: []string{"S14"}, Section: Cluster, Want: fmt.Sprintf("less than %d s apart; security and directory need less than %d s", clockWarns, clockRefuses)}
	if dce, _ := distributed(everyApplication(b.c, b.f.Node)); !dce {
		return
	}
	worst, who := 0.0, ""
	for _, p := range b.f.Resident.Peers {
		if p.Heard && p.ClockKnown {
			if d := abs(p.Clock.Seconds()); who == "" || d > worst {
				worst, who = d, p.Name
			}
		}
	}
	switch {
	case who == "":
		it.State, it.Seen, it.Way = Unknown, "no other node has told its own", "they are compared as soon as understudy runs on both"
		it.Routine = !b.f.Resident.Answers
	case worst >= clockRefuses:
		it.State, it.Seen, it.Way = Blocked, fmt.Sprintf("%.0f s from %s", worst, who), "set the clocks, and keep them by NTP"
	case worst >= clockWarns:
		it.State, it.Seen, it.Way = ByHand, fmt.Sprintf("%.0f s from %s", worst, who), "set the clocks, and keep them by NTP"
	default:
		it.State, it.Seen = Done, fmt.Sprintf("at most %.0f s from %s", worst, who)
	}
	b.add(it)
}

func abs(x float64) float64 { return max(x, -x) }

// fenceItem is the agent of one of a node's fences, once where two use the same.
func (b *builder) fenceItem(n config.Node, i int) {
	agent, name := n.Fences[i].Agent, "fence agent for "+n.Name
	if slices.ContainsFunc(n.Fences[:i], func(f config.Fence) bool { return f.Agent == agent }) {
		return
	}
	if len(n.Fences) > 1 {
		name += ": " + agent
	}
	it := Item{Name: name, Rows: []string{"S19"}, Section: Cluster, Want: agent + " is installed"}
	for _, p := range agentPaths(agent) {
		s := b.f.path(p)
		if !s.OK() {
			it.State, it.Seen, it.Way = Unknown, s.Why().Error(), "look at it by hand"
			b.add(it)
			return
		}
		if s.Value.Kind == RegularFile && s.Value.Mode.Perm()&0o111 != 0 {
			it.State, it.Seen = Done, p
			b.add(it)
			return
		}
	}
	it.State, it.Seen, it.Way = Blocked, "it is not there", "install it: without it a takeover waits for a person when "+n.Name+" falls silent"
	b.add(it)
}

// nameItems are the names of a group's service addresses (guide, "Planning
// Considerations for DCE").
func (b *builder) nameItems(g *config.Group) {
	for _, a := range g.Addresses {
		ip := a.Prefix.Addr()
		it := Item{Name: "name " + a.Label, Rows: []string{"S30", "S37"}, Section: Cluster, Group: g.Name, Want: "resolves to " + ip.String() + " and nothing else, on every node alike"}
		s := b.f.Names[a.Label]
		switch {
		case !s.OK():
			it.State, it.Seen, it.Way = Unknown, s.Why().Error(), "look it up by hand"
		case len(s.Value) == 0:
			it.State, it.Seen = ByHand, "it does not resolve"
			it.Way = fmt.Sprintf(`printf '%s\t%s\n' >>%s`, ip, a.Label, HostsFile)
		case len(s.Value) != 1 || s.Value[0] != ip:
			it.State, it.Seen, it.Way = Blocked, fmt.Sprintf("it resolves to %v", s.Value), "correct it in "+HostsFile+", or wherever names are kept, on every node"
		default:
			it.State, it.Seen = Done, "it does"
		}
		b.add(it)
	}
	if g.Hostname == "" {
		return
	}
	it := Item{Name: "host name " + g.Hostname, Rows: []string{"S48", "S123"}, Section: Cluster, Group: g.Name, Want: "resolves to a service address of the group"}
	s := b.f.Names[g.Hostname]
	ours := func() bool {
		for _, ip := range s.Value {
			if !slices.ContainsFunc(g.Addresses, func(a config.ServiceAddress) bool { return a.Prefix.Addr() == ip }) {
				return false
			}
		}
		return len(s.Value) > 0
	}
	switch {
	case !s.OK():
		it.State, it.Seen, it.Way = Unknown, s.Why().Error(), "look it up by hand"
	case ours():
		it.State, it.Seen = Done, fmt.Sprintf("it resolves to %v", s.Value)
	case len(s.Value) == 0:
		it.State, it.Seen, it.Way = Blocked, "it does not resolve", "write it into "+HostsFile+" beside the service address, on every node"
	default:
		it.State, it.Seen, it.Way = Blocked, fmt.Sprintf("it resolves to %v", s.Value), "name the host name that belongs to the service address"
	}
	b.add(it)
}
