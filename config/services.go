package config

import "slices"

// services reads what belongs to nodes and never moves.
func (b *builder) services() {
	for i := range b.file.Service {
		f := &b.file.Service[i]
		s := Service{Application: Application{Profile: f.Profile.or(""), Line: f.line}}
		if !f.bad {
			b.service(f, &s)
		}
		b.config.Services = append(b.config.Services, s)
	}
}

func (b *builder) service(f *fileService, s *Service) {
	const what = "service"
	b.applyProfile(&f.fileApplication, what)
	names := make([]string, len(b.config.Services))
	for i := range b.config.Services {
		names[i] = b.config.Services[i].Name
	}
	name := b.appName(&f.fileApplication, names, "services")
	titled := what + " " + name
	s.Application = b.values(&f.fileApplication, titled)
	s.Name = name
	b.startAndStop(&f.fileApplication, titled)
	if f.Run.set && len(s.Daemons) == 0 {
		s.Daemons = []Daemon{{Name: name}}
	}
	s.Nodes = b.nodesOf(&f.Nodes, b.allNodes(), titled)
	for i := range f.Purge {
		b.add(ruleServiceKey, f.Purge[i].line, "take it out", "%s: purge is for shared storage, and a service has none", titled)
	}
	for _, m := range f.Mounts.v {
		b.add(ruleServiceKey, m.line, "take it out", "%s: mounts is for the file systems of a group, and a service has none", titled)
	}
	if s.RebootToRelease {
		b.add(ruleServiceKey, f.RebootToRelease.line, "take it out", "%s: reboot_to_release means nothing, since a service never moves", titled)
	}
}

// allNodes are the names of the nodes, in file order.
func (b *builder) allNodes() []string {
	names := make([]string, len(b.config.Nodes))
	for i := range b.config.Nodes {
		names[i] = b.config.Nodes[i].Name
	}
	return names
}

// nodesOf reads a list of nodes out of those that are possible, and returns them in
// the order of those; all of them if there is no list.
func (b *builder) nodesOf(v *val[[]element], possible []string, what string) []string {
	if !v.set {
		return possible
	}
	if v.ok() && len(v.v) == 0 {
		b.required(false, v.line, what, "nodes", `["alpha"], or leave it out for all`)
	}
	var named []string
	for _, e := range v.v {
		switch {
		case v.bad:
		case b.config.Node(e.text) == nil:
			b.add(ruleUnknownNode, e.line, "write [node."+bare(e.text)+"], or correct the name", "%s: no node is named %s", what, quote(e.text))
		case !slices.Contains(possible, e.text):
			b.add(ruleUnknownNode, e.line, "name nodes of the group", "%s: node %s is not of the group", what, e.text)
		case slices.Contains(named, e.text):
			b.add(ruleNodeTwice, e.line, "name it once", "%s: node %s is listed twice", what, e.text)
		default:
			named = append(named, e.text)
		}
	}
	var out []string
	for _, n := range b.allNodes() {
		if slices.Contains(named, n) {
			out = append(out, n)
		}
	}
	return out
}
