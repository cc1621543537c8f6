package watchdog

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"understudy/config"
	"understudy/reconcile"
)

// fake is a watchdog in virtual time, as strict as a device: it counts from every
// open, feeding and setting on, whoever is there, and it fires once.
type fake struct {
	t     *testing.T
	began time.Time

	mu      sync.Mutex // guards what follows
	timeout time.Duration
	fedAt   time.Duration
	on      bool
	isOpen  bool
	opens   int
	timer   *time.Timer
	fired   time.Duration // since began; 0: it has not
	slept   time.Duration // in suspend

	rounds  time.Duration // it takes timeouts in multiples of this
	mutes   bool          // it does not tell the time left
	dead    bool          // it says that it counts, and does not
	feeding Errno         // what feeding answers
	onFeed  func()
	set     []time.Duration
}

func newFake(t *testing.T) *fake { return &fake{t: t, began: time.Now(), timeout: time.Minute} }

// clock goes on in suspend, as the host's.
func (f *fake) clock() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return time.Since(f.began) + f.slept + time.Hour // the host is up for an hour
}

func (f *fake) count() {
	f.fedAt = time.Since(f.began)
	if f.timer != nil {
		f.timer.Stop()
	}
	f.timer = time.AfterFunc(f.timeout, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.on && f.fired == 0 {
			f.fired = time.Since(f.began)
		}
	})
}

func (f *fake) open(path string) (Device, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.isOpen {
		return nil, errors.New("busy")
	}
	f.isOpen, f.on = true, true
	f.opens++
	f.count()
	return f, nil
}

func (f *fake) Support() (Support, error) {
	return Support{Identity: "fake", SetTimeout: true, MagicClose: true}, nil
}

func (f *fake) SetTimeout(d time.Duration) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.set = append(f.set, d)
	if f.rounds > 0 {
		d = (d + f.rounds - 1) / f.rounds * f.rounds
	}
	f.timeout = d
	f.count()
	return nil
}

func (f *fake) Timeout() (time.Duration, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.timeout, nil
}

func (f *fake) SetPretimeout(time.Duration) error { return ErrNotSupported }

func (f *fake) Left() (time.Duration, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mutes {
		return 0, ErrNotSupported
	}
	if f.dead {
		return f.timeout, nil
	}
	return (f.fedAt + f.timeout - time.Since(f.began)).Truncate(time.Second), nil
}

func (f *fake) Feed() Errno {
	if f.onFeed != nil {
		f.onFeed()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.feeding == 0 {
		f.count()
	}
	return f.feeding
}

func (f *fake) Close(disarm bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.isOpen = false
	if disarm {
		f.on = false
	}
	return nil
}

// resetAt is when the host was reset, zero if it was not.
func (f *fake) resetAt() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.fired
}

func (f *fake) suspend(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.slept += d
}

// times are those of the lease and the watchdog in these tests.
var (
	leaseTimes = config.Lease{TTL: 20 * time.Second, Margin: 10 * time.Second, Renew: time.Second}
	dogTimes   = config.Watchdog{Mode: config.WatchdogRequired, Device: "/dev/watchdog0", Timeout: 6 * time.Second, Release: 3 * time.Second, Fallback: config.FallbackNone, OnLeave: config.LeaveArmed}
	bound      = (&config.Config{Lease: leaseTimes, Watchdog: dogTimes}).WatchdogBound()
)

// world is a host with a fake device and a lease that is renewed until it is cut.
type world struct {
	*fake
	dir  string
	mu   sync.Mutex
	sent time.Duration // of the last renewal, on the host's clock
	has  bool
	cut  bool

	said []string
}

func (w *world) lease() reconcile.Lease {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.has {
		return reconcile.Lease{}
	}
	return reconcile.Lease{Until: time.Now().Add(w.sent + leaseTimes.TTL - leaseTimes.Margin - w.clock())}
}

// renew renews until the lease is cut.
func (w *world) renew() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.cut {
		w.sent, w.has = w.clock(), true
	}
}

func (w *world) loseStore() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut = true
}

func (w *world) options(c config.Watchdog) Options {
	return Options{
		Config: c, Lease: w.lease, File: filepath.Join(w.dir, "watchdog"), BootID: "b1", Log: slog.New(slog.DiscardHandler),
		Clock: w.clock, Sleep: time.Sleep, Open: w.open, Class: filepath.Join(w.dir, "class"),
		Warn: func(s string) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.said = append(w.said, s)
		},
	}
}

// bubble runs f in virtual time.
func bubble(t *testing.T, f func(t *testing.T, w *world)) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) { f(t, &world{fake: newFake(t), dir: dir}) })
}

// live advances virtual time in ticks of the watchdog's Run, renewing every second.
func (w *world) live(d *Watchdog, span time.Duration) {
	for end := time.Now().Add(span); time.Now().Before(end); {
		w.renew()
		_ = d.Arm()
		d.mu.Lock()
		d.moveLocked()
		d.mu.Unlock()
		time.Sleep(min(250*time.Millisecond, time.Until(end)))
	}
}

// proven arms a watchdog and waits until a step may begin.
func (w *world) proven(t *testing.T, c config.Watchdog) *Watchdog {
	t.Helper()
	w.renew()
	d := New(w.options(c))
	if err := d.Arm(); err != nil {
		t.Fatal(err)
	}
	w.live(d, 3*time.Second)
	if err := d.Begin(); err != nil {
		t.Fatalf("not ready after 3 s: %v", err)
	}
	return d
}

// die ends the feeder as a kill does: the device counts on, and nobody has said a word.
func (w *world) die(d *Watchdog) {
	d.feeder.stop.Store(true)
	<-d.feeder.ended
	w.fake.mu.Lock()
	w.fake.isOpen = false
	w.fake.mu.Unlock()
}

func class(t *testing.T, dir string, attributes map[string]string) {
	t.Helper()
	for name, value := range attributes {
		path := filepath.Join(dir, "class", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(value+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
