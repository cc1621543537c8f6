package sim

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"understudy/config"
	"understudy/reconcile"
)

// world is the truth: what the hosts, wires and disks are, whatever a node thinks
// of them. One mutex guards all of it; nothing waits while it is held.
type world struct {
	*dice
	shape shape
	cfg   *config.Config
	vault vault
	dir   string         // folders of the hosts' own disks
	life  sync.WaitGroup // of every goroutine but those that wait for a moment

	mu       sync.Mutex
	hosts    []*host
	witness  *voter
	cut      map[wire]bool    // nothing passes from one machine to another
	trouble  trouble          // never changed
	mended   atomic.Bool      // there is none of it any more
	disks    map[string]*disc // by device
	log      []entry
	wrong    []string // what must not have happened
	blamed   []string // the same, and a lie is the reason
	over     bool     // nothing happens any more
	dead     *host    // stays off when all is mended; nil: none does
	answered map[string][]string
	served   map[string]time.Time // group -> its last answer
	outages  []time.Duration      // between two answers, those over 100 ms

	moved   map[string]int             // group -> how often it was taken
	judged  map[string]uint64          // group -> epoch of the latest claim that somebody acted on
	former  map[former]reconcile.Claim // the claim that was replaced
	lied    map[string]string          // boot -> what was said of it that is not so
	tainted map[string]string          // group -> a boot that it was taken from on such a word
	spoiled map[string]bool            // groups whose disks two hosts may have written since
	sick    map[string]bool            // group/host -> it does not start there
	orders  map[string]order           // in force for certain, by their key
	clears  map[string]uint64          // group -> epoch at which a person cleared it
	overs   map[string][]time.Time     // group -> takings after failures that count
	rests   map[string]bool            // boots that came to the barrier for no failure, by their own word

	statMu sync.Mutex
	stats  map[string]int
}

// entry is one line of the timeline.
type entry struct {
	at        time.Duration
	who, text string
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
	fenceLate                        uint64 // it fails, and acts later
	fenceLies                        uint64 // it confirms off, and the machine runs on
	lingers                          uint64 // an unmount that leaves the device in use
	slowDisk, diskFails              uint64 // of calls to the store's disk
}

// disc is shared storage: what is on the platters, and who has it.
type disc struct {
	lines []string          // every line that reached it, in order
	files map[string]string // what a run leaves behind -> the boot that left it
}

// voter is the witness: it hears and is heard.
type voter struct {
	up  bool
	ear *ear
}

// newWorld makes the world of a seed: the seed also chooses the shape of the cluster,
// timers and policies, and which mishaps are frequent.
func newWorld(seed uint64, dir string) (*world, error) {
	d := &dice{seed: seed, began: time.Now()}
	w := &world{
		dice: d, shape: newShape(d), dir: dir,
		cut: map[wire]bool{}, disks: map[string]*disc{}, answered: map[string][]string{}, served: map[string]time.Time{},
		moved: map[string]int{}, judged: map[string]uint64{}, former: map[former]reconcile.Claim{}, lied: map[string]string{}, tainted: map[string]string{}, spoiled: map[string]bool{},
		sick: map[string]bool{}, orders: map[string]order{}, clears: map[string]uint64{}, overs: map[string][]time.Time{}, rests: map[string]bool{}, stats: map[string]int{},
	}
	text := w.shape.text(d)
	var err error
	if w.cfg, err = config.Parse("sim.toml", []byte(text)); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, text)
	}
	w.setTrouble()
	w.vault = vault(nil)
	if !w.shape.disk {
		w.vault = newMemory(w)
	} else if w.vault, err = newOndisk(w); err != nil {
		return nil, err
	}
	for _, g := range w.cfg.Groups {
		for _, fs := range g.Filesystems {
			w.disks[fs.Device] = &disc{files: map[string]string{}}
		}
	}
	for _, n := range w.cfg.Nodes {
		h := &host{
			w: w, name: n.Name, dir: filepath.Join(dir, n.Name), dark: map[string]bool{},
			mounts: map[string]*view{}, lingers: map[string]bool{}, addrs: map[string]bool{}, apps: map[string]string{}, dirty: map[string]string{},
			rate: 1 + float64(w.pick("rate of "+n.Name, 5)-2)/2000,
		}
		h.dog = dog{h: h, late: 1 + float64(w.pick("dog of "+n.Name, 3))/2000}
		if err := os.MkdirAll(h.dir, 0o700); err != nil {
			return nil, err
		}
		w.hosts = append(w.hosts, h)
	}
	if !w.shape.disk && w.shape.nodes == 2 {
		w.witness = &voter{up: true, ear: newEar(w, "witness")}
	}
	w.say("world", "seed %d: %s, %s", seed, w.shape, w.policies())
	return w, nil
}

