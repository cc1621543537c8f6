package reconcile

import (
	"fmt"
	"slices"
	"time"

	"understudy/config"
)

// A holder that cannot read its own group, because a disk hangs, say, can neither
// serve for sure nor prove a release. While its lease is good nobody else may take the
// group, so that this must not go on without a word: after the declared time it counts
// as a release that has failed.

// unreadHere is the first item that this node cannot read although it has claim and
// lease, "" if there is none.
func unreadHere(g *config.Group, s *Snapshot, inv Inventory) string {
	un := inv.Unread()
	if len(un) == 0 || s.Lease.Left(s.At) == 0 || !s.Store.OK() || !ours(s.Store.Value.Claims[g.Name], s) {
		return ""
	}
	return fmt.Sprintf("%s %s could not be read: %s", un[0].Kind, un[0].Name, un[0].Detail)
}

// UnreadLeft is how long a group that has been unread since m.Unread may stay so; zero
// or less: no longer. Without a limit, or if it can be read, it is false.
func UnreadLeft(g *config.Group, m Memory, now time.Time) (time.Duration, bool) {
	if m.Unread.IsZero() || g.Unread == 0 {
		return 0, false
	}
	return m.Unread.Add(g.Unread).Sub(now), true
}

// unread plans what is declared for a group that has stayed unread for too long: a
// reset of this host where another is ready to go on, else a word.
func (b *builder) unread(what string) {
	m := b.s.Memory[b.g.Name]
	left, ok := UnreadLeft(b.g, m, b.s.At)
	if what == "" || !ok || left > 0 {
		return
	}
	b.plan.Waits = nil // said below, with since when
	why := fmt.Sprintf("for %s %s", Human(b.s.At.Sub(m.Unread).Round(time.Second)), what)
	next := slices.IndexFunc(b.g.Nodes, func(n string) bool { return n != b.s.Node && isReady(b.s.Peer(n), b.g) })
	switch {
	case b.g.OnReleaseFailure != config.RebootOnReleaseFailure:
		b.block(why, "what is up stays up, and nobody else can take it: mend what hangs, or reset "+b.s.Node)
	case next < 0:
		b.block(why, "no other node is ready to take it, so that this one is not reset: mend what hangs, or another node")
	default:
		b.add(Reboot{Group: b.g.Name, AtOnce: true, Why: why + ", and " + b.g.Nodes[next] + " is ready to take it"}, "no release can be proved")
	}
}
