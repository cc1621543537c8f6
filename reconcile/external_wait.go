package reconcile

import (
	"fmt"
	"slices"
	"time"

	"understudy/config"
)

// holdUps are the reasons why a group that is wholly here is not started yet.
func (v sight) holdUps() []Reason {
	var out []Reason
	if r, ok := v.selfUndead(); ok {
		out = append(out, r)
	}
	for _, n := range v.others() {
		p := v.s.Peer(n)
		switch {
		case p.State == PeerUnknown:
			out = append(out, Reason{Text: n + " has not been heard yet", Way: fmt.Sprintf("it is listened for during %s", Human(v.c.Keepalive.Timeout))})
		case p.State == PeerHeard && p.Status.Group(v.g.Name).Running:
			out = append(out, Reason{Text: n + " still runs applications of the group", Way: "it stops them by itself; look there if this lasts"})
		}
		if r, ok := v.undead(n, p); ok {
			out = append(out, r)
		}
	}
	for _, n := range v.others() {
		if v.s.Peer(n).State == PeerHeard && v.listening() > 0 {
			out = append(out, Reason{Text: n + " is told first that all of it is here", Way: fmt.Sprintf("if it says the same within %s, neither starts", Human(v.c.Keepalive.Interval))})
		}
	}
	return out
}

// listening is how much longer this node has to wait for the others to say that they
// see the group too: two to which it came at one moment must not both start.
func (v sight) listening() time.Duration { return Listening(v.c, v.m, v.s.At) }

// Listening is how much longer a group that has come is not started, zero if it may
// be; see Memory.Came.
func Listening(c *config.Config, m Memory, at time.Time) time.Duration {
	if m.Came.IsZero() {
		return c.Keepalive.Interval
	}
	return max(0, c.Keepalive.Interval-at.Sub(m.Came))
}

// selfUndead is the rule of undead for this node: once the group has been away, what
// its kernel still holds of the disks is of another time.
func (v sight) selfUndead() (Reason, bool) {
	if v.m.Left == "" || v.m.Left != v.s.BootID {
		return Reason{}, false
	}
	return Reason{Text: "this host must be rebooted before it can take the group again: it held its disks when they were taken away", Way: "reboot " + v.s.Node}, true
}

// undead is the guide's rule for DFS: who has started it holds the disks until he
// is shut down or rebooted, whatever the other manager has moved meanwhile (guide,
// "DFS Failover Actions").
func (v sight) undead(n string, p Peer) (Reason, bool) {
	sticky := slices.IndexFunc(v.g.Applications, func(a config.Application) bool { return a.RebootToRelease })
	if sticky < 0 || p.State == PeerUnknown {
		return Reason{}, false
	}
	app := v.g.Applications[sticky].Name
	reboot := Reason{Text: fmt.Sprintf("%s must be shut down or rebooted: %s and holds the disks", n, since(app, "there")), Way: "reboot " + n}
	if p.State == PeerHeard {
		switch gs := p.Status.Group(v.g.Name); {
		case gs.Group == "":
			return Reason{Text: n + " has not said yet whether it started " + app, Way: "it says so when it has looked"}, true
		case gs.Dirty:
			return reboot, true
		}
		return Reason{}, false
	}
	mark, known := v.m.Peers[n]
	if w, ok := v.s.Store.Value.Confirms[n]; ok && w.BootID == mark.BootID && p.State == PeerSilent {
		return Reason{}, false
	}
	way := "boot it, or somebody who has seen it off runs: understudy confirm-down " + n
	switch {
	case !known:
		return Reason{Text: fmt.Sprintf("%s is %s, and whether it has started %s was never heard", n, p.State, app), Way: way}, true
	case mark.Dirty:
		return Reason{Text: fmt.Sprintf("%s is %s, and must be shut down or rebooted: %s and holds the disks", n, p.State, since(app, "there")), Way: way}, true
	}
	return Reason{}, false
}
