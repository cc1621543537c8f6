package sim

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var (
	seeds = flag.Int("seeds", 30, "how many runs the search makes")
	first = flag.Uint64("seed", 1, "the first seed; with -seeds 1 a run is made again")
	kind  = flag.String("kind", "", "clusters of this kind only: two or three, disk or memory, lies or honest, slow")
	plant = flag.String("planted", "the fence is skipped", "plant the bugs whose names have this in them, or all, and find each")
	until = flag.String("until", "", "make no more runs once one has shown a violation with this in it")
	told  = flag.Bool("timeline", false, "print the timeline of every run")
	book  = flag.String("book", "", "a file to which each run that fails is added at once, and how far the search is")
)

// lasts is how long faults happen in a run, and returns the bound for what comes
// after: the service must be whole that long after everything is mended. A host that
// stood at the barrier and stays off is given time to boot before it is fenced.
const (
	lasts    = 2 * time.Minute
	returns  = 90 * time.Second
	patience = 3 * time.Minute
)

// run is one run: start, faults, mending, and the look at what is left.
func (w *world) run() {
	stop, quiet := make(chan struct{}), make(chan struct{})
	for _, h := range w.hosts {
		w.apart("begin/" + h.name)
		w.mu.Lock()
		h.on()
		w.mu.Unlock()
	}
	if w.witness != nil {
		w.life.Go(func() { w.vote(stop) })
	}
	w.life.Go(func() { w.client(stop) })
	var faults sync.WaitGroup
	faults.Go(func() { w.chaos(quiet) })
	time.Sleep(lasts)
	close(quiet)
	faults.Wait()
	bound := w.heal()
	healed := time.Now()
	why := w.rested()
	for ; why != "" && time.Since(healed) < bound; why = w.rested() {
		time.Sleep(time.Second)
		w.apart("tend")
		w.tend()
	}
	w.mu.Lock()
	if why != "" {
		w.bad("world", "%s after everything is mended: %s", bound, why)
	}
	for i, g := range w.cfg.Groups {
		if lost := w.lost(i); len(lost) > 0 {
			w.damaged("world", g.Name, "%d acknowledged lines of %s are lost, the first %s", len(lost), g.Name, lost[0])
		}
	}
	w.over = true
	for _, h := range w.hosts {
		h.goOn()
		h.end()
	}
	w.mu.Unlock()
	close(stop)
	w.life.Wait()
	time.Sleep(time.Minute) // what hangs at the disk comes back
	if m, ok := w.vault.(*memory); ok {
		m.Wait()
	}
}

// result is what one run showed, or all of them.
type result struct {
	wrong, blamed []string
	timeline      string
	stats         map[string]int
	moved         int
	answered      int
	outages       []time.Duration
	virtual       time.Duration
}

func (r *result) add(o result) {
	r.moved += o.moved
	r.answered += o.answered
	r.virtual += o.virtual
	r.outages = append(r.outages, o.outages...)
	r.wrong = append(r.wrong, o.wrong...)
	r.blamed = append(r.blamed, o.blamed...)
	if r.stats == nil {
		r.stats = map[string]int{}
	}
	for k, n := range o.stats {
		r.stats[k] += n
	}
}

// figures are for the record.
func (r *result) figures(runs int, took time.Duration) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d runs, %.1f hours in virtual time, in %s\n", runs, r.virtual.Hours(), took.Round(time.Second))
	slices.Sort(r.outages)
	if n := len(r.outages); n > 0 {
		fmt.Fprintf(&b, "%d takings, %d fences, %d answers, %d outages (median %s, p99 %s)\n", r.moved, r.stats["fences"], r.answered,
			n, r.outages[n/2].Round(time.Millisecond), r.outages[n*99/100].Round(time.Millisecond))
	}
	fmt.Fprintf(&b, "%d violations; %d more after lies, from the boots that the lies were about\n", len(r.wrong), len(r.blamed))
	for _, k := range slices.Sorted(maps.Keys(r.stats)) {
		fmt.Fprintf(&b, "%10d %s\n", r.stats[k], k)
	}
	return b.String()
}

func simulate(t *testing.T, seed uint64) (r result) {
	t.Helper()
	dir := scratch(t)
	synctest.Test(t, func(t *testing.T) {
		w, err := newWorld(seed, dir)
		if err != nil {
			t.Fatal(err)
		}
		w.run()
		r = result{wrong: w.wrong, blamed: w.blamed, timeline: w.timeline(), outages: w.outages, stats: w.stats, virtual: time.Since(w.began)}
		for _, g := range w.cfg.Groups {
			r.moved += w.moved[g.Name]
			r.answered += len(w.answered[g.Name])
		}
	})
	return r
}

// scratch is a folder in memory where there is one: the hosts' own disks are
// synced at every change.
func scratch(t *testing.T) string {
	dir, err := os.MkdirTemp("/dev/shm", "sim")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func TestSimulation(t *testing.T) {
	oneProcessor(t)
	var all result
	found, runs := false, 0
	began := time.Now()
	t.Cleanup(func() { t.Log(all.figures(*seeds, time.Since(began))) })
	for i := range *seeds {
		seed := *first + uint64(i)
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			if found {
				return
			}
			r := simulate(t, seed)
			text := fmt.Sprintf("%s\n\nagain: go test ./reconcile/sim -run Simulation -seeds 1 -seed %d%s\n\n%s", strings.Join(r.wrong, "\n"), seed, again(), r.timeline)
			if len(r.wrong) > 0 {
				found = *until != "" && slices.ContainsFunc(r.wrong, func(s string) bool { return strings.Contains(s, *until) })
				t.Error(text)
			} else if *told {
				t.Log(r.timeline)
			}
			all.add(r)
			if runs++; *book != "" && (len(r.wrong) > 0 || runs%50 == 0) {
				write(t, text, len(r.wrong) > 0, all.figures(runs, time.Since(began)))
			}
		})
	}
}

// write adds to the book.
func write(t *testing.T, text string, failed bool, figures string) {
	f, err := os.OpenFile(*book, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		t.Error(err)
		return
	}
	defer f.Close()
	if failed {
		fmt.Fprintln(f, text)
	}
	fmt.Fprintln(f, figures)
}

// again is what of the flags makes a run what it is.
func again() string {
	if *kind == "" {
		return ""
	}
	return fmt.Sprintf(" -kind %q", *kind)
}
