package lease_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"understudy/config"
	"understudy/reconcile"
	"understudy/reconcile/lease/leasetest"
)

// fault is one thing that happens to one machine, some time after the previous.
type fault struct {
	After time.Duration
	Node  int
	What  string
	Slow  int // weather: a call is delayed by up to this many ms each way
	Lossy int // weather: percent of requests, and of replies, that are lost
}

func faults(t *rapid.T) []fault {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) fault {
		return fault{
			After: time.Duration(rapid.IntRange(1, 3000).Draw(t, "after")) * time.Millisecond,
			Node:  rapid.IntRange(0, 1).Draw(t, "node"),
			What:  rapid.SampledFrom([]string{"cut", "heal", "crash", "boot", "release", "release", "weather", "weather"}).Draw(t, "what"),
			Slow:  rapid.SampledFrom([]int{0, 20, 900, 4000}).Draw(t, "slow"),
			Lossy: rapid.SampledFrom([]int{0, 10, 50}).Draw(t, "lossy"),
		}
	}), 5, 25).Draw(t, "faults")
}

// machine is a host that wants the group whenever it may have it.
type machine struct {
	*host
	boot  string
	alive bool
	wish  chan struct{} // let the group go in order

	mu        sync.Mutex
	releasing uint64 // the epoch that is being signed off right now
}

// world is two machines and the truth about them.
type world struct {
	t     *testing.T
	times config.Lease
	store *leasetest.Store
	rng   *rand.Rand

	mu       sync.Mutex
	machines [2]*machine
	boots    [2]int
	dead     map[string]bool // boots that have ended
	taken    int             // how often the group changed hands
	bad      error
}

var nodes = [2]string{"alpha", "beta"}

func (w *world) fail(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.bad == nil {
		w.bad = fmt.Errorf(format, args...)
	}
}

// boot starts a machine and the loop on it; both end when the machine crashes.
func (w *world) boot(i int) {
	w.boots[i]++
	m := &machine{boot: fmt.Sprintf("%s-%d", nodes[i], w.boots[i]), alive: true, wish: make(chan struct{}, 1)}
	m.host = startWith(w.t, w.store, w.times, nodes[i], m.boot)
	w.mu.Lock()
	w.machines[i] = m
	w.mu.Unlock()
	ctx, cancel := context.WithCancel(w.t.Context())
	stopped := make(chan struct{})
	go func() { defer close(stopped); w.live(ctx, m) }()
	keeper := m.stop
	m.stop = func() { cancel(); <-stopped; keeper() }
}

func (w *world) crash(i int) {
	m := w.machines[i]
	if m == nil {
		return
	}
	w.mu.Lock()
	m.alive = false // nothing runs there from this moment on
	w.dead[m.boot] = true
	w.machines[i] = nil
	w.mu.Unlock()
	m.stop()
}

// live is the loop of a machine: it takes the group when it has evidence.
func (w *world) live(ctx context.Context, m *machine) {
	for {
		wish := false
		select {
		case <-ctx.Done():
			return
		case <-m.Changes():
		case <-m.wish:
			wish = true
		case <-time.After(250 * time.Millisecond):
		}
		v := m.View()
		if !v.OK() || !m.valid() {
			continue
		}
		c := v.Value.Claims["g"]
		try, cancel := context.WithTimeout(ctx, time.Second)
		switch {
		case c.BootID == m.boot && !c.Released:
			if wish {
				m.set(c.Epoch)
				_ = m.SignOff(try, "g", c.Epoch)
				m.set(0)
			}
		case wish:
		case c.Epoch == 0:
			w.take(try, m, first("g"))
		case c.Released:
			w.take(try, m, after(c, reconcile.EvidenceReleased))
		case !w.ended(c.BootID):
		case c.Epoch%2 == 0:
			w.take(try, m, after(c, reconcile.EvidenceRebooted))
		default:
			_ = m.RecordFence(try, reconcile.FenceRecord{Node: c.Holder, BootID: c.BootID, By: m.boot})
			w.take(try, m, after(c, reconcile.EvidenceFenced))
		}
		cancel()
	}
}

func (m *machine) set(epoch uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.releasing = epoch
}

func (w *world) ended(boot string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.dead[boot]
}

func (w *world) take(ctx context.Context, m *machine, step reconcile.TakeClaim) {
	c, err := m.Take(ctx, step)
	if err != nil {
		return
	}
	w.mu.Lock()
	w.taken++
	w.mu.Unlock()
	if v := m.View(); v.OK() && v.Value.Claims["g"].Revision < c.Revision {
		w.fail("taken at revision %d and not in the view", c.Revision)
	}
}

