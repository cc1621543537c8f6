package cmd_test

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"understudy/config"
	"understudy/reconcile"
	"understudy/reconcile/act/watchdog"
	"understudy/reconcile/lease"
	"understudy/reconcile/lease/disk"
)

// boundTimes are those of the worked example in the reference; every other seed has a
// watchdog of 30 s, so that the bound is longer than the ttl.
var boundTimes = config.Config{
	Lease: config.Lease{Store: config.StoreDisk, TTL: 20 * time.Second, Renew: time.Second, Request: time.Second, Margin: 9 * time.Second},
	Watchdog: config.Watchdog{Mode: config.WatchdogRequired, Device: "/dev/watchdog0", Timeout: 6 * time.Second, Release: 2 * time.Second,
		Fallback: config.FallbackNone, OnLeave: config.LeaveArmed},
}

// medium is the shared disk.
type medium struct {
	mu   sync.Mutex
	data []byte
}

// machine is the holder as it really is: a board whose watchdog counts, a path to the
// disk, and what it holds. It is frozen, cut off, killed, or reset.
type machine struct {
	disk  *medium
	began time.Time

	mu      sync.Mutex // guards what follows
	holds   bool
	path    error         // of every call to the disk
	slow    time.Duration // each call takes so long
	thaws   time.Time     // it stands still until then
	mute    bool          // the device does not count, and cannot be fed
	reset   time.Time     // zero: it was not
	timeout time.Duration
	fed     time.Time
	timer   *time.Timer
}

func (m *machine) clock() time.Duration { return time.Since(m.began) + time.Hour }

// still waits until the machine goes on. It is where all of its programs can be stopped.
func (m *machine) still() {
	for {
		m.mu.Lock()
		wait := time.Until(m.thaws)
		m.mu.Unlock()
		if wait <= 0 {
			return
		}
		time.Sleep(wait)
	}
}

func (m *machine) ReadAt(p []byte, off int64) (int, error) {
	return m.call(func(data []byte) int { return copy(p, data[off:]) })
}

func (m *machine) WriteAt(p []byte, off int64) (int, error) {
	return m.call(func(data []byte) int { return copy(data[off:], p) })
}

func (m *machine) call(f func(data []byte) int) (int, error) {
	m.still()
	m.mu.Lock()
	slow := m.slow
	m.mu.Unlock()
	time.Sleep(slow)
	m.still()
	m.mu.Lock()
	err := m.path
	if !m.reset.IsZero() {
		err = errors.New("it was reset")
	}
	m.mu.Unlock()
	if err != nil {
		return 0, err
	}
	m.disk.mu.Lock()
	defer m.disk.mu.Unlock()
	return f(m.disk.data), nil
}

func (m *machine) count() {
	m.fed = time.Now()
	if m.timer != nil {
		m.timer.Stop()
	}
	m.timer = time.AfterFunc(m.timeout, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if !m.mute && m.reset.IsZero() {
			m.reset, m.holds = time.Now(), false
		}
	})
}

// dog is the watchdog of the machine's board.
type dog struct{ *machine }

func (d dog) Support() (watchdog.Support, error) {
	return watchdog.Support{Identity: "board", SetTimeout: true, MagicClose: true}, nil
}
func (d dog) SetTimeout(t time.Duration) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.timeout = t
	d.count()
	return nil
}
func (d dog) Timeout() (time.Duration, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.timeout, nil
}
func (d dog) SetPretimeout(time.Duration) error { return watchdog.ErrNotSupported }
func (d dog) Left() (time.Duration, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return time.Until(d.fed.Add(d.timeout)).Truncate(time.Second), nil
}
func (d dog) Feed() watchdog.Errno {
	d.still() // it can be stopped between its look at the clock and the device
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.mute {
		return 5
	}
	d.count()
	return 0
}
func (d dog) Close(disarm bool) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if disarm {
		d.timer.Stop()
	}
	return nil
}
func (m *machine) Close() error { return nil }

// run is one life of the program on the holder.
type run struct {
	dog    *watchdog.Watchdog
	keeper *lease.Keeper
	end    func()
}

func (m *machine) run(ctx context.Context, t *testing.T, file string) *run {
	t.Helper()
	r := &run{}
	log := slog.New(slog.DiscardHandler)
	client := disk.NewClient(func() (disk.Device, error) { return m, nil }, disk.Options{
		Cluster: "c", Key: boundKey, Node: "x", Boot: "x1", Log: log, TTL: boundTimes.Lease.TTL, Limit: boundTimes.Lease.Request,
		Poll: boundTimes.Lease.Poll(), Settle: boundTimes.Lease.Request, WatchdogBound: boundTimes.WatchdogBound(),
		Guarded: func() time.Duration {
			if r.dog.Guards() {
				return boundTimes.WatchdogBound()
			}
			return 0
		},
	})
	r.keeper = lease.NewKeeper(client, boundTimes.Lease, "x", "x1", log).WithClock(m.clock)
	r.dog = watchdog.New(watchdog.Options{
		Config: boundTimes.Watchdog, Lease: func() reconcile.Lease { m.still(); return r.keeper.Lease() }, File: file, BootID: "x1", Log: log, Clock: m.clock,
		Sleep: func(d time.Duration) { time.Sleep(d); m.still() }, Class: filepath.Dir(file) + "/none",
		Open: func(string) (watchdog.Device, error) {
			m.mu.Lock()
			defer m.mu.Unlock()
			if m.timeout == 0 {
				m.timeout = time.Minute
			}
			m.count()
			return dog{m}, nil
		},
	})
	_ = r.dog.Arm()
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { _ = client.Run(ctx) })
	wg.Go(func() { _ = r.keeper.Run(ctx) })
	wg.Go(func() { _ = r.dog.Run(ctx, 500*time.Millisecond) })
	r.end = func() { cancel(); wg.Wait(); r.dog.Close(true) }
	return r
}

