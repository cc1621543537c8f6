package reconcile

import (
	"slices"

	"understudy/config"
)

// Sighting is what a node last knew of the other nodes' lives and of its own
// networks, by name: true for up. What was never known is not in it.
type Sighting struct{ Nodes, Networks map[string]bool }

// Change is one difference between two sightings.
type Change struct {
	Event  config.HookEvent // node_up, node_down, network_up or network_down
	Object string           // the node or the network
	Why    string
}

// Sight brings a sighting up to date and tells what has changed, nodes first, each
// in file order. What is known for the first time is no change, and what is not
// known now stays as it was: a node that only another machine hears has neither
// come nor gone.
func Sight(c *config.Config, last Sighting, s *Snapshot) (Sighting, []Change) {
	now := Sighting{Nodes: map[string]bool{}, Networks: map[string]bool{}}
	var out []Change
	for _, n := range c.Nodes {
		p := s.Peer(n.Name)
		up, known := p.State == PeerHeard, p.State == PeerHeard || p.State == PeerSilent
		why := n.Name + " is heard"
		if !up {
			why = n.Name + " is silent on " + links(p)
		}
		out = note(out, now.Nodes, last.Nodes, n.Name, up, known, config.EventNodeUp, config.EventNodeDown, why)
	}
	for _, n := range c.Networks {
		if !slices.ContainsFunc(n.Members, func(m config.Member) bool { return m.Machine == s.Node }) {
			continue
		}
		state, detail := networkUp(n.Name, c, s)
		why := "network " + n.Name + " is usable here"
		if detail != "" {
			why = "network " + n.Name + " is not usable here: " + detail
		}
		out = note(out, now.Networks, last.Networks, n.Name, state == Present, state != Unknown, config.EventNetworkUp, config.EventNetworkDown, why)
	}
	return now, out
}

func note(out []Change, now, last map[string]bool, name string, up, known bool, came, went config.HookEvent, why string) []Change {
	was, before := last[name]
	switch {
	case !known && before:
		now[name] = was
	case known:
		now[name] = up
		if before && was != up {
			event := went
			if up {
				event = came
			}
			out = append(out, Change{Event: event, Object: name, Why: why})
		}
	}
	return out
}

// ChangeHooks are the hooks without a group that are to be told of a change here, in
// the order of the file.
func ChangeHooks(c *config.Config, node string, ch Change) []RunHook {
	var out []RunHook
	for _, h := range c.Hooks {
		if h.Group != "" || h.Event != ch.Event || !slices.Contains(h.Nodes, node) {
			continue
		}
		about := "UNDERSTUDY_PEER"
		if ch.Event == config.EventNetworkUp || ch.Event == config.EventNetworkDown {
			about = "UNDERSTUDY_NETWORK"
		}
		out = append(out, RunHook{Hook: h, Environment: []config.Option{
			{Key: "UNDERSTUDY_EVENT", Value: string(h.Event)},
			{Key: "UNDERSTUDY_WHEN", Value: string(h.When)},
			{Key: "UNDERSTUDY_NODE", Value: node},
			{Key: about, Value: ch.Object},
			{Key: "UNDERSTUDY_REASON", Value: ch.Why},
		}})
	}
	return out
}