// believes reports whether a machine may act as the holder at this moment.
func (m *machine) believes() bool {
	v := m.View()
	if !m.alive || !m.valid() || !v.OK() {
		return false
	}
	c := v.Value.Claims["g"]
	m.mu.Lock()
	defer m.mu.Unlock()
	return c.BootID == m.boot && !c.Released && c.Epoch != m.releasing
}

// watch checks at one moment what must hold at every moment.
func (w *world) watch() {
	w.mu.Lock()
	machines := w.machines
	w.mu.Unlock()
	var who []string
	for i, m := range machines {
		if m == nil {
			continue
		}
		if m.believes() {
			who = append(who, m.boot)
		}
		l := m.Lease()
		if l.Left(time.Now()) <= 0 {
			continue
		}
		boot, expiry, ok := w.store.Expiry(nodes[i])
		if !ok || boot != m.boot {
			w.fail("%s believes in its lease for %s more, and the store has ended it", m.boot, l.Left(time.Now()))
		} else if l.Until.After(expiry) {
			w.fail("the own deadline of %s is %s after the store's", m.boot, l.Until.Sub(expiry))
		}
	}
	if len(who) > 1 {
		w.fail("two holders: %v", who)
	}
}

// apply makes one fault happen.
func (w *world) apply(f fault) {
	m := w.machines[f.Node]
	if m == nil && f.What != "boot" {
		return
	}
	switch f.What {
	case "cut":
		m.link.Cut()
	case "heal":
		m.link.Heal()
	case "crash":
		w.crash(f.Node)
	case "boot":
		w.crash(f.Node)
		w.boot(f.Node)
	case "release":
		select {
		case m.wish <- struct{}{}:
		default:
		}
	case "weather":
		m.link.Fate(func(string) leasetest.Fate {
			w.mu.Lock()
			defer w.mu.Unlock()
			var fate leasetest.Fate
			if f.Slow > 0 {
				fate.Request = time.Duration(w.rng.IntN(f.Slow)) * time.Millisecond
				fate.Reply = time.Duration(w.rng.IntN(f.Slow)) * time.Millisecond
			}
			fate.LoseRequest = w.rng.IntN(100) < f.Lossy
			fate.LoseReply = w.rng.IntN(100) < f.Lossy
			return fate
		})
	}
}

// Two machines never believe at once that they hold the group, and neither
// believes in its lease for longer than the store, whatever happens to their
// links and to them.
func TestNeverTwoHolders(t *testing.T) {
	if f := flag.Lookup("rapid.checks"); f != nil && f.Value.String() == f.DefValue {
		if err := flag.Set("rapid.checks", checks); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = flag.Set("rapid.checks", f.DefValue) })
	}
	handovers := 0
	rapid.Check(t, func(rt *rapid.T) {
		script := faults(rt)
		times := config.Lease{
			TTL:    time.Duration(rapid.IntRange(2500, 6000).Draw(rt, "ttl")) * time.Millisecond,
			Renew:  time.Duration(rapid.IntRange(300, 1200).Draw(rt, "renew")) * time.Millisecond,
			Margin: time.Duration(rapid.IntRange(1, 1000).Draw(rt, "margin")) * time.Millisecond,
		}
		seed := rapid.Uint64().Draw(rt, "seed")
		var bad error
		synctest.Test(t, func(t *testing.T) {
			w := &world{t: t, times: times, store: leasetest.New(), rng: rand.New(rand.NewPCG(seed, 0)), dead: map[string]bool{}}
			w.boot(0)
			w.boot(1)
			for _, f := range script {
				w.until(f.After)
				w.apply(f)
			}
			w.until(3 * times.TTL)
			// In good weather somebody serves again.
			for i, m := range w.machines {
				if m == nil {
					w.boot(i)
				} else {
					m.link.Heal()
					m.link.Fate(nil)
				}
			}
			w.until(3 * times.TTL)
			if n := w.holders(); n != 1 {
				w.fail("%d holders after the weather has cleared: %+v", n, w.store.Claim("g"))
			}
			for i := range w.machines {
				w.crash(i)
			}
			w.store.Wait()
			bad, handovers = w.bad, handovers+w.taken
		})
		if bad != nil {
			rt.Fatal(bad)
		}
	})
	if handovers < 60 {
		t.Errorf("only %d claims were taken in all runs: the test has lost its teeth", handovers)
	}
}

func (w *world) holders() (n int) {
	for _, m := range w.machines {
		if m != nil && m.believes() {
			n++
		}
	}
	return n
}

// until lets time pass and looks every few milliseconds.
func (w *world) until(d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); {
		time.Sleep(17 * time.Millisecond)
		w.watch()
	}
}
