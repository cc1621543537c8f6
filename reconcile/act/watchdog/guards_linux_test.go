package watchdog

import (
	"errors"
	"testing"
	"time"

	"understudy/config"
	"understudy/reconcile"
)

// A start with a file that says a longer timeout, on a host that holds something: the
// others count on the one before, and it stays.
func TestALongerTimeoutWaitsForAHostThatHoldsNothing(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		d := w.proven(t, dogTimes)
		d.Holding(reconcile.HoldsOwn)
		w.live(d, 2*time.Second)
		w.loseStore()
		last := w.sent - time.Hour
		w.die(d)
		longer := dogTimes
		longer.Timeout = time.Minute
		d = New(w.options(longer))
		if err := d.Arm(); err != nil || d.feeder.timeout != dogTimes.Timeout {
			t.Errorf("%v, timeout %s", err, d.feeder.timeout)
		}
		w.live(d, bound+5*time.Second)
		if at := w.resetAt(); at == 0 || at > last+bound {
			t.Errorf("reset at %s, wanted by %s", at, last+bound)
		}
		d.Close(false)
	})
	bubble(t, func(t *testing.T, w *world) {
		d := w.proven(t, dogTimes)
		d.Holding(reconcile.HoldsNothing)
		w.die(d)
		longer := dogTimes
		longer.Timeout = time.Minute
		if d = w.proven(t, longer); d.feeder.timeout != time.Minute {
			t.Errorf("timeout %s", d.feeder.timeout)
		}
		d.Close(false)
	})
}

// Whether a device guards this host: not before it is proven, not with an error, not
// behind the close, and never by a fallback.
func TestGuards(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.renew()
		d := New(w.options(dogTimes))
		if d.Guards() {
			t.Error("before it is armed")
		}
		if err := d.Arm(); err != nil || d.Guards() {
			t.Errorf("before it is proven (%v)", err)
		}
		w.live(d, 3*time.Second)
		if !d.Guards() {
			t.Error("it is proven")
		}
		w.fake.mu.Lock()
		w.feeding = 5
		w.fake.mu.Unlock()
		w.live(d, 2*time.Second)
		if d.Guards() {
			t.Error("feeding fails")
		}
		w.fake.mu.Lock()
		w.feeding = 0
		w.fake.mu.Unlock()
		w.live(d, 2*time.Second)
		if !d.Guards() {
			t.Error("feeding works again")
		}
		d.Close(false)
		if d.Guards() {
			t.Error("closed")
		}
		weak := dogTimes
		weak.Mode, weak.Device, weak.Fallback = config.WatchdogOptional, config.WatchdogAuto, config.FallbackReboot
		d = New(w.options(weak))
		if err := d.Arm(); err != nil || d.Guards() {
			t.Errorf("a fallback (%v)", err)
		}
		d.Close(false)
	})
}

// A device that can not be used is switched off again, unless it counted before this
// host's start and this host holds something.
func TestADeviceThatCountedIsNotSwitchedOff(t *testing.T) {
	for _, counted := range []bool{true, false} {
		bubble(t, func(t *testing.T, w *world) {
			d := w.proven(t, dogTimes)
			d.Holding(reconcile.HoldsOwn)
			w.live(d, time.Second)
			w.die(d)
			if counted {
				class(t, w.dir, map[string]string{"watchdog0/state": "active"})
			}
			w.fake.rounds = 7 * time.Second // it takes no timeout any more that is not longer
			d = New(w.options(dogTimes))
			if err := d.Arm(); err == nil || w.on != counted {
				t.Errorf("%v, it counts: %v, want %v", err, w.on, counted)
			}
		})
	}
}

// The device that takes no second as its timeout is given the shortest that it takes.
func TestLateFeedingOnACoarseDevice(t *testing.T) {
	f := &feeder{dev: &coarse{least: 4 * time.Second}, timeout: 10 * time.Second}
	f.takeBack()
	if got := f.dev.(*coarse).got; got != 4*time.Second {
		t.Errorf("timeout %s", got)
	}
}

// coarse takes no timeout below its least.
type coarse struct {
	still
	least, got time.Duration
}

func (c *coarse) SetTimeout(d time.Duration) error {
	if d < c.least {
		return errors.New("invalid argument")
	}
	c.got = d
	return nil
}
