package watchdog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"understudy/config"
	"understudy/reconcile"
)

const fallbackReboot = string(config.FallbackReboot)

// Options is what a Watchdog is made of. Config, Lease, File, BootID and Log are
// needed.
type Options struct {
	Config config.Watchdog
	Lease  func() reconcile.Lease // this node's own, at the moment of the call
	File   string                 // keeps the deadline from one start to the next of a boot; its folder is there
	BootID string
	Log    *slog.Logger
	// Warn is told once when the host is going to be reset, and with "" when that is
	// over. It may take its time.
	Warn func(reason string)

	Clock func() time.Duration // goes on in suspend; nil: CLOCK_BOOTTIME
	Sleep func(time.Duration)  // nil: nanosleep(2)
	Open  func(path string) (Device, error)
	Class string // where the kernel lists watchdogs; "": /sys/class/watchdog
	// Plain leaves the feeder's thread and the memory as they are, for virtual time.
	Plain bool
}

// Watchdog keeps the deadline of the feeder. Its methods may be called from any
// goroutine.
type Watchdog struct {
	opt      Options
	deadline atomic.Int64
	guards   atomic.Pointer[feeder] // what feeds a device; nil: nothing does

	mu       sync.Mutex // guards what follows
	page     page
	timeout  time.Duration // that is asked of a device
	feeder   *feeder
	path     string
	support  Support
	nowayout bool
	why      string // why it is not armed
	held     bool
	wrongly  bool // something is held under a claim of another's
	kept     error
	doomed   bool
	warnings sync.WaitGroup
	warn     chan string
}

// New makes a watchdog. It takes over the deadline that the last run of this boot
// has left, and opens nothing.
func New(opt Options) *Watchdog {
	if opt.Clock == nil {
		opt.Clock = bootClock
	}
	if opt.Sleep == nil {
		opt.Sleep = nanosleep
	}
	if opt.Open == nil {
		opt.Open = open
	}
	if opt.Class == "" {
		opt.Class = sysfs
	}
	w := &Watchdog{opt: opt, page: page{path: opt.File, boot: opt.BootID}, timeout: opt.Config.Timeout, warn: make(chan string, 1)}
	left, timeout, err := w.page.load()
	if err != nil {
		opt.Log.Error("watchdog is not fed before this node has a lease or holds nothing", "err", err)
	}
	if left != never && timeout > 0 && timeout < w.timeout {
		// The others may count on the earlier one: a longer one would be armed by this
		// start before they could hear of it.
		opt.Log.Warn("watchdog keeps the timeout that it had when this host took up what it holds; a start that holds nothing takes the new one",
			"timeout", timeout, "declared", w.timeout)
		w.timeout = timeout
	}
	w.page.timeout = w.timeout
	w.held = left != never
	w.deadline.Store(int64(left))
	return w
}

// Arm opens the device, sets its time, and begins to feed it. It tries once; Run
// goes on trying. A deadline of the last run that has passed is respected: opening a
// device feeds it.
func (w *Watchdog) Arm() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.armLocked()
}

func (w *Watchdog) armLocked() error {
	if w.opt.Config.Mode == config.WatchdogOff || w.feeder != nil {
		return nil
	}
	w.moveLocked()
	if int64(w.opt.Clock()) >= w.deadline.Load() {
		w.why = "this host held something when its lease ran out, and has not let go: it is not fed"
		return errors.New(w.why)
	}
	f, err := w.feederLocked()
	if err != nil {
		if w.why != err.Error() {
			w.opt.Log.Warn("watchdog is not armed", "err", err)
		}
		w.why = err.Error()
		return err
	}
	f.clock, f.sleep, f.deadline, f.plain = w.opt.Clock, w.opt.Sleep, &w.deadline, w.opt.Plain
	w.why, w.feeder = "", f
	if f.dev != nil && !f.plain {
		if err := lockMemory(); err != nil {
			w.opt.Log.Warn("memory is not locked; a host that swaps may be reset", "err", err)
		}
	}
	f.start()
	if f.dev != nil {
		w.guards.Store(f)
	}
	if err := *f.raised.Load(); err != nil {
		w.opt.Log.Warn("watchdog's thread has no priority; a busy host may be reset", "err", err)
	}
	w.opt.Log.Info("watchdog armed", "device", w.path, "identity", w.support.Identity, "timeout", f.timeout, "nowayout", w.nowayout, "fallback", f.dev == nil)
	if w.support.Reset {
		w.opt.Log.Warn("this host was reset by its watchdog before this boot", "device", w.path)
	}
	return nil
}