// pass is what the loop does: it lets go when the lease has gone, after some time or
// never, and tells the watchdog what is held.
func (m *machine) pass(r *run, now time.Time, letsGo time.Duration, lost *time.Time) {
	m.mu.Lock()
	up := m.reset.IsZero() && !m.thaws.After(now)
	if up && m.holds {
		switch {
		case r.keeper.Lease().Left(now) > 0:
			*lost = time.Time{}
		case lost.IsZero():
			*lost = now
		case letsGo < 15*time.Second && now.Sub(*lost) > letsGo:
			m.holds = false
		}
	}
	held := m.holds
	m.mu.Unlock()
	switch {
	case up && held:
		r.dog.Holding(reconcile.HoldsOwn)
	case up:
		r.dog.Holding(reconcile.HoldsNothing)
	}
}

var boundKey = []byte("a secret of thirty-two bytes, or so")

// The store on the disk, the keeper of the lease and the watchdog, as `run` puts them
// together, in virtual time: whatever happens to the holder and whenever, the other has
// evidence only when the holder was reset or holds nothing, and it has it in time.
func TestNoEvidenceBeforeTheReset(t *testing.T) {
	took := 0
	for seed := range uint64(8) {
		dir := t.TempDir()
		boundTimes.Watchdog.Timeout = []time.Duration{6 * time.Second, 30 * time.Second}[seed%2]
		synctest.Test(t, func(t *testing.T) {
			if boundOnce(t, dir, rand.New(rand.NewPCG(seed, 7))) {
				took++
			}
		})
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	if took < 2 {
		t.Errorf("evidence in %d of 8 only", took)
	}
}

func boundOnce(t *testing.T, dir string, rng *rand.Rand) (took bool) {
	path := filepath.Join(dir, "disk")
	if err := os.WriteFile(path, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := disk.Format(path, disk.Header{Cluster: "c", Nodes: []string{"x", "y"}}, boundKey, false); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	within := func(d time.Duration) time.Duration { return time.Duration(rng.Int64N(int64(d))) }
	defer time.Sleep(2 * time.Hour) // calls to a disk that hung come back
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	m := &machine{disk: &medium{data: data}, began: time.Now()}
	file := filepath.Join(dir, "watchdog")
	r := m.run(ctx, t, file)
	defer func() { r.end() }()

	other := &machine{disk: m.disk, began: m.began}
	y, err := disk.Open(ctx, other, disk.Options{
		Cluster: "c", Key: boundKey, Node: "y", Boot: "y1", Log: slog.New(slog.DiscardHandler), TTL: boundTimes.Lease.TTL,
		Limit: boundTimes.Lease.Request, Poll: boundTimes.Lease.Poll(), Settle: boundTimes.Lease.Request, WatchdogBound: boundTimes.WatchdogBound(),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer y.Close()

	// The holder claims, and holds.
	time.Sleep(8 * time.Second)
	if _, err := r.keeper.Take(ctx, reconcile.TakeClaim{Group: "g", Epoch: 1, Evidence: reconcile.Evidence{Kind: reconcile.EvidenceFirst}}); err != nil {
		t.Fatal(err)
	}
	if err := r.dog.Begin(); err != nil {
		t.Fatal(err)
	}
	m.mu.Lock()
	m.holds = true
	m.mu.Unlock()

	// One to three things happen to it; letting go takes it some time, or never ends.
	faults := 1 + rng.IntN(3)
	next := time.Now().Add(within(10 * time.Second))
	letsGo := within(20 * time.Second)
	var lost time.Time
	var restarts time.Time
	quiet := 0
	for time.Since(m.began) < 4*time.Minute {
		time.Sleep(250 * time.Millisecond)
		now := time.Now()
		if faults > 0 && now.After(next) {
			faults--
			next = now.Add(within(15 * time.Second))
			m.mu.Lock()
			switch rng.IntN(6) {
			case 0:
				m.path = errors.New("input/output error")
			case 1:
				m.slow = time.Hour
			case 2:
				m.slow = within(1500 * time.Millisecond)
			case 3:
				m.thaws = now.Add(within(time.Minute))
			case 4:
				if !m.thaws.After(now) {
					restarts = now.Add(within(8 * time.Second))
				}
			case 5:
				m.mute = true // and its next beat says so, if there is one
				if m.path == nil && m.slow == 0 && !m.thaws.After(now) {
					next = now.Add(3 * time.Second)
				} else {
					m.mute = false // two faults at one moment are not survived by anybody
				}
			}
			m.mu.Unlock()
			if !restarts.IsZero() {
				r.end() // and a start in the same boot later
				next = restarts.Add(within(15 * time.Second))
			}
		}
		if !restarts.IsZero() && !now.Before(restarts) {
			restarts = time.Time{}
			r = m.run(ctx, t, file)
		}
		if restarts.IsZero() {
			m.pass(r, now, letsGo, &lost)
		}
		v, err := y.View(ctx)
		if err != nil || v.Outlasted["x"] != "x1" {
			continue
		}
		took = true
		m.mu.Lock()
		holds, reset := m.holds, m.reset
		m.mu.Unlock()
		if holds {
			t.Errorf("%s after the start: evidence, and the holder holds (reset %v)", time.Since(m.began), reset)
			return took
		}
		if quiet++; quiet > 40 { // also later: it must stay so
			break
		}
	}
	return took
}
