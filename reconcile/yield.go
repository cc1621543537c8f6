package reconcile

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"understudy/config"
)

// mustYield says why the holder of a claim should let it go, "" if it should not,
// and to which node, "" if to whoever takes it.
//
// One that a person must reboot afterwards gives nothing away by itself while it
// serves: the service would be down until somebody comes.
func mustYield(c *config.Config, g *config.Group, s *Snapshot, claim Claim, dirty string) (why, to string) {
	if m := s.Memory[g.Name]; m.Failed != "" {
		return m.Failed, ""
	}
	if s.Stopping != "" {
		return "this node is leaving: " + s.Stopping, ""
	}
	if g.Gone {
		r, _ := changing(g)
		return r.Text, ""
	}
	if s.Memory[g.Name].Stuck != "" {
		return "", "" // it has been tried, and half let go it served nobody
	}
	if why := rehearsed(g, s, claim); why != "" && dirty == "" {
		return why, ""
	}
	ready := func(name string) bool { return isReady(s.Peer(name), g) }
	if req, ok := s.Store.Value.Requests[g.Name]; ok && req.Epoch == claim.Epoch && req.To != s.Node && ready(req.To) && (dirty == "" || req.Rehearse == NoRehearsal) {
		return strings.TrimSuffix(fmt.Sprintf("%s moves it to %s: %s", req.By, req.To, req.Reason), ": "), req.To
	}
	if why, to := drains(g, s); why != "" {
		return why, to
	}
	if byHand(g, dirty) {
		return "", ""
	}
	if why, to := networkLost(c, g, s); why != "" && !spent(g, s, claim) {
		return why, to
	}
	if claim.Pinned == "" && mayFallBack(g, s.At) {
		for _, name := range g.Nodes[:g.Priority(s.Node)] {
			if ready(name) && (dirty == "" || rebootEnds(c, g, s, name) == "") {
				return fmt.Sprintf("%s is back, has higher priority and is ready", name), name
			}
		}
	}
	return "", ""
}

// networkLost says that a network of the group is down here and not on another node
// that would take it, and which; "" otherwise.
func networkLost(c *config.Config, g *config.Group, s *Snapshot) (why, to string) {
	for _, n := range networks(g) {
		if up, why := networkUp(n, c, s); up == Absent {
			for _, other := range g.Nodes {
				if p := s.Peer(other); other != s.Node && isReady(p, g) && slices.Contains(p.Status.Networks, n) {
					return fmt.Sprintf("network %s is down here (%s) and %s has it", n, why, other), other
				}
			}
		}
	}
	return "", ""
}

// mustStay says what should move the group and cannot, nil if nothing should.
func mustStay(c *config.Config, g *config.Group, s *Snapshot, claim Claim, dirty string) []Reason {
	if why := s.Memory[g.Name].Stuck; why != "" {
		return []Reason{{Text: "it could not be let go here and stays: " + why, Way: "mend it, then: understudy clear " + g.Name}}
	}
	out := rehearsalWaits(g, s, claim)
	if req, ok := s.Store.Value.Requests[g.Name]; ok && req.Epoch == claim.Epoch && req.To != s.Node {
		why := "is not heard"
		if p := s.Peer(req.To); p.State == PeerHeard {
			why = "is not ready"
			if r, _, _ := strings.Cut(p.Status.Group(g.Name).Reason, " — "); r != "" {
				why += ": " + r
			}
		}
		out = append(out, Reason{Text: fmt.Sprintf("%s asks for it on %s, which %s", req.By, req.To, why), Way: "it moves by itself when that node is ready"})
	}
	if r, ok := Drained(s, s.Node); ok {
		out = append(out, Reason{Text: "this node is " + r.Sentence() + "; no other node is ready to take it", Way: "it moves by itself when one is"})
	}
	out = append(out, staysForNow(c, g, s, claim, dirty)...)
	if why, to := networkLost(c, g, s); why != "" && spent(g, s, claim) && !byHand(g, dirty) {
		return append(out, Reason{Text: why + "; it is not moved: " + budgetSpent(g), Way: fmt.Sprintf("mend the link, or: understudy move %s %s", g.Name, to)})
	}
	for _, n := range networks(g) {
		if up, why := networkUp(n, c, s); up == Absent && !byHand(g, dirty) {
			out = append(out, networkDown(n, why))
		}
	}
	return out
}

func networkDown(network, why string) Reason {
	return Reason{Text: fmt.Sprintf("network %s is down here (%s), and no other node is ready and has it", network, why), Way: "mend the link or its address"}
}

// mayFallBack reports whether the group may go back to a node of higher
// priority at this moment.
func mayFallBack(g *config.Group, at time.Time) bool {
	if g.Policy != config.Cascading {
		return false
	}
	switch g.Fallback.Kind {
	case config.FallbackImmediate:
		return true
	case config.FallbackWindow:
		h, m, sec := at.Clock()
		day := time.Duration(h)*time.Hour + time.Duration(m)*time.Minute + time.Duration(sec)*time.Second
		if f := g.Fallback; f.From <= f.To {
			return day >= f.From && day < f.To
		}
		return day >= g.Fallback.From || day < g.Fallback.To
	}
	return false
}
