package config

import "slices"

// nodeService checks a service that has to do with DCE or DFS.
func (b *builder) nodeService(i int) {
	s, f := &b.config.Services[i], &b.file.Service[i]
	if f.Kind.bad || f.Profile.bad || s.Kind == KindOther {
		return
	}
	line, what := kindLine(&f.fileApplication), "service "+s.Name
	if s.Kind.server() {
		b.add(ruleServerService, line, "write it as an application of a group", "%s: %s as a service of nodes: a server moves with its storage and address", what, s.Kind)
		return
	}
	if s.Kind == KindDFSClient {
		b.serviceNeedsDCE(i, line, what)
	}
	if !s.Kind.client() {
		return
	}
	for k := range b.config.Groups {
		g := &b.config.Groups[k]
		at := slices.IndexFunc(g.Applications, func(a Application) bool { return a.Kind.server() || a.Kind.client() })
		if at < 0 || !overlap(g.Nodes, s.Nodes) || g.Configuration == MutualTakeover {
			continue // the group of a mutual takeover is refused for itself
		}
		b.add(ruleStandbyConfigured, line, "take it out: what the group has is enough, and its standby has nothing of DCE configured",
			"%s: %s on a node of group %s, which holds %s", what, s.Kind, g.Name, g.Applications[at].Kind)
		return
	}
}

// serviceNeedsDCE checks that DCE comes before DFS on every node of a service.
func (b *builder) serviceNeedsDCE(i, line int, what string) {
	s := &b.config.Services[i]
	for _, node := range s.Nodes {
		if !slices.ContainsFunc(b.config.Services[:i], func(o Service) bool { return o.Kind == KindDCEClient && slices.Contains(o.Nodes, node) }) {
			b.add(ruleDFSNeeds, line, `write a [[service]] with profile = "dce-client" before it, for the same nodes`,
				"%s: %s without DCE before it on node %s", what, s.Kind, node)
			return
		}
	}
}

// oneHost refuses what would need two dced on one host: a host is a member of one
// cell, with one host name in it.
func (b *builder) oneHost() {
	type holder struct {
		what  string
		nodes []string
	}
	look := func(holders []holder, a *Application, f *fileApplication, what string, nodes []string) []holder {
		if !a.Kind.host() {
			return holders
		}
		for _, o := range holders {
			if overlap(o.nodes, nodes) {
				b.add(ruleOneDCE, kindLine(f), "leave one of them; a DCE server is a client too", "%s: %s, but %s may run dced on the same node", what, a.Kind, o.what)
			}
		}
		return append(holders, holder{what, nodes})
	}
	var ofGroups, ofNodes []holder // a group and a node's own are the matter of another rule
	for i := range b.config.Groups {
		g := &b.config.Groups[i]
		for k := range g.Applications {
			ofGroups = look(ofGroups, &g.Applications[k], &b.file.Group[i].Application[k], "group "+g.Name+": application "+g.Applications[k].Name, g.Nodes)
		}
	}
	for i := range b.config.Services {
		s := &b.config.Services[i]
		ofNodes = look(ofNodes, &s.Application, &b.file.Service[i].fileApplication, "service "+s.Name, s.Nodes)
	}
}
