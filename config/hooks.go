package config

import (
	"slices"
	"strings"
)

// groupEvents are the events in a group's own plans, nodeEvents those that a hook
// without a group is told of.
var (
	groupEvents = []HookEvent{EventAcquire, EventRelease, EventTakeover, EventReintegration, EventNodeUp, EventNodeDown, EventSwapAdapter}
	nodeEvents  = []HookEvent{EventNodeUp, EventNodeDown, EventNetworkUp, EventNetworkDown}
)

// hooks reads the commands that run when something happens.
func (b *builder) hooks() {
	for i := range b.file.Hook {
		if f := &b.file.Hook[i]; !f.bad {
			b.config.Hooks = append(b.config.Hooks, b.hook(f))
			b.hookFiles = append(b.hookFiles, f)
		}
	}
}

func (b *builder) hook(f *fileHook) Hook {
	h := Hook{Name: f.Name.or(""), Group: f.Group.or(""), Line: f.line}
	if b.required(f.Name.set, f.line, "hook", "name", `"NAME"`) && f.Name.ok() && b.name(h.Name, f.Name.line, "hook") &&
		slices.ContainsFunc(b.config.Hooks, func(o Hook) bool { return o.Name == h.Name }) {
		b.add(ruleHookTwice, f.Name.line, "give each its own", "two hooks are named %s", h.Name)
	}
	what := strings.TrimSuffix("hook "+h.Name, " ")
	if b.required(f.Event.set, f.line, what, "event", `"takeover"`) && f.Event.ok() {
		h.Event = word(b, &f.Event, "", what+": event", EventAcquire, EventRelease, EventTakeover, EventReintegration,
			EventNodeUp, EventNodeDown, EventNetworkUp, EventNetworkDown, EventSwapAdapter)
	}
	h.When = word(b, &f.When, Post, what+": when", Pre, Post)
	h.OnFailure = word(b, &f.OnFailure, IgnoreHookFailure, what+": on_failure", IgnoreHookFailure, StopHookFailure)
	h.Limit = b.within(&f.Limit, DefaultHookLimit, rangeLimit, what+": limit")
	b.required(f.Command.set, f.line, what, "command", `["/usr/local/sbin/page"]`)
	h.Command = b.command(&f.Command, what+": command")
	g, possible := b.config.Group(h.Group), b.allNodes()
	switch {
	case g != nil:
		possible = nil
		for _, n := range b.allNodes() {
			if slices.Contains(g.Nodes, n) {
				possible = append(possible, n)
			}
		}
	case f.Group.ok() && h.Group != "":
		b.add(ruleHookGroup, f.Group.line, "write [group."+bare(h.Group)+"], or correct the name", "%s: no group is named %s", what, quote(h.Group))
		f.Group.bad = true
	}
	h.Nodes = b.nodesOf(&f.Nodes, possible, what)
	if !f.Event.bad && h.Event != "" && !f.Group.bad {
		b.hookMeaning(f, &h, g, what)
	}
	return h
}

// hookMeaning refuses what could never happen, or would mean nothing.
func (b *builder) hookMeaning(f *fileHook, h *Hook, g *Group, what string) {
	known, where := groupEvents, "with a group"
	if h.Group == "" {
		known, where = nodeEvents, "without a group"
	}
	if !slices.Contains(known, h.Event) {
		names := make([]string, len(known))
		for i, e := range known {
			names[i] = string(e)
		}
		b.add(ruleHookGroup, f.Event.line, "events "+where+": "+strings.Join(names, ", "), "%s: there is no event %s %s", what, h.Event, where)
		return
	}
	if h.Group == "" && h.When == Pre {
		b.add(ruleHookWhen, f.When.line, `write when = "post", or name the group whose plan it belongs to`,
			"%s: pre, but %s without a group is heard of when it has happened", what, h.Event)
	}
	if h.Event == EventReintegration && g != nil && g.Home() == "" {
		b.add(ruleHookWhen, f.Event.line, `write event = "takeover"`, "%s: group %s is rotating, and has no reintegration", what, g.Name)
	}
	if h.OnFailure != StopHookFailure {
		return
	}
	if h.Event == EventSwapAdapter && h.Group != "" {
		b.add(ruleHookStop, f.OnFailure.line, `write on_failure = "ignore"`,
			"%s: on_failure = \"stop\", but an address must not stay where its adapter is lost", what)
		return
	}
	letGo := h.Event == EventRelease || h.When == Pre && (h.Event == EventNodeUp || h.Event == EventNodeDown)
	switch {
	case h.Group == "":
		b.add(ruleHookStop, f.OnFailure.line, `write on_failure = "ignore", or name the group whose plan it shall stop`,
			"%s: on_failure = \"stop\", but without a group there is no plan to stop", what)
	case letGo:
		b.add(ruleHookStop, f.OnFailure.line, `write on_failure = "ignore"`,
			"%s: on_failure = \"stop\", but it runs while the group is let go, and that must not end half way", what)
	}
}