// feederLocked finds what to feed: the first device that takes the timeout, or the
// fallback.
func (w *Watchdog) feederLocked() (*feeder, error) {
	c := w.opt.Config
	paths, err := candidates(c.Device, w.opt.Class)
	var all error = err
	for _, path := range paths {
		dev, got, err := w.openLocked(path)
		if err == nil {
			return &feeder{dev: dev, timeout: got, every: min(got/4, time.Second)}, nil
		}
		all = errors.Join(all, err)
	}
	if c.Fallback == config.FallbackNone || c.Fallback == "" {
		return nil, all
	}
	reset, err := resetter(string(c.Fallback))
	if err != nil {
		return nil, errors.Join(all, err)
	}
	w.path, w.support = "", Support{}
	return &feeder{reset: reset, every: 200 * time.Millisecond}, nil
}

// openLocked opens one device and proves that it has the timeout.
func (w *Watchdog) openLocked(path string) (Device, time.Duration, error) {
	c, timeout := w.opt.Config, w.timeout
	counting := attribute(w.opt.Class, path, "state") == "active" // for an earlier run of ours
	dev, err := w.opt.Open(path)
	if err != nil {
		return nil, 0, err
	}
	got := time.Duration(0)
	s, err := dev.Support()
	if err == nil && s.SetTimeout {
		err = dev.SetTimeout(timeout)
	}
	if err == nil {
		got, err = dev.Timeout()
	}
	switch {
	case err != nil:
	case got > timeout:
		err = fmt.Errorf("it takes %s for a timeout of %s — write a timeout that it has", got, timeout)
	case got < time.Second || got < timeout/2:
		err = fmt.Errorf("it has a timeout of %s, and %s is asked for", got, timeout)
	case c.Pretimeout > 0 && s.Pretimeout:
		if perr := dev.SetPretimeout(c.Pretimeout); perr != nil {
			w.opt.Log.Warn("pretimeout was not set", "device", path, "err", perr)
		}
	}
	if err != nil {
		// Opening has started it, and it is of no use. One that counted before may be what
		// the others count on.
		return nil, 0, errors.Join(fmt.Errorf("cannot use %s: %w", path, err), dev.Close(s.MagicClose && !(counting && w.held)))
	}
	w.path, w.support, w.nowayout = path, s, attribute(w.opt.Class, path, "nowayout") == "1"
	return dev, got, nil
}

// Begin is called before each step on shared storage: from here on this host holds
// something. The error is why the step must not begin.
func (w *Watchdog) Begin() error {
	if w.opt.Config.Mode == config.WatchdogOff {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	required := w.opt.Config.Mode == config.WatchdogRequired
	if required {
		if err := w.readyLocked(); err != nil {
			return err
		}
	}
	w.held = true
	w.moveLocked()
	if required && w.kept != nil {
		return w.kept
	}
	if required && int64(w.opt.Clock()) >= w.deadline.Load() {
		return errors.New("the watchdog's deadline has passed: it resets this host")
	}
	return nil
}

// readyLocked is why the watchdog protects nothing, nil if it does.
func (w *Watchdog) readyLocked() error {
	switch f := w.feeder; {
	case f == nil && w.why == "":
		return errors.New("the watchdog is not armed yet")
	case f == nil:
		return fmt.Errorf("the watchdog is not armed: %s", w.why)
	case f.errno.Load() != 0:
		return fmt.Errorf("the watchdog cannot be fed: %s", Errno(f.errno.Load()).text())
	case f.state.Load() == proving:
		return errors.New("the watchdog is being proven: its time left must go down and up")
	case f.state.Load() == broken:
		return fmt.Errorf("the watchdog %s does not count: its time left does not go down, or feeding does not make it good — name another device", w.path)
	}
	return nil
}

// Guards reports whether a device is armed, proven and fed without an error, so that
// it resets this host when it must. A fallback is none. It waits for nothing.
func (w *Watchdog) Guards() bool {
	f := w.guards.Load()
	return f != nil && f.state.Load() == proven && f.errno.Load() == 0
}

// Holding says what is held here, after a pass of the loop.
func (w *Watchdog) Holding(h reconcile.Holding) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch h {
	case reconcile.HoldsUnknown:
		return
	case reconcile.HoldsNothing:
		w.held, w.wrongly = false, false
	case reconcile.HoldsOwn:
		w.held, w.wrongly = true, false
	case reconcile.HoldsForeign:
		w.held, w.wrongly = true, true
	}
	w.moveLocked()
}

