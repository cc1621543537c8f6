package config

import (
	"slices"
	"strings"
)

// The closed table of what of DCE and DFS may run where (guide, "HACMP Supported
// Configurations" and both "Planning Considerations"). Nothing of it applies to an
// application without a kind.

// table holds groups and services against it.
func (b *builder) table() {
	if !b.sound() {
		return
	}
	for i := range b.config.Groups {
		g, f := &b.config.Groups[i], &b.file.Group[i]
		if !b.known(f) {
			continue
		}
		b.whereServers(g, f)
		for k := range g.Applications {
			b.member(g, f, k)
		}
		b.addresses(g, f)
		b.nothingMoves(g, f)
	}
	for i := range b.config.Services {
		b.nodeService(i)
	}
	b.oneHost()
}

// known reports whether the kinds of a group's applications are what they are
// meant to be.
func (b *builder) known(f *fileGroup) bool {
	for i := range f.Application {
		if a := &f.Application[i]; a.bad || a.Kind.bad || a.Profile.bad || a.Roles.bad {
			return false
		}
	}
	return !slices.Contains(f.badKeys, "application")
}

// kindLine is the line that makes an application what it is.
func kindLine(f *fileApplication) int { return max(f.line, f.Kind.line) }

// whereServers refuses groups of DCE and DFS in other configurations than those of
// the guide, and servers on nodes in mutual takeover: per node, so that another
// pair of groups on the node is enough.
func (b *builder) whereServers(g *Group, f *fileGroup) {
	for i, a := range g.Applications {
		if a.Kind == KindOther {
			continue
		}
		line, what := kindLine(&f.Application[i]), "group "+g.Name+": application "+a.Name
		if a.Kind.server() {
			for _, node := range g.Nodes {
				if peer, other := b.config.peerOf(node); peer != "" {
					b.add(ruleServerOnPeer, line, "give the groups of both nodes the same home, or the servers nodes of their own",
						"%s: %s, but node %s is in mutual takeover with %s (home of group %s)", what, a.Kind, node, peer, other)
					return
				}
			}
		}
		if amounts, why := b.config.Amounts(g); amounts == "" {
			b.add(ruleSupported, line, `make it one of the four: hot standby cascading, one-sided takeover, hot standby rotating, mutual takeover; or write kind = "" if it has nothing to do with DCE`,
				"%s: %s in none of the guide's configurations: %s", what, a.Kind, why)
			return
		}
	}
}

// member checks one application of a group.
func (b *builder) member(g *Group, f *fileGroup, k int) {
	a, fa := &g.Applications[k], &f.Application[k]
	line, what := kindLine(fa), "group "+g.Name+": application "+a.Name
	if a.Kind.client() && g.Configuration == MutualTakeover {
		b.add(ruleClientMoves, line, "write it as a [[service]], which runs on both nodes and never moves",
			"%s: %s in a group of a mutual takeover", what, a.Kind)
		return
	}
	if a.Kind.user() && g.Configuration == MutualTakeover && len(a.Purge) > 0 {
		b.add(rulePeerPurge, max(fa.Purge[0].line, line), "write purge = []", "%s: purge in a mutual takeover, where the other node's clients use what would be deleted", what)
	}
	if a.Kind == KindDCEServer && g.Policy == Rotating && g.Hostname == "" && !f.Hostname.bad {
		b.add(ruleServiceName, line, "write hostname = \"NAME\" in the group, the name of its service address",
			"%s: dce-server in a rotating group without hostname: its identity in the cell would be that of the node it was configured on", what)
	}
	b.needs(g, k, line, what)
	b.replicasOnly(a, fa, what)
	for i, m := range a.Mounts {
		b.sharedMount(g, m, lineAt(&fa.Mounts, i), what)
	}
	for i, p := range a.LocalPaths {
		b.localPath(g, p, lineAt(&fa.LocalPaths, i), what)
	}
}

// lineAt is the line of an element of a list.
func lineAt(v *val[[]element], i int) int {
	if i < len(v.v) {
		return v.v[i].line
	}
	return v.line
}

// needs checks that what an application uses is there before it: in its group, or
// as a service of every node of the group.
func (b *builder) needs(g *Group, k, line int, what string) {
	kind := g.Applications[k].Kind
	dce, dfs := []Kind{KindDCEServer, KindDCEClient}, []Kind{KindDFSServer, KindDFSClient}
	switch kind {
	case KindDFSServer, KindDFSClient:
		if !inGroup(g, k, dce) {
			b.add(ruleDFSNeeds, line, `write an application with profile = "dce" before it in this group`,
				"%s: %s without DCE before it in its group", what, kind)
		}
	case KindDCEUser, KindDFSUser:
		if kind == KindDCEUser {
			b.client(g, k, dce, "DCE", `profile = "dce-client"`, line, what)
			return
		}
		b.client(g, k, dfs, "DFS", `profile = "dfs-client"`, line, what)
	}
}