func (w *world) setTrouble() {
	rate := func(what string, usual uint64) uint64 { // never, rarely, or often
		return []uint64{0, usual * 8, usual}[w.pick(what, 3)]
	}
	w.trouble = trouble{
		loss: rate("loss", 10), repeat: rate("repeat", 10), slowMail: rate("slow mail", 10),
		loseRequest: rate("request", 20), loseReply: rate("reply", 20), slowCall: rate("slow call", 20),
		stepFails: rate("step fails", 12), stepHangs: rate("step hangs", 25), halfDone: rate("half", 2), blind: rate("blind", 20),
		fenceFails: rate("fence fails", 3), fenceHangs: rate("fence hangs", 6), fenceLate: rate("fence late", 6), lingers: rate("lingers", 6),
		slowDisk: rate("slow disk", 300), diskFails: rate("disk fails", 100),
	}
	if w.shape.slow {
		w.trouble.slowCall = 3
	}
	if w.shape.lies {
		w.trouble.fenceLies = 2
	}
}

// policies tells of each group what the seed chose.
func (w *world) policies() string {
	var out []string
	for _, g := range w.cfg.Groups {
		out = append(out, fmt.Sprintf("%s %s of %s budget %d", g.Name, g.Policy, strings.Join(g.Nodes, ">"), g.Failovers))
	}
	return fmt.Sprintf("ttl %s; %s", w.cfg.Lease.TTL, strings.Join(out, "; "))
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
	w.log = append(w.log, entry{time.Since(w.began), who, fmt.Sprintf(format, args...)})
}

func (w *world) note(who, format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.say(who, format, args...)
}

// bad records what must not have happened. The mutex is held.
func (w *world) bad(who, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	w.say(who, "VIOLATION: %s", text)
	w.wrong = append(w.wrong, text)
}

// timeline is all that happened, for a person. What happened at one moment has no
// order of its own.
func (w *world) timeline() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	log := slices.Clone(w.log)
	slices.SortStableFunc(log, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.who, b.who), cmp.Compare(a.text, b.text))
	})
	var b strings.Builder
	for _, e := range log {
		fmt.Fprintf(&b, "%10.6f  %-7s  %s\n", e.at.Seconds(), e.who, e.text)
	}
	return b.String()
}

// count counts a fault or another event for the figures. It needs no mutex.
func (w *world) count(what string) {
	w.statMu.Lock()
	defer w.statMu.Unlock()
	w.stats[what]++
}

func (w *world) countIf(yes bool, what string) {
	if yes {
		w.count(what)
	}
}

// after calls f when a time has passed and all goes on. The mutex is held then.
func (w *world) after(d time.Duration, f func()) {
	time.AfterFunc(d, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if !w.over {
			f()
		}
	})
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
	return w.witness != nil && w.witness.up
}

// machines are the nodes in file order, then the witness.
func (w *world) machines() []string {
	var out []string
	for _, n := range w.cfg.Nodes {
		out = append(out, n.Name)
	}
	if w.witness != nil || !w.shape.disk && w.shape.nodes == 2 {
		out = append(out, "witness")
	}
	return out
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

// connect gives each host its way to the store: in memory, as a majority of the
// machines that can talk with it allows; on a disk, as the path allows. The mutex is
// held.
func (w *world) connect() {
	all := w.machines()
	for _, h := range w.hosts {
		open := !h.pathless
		if !w.shape.disk {
			n := 0
			for _, m := range all {
				if w.reach(h.name, m) {
					n++
				}
			}
			open = 2*n > len(all)
		}
		w.vault.reach(h, open)
		if open {
			h.cutSince = time.Time{}
		} else if h.cutSince.IsZero() {
			h.cutSince = time.Now()
		}
	}
}
