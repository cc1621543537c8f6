package sim

import (
	"strconv"
	"time"

	"understudy/reconcile"
)

// ear is what a machine has heard of the others, and when: the verdicts of
// package observers/peers, without its packets. Moments are of the world's clock.
type ear struct {
	w       *world
	owner   string
	since   time.Time
	heard   map[string]map[string]time.Time // machine -> network -> last packet
	hears   map[string]map[string]time.Time // machine -> network -> when it last heard us there, by its word
	last    map[string]mail                 // machine -> its latest packet
	hearsay map[string]map[string]time.Time // machine -> whom it heard, and when
}

// mail is one keep-alive.
type mail struct {
	from, boot string
	n          int // counts up within a process
	sent       time.Time
	status     reconcile.NodeStatus
	heard      map[string]time.Time            // latest, by machine
	on         map[string]map[string]time.Time // by machine and network
}

func newEar(w *world, owner string) *ear {
	return &ear{
		w: w, owner: owner, since: time.Now(), heard: map[string]map[string]time.Time{}, hears: map[string]map[string]time.Time{},
		last: map[string]mail{}, hearsay: map[string]map[string]time.Time{},
	}
}

// take hears one packet. An old one of the same boot, and one of a boot that a
// later one has replaced, says nothing.
func (e *ear) take(m mail, network string) {
	if l := e.last[m.from]; l.from != "" && !m.sent.After(l.sent) && !(m.boot == l.boot && m.sent.Equal(l.sent) && m.n >= l.n) {
		return
	}
	if e.heard[m.from] == nil {
		e.heard[m.from], e.hears[m.from] = map[string]time.Time{}, map[string]time.Time{}
	}
	e.heard[m.from][network] = time.Now()
	e.hears[m.from] = m.on[e.owner]
	e.last[m.from], e.hearsay[m.from] = m, m.heard
}

func (e *ear) within(at time.Time) bool {
	return !at.IsZero() && time.Since(at) < e.w.cfg.Keepalive.Timeout
}

func (e *ear) latest(machine string) (at time.Time) {
	for _, t := range e.heard[machine] {
		if t.After(at) {
			at = t
		}
	}
	return at
}

func (e *ear) state(machine string) reconcile.PeerState {
	if e.within(e.latest(machine)) {
		return reconcile.PeerHeard
	}
	for other, heard := range e.hearsay {
		if other != machine && e.within(e.latest(other)) && e.within(heard[machine]) {
			return reconcile.PeerDistant
		}
	}
	if time.Since(e.since) < e.w.cfg.Keepalive.Timeout {
		return reconcile.PeerUnknown
	}
	return reconcile.PeerSilent
}

// peers is what the snapshot says of the others.
func (e *ear) peers() []reconcile.Peer {
	var out []reconcile.Peer
	for _, name := range e.w.machines() {
		if name == e.owner {
			continue
		}
		p := reconcile.Peer{Name: name, State: e.state(name), BootID: e.last[name].boot, Status: e.last[name].status}
		for _, n := range e.w.cfg.Networks {
			at := e.heard[name][n.Name]
			p.Links = append(p.Links, reconcile.PeerLink{Network: n.Name, Heard: e.within(at), Age: age(at), Hears: e.within(e.hears[name][n.Name])})
		}
		out = append(out, p)
	}
	return out
}

func age(at time.Time) time.Duration {
	if at.IsZero() {
		return -1
	}
	return time.Since(at)
}

// post sends a keep-alive to everybody on every network. The mutex is held.
func (w *world) post(m mail, e *ear) {
	m.heard, m.on = map[string]time.Time{}, map[string]map[string]time.Time{}
	for name, on := range e.heard {
		m.heard[name] = e.latest(name)
		m.on[name] = map[string]time.Time{}
		for n, at := range on {
			m.on[name][n] = at
		}
	}
	for _, to := range w.machines() {
		for _, n := range w.cfg.Networks {
			if to == m.from {
				continue
			}
			key := "mail/" + m.from + "/" + to + "/" + n.Name + "/" + strconv.Itoa(m.n)
			if !w.passes(m.from, to, n.Name) {
				continue
			}
			if w.chance(key+"/loss", w.mishaps().loss) {
				w.count("keep-alives lost")
				continue
			}
			copies := []string{key}
			if w.chance(key+"/repeat", w.mishaps().repeat) {
				copies = append(copies, key+"/again")
				w.count("keep-alives repeated")
			}
			for _, key := range copies {
				late := w.between(key, 100*time.Microsecond, 3*time.Millisecond)
				if w.chance(key+"/slow", w.mishaps().slowMail) {
					late += w.between(key+"/slow by", 0, w.cfg.Keepalive.Timeout)
					w.count("keep-alives that were slow and overtaken")
				}
				time.AfterFunc(late, func() { w.deliver(m, to, n.Name) })
			}
		}
	}
}

// deliver hands a packet over, if the machine runs and the wire is still whole.
func (w *world) deliver(m mail, to, network string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over || !w.runs(to) || w.cut[wire{m.from, to, network}] || w.dark(to, network) {
		return
	}
	if to == "witness" {
		w.witness.ear.take(m, network)
		return
	}
	p := w.host(to).process
	if p == nil {
		return
	}
	before := p.ear.peers()
	p.ear.take(m, network)
	if now := p.ear.peers(); changed(before, now) {
		p.listen(now)
		p.poke()
	}
}

// changed reports whether two verdicts differ in more than ages.
func changed(a, b []reconcile.Peer) bool {
	for i := range a {
		if a[i].State != b[i].State || a[i].BootID != b[i].BootID || !sameStatus(a[i].Status, b[i].Status) {
			return true
		}
	}
	return false
}

// vote is the witness's life: it sends keep-alives as everybody does.
func (w *world) vote(stop <-chan struct{}) {
	tick := time.NewTicker(w.cfg.Keepalive.Interval + 7*time.Nanosecond)
	defer tick.Stop()
	for n := 1; ; n++ {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		w.mu.Lock()
		if w.witness.up {
			w.post(mail{from: "witness", boot: "witness-1", n: n, sent: time.Now(), status: reconcile.NodeStatus{}}, w.witness.ear)
		}
		w.mu.Unlock()
	}
}
