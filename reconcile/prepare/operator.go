package prepare

import (
	"fmt"
	"strings"

	"understudy/config"
)

// operatorItems are the steps of the guide that a person does, each in its place and
// with the commands; what can be seen of them is their proof.
func (b *builder) operatorItems(g *config.Group) {
	first := g.Nodes[0] == b.f.Node
	dce, dfs := distributed(applicationsOf(g))
	mutual := g.Configuration == config.MutualTakeover
	if !first && len(g.Filesystems) > 0 {
		b.rehearsalItem(g)
	}
	if dce {
		if first {
			b.beginItem(g)
		}
		b.installItem(g, first)
		b.configureItem(g, first, mutual)
	}
	if len(g.Filesystems) > 0 {
		b.releaseItem(g, first, dce, dfs)
	}
	b.add(Item{
		Name: "start " + g.Name, Rows: []string{"S116"}, Section: Start, Group: g.Name, Routine: true,
		Want: "understudy runs, on " + g.Nodes[0] + " first", Seen: answers(b.f.Resident), State: stateIf(b.f.Resident.Answers),
		Way: "systemctl start understudy, on " + g.Nodes[0] + " and then on the others" + serverWay(dce),
	})
}

func answers(r Resident) string {
	if r.Answers {
		return "the resident service answers here"
	}
	return "no resident service answers here"
}

func serverWay(dce bool) string {
	if dce {
		return "; it starts what the file declares. By hand, where nothing is declared: /usr/bin/start.dce, then /usr/bin/start.dfs"
	}
	return ""
}

func stateIf(ok bool) State {
	if ok {
		return Done
	}
	return ByHand
}

// beginItem is the first swap to the service address: before anything is installed
// (file systems) and configured (address).
func (b *builder) beginItem(g *config.Group) {
	it := Item{Name: "take up " + g.Name, Rows: []string{"S97"}, Section: Begin, Group: g.Name, Routine: true,
		Want: "file systems mounted before DCE is installed, service address here before it is configured"}
	var missing []string
	for _, fs := range g.Filesystems {
		if is, _ := b.f.mounted(fs.Mount); !is {
			missing = append(missing, fs.Mount)
		}
	}
	for _, a := range g.Addresses {
		here := false
		for _, h := range b.f.Snapshot.Addrs.Value {
			here = here || h.Prefix.Addr() == a.Prefix.Addr()
		}
		if !here {
			missing = append(missing, a.Label)
		}
	}
	it.State, it.Seen = Done, "all of it is here"
	if len(missing) > 0 {
		it.State, it.Seen = ByHand, "not here: "+strings.Join(missing, ", ")
		it.Way = fmt.Sprintf("understudy rehearse %s %s --hold: takes it up and starts nothing", g.Name, b.f.Node)
		if len(b.notInstalled(g)) > 0 {
			it.Way = "until it is installed leave its applications out of the file: understudy then takes up file systems and address, and starts nothing"
		}
	}
	b.add(it)
}

// rehearsalItem is the proof that a standby can take the disks and the address
// (guide, step 5 on the standby).
func (b *builder) rehearsalItem(g *config.Group) {
	it := Item{Name: "rehearsal of " + g.Name, Rows: []string{"S22", "S108"}, Section: Begin, Group: g.Name,
		Want: "this node has once taken up all of it but the applications, and let it go"}
	r, ok := b.f.Resident.Groups[g.Name]
	way := fmt.Sprintf("understudy rehearse %s %s; the service is down meanwhile", g.Name, b.f.Node)
	switch {
	case b.c.Lease.Store == config.StoreExternal:
		it.State, it.Seen, it.Routine = ByHand, "another cluster manager moves the disks", true
		it.Way = "let that manager move the group here once, and back"
	case !b.f.Resident.Answers || !ok:
		it.State, it.Seen, it.Way = Unknown, answers(b.f.Resident), "start understudy, then: "+way
		it.Routine = true
	case r.Rehearsed.IsZero():
		it.State, it.Seen, it.Way = ByHand, "it never has", way
	default:
		it.State, it.Seen = Done, "it has, last on "+r.Rehearsed.Format("2006-01-02 15:04")
	}
	b.add(it)
}

func (b *builder) installItem(g *config.Group, first bool) {
	it := Item{Name: "install " + g.Name, Rows: []string{"S109"}, Section: Install, Group: g.Name, Routine: true,
		Want: "the programs of " + g.Name + ", the same version on every node; with the file systems mounted"}
	if first {
		it.Rows = []string{"S98"}
	}
	missing := b.notInstalled(g)
	it.State, it.Seen = Done, "its start and stop commands are there"
	if len(missing) > 0 {
		it.State, it.Seen = ByHand, "not there: "+some(missing)
		it.Way = "install it as its own books say"
	}
	b.add(it)
}

