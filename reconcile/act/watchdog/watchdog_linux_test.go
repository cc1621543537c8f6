package watchdog

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"understudy/config"
	"understudy/reconcile"
)

// A host that holds something and loses the store is reset: not before it had the
// declared time to let go, and never later than the bound after its last renewal.
func TestResetWithinTheBoundAfterTheLastRenewal(t *testing.T) {
	for seed := range uint64(40) {
		bubble(t, func(t *testing.T, w *world) {
			rng := rand.New(rand.NewPCG(seed, 1))
			d := w.proven(t, dogTimes)
			d.Holding(reconcile.HoldsOwn)
			w.live(d, time.Duration(rng.Int64N(int64(20*time.Second))))
			w.loseStore()
			last := w.sent - time.Hour
			w.live(d, bound+5*time.Second)
			at := w.resetAt()
			if earliest := last + leaseTimes.TTL - leaseTimes.Margin + dogTimes.Release; at == 0 || at < earliest || at > last+bound {
				t.Errorf("seed %d: reset at %s, wanted between %s and %s", seed, at, earliest, last+bound)
			}
			d.Close(false)
		})
	}
}

// What is let go before the deadline resets nothing, and neither does a lost lease
// with nothing held.
func TestNoResetOnceNothingIsHeld(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		d := w.proven(t, dogTimes)
		w.loseStore()
		w.live(d, 12*time.Second)
		if s := d.Status(); !s.Held || s.Until > dogTimes.Release {
			t.Errorf("status: %+v", s)
		}
		d.Holding(reconcile.HoldsUnknown) // which changes nothing
		if s := d.Status(); !s.Held {
			t.Error("what could not be read was taken for absent")
		}
		d.Holding(reconcile.HoldsNothing)
		w.live(d, time.Hour)
		if at := w.resetAt(); at != 0 {
			t.Errorf("reset at %s", at)
		}
		if s := d.Status(); s.Until >= 0 || !s.Ready {
			t.Errorf("status: %+v", s)
		}
		d.Close(false)
	})
}

// A claim that another node has by now: the deadline is not moved by a lease that is
// valid.
func TestForeignClaimEndsTheFeeding(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		d := w.proven(t, dogTimes)
		d.Holding(reconcile.HoldsForeign)
		from := time.Since(w.began)
		w.live(d, 30*time.Second)
		if at := w.resetAt(); at < from+dogTimes.Release || at > from+dogTimes.Release+dogTimes.Timeout {
			t.Errorf("reset at %s, seen at %s", at, from)
		}
		d.Close(false)
	})
}

// The host sleeps: the clock of the deadline goes on, and the feeder does not feed
// when it wakes behind it.
func TestSuspendPastTheDeadline(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		d := w.proven(t, dogTimes)
		w.loseStore()
		w.suspend(time.Minute)
		fed := d.feeder.fed.Load()
		w.live(d, 20*time.Second)
		if d.feeder.fed.Load() != fed {
			t.Error("it was fed behind its deadline")
		}
		if at := w.resetAt(); at == 0 || at > 3*time.Second+dogTimes.Timeout+time.Second {
			t.Errorf("reset at %s", at)
		}
		d.Close(false)
	})
}

// The feeder is held up between its look at the clock and the device: the timeout that
// it has given away is taken back.
func TestLateFeedingIsTakenBack(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		d := w.proven(t, dogTimes)
		w.loseStore()
		w.fake.onFeed = func() { w.suspend(time.Minute) }
		w.live(d, 5*time.Second)
		if got := w.set[len(w.set)-1]; got != time.Second || d.Status().Late == 0 {
			t.Errorf("timeouts set: %v; status: %+v", w.set, d.Status())
		}
		w.fake.onFeed = nil
		d.Close(false)
	})
}

// A program that is killed and started over and over feeds the device at every
// opening, and must not: the deadline outlives it.
func TestStartingOverDoesNotFeedForEver(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		d := w.proven(t, dogTimes)
		d.Holding(reconcile.HoldsOwn)
		w.live(d, 2*time.Second)
		w.loseStore()
		last := w.sent - time.Hour
		for range 60 {
			w.die(d)
			time.Sleep(400 * time.Millisecond)
			d = New(w.options(dogTimes))
			_ = d.Arm()
			d.Holding(reconcile.HoldsUnknown) // the store does not answer
			time.Sleep(600 * time.Millisecond)
			if d.feeder == nil {
				d.feeder = &feeder{ended: make(chan struct{})}
				close(d.feeder.ended)
			}
		}
		if at := w.resetAt(); at == 0 || at > last+bound {
			t.Errorf("reset at %s, wanted by %s", at, last+bound)
		}
	})
}

