package config

import (
	"fmt"
	"slices"
	"strings"
)

// Amounts says which of the guide's configurations a group amounts to, "" if none,
// and why (guide, "HACMP Supported Configurations"). It depends on the groups that
// share a node with it, and on the services of its standby.
func (c *Config) Amounts(g *Group) (amounts Configuration, why string) {
	if len(g.Nodes) != 2 {
		return "", fmt.Sprintf("it has %d %s, not two", len(g.Nodes), plural(len(g.Nodes), "node"))
	}
	if why := c.mixed(g); why != "" {
		return "", why
	}
	if g.Home() == "" {
		for i, node := range g.Nodes {
			if own := c.ownWork(node, g.Nodes[1-i]); own != "" {
				return "", fmt.Sprintf("it has no home, and %s has %s of its own", node, own)
			}
		}
		return HotStandbyRotating, "it has no home"
	}
	home, standby := g.Nodes[0], g.Nodes[1]
	for i := range c.Groups {
		if o := &c.Groups[i]; len(o.Nodes) == 2 && o.Home() == standby && slices.Contains(o.Nodes, home) {
			return MutualTakeover, fmt.Sprintf("%s is its home, and %s that of group %s", home, standby, o.Name)
		}
	}
	if own := c.ownWork(standby, home); own != "" {
		return OneSidedTakeover, fmt.Sprintf("%s is its home, and %s has %s of its own", home, standby, own)
	}
	return HotStandbyCascading, fmt.Sprintf("%s is its home, and %s has no work of its own", home, standby)
}

// mixed says which other group keeps g from any of the configurations: one that can
// move to a node of g and is not cascading between the same two.
func (c *Config) mixed(g *Group) string {
	for i := range c.Groups {
		o := &c.Groups[i]
		if o.Name == g.Name || len(o.Nodes) < 2 || !overlap(o.Nodes, g.Nodes) {
			continue
		}
		switch same := len(o.Nodes) == 2 && slices.Contains(o.Nodes, g.Nodes[0]) && slices.Contains(o.Nodes, g.Nodes[1]); {
		case !same:
			return fmt.Sprintf("group %s shares a node with it and is on %s", o.Name, strings.Join(o.Nodes, ", "))
		case o.Policy == Rotating && g.Policy == Rotating:
			return fmt.Sprintf("it has no home, and group %s, which has none either, may be on the node that stands by", o.Name)
		case o.Policy == Rotating:
			return fmt.Sprintf("it is cascading, and group %s on the same nodes is rotating", o.Name)
		case g.Policy == Rotating:
			return fmt.Sprintf("it is rotating, and group %s on the same nodes is cascading", o.Name)
		}
	}
	return ""
}

// ownWork is what a node does apart from the groups that move between it and its
// peer: a group that has no other node, or a service that does not run on both.
// Clients of DCE and DFS are no work of their own.
func (c *Config) ownWork(node, peer string) string {
	for i := range c.Groups {
		if o := &c.Groups[i]; len(o.Nodes) == 1 && o.Nodes[0] == node {
			return "group " + o.Name
		}
	}
	for i := range c.Services {
		s := &c.Services[i]
		if slices.Contains(s.Nodes, node) && !slices.Contains(s.Nodes, peer) && !s.Kind.client() {
			return "service " + s.Name
		}
	}
	return ""
}

// peerOf is the node that a node is in mutual takeover with, "" if none: each of
// the two is the home of a group that the other may take.
func (c *Config) peerOf(node string) (peer, group string) {
	for i := range c.Groups {
		mine := &c.Groups[i]
		if mine.Home() != node {
			continue
		}
		for k := range c.Groups {
			theirs := &c.Groups[k]
			if home := theirs.Home(); home != "" && home != node && slices.Contains(mine.Nodes, home) && slices.Contains(theirs.Nodes, node) {
				return home, theirs.Name
			}
		}
	}
	return "", ""
}

func overlap(a, b []string) bool {
	return slices.ContainsFunc(a, func(s string) bool { return slices.Contains(b, s) })
}

func plural(n int, word string) string {
	if n == 1 {
		return word
	}
	return word + "s"
}

// client reports whether a kind is a client of DCE or DFS, server whether it is a
// server, and user whether it is an application that needs one of them.
func (k Kind) client() bool { return k == KindDCEClient || k == KindDFSClient }
func (k Kind) server() bool { return k == KindDCEServer || k == KindDFSServer }
func (k Kind) user() bool   { return k == KindDCEUser || k == KindDFSUser }

// host reports whether a kind is what makes a host a member of a cell: it runs the
// one dced of the host.
func (k Kind) host() bool { return k == KindDCEServer || k == KindDCEClient }

// configurations settles what every group amounts to, and compares it with what
// the file states.
func (b *builder) configurations() {
	c := b.config
	v := &b.file.Configuration
	if v.ok() && v.v != "" {
		c.Configuration = word(b, v, "", "configuration", HotStandbyCascading, OneSidedTakeover, HotStandbyRotating, MutualTakeover)
	}
	if !b.sound() {
		return // what it amounts to is unknown
	}
	for i := range c.Groups {
		c.Groups[i].Configuration, _ = c.Amounts(&c.Groups[i])
	}
	for i := range c.Groups {
		g := &c.Groups[i]
		amounts, why := c.Amounts(g)
		if v.bad || c.Configuration == "" || amounts == c.Configuration || len(g.Nodes) == 1 {
			continue // a group of one node is that node's own work
		}
		wayOut, is := "write the groups so that they amount to it, or take configuration out", "none of the guide's configurations"
		if amounts != "" {
			is = string(amounts)
			wayOut = "write configuration = " + quote(is) + ", or the groups so that they amount to it"
		}
		b.add(ruleConfiguration, v.line, wayOut, "configuration is %q, but group %s on line %d amounts to %s: %s",
			string(c.Configuration), g.Name, g.Line, is, why)
	}
}

// sound reports whether nodes, groups and services are known as they are meant.
func (b *builder) sound() bool {
	for i := range b.file.Group {
		f := &b.file.Group[i]
		if f.bad || f.Policy.bad || f.Nodes.bad || len(f.Nodes.v) != len(b.config.Groups[i].Nodes) || len(f.Nodes.v) == 0 {
			return false
		}
	}
	for i := range b.file.Service {
		f := &b.file.Service[i]
		if f.bad || f.Nodes.bad || f.Nodes.set && len(f.Nodes.v) != len(b.config.Services[i].Nodes) {
			return false
		}
	}
	return !b.file.bad
}
