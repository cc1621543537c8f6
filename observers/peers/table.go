package peers

import (
	"net/netip"
	"slices"
	"time"

	"understudy/reconcile"
)

// unheard is the moment of something that never happened.
const unheard = time.Duration(-1 << 62)

// table is what was heard of every other machine and when. Moments are those of
// one clock that goes on in suspend. It holds no goroutine and reads no clock.
type table struct {
	timeout time.Duration
	since   time.Duration // listening began
	peers   []*peer       // in the order that is told
}

// peer is what is known of one machine.
type peer struct {
	name  string
	links []link // by network name, then as [reconcile.Pairs] lists them

	known     bool // a session was ever in force
	session   session
	retired   []session // were in force or lost against one; never again
	challenge challenge // ours, for a session that is not in force
	echo      nonce     // the machine's latest challenge, to be sent back
	heard     time.Duration
	since     time.Duration // since when it is heard without a gap

	hearsay []hearsay // what this machine says of others
	pieces  pieces
	status  reconcile.NodeStatus
	last    reconcile.LastWord

	told  reconcile.Peer // the last verdict; its ages are of then
	dirty bool           // the status is news
	// skew is how far the machine's wall clock is ahead of this one's, as of the last
	// packet; skewed says that it has told it.
	skew   time.Duration
	skewed bool
	owed   bool // a packet at once: it waits for our echo or challenge
}

// link is the way between an adapter of ours and one of a machine's on a network.
type link struct {
	network       string
	local, remote netip.Addr
	shared        bool   // this machine has an adapter there too; local is valid
	out, in       string // its name in packets to the machine, and in those from it
	sequence      uint64
	heard         time.Duration // last packet that counted
	hears         time.Duration // when the machine last heard us here, by its own word
	listening     time.Duration // since when our socket is open; unheard: it is not
}

// hearsay is when another machine was last heard, by the word of this one.
type hearsay struct {
	machine string
	at      time.Duration
}

func (t *table) peer(name string) *peer {
	for _, p := range t.peers {
		if p.name == name {
			return p
		}
	}
	return nil
}

// link is the one that packets from the machine call so.
func (p *peer) link(in string) *link {
	for i := range p.links {
		if p.links[i].shared && p.links[i].in == in {
			return &p.links[i]
		}
	}
	return nil
}

// within reports whether at is less than the timeout before now.
func (t *table) within(at, now time.Duration) bool { return at != unheard && now-at < t.timeout }

// state is the verdict on one machine at a moment.
func (t *table) state(p *peer, now time.Duration) reconcile.PeerState {
	switch {
	case t.within(p.heard, now):
		return reconcile.PeerHeard
	case t.within(t.hearsay(p.name, now), now):
		return reconcile.PeerDistant
	case now-t.since < t.timeout:
		return reconcile.PeerUnknown
	}
	return reconcile.PeerSilent
}

// hearsay is the latest moment at which any machine that is heard now says it
// heard name.
func (t *table) hearsay(name string, now time.Duration) time.Duration {
	at := unheard
	for _, p := range t.peers {
		if p.name == name || !t.within(p.heard, now) {
			continue
		}
		for _, h := range p.hearsay {
			if h.machine == name {
				at = max(at, h.at)
			}
		}
	}
	return at
}

// silent reports that nothing came over a link for the timeout, although we
// listened there and heard the machine elsewhere for all of that time.
func (t *table) silent(p *peer, l *link, now time.Duration) bool {
	return l.shared && l.listening != unheard && t.within(p.heard, now) && !t.within(l.heard, now) &&
		now-max(l.listening, p.since, t.since) >= t.timeout
}

// judge gives the verdict on every machine at a moment.
func (t *table) judge(now time.Duration) []reconcile.Peer {
	verdicts := make([]reconcile.Peer, 0, len(t.peers))
	for _, p := range t.peers {
		v := reconcile.Peer{Name: p.name, State: t.state(p, now), BootID: p.session.boot, Status: p.status, LastWord: p.last, Links: make([]reconcile.PeerLink, 0, len(p.links))}
		for _, l := range p.links {
			v.Links = append(v.Links, reconcile.PeerLink{Network: l.network, Local: l.local, Remote: l.remote, Silent: t.silent(p, &l, now), Heard: t.within(l.heard, now), Age: age(l.heard, now), Hears: t.within(l.hears, now)})
		}
		verdicts = append(verdicts, v)
	}
	return verdicts
}

// age is the time since at, negative if it never happened.
func age(at, now time.Duration) time.Duration {
	if at == unheard {
		return -1
	}
	return max(now-at, 0)
}

// news reports whether the verdict on any machine differs from what was told in
// anything but ages.
func (t *table) news(now time.Duration) bool {
	return slices.ContainsFunc(t.peers, func(p *peer) bool { return t.newsOf(p, now) })
}

func (t *table) newsOf(p *peer, now time.Duration) bool {
	if p.dirty || t.state(p, now) != p.told.State || p.session.boot != p.told.BootID {
		return true
	}
	for i := range p.links {
		l, told := &p.links[i], &p.told.Links[i]
		if t.within(l.heard, now) != told.Heard || t.within(l.hears, now) != told.Hears || t.silent(p, l, now) != told.Silent {
			return true
		}
	}
	return false
}

// next is the earliest moment after now at which something runs out if nothing
// more is heard; unheard if there is none.
func (t *table) next(now time.Duration) time.Duration {
	next := unheard
	expires := func(at time.Duration) {
		if at != unheard && at+t.timeout > now && (next == unheard || at+t.timeout < next) {
			next = at + t.timeout
		}
	}
	expires(t.since)
	for _, p := range t.peers {
		expires(p.heard)
		if p.known {
			expires(p.since)
		}
		for i := range p.links {
			expires(p.links[i].listening)
			expires(p.links[i].heard)
			expires(p.links[i].hears)
		}
		for i := range p.hearsay {
			expires(p.hearsay[i].at)
		}
	}
	return next
}

// pause takes a gap in which this process did not run out of every silence that
// is not yet complete: whoever was not silent when it began gets a whole timeout
// from now on.
func (t *table) pause(began, now time.Duration) {
	fresh := func(at *time.Duration) {
		if t.within(*at, began) {
			*at = max(*at, now)
		}
	}
	if began-t.since < t.timeout {
		t.since = now
	}
	for _, p := range t.peers {
		fresh(&p.heard)
		p.since = max(p.since, now)
		for i := range p.links {
			if l := &p.links[i]; l.listening != unheard {
				l.listening = now
			}
			fresh(&p.links[i].heard)
			fresh(&p.links[i].hears)
		}
		for i := range p.hearsay {
			fresh(&p.hearsay[i].at)
		}
	}
}
