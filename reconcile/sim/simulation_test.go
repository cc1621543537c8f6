package sim

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"understudy/config"
	"understudy/reconcile"
	"understudy/reconcile/lease/leasetest"
)

var (
	seeds = flag.Int("seeds", 60, "how many runs the search makes")
	first = flag.Uint64("seed", 1, "the first seed; with -seeds 1 a run is made again")
	plant = flag.String("planted", "the fence is skipped", "plant the bugs whose names have this in them, or all, and find each")
	stop  = flag.Bool("stop", false, "make no more runs once one has failed")
	told  = flag.Bool("timeline", false, "print the timeline of every run")
)

// lasts is how long faults happen in a run, and returns the bound for what comes
// after: the service must be whole that long after everything is mended.
const (
	lasts   = 2 * time.Minute
	returns = 90 * time.Second
)

const base = `
cluster = "sim"
key_file = "/etc/understudy/cluster.key"
%s
[witness]
addresses = { public = "10.7.0.13/24", storage = "10.8.0.13/24" }
[node.alpha]
addresses = { public = "10.7.0.11/24", storage = "10.8.0.11/24" }
fence = { agent = "fence_sim", timeout = "10s" }
[node.beta]
addresses = { public = "10.7.0.12/24", storage = "10.8.0.12/24" }
fence = { agent = "fence_sim", timeout = "10s" }
[group.files]
policy = "cascading"
nodes = ["alpha", "beta"]
failovers = 0
%s
[[group.files.address]]
label = "files"
prefix = "10.7.0.50/24"
network = "public"
[[group.files.filesystem]]
mount = "/srv/files"
device = "/dev/files"
type = "ext4"
[[group.files.application]]
name = "server"
run = ["/bin/server"]
purge = [{ path = "/srv/files/map" }]
[group.cell]
policy = "rotating"
nodes = ["beta", "alpha"]
hostname = "cell"
%s
[[group.cell.address]]
label = "cell"
prefix = "10.7.0.51/24"
network = "public"
[[group.cell.filesystem]]
mount = "/srv/cell"
device = "/dev/cell"
type = "ext4"
[[group.cell.application]]
name = "daemon"
start = ["/bin/up"]
stop = ["/bin/down"]
daemons = [{ name = "one", exe = "/bin/one" }, { name = "two", exe = "/bin/two" }]
purge = [{ path = "/srv/cell/map" }]
[group.dfs]
policy = "cascading"
nodes = ["beta", "alpha"]
failovers = 0
%s
[[group.dfs.address]]
label = "dfs"
prefix = "10.7.0.52/24"
network = "public"
[[group.dfs.filesystem]]
mount = "/srv/dfs"
device = "/dev/dfs"
type = "ext4"
[[group.dfs.application]]
name = "exporter"
start = ["/bin/up"]
stop = ["/bin/down"]
daemons = [{ name = "export", exe = "/bin/export" }]
purge = [{ path = "/srv/dfs/map" }]
reboot_to_release = true
[[hook]]
name = "quiesce"
event = "release"
when = "pre"
group = "files"
command = ["/bin/quiesce"]
[[hook]]
name = "check"
event = "acquire"
when = "pre"
group = "cell"
command = ["/bin/check"]
on_failure = "stop"
[[hook]]
name = "page"
event = "acquire"
group = "dfs"
command = ["/bin/page"]
`

// newWorld makes the world of a seed: the seed also chooses timers and policies,
// and which mishaps are frequent.
func newWorld(seed uint64, dir string) (*world, error) {
	d := newDice(seed)
	timers := []string{"", "[lease]\nttl = \"3s\"\nmargin = \"600ms\"\nrenew = \"300ms\"\nrequest = \"500ms\"\n[keepalive]\ninterval = \"50ms\"\ntimeout = \"250ms\"\n"}[d.pick("timers", 2)]
	policy := []string{"", "fallback = \"never\"", "on_release_failure = \"self-fence\"", "settle = \"0s\""}[d.pick("policy", 4)]
	reboot := []string{"", "reboot = \"automatic\"", "fallback = \"never\""}[d.pick("reboot", 3)]
	budget := []string{"failovers = 0", "failovers = 2"}[d.pick("budget", 2)]
	cfg, err := config.Parse("sim.toml", fmt.Appendf(nil, base, timers, policy, budget, reboot))
	if err != nil {
		return nil, err
	}
	w := &world{
		dice: d, cfg: cfg, store: leasetest.New(), dir: dir, began: time.Now(), witness: &voter{up: true},
		cut: map[wire]bool{}, disks: map[string]*disk{}, moved: map[string]int{},
		answered: map[string][]string{}, served: map[string]time.Time{},
	}
	rate := func(what string, usual uint64) uint64 { // never, rarely, or often
		return []uint64{0, usual * 8, usual}[d.pick(what, 3)]
	}
	w.trouble = trouble{
		loss: rate("loss", 10), repeat: rate("repeat", 10), slowMail: rate("slow mail", 10),
		loseRequest: rate("request", 20), loseReply: rate("reply", 20), slowCall: rate("slow call", 20),
		stepFails: rate("step fails", 12), stepHangs: rate("step hangs", 25), halfDone: rate("half", 2), blind: rate("blind", 20),
		fenceFails: rate("fence fails", 3), fenceHangs: rate("fence hangs", 6), lingers: rate("lingers", 6),
	}
	for _, g := range cfg.Groups {
		for _, fs := range g.Filesystems {
			w.disks[fs.Device] = &disk{files: map[string]string{}}
		}
	}
	for _, n := range cfg.Nodes {
		h := &host{
			w: w, name: n.Name, link: w.store.Client(), dir: filepath.Join(dir, n.Name), dark: map[string]bool{},
			mounts: map[string]*view{}, lingers: map[string]bool{}, addrs: map[string]bool{}, apps: map[string]string{}, dirty: map[string]string{},
		}
		if err := os.MkdirAll(h.dir, 0o700); err != nil {
			return nil, err
		}
		h.link.Fate(w.fate(h))
		w.hosts = append(w.hosts, h)
	}
	w.witness.ear = newEar(w, "witness")
	return w, nil
}