// A start in time carries on: the device is fed again, and no reset comes.
func TestNextStartCarriesOn(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		d := w.proven(t, dogTimes)
		d.Close(true)
		if !w.on {
			t.Fatal("switched off while something is held")
		}
		time.Sleep(dogTimes.Timeout - time.Second)
		d = New(w.options(dogTimes))
		if err := d.Arm(); err != nil || !d.held {
			t.Fatalf("%v, held %v", err, d.held)
		}
		w.live(d, time.Minute)
		d.Close(true)
		if at := w.resetAt(); at != 0 {
			t.Errorf("reset at %s", at)
		}
		time.Sleep(dogTimes.Timeout)
		synctest.Wait()
		if w.resetAt() == 0 {
			t.Error("nobody came, and the host was not reset")
		}
	})
}

// A start behind the deadline does not even open the device, until what was held is
// let go or there is a lease.
func TestPassedDeadlineKeepsTheDeviceClosed(t *testing.T) {
	for _, damaged := range []bool{false, true} {
		bubble(t, func(t *testing.T, w *world) {
			d := w.proven(t, dogTimes)
			w.die(d)
			w.loseStore()
			time.Sleep(time.Minute)
			if damaged {
				if err := os.WriteFile(d.opt.File, []byte("deadbeef b1 5\n"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			opens := w.opens
			d = New(w.options(dogTimes))
			if err := d.Arm(); err == nil || w.opens != opens {
				t.Errorf("opened %d times, %v", w.opens-opens, err)
			}
			if err := d.Begin(); err == nil {
				t.Error("a step may begin")
			}
			d.Holding(reconcile.HoldsNothing)
			if err := d.Arm(); err != nil {
				t.Error(err)
			}
			d.Close(false)
			if w.on {
				t.Error("not switched off")
			}
		})
	}
}

func TestAnotherBootHoldsNothing(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		d := w.proven(t, dogTimes)
		w.die(d)
		o := w.options(dogTimes)
		o.BootID = "b2"
		if d = New(o); d.held || time.Duration(d.deadline.Load()) != never {
			t.Error("what an earlier boot held is held")
		}
	})
}

func TestClose(t *testing.T) {
	for _, c := range []struct {
		name          string
		held, leaving bool
		nowayout      bool
		onLeave       config.WatchdogLeave
		off           bool
	}{
		{"nothing is held", false, false, false, config.LeaveArmed, true},
		{"nothing is held, nowayout", false, false, true, config.LeaveArmed, false},
		{"held, and it fails", true, false, false, config.LeaveDisarmed, false},
		{"held, and it leaves", true, true, false, config.LeaveArmed, false},
		{"held, and it leaves, disarmed as declared", true, true, false, config.LeaveDisarmed, true},
		{"held, and it leaves, disarm declared, nowayout", true, true, true, config.LeaveDisarmed, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				if c.nowayout {
					class(t, w.dir, map[string]string{"watchdog0/nowayout": "1"})
				}
				times := dogTimes
				times.OnLeave = c.onLeave
				d := w.proven(t, times)
				if !c.held {
					d.Holding(reconcile.HoldsNothing)
				}
				if d.Status().NoWayOut != c.nowayout {
					t.Error("nowayout was not read")
				}
				d.Close(c.leaving)
				if w.on == c.off {
					t.Errorf("counts on: %v", w.on)
				}
			})
		})
	}
}

// Nothing on shared storage begins with a device that does not do what it says.
func TestRequiredMeansProven(t *testing.T) {
	for _, c := range []struct {
		name string
		make func(*fake)
		want string // of the refusal, "" for none
	}{
		{"counts", func(*fake) {}, ""},
		{"does not tell the time left", func(f *fake) { f.mutes = true }, ""},
		{"does not count", func(f *fake) { f.dead = true }, "does not count"},
		{"takes a longer timeout", func(f *fake) { f.rounds = 4 * time.Second }, "a timeout that it has"},
		{"cannot be fed", func(f *fake) { f.feeding = 5 }, "cannot be fed: input/output error"},
		{"is another's", func(f *fake) { f.isOpen = true }, "busy"},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				c.make(w.fake)
				w.renew()
				d := New(w.options(dogTimes))
				if err := d.Begin(); err == nil || !strings.Contains(err.Error(), "not armed yet") {
					t.Errorf("before it was armed: %v", err)
				}
				_ = d.Arm()
				w.live(d, 4*time.Second)
				err := d.Begin()
				if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
					t.Errorf("begin: %v, wanted %q", err, c.want)
				}
				if s := d.Status(); s.Ready != (c.want == "") || s.Ready == (s.Why != "") {
					t.Errorf("status: %+v", s)
				}
				d.Holding(reconcile.HoldsNothing)
				optional := dogTimes
				optional.Mode = config.WatchdogOptional
				d.opt.Config = optional
				if err := d.Begin(); err != nil {
					t.Errorf("optional: %v", err)
				}
				d.Holding(reconcile.HoldsNothing)
				d.Close(false)
			})
		})
	}
}

