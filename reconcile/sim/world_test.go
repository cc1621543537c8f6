package sim

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"understudy/config"
	"understudy/reconcile/lease/leasetest"
)

// world is the truth: what the hosts, wires and disks are, whatever a node thinks
// of them. One mutex guards all of it; nothing waits while it is held.
type world struct {
	*dice
	cfg   *config.Config
	store *leasetest.Store
	dir   string // folders of the hosts' own disks
	began time.Time
	life  sync.WaitGroup // of every goroutine but those that wait for a moment

	mu       sync.Mutex
	hosts    []*host
	witness  *voter
	cut      map[wire]bool    // nothing passes from one machine to another
	trouble  trouble          // never changed
	mended   atomic.Bool      // there is none of it any more
	disks    map[string]*disk // by device
	log      []string
	wrong    []string             // what must not have happened
	over     bool                 // nothing happens any more
	answered map[string][]string  // group -> lines, in order
	served   map[string]time.Time // group -> its last answer
	outages  []time.Duration      // between two answers, those over 100 ms
	fenced   int
	moved    map[string]int // group -> how often it was taken
}

// wire is one direction between two machines on one network.
type wire struct{ from, to, network string }

// trouble is how likely the small mishaps are, as one in n; zero: never.
type trouble struct {
	loss, repeat, slowMail           uint64 // of keep-alives
	loseRequest, loseReply, slowCall uint64 // of calls to the store
	stepFails, stepHangs, halfDone   uint64 // of steps on the host
	blind                            uint64 // a look cannot read something
	fenceFails, fenceHangs           uint64
	lingers                          uint64 // an unmount that leaves the device in use
}

// disk is shared storage: what is on the platters, and who has it.
type disk struct {
	lines []string          // every line that reached it, in order
	files map[string]string // what a run leaves behind -> the boot that left it
}

// voter is the witness: it hears and is heard.
type voter struct {
	up  bool
	ear *ear
}

func (w *world) host(name string) *host {
	for _, h := range w.hosts {
		if h.name == name {
			return h
		}
	}
	return nil
}

// say adds a line to the timeline. The mutex is held.
func (w *world) say(who, format string, args ...any) {
	w.log = append(w.log, fmt.Sprintf("%9.3f  %-7s  %s", time.Since(w.began).Seconds(), who, fmt.Sprintf(format, args...)))
}

// bad records what must not have happened. The mutex is held.
func (w *world) bad(who, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	w.say(who, "VIOLATION: %s", text)
	w.wrong = append(w.wrong, text)
}

func (w *world) note(who, format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.say(who, format, args...)
}

// timeline is all that happened, for a person.
func (w *world) timeline() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.log, "\n")
}

// passes reports whether a packet sent now arrives. The mutex is held.
func (w *world) passes(from, to, network string) bool {
	return w.runs(from) && w.runs(to) && !w.cut[wire{from, to, network}] && !w.dark(from, network) && !w.dark(to, network)
}

// dark reports whether a host's link has no carrier. The mutex is held.
func (w *world) dark(name, network string) bool {
	h := w.host(name)
	return h != nil && h.dark[network]
}

// runs reports whether a machine is up and not frozen. The mutex is held.
func (w *world) runs(name string) bool {
	if h := w.host(name); h != nil {
		return h.up && !h.frozen
	}
	return w.witness.up
}

// reach reports whether two machines can talk both ways on any network. The mutex
// is held.
func (w *world) reach(a, b string) bool {
	if a == b {
		return w.runs(a)
	}
	for _, n := range w.cfg.Networks {
		if w.passes(a, b, n.Name) && w.passes(b, a, n.Name) {
			return true
		}
	}
	return false
}

// connect gives each host its way to the store, as a majority of the machines that
// can talk with it and with each other allows. The mutex is held.
func (w *world) connect() {
	all := []string{"witness"}
	for _, h := range w.hosts {
		all = append(all, h.name)
	}
	for _, h := range w.hosts {
		n := 0
		for _, m := range all {
			if w.reach(h.name, m) {
				n++
			}
		}
		if 2*n > len(all) {
			h.link.Heal()
			h.cutSince = time.Time{}
		} else if h.cutSince.IsZero() {
			h.link.Cut()
			h.cutSince = time.Now()
		}
	}
}