// run is one run: start, faults, mending, and the look at what is left.
func (w *world) run() {
	stop, quiet := make(chan struct{}), make(chan struct{})
	w.mu.Lock()
	for _, h := range w.hosts {
		h.on()
	}
	w.mu.Unlock()
	w.life.Go(func() { w.vote(stop) })
	w.life.Go(func() { w.client(stop) })
	var faults sync.WaitGroup
	faults.Go(func() { w.chaos(quiet) })
	time.Sleep(lasts)
	close(quiet)
	faults.Wait()
	w.heal()
	healed := time.Now()
	why := w.rested()
	for ; why != "" && time.Since(healed) < returns; why = w.rested() {
		time.Sleep(time.Second)
		w.clear()
	}
	w.mu.Lock()
	if why != "" {
		w.bad("world", "%s after everything is mended: %s", returns, why)
	}
	for i := range w.cfg.Groups {
		if lost := w.lost(i); len(lost) > 0 {
			w.bad("world", "%d acknowledged lines of %s are lost, the first %s", len(lost), w.cfg.Groups[i].Name, lost[0])
		}
	}
	w.over = true
	for _, h := range w.hosts {
		h.end()
	}
	w.mu.Unlock()
	close(stop)
	w.life.Wait()
	w.store.Wait()
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

// clear is the person who looks at what needs one, once all is mended.
func (w *world) clear() {
	w.mu.Lock()
	var ps []*process
	for _, h := range w.hosts {
		if h.process != nil {
			ps = append(ps, h.process)
		}
	}
	w.mu.Unlock()
	for _, p := range ps {
		st := p.loop.State()
		if st == nil {
			continue
		}
		for _, g := range w.cfg.Groups {
			if c := st.Snapshot.Store.Value.Claims[g.Name]; c.Rehearsal == reconcile.RehearseHold && c.Holder == p.h.name && !c.Released {
				ctx, cancel := context.WithTimeout(context.Background(), time.Second)
				_ = p.keeper.Ask(ctx, reconcile.Request{Group: g.Name, To: c.Holder, By: "operator", Epoch: c.Epoch, At: time.Now()})
				cancel()
			}
			if d := st.Decisions[g.Name]; d.Status.Dirty && d.Phase == reconcile.Waiting && !d.Transition.To.Holds() {
				w.reboot(p.h)
			}
			if m := st.Snapshot.Memory[g.Name]; m.Failed != "" || m.Stuck != "" {
				ctx, cancel := context.WithTimeout(context.Background(), time.Second)
				_ = p.loop.Clear(ctx, g.Name)
				cancel()
			}
			if c, d := st.Snapshot.Store.Value.Claims[g.Name], st.Decisions[g.Name]; d.Phase == reconcile.Blocked && st.Snapshot.Store.OK() && len(d.Plan.Blocked) > 0 && strings.Contains(d.Plan.Blocked[0].Way, "understudy clear") {
				ctx, cancel := context.WithTimeout(context.Background(), time.Second)
				_ = p.keeper.Ask(ctx, reconcile.Request{
					Group: reconcile.OrderKey(reconcile.Clear, g.Name), To: g.Name, Order: reconcile.Clear, By: "a person",
					Epoch: c.Epoch, Lasts: reconcile.UntilCleared, At: time.Now(),
				})
				cancel()
			}
		}
	}
}

// reboot is the person who does what a barrier waits for.
func (w *world) reboot(h *host) {
	w.mu.Lock()
	defer w.mu.Unlock()
	h.off("a person reboots it")
	time.AfterFunc(10*time.Second, func() { w.mu.Lock(); defer w.mu.Unlock(); h.on() })
}

// result is what one run showed.
type result struct {
	wrong    []string
	timeline string
	fenced   int
	moved    int
	answered int
	outages  []time.Duration
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
		r = result{wrong: w.wrong, timeline: w.timeline(), fenced: w.fenced, outages: w.outages}
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
	var mu sync.Mutex
	var all result
	var failed atomic.Bool
	t.Cleanup(func() {
		slices.Sort(all.outages)
		if n := len(all.outages); n > 0 {
			t.Logf("%d runs of %s: %d takings, %d fences, %d answers, %d outages (median %s, p99 %s)", *seeds, lasts, all.moved, all.fenced, all.answered,
				n, all.outages[n/2].Round(time.Millisecond), all.outages[n*99/100].Round(time.Millisecond))
		}
	})
	for i := range *seeds {
		seed := *first + uint64(i)
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			t.Parallel()
			if *stop && failed.Load() {
				return
			}
			r := simulate(t, seed)
			if len(r.wrong) > 0 {
				failed.Store(true)
				t.Errorf("%s\n\nagain: go test ./reconcile/sim -run Simulation -seeds 1 -seed %d\n\n%s", strings.Join(r.wrong, "\n"), seed, r.timeline)
			} else if *told {
				t.Log(r.timeline)
			}
			mu.Lock()
			defer mu.Unlock()
			all.fenced += r.fenced
			all.moved += r.moved
			all.answered += r.answered
			all.outages = append(all.outages, r.outages...)
		})
	}
}
