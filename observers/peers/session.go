package peers

import (
	"crypto/rand"
	"slices"
	"time"
)

// retiredKept is how many ended sessions of one machine are remembered. A fresh
// challenge refuses older ones as well; the list is for sessions that still run.
const retiredKept = 64

// challenge is a random number that a session which is not in force must echo.
type challenge struct {
	value nonce
	born  time.Duration
}

// outcome is what a packet did.
type outcome int

const (
	refused   outcome = iota // nothing
	counted                  // the machine was heard
	admitted                 // the machine was heard, and its session came into force
	contested                // the sender must answer a fresh challenge: send it one now
	impostor                 // a session that cannot be in force: a second machine of that name?
)

// receive judges a packet whose signature, cluster and names are right.
func (t *table) receive(p *peer, l *link, k *packet, now time.Duration) outcome {
	switch {
	case p.known && k.session == p.session:
		if k.sequence <= l.sequence {
			return refused
		}
		t.count(p, l, k, now)
		return counted
	case slices.Contains(p.retired, k.session):
		return impostor
	case p.known && k.session.boot != p.session.boot && t.within(p.heard, now):
		// One boot follows another only after silence; a machine that is heard under
		// one boot id cannot have another at the same time.
		return impostor
	}
	fresh := p.challenge.value != nonce{} && now-p.challenge.born < 2*t.timeout
	if fresh && k.echo == p.challenge.value {
		if p.known {
			p.retired = append(p.retired, p.session)
			p.retired = p.retired[max(0, len(p.retired)-retiredKept):]
		}
		p.known, p.session, p.challenge, p.since = true, k.session, challenge{}, now
		p.hearsay, p.pieces = p.hearsay[:0], pieces{}
		for i := range p.links {
			p.links[i].sequence, p.links[i].hears = 0, unheard
		}
		t.count(p, l, k, now)
		return admitted
	}
	// Whoever cannot echo yet is told what to echo, and what it asks for is sent back.
	p.echo = k.challenge
	if !fresh {
		p.challenge = challenge{value: newNonce(), born: now}
		return contested
	}
	return refused
}

// count takes everything that an accepted packet says.
func (t *table) count(p *peer, l *link, k *packet, now time.Duration) {
	if !t.within(p.heard, now) {
		p.since = now
	}
	l.sequence, l.heard, p.heard = k.sequence, now, now
	p.echo = k.challenge
	for _, h := range k.hears {
		for i := range p.links {
			if own := &p.links[i]; own.shared && own.out == h.name && h.ok {
				own.hears = max(own.hears, now-h.age)
			}
		}
	}
	p.hearsay = p.hearsay[:0]
	for _, h := range k.heard {
		if h.ok && h.name != p.name {
			p.hearsay = append(p.hearsay, hearsay{h.name, now - h.age})
		}
	}
}

func newNonce() (n nonce) {
	_, _ = rand.Read(n[:]) // never fails
	return n
}