// notInstalled are the programs of DCE and DFS that are not there.
func (b *builder) notInstalled(g *config.Group) []string {
	var missing []string
	for i := range g.Applications {
		a := &g.Applications[i]
		if dce, _ := distributed([]*config.Application{a}); !dce || a.Kind == config.KindDCEUser || a.Kind == config.KindDFSUser {
			continue
		}
		for _, p := range runs(g, a) {
			if s := b.f.path(p.path); !s.OK() || s.Value.Kind == Nothing {
				missing = append(missing, p.path)
			}
		}
	}
	return missing
}

// configureItem says where DCE is configured and how, and where it must not be.
func (b *builder) configureItem(g *config.Group, first, mutual bool) {
	it := Item{Name: "configure " + g.Name, Rows: []string{"S110"}, Section: Configure, Group: g.Name, Routine: true}
	session := "in a session with the variables of this node (" + EnvironmentFile + ")"
	if g.Hostname != "" {
		session += " and the host name " + g.Hostname
	}
	switch {
	case mutual:
		it.Want, it.State, it.Seen = "DCE and DFS clients, on both peers", ByHand, "not looked at"
		it.Way = "configure the clients, " + session
	case !first:
		it.Want, it.State, it.Seen = "nothing: DCE and DFS are not configured here", Done, "what is there is looked at above"
	default:
		it.Rows = []string{"S33", "S99", "S100"}
		it.Want, it.State, it.Seen = "configured here once, on the shared disk", ByHand, "not seen"
		it.Way = "configure it as its own books say, " + session + ", with address and file systems here"
		if _, dfs := distributed(applicationsOf(g)); dfs {
			it.Way += "; then make the aggregates and filesets on shared disk"
		}
		for _, a := range g.Applications {
			for _, p := range a.Configured {
				s := b.f.path(p)
				if !s.OK() || s.Value.Kind == Nothing {
					continue
				}
				it.State, it.Seen, it.Way = Done, p, ""
				if name := parseHost(s.Value.Data); cellFile(p) && g.Hostname != "" && name != "" && !sameHost(name, g.Hostname) {
					it.State, it.Seen, it.Routine = ByHand, p+" says hosts/"+name, false
					it.Way = "if that is a node and no name chosen for the service: configure it anew, with the host name " + g.Hostname
					b.add(it)
					return
				}
			}
		}
	}
	b.add(it)
}

// releaseItem is the confirmed release: the next node may have the disks only then
// (guide, steps 10 and 11 on either node).
func (b *builder) releaseItem(g *config.Group, first, dce, dfs bool) {
	it := Item{Name: "release of " + g.Name, Rows: []string{"S115"}, Section: Release, Group: g.Name, Routine: true,
		Want: "proven to be let go here before another node takes it"}
	if first {
		it.Rows = []string{"S102", "S103"}
	}
	var mounted []string
	known := b.f.Snapshot.Mounts.OK()
	for _, fs := range g.Filesystems {
		if is, _ := b.f.mounted(fs.Mount); is {
			mounted = append(mounted, fs.Mount)
		}
	}
	for _, v := range b.f.Snapshot.Volumes.Value {
		for _, own := range g.Volumes {
			if v.Name == own.Name && v.Active && b.f.Snapshot.Volumes.OK() {
				mounted = append(mounted, "volume group "+v.Name)
			}
		}
	}
	r, told := b.f.Resident.Groups[g.Name]
	switch {
	case !known:
		it.State, it.Seen, it.Way = Unknown, "mount table: "+b.f.Snapshot.Mounts.Why().Error(), "look again"
	case len(mounted) == 0 && told && r.Clean:
		it.State, it.Seen = Done, "nothing of it is here: no mount, address, process or active volume group"
	case len(mounted) == 0:
		it.State, it.Seen = Done, "none of its file systems is mounted here"
	case told && r.Holder == b.f.Node:
		it.State, it.Seen = Done, "it is held here, and let go with proof when it moves"
	default:
		it.State, it.Seen = ByHand, "here: "+strings.Join(mounted, ", ")
		it.Way = "understudy lets go of it in order and proves it: understudy rehearse " + g.Name + " NODE --hold"
		if dce {
			it.Way = "first /usr/bin/stop.dce; " + it.Way
		}
		if dfs {
			it.Way = "first /usr/bin/stop.dfs, then /usr/bin/stop.dce, then shut this node down: only that lets go of the disks"
		}
	}
	b.add(it)
}