// inGroup reports whether one of the kinds comes before application k.
func inGroup(g *Group, k int, kinds []Kind) bool {
	return slices.ContainsFunc(g.Applications[:k], func(a Application) bool { return slices.Contains(kinds, a.Kind) })
}

func (b *builder) client(g *Group, k int, kinds []Kind, name, profile string, line int, what string) {
	if inGroup(g, k, kinds) {
		return
	}
	var without []string
	for _, node := range g.Nodes {
		if !slices.ContainsFunc(b.config.Services, func(s Service) bool { return slices.Contains(kinds, s.Kind) && slices.Contains(s.Nodes, node) }) {
			without = append(without, node)
		}
	}
	if len(without) > 0 {
		b.add(ruleNeedsClient, line, "write [[service]] with "+profile+" for all nodes of the group",
			"%s: %s, but there is no client of %s on %s", what, g.Applications[k].Kind, name, strings.Join(without, ", "))
	}
}

// replicasOnly warns where nothing that can be written is protected.
func (b *builder) replicasOnly(a *Application, f *fileApplication, what string) {
	if len(a.Replicas) == 0 {
		return
	}
	for _, r := range a.Roles {
		if slices.Contains(replicated, r) && !slices.Contains(a.Replicas, r) {
			return
		}
	}
	b.add(ruleReplicas, f.Replicas.line, "protect the master, or take the role out of replicas if it is the master",
		"%s: only replicas (%s): they are read-only, and no takeover makes one of them the master", what, strings.Join(a.Replicas, ", "))
}

// sharedMount checks a mount that an application cannot do without.
func (b *builder) sharedMount(g *Group, mount string, line int, what string) {
	if slices.ContainsFunc(g.Filesystems, func(fs Filesystem) bool { return fs.Mount == "" }) {
		return // one has a mount that cannot be used, and a finding says so
	}
	i := slices.IndexFunc(g.Filesystems, func(fs Filesystem) bool { return fs.Mount == mount })
	switch {
	case i < 0:
		b.add(ruleSharedMount, line, "add [[group."+bare(g.Name)+".filesystem]] with mount = "+quote(mount)+" on shared storage",
			"%s: %s is no file system of the group: it would begin anew on each node's own disk", what, mount)
	case g.Filesystems[i].Local:
		b.add(ruleSharedMount, line, "take local = true out of it, and put it on shared storage",
			"%s: %s is a local file system: each node would have its own", what, mount)
	}
}

// localPath checks a path that must not lie on shared storage.
func (b *builder) localPath(g *Group, p string, line int, what string) {
	under := Filesystem{}
	for _, fs := range g.Filesystems {
		if (p == fs.Mount || below(p, fs.Mount)) && len(fs.Mount) > len(under.Mount) {
			under = fs
		}
	}
	if under.Mount == "" || under.Local {
		return
	}
	b.add(ruleLocalPath, line, "add a filesystem with mount = "+quote(p)+" and local = true; or write local_paths with where it is, [] if there is none",
		"%s: %s lies on %s, which is shared, and must be on a disk of the node's own", what, p, under.Mount)
}

// addresses checks that what speaks RPC to others has an address that moves.
func (b *builder) addresses(g *Group, f *fileGroup) {
	if len(g.Addresses) > 0 || len(f.Address) > 0 || slices.Contains(f.badKeys, "address") {
		return
	}
	for i, a := range g.Applications {
		if a.Kind.server() || a.Kind.user() {
			b.add(ruleServiceLabel, kindLine(&f.Application[i]), "add [[group."+bare(g.Name)+".address]]",
				"group %s: application %s: %s in a group without a service address", g.Name, a.Name, a.Kind)
			return
		}
	}
}

// nothingMoves warns of a file server whose group has nothing to export: all
// aggregates and file systems of DFS belong to the group.
func (b *builder) nothingMoves(g *Group, f *fileGroup) {
	var needed []string
	server := -1
	for i, a := range g.Applications {
		needed = append(needed, a.Mounts...)
		if a.Kind == KindDFSServer && slices.Contains(a.Roles, "file-server") {
			server = i
		}
	}
	exported := slices.ContainsFunc(g.Filesystems, func(fs Filesystem) bool { return !fs.Local && !slices.Contains(needed, fs.Mount) })
	if server < 0 || exported || len(g.Aggregates) > 0 {
		return
	}
	b.add(ruleExports, kindLine(&f.Application[server]), "add [[group."+bare(g.Name)+".aggregate]] or a filesystem for what it exports, or take file-server out of roles",
		"group %s: application %s: a file server, but the group has no aggregate and no file system to export", g.Name, g.Applications[server].Name)
}