// The reset that is coming is told once, in time, and so is its end.
func TestLastWordsComeBeforeTheReset(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		d := w.proven(t, dogTimes)
		ctx, cancel := context.WithCancel(t.Context())
		ran := make(chan error, 1)
		go func() { ran <- d.Run(ctx, 250*time.Millisecond) }()
		w.loseStore()
		time.Sleep(leaseTimes.TTL - leaseTimes.Margin + time.Second)
		synctest.Wait()
		w.mu.Lock()
		said := slices.Clone(w.said)
		w.mu.Unlock()
		if len(said) != 1 || !strings.Contains(said[0], "its lease is gone") || w.resetAt() != 0 {
			t.Errorf("said %q, reset at %s", said, w.resetAt())
		}
		d.Holding(reconcile.HoldsNothing)
		time.Sleep(time.Second)
		w.mu.Lock()
		said = slices.Clone(w.said)
		w.mu.Unlock()
		if len(said) != 2 || said[1] != "" {
			t.Errorf("said %q", said)
		}
		cancel() // virtual time stands still while one waits for a mutex
		<-ran
		d.Close(false)
	})
}

// The feeder's loop allocates nothing: it must run when there is no memory.
func TestFeedingAllocatesNothing(t *testing.T) {
	f := newFake(t)
	d := New(Options{Config: dogTimes, Log: nil})
	d.deadline.Store(int64(never))
	feeder := &feeder{dev: still{}, clock: bootClock, deadline: &d.deadline}
	if n := testing.AllocsPerRun(1000, feeder.feed); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if feeder.fed.Load() == 0 {
		t.Error("not fed")
	}
	_ = f
}

// still is a device that does nothing, and allocates nothing.
type still struct{ Device }

func (still) Feed() Errno { return 0 }

func TestCandidates(t *testing.T) {
	dir := t.TempDir()
	class(t, dir, map[string]string{
		"watchdog0/identity": softdogIdentity, "watchdog10/identity": "iTCO_wdt", "watchdog2/identity": "i6300ESB timer", "other/identity": "x",
	})
	got, err := candidates(config.WatchdogAuto, filepath.Join(dir, "class"))
	if want := []string{"/dev/watchdog2", "/dev/watchdog10", "/dev/watchdog0"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%v %v", got, err)
	}
	if got, err := candidates("/dev/watchdog1", ""); err != nil || len(got) != 1 {
		t.Errorf("%v %v", got, err)
	}
	if _, err := candidates(config.WatchdogAuto, filepath.Join(dir, "none")); err == nil || !strings.Contains(err.Error(), "softdog") {
		t.Errorf("%v", err)
	}
}

// FuzzPage feeds the page of the last run with anything: what is not whole is a
// deadline that has passed.
func FuzzPage(f *testing.F) {
	f.Add([]byte("00000000 b1 5\n"))
	f.Add(fmt.Appendf(nil, "%08x b1 5\n", checksum("b1", 5, 0)))
	f.Add(fmt.Appendf(nil, "%08x b1 5 6000000000\n", checksum("b1", 5, 6*time.Second)))
	f.Add([]byte(""))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "page")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		p := page{path: path, boot: "b1", timeout: 9 * time.Second}
		if d, timeout, err := p.load(); err != nil && (d != 0 || timeout != 0) {
			t.Errorf("deadline %d, timeout %s with %v", d, timeout, err)
		}
		for _, want := range []time.Duration{7 * time.Second, never} {
			if err := p.save(want); err != nil {
				t.Fatal(err)
			}
			if d, timeout, err := p.load(); err != nil || d != want || timeout != p.timeout {
				t.Errorf("saved %d, loaded %d, timeout %s, %v", want, d, timeout, err)
			}
		}
		p.close()
	})
}