// moveLocked sets the deadline from what is held and from the lease. Where it comes
// nearer it is kept for the next start first, and where it goes further last.
func (w *Watchdog) moveLocked() {
	now := w.opt.Clock() // before the lease is read: what delays us only makes it earlier
	was := time.Duration(w.deadline.Load())
	next := never
	left := time.Duration(0)
	if w.held {
		if !w.wrongly {
			l := w.opt.Lease()
			left = l.Left(time.Now())
		}
		next = now + left + w.opt.Config.Release
		if left <= 0 {
			next = min(next, was)
		}
	}
	if next < was {
		w.kept = w.page.save(next)
		w.deadline.Store(int64(next))
	} else if next > was {
		w.deadline.Store(int64(next))
		w.kept = w.page.save(next)
	} else if w.page.file == nil {
		w.kept = w.page.save(next)
	}
	w.tellLocked(now, next, w.held && left <= 0)
}

// tellLocked says once that the host is going to be reset, and once that it is not.
func (w *Watchdog) tellLocked(now, deadline time.Duration, doomed bool) {
	doomed = doomed && w.feeder != nil
	if doomed == w.doomed {
		return
	}
	w.doomed = doomed
	text := ""
	if doomed {
		because := "its lease is gone"
		if w.wrongly {
			because = "another node has the claim"
		}
		text = fmt.Sprintf("the watchdog resets this host in %s unless everything is let go: %s",
			max(deadline-now+w.timeoutLocked(), 0).Round(100*time.Millisecond), because)
	}
	select { // the latest counts
	case <-w.warn:
	default:
	}
	w.warn <- text
}

func (w *Watchdog) timeoutLocked() time.Duration {
	if w.feeder == nil {
		return 0
	}
	return w.feeder.timeout
}

// Run keeps the deadline until ctx ends, and goes on trying to arm. Then it returns
// nil, and the device is fed as before until Close.
func (w *Watchdog) Run(ctx context.Context, every time.Duration) error {
	defer w.warnings.Wait()
	w.warnings.Go(func() { // apart: the record may wait for a disk
		for {
			select {
			case text := <-w.warn:
				if w.opt.Warn != nil {
					w.opt.Warn(text)
				}
			case <-ctx.Done():
				return
			}
		}
	})
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		w.mu.Lock()
		_ = w.armLocked() // its reason is kept
		w.moveLocked()
		w.mu.Unlock()
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Close ends the feeding. Nothing is held: the device is switched off, if it lets
// itself. Something is held: it counts on, and the next start must come in time;
// only if this program leaves the service on purpose, and that is declared, it is
// switched off all the same.
func (w *Watchdog) Close(leaving bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	defer w.page.close()
	f := w.feeder
	if f == nil {
		return
	}
	w.feeder = nil
	w.guards.Store(nil)
	f.end()
	if f.dev == nil {
		return
	}
	disarm := !w.held || leaving && w.opt.Config.OnLeave == config.LeaveDisarmed
	can := w.support.MagicClose && !w.nowayout
	if !disarm || !can {
		f.feed() // the next start has the whole time, if this one still had any
	}
	err := f.dev.Close(disarm && can)
	switch log := w.opt.Log.With("device", w.path, "timeout", f.timeout); {
	case disarm && !can:
		log.Warn("watchdog cannot be switched off: the host is reset unless understudy starts again in time", "err", err)
	case disarm && w.held:
		log.Warn("watchdog switched off while this host holds something, as declared: nothing protects its data until the next start", "err", err)
	case disarm:
		log.Info("watchdog switched off: nothing is held", "err", err)
	default:
		log.Warn("watchdog counts on, as this host holds something: the host is reset unless understudy starts again in time", "err", err)
	}
}
