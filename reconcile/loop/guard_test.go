package loop

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"understudy/reconcile"
)

// watched is a watchdog that remembers what it was asked and told.
type watched struct {
	b       *bed
	refusal error
	begun   int
	told    []reconcile.Holding
}

func (w *watched) Begin() error {
	w.b.mu.Lock()
	defer w.b.mu.Unlock()
	if w.refusal == nil {
		w.begun++
	}
	return w.refusal
}

func (w *watched) Holding(h reconcile.Holding) {
	w.b.mu.Lock()
	defer w.b.mu.Unlock()
	if n := len(w.told); n == 0 || w.told[n-1] != h {
		w.told = append(w.told, h)
	}
}

// Nothing on shared storage begins without the watchdog, and that is no failure of
// the group: as soon as it is armed the group is taken up.
func TestNoStorageStepWithoutTheWatchdog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		g := &watched{b: b, refusal: errors.New("the watchdog is not armed yet")}
		b.loop.opt.Guard = g
		orphan(b.w)
		b.start(t)
		time.Sleep(time.Minute)
		b.settle()
		b.mu.Lock()
		if len(b.done) != 0 || g.begun != 0 {
			t.Errorf("done without a watchdog: %v", b.done)
		}
		g.refusal = nil
		b.mu.Unlock()
		if m := b.loop.State().Snapshot.Memory["files"]; m.Failed != "" || !strings.Contains(m.Error, "not armed yet") {
			t.Errorf("memory: %+v", m)
		}
		time.Sleep(time.Minute)
		b.settle()
		if d := b.loop.State().Decisions["files"]; d.Phase != reconcile.Serving || g.begun == 0 {
			t.Errorf("phase %s, asked %d times", d.Phase, g.begun)
		}
	})
}

// The watchdog is told of what is held before it is there, until nothing is left.
func TestWatchdogKnowsWhatIsHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, g := watchedBed(t)
		b.start(t)
		time.Sleep(time.Second)
		b.settle()
		b.mu.Lock()
		if n := len(g.told); n == 0 || g.told[n-1] != reconcile.HoldsOwn {
			t.Errorf("told %v while it serves", g.told)
		}
		b.gone = true
		b.fail["unmount"] = errors.New("busy")
		b.mu.Unlock()
		b.settle()
		time.Sleep(20 * time.Second)
		b.settle()
		b.mu.Lock()
		if g.told[len(g.told)-1] != reconcile.HoldsOwn {
			t.Errorf("told %v while something cannot be let go", g.told)
		}
		delete(b.fail, "unmount")
		b.fail["prove"] = errors.New("/dev/files is in use")
		b.mu.Unlock()
		time.Sleep(time.Minute)
		b.settle()
		b.mu.Lock()
		if g.told[len(g.told)-1] != reconcile.HoldsOwn {
			t.Errorf("told %v while no look shows anything and the proof fails, done %v", g.told, b.done)
		}
		delete(b.fail, "prove")
		b.mu.Unlock()
		time.Sleep(time.Minute)
		b.settle()
		b.mu.Lock()
		defer b.mu.Unlock()
		if g.told[len(g.told)-1] != reconcile.HoldsNothing {
			t.Errorf("told %v when all is let go, done %v", g.told, b.done)
		}
		if slices.Contains(g.told, reconcile.HoldsForeign) {
			t.Errorf("told %v", g.told)
		}
	})
}

// A run that ended between the last unmount and the proof leaves a claim, and a host on
// which no look shows anything: the next run cannot know that nothing is held.
func TestWatchdogKnowsWhatAnEarlierRunHeld(t *testing.T) {
	for _, c := range []struct {
		name   string
		unread bool
		want   reconcile.Holding
	}{
		{"the claim is read", false, reconcile.HoldsOwn},
		{"the store is not read", true, reconcile.HoldsUnknown},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, g := watchedBed(t)
				h := b.w.Host("alpha")
				for _, lost := range []string{"mount-lost=/srv/shared", "address-lost=svc", "daemon-died=server"} {
					lose(b.w, lost)
				}
				if len(h.Mounts.Value) != 0 {
					t.Fatalf("mounts: %+v", h.Mounts.Value)
				}
				b.gone, b.fail["prove"] = true, errors.New("/dev/shared0 is in use")
				b.w.NoStore = map[string]bool{"alpha": c.unread}
				b.start(t)
				time.Sleep(10 * time.Second)
				b.settle()
				b.mu.Lock()
				if len(g.told) != 1 || g.told[0] != c.want {
					t.Errorf("told %v while nothing is proved, done %v", g.told, b.done)
				}
				delete(b.fail, "prove")
				b.w.NoStore = nil
				b.mu.Unlock()
				time.Sleep(time.Minute)
				b.settle()
				b.mu.Lock()
				if g.told[len(g.told)-1] != reconcile.HoldsNothing {
					t.Errorf("told %v when it is proved, done %v", g.told, b.done)
				}
				b.gone = false
				b.mu.Unlock()
				time.Sleep(time.Minute)
				b.settle()
				b.mu.Lock()
				defer b.mu.Unlock()
				if g.told[len(g.told)-1] != reconcile.HoldsOwn || slices.Contains(g.told, reconcile.HoldsForeign) {
					t.Errorf("told %v when it serves again, done %v", g.told, b.done)
				}
			})
		})
	}
}

// A stray that this run has never held is no reason to reset the host; a group that
// it held, and whose claim is another's by now, is.
func TestWatchdogAndForeignClaims(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, g := watchedBed(t)
		b.start(t)
		time.Sleep(time.Second)
		b.settle()
		b.mu.Lock()
		b.fail["unmount"] = errors.New("busy")
		b.mu.Unlock()
		b.change(func(w *reconcile.World) {
			c := w.Store.Claims["files"]
			c.Holder, c.BootID, c.Epoch = "beta", w.Host("beta").BootID, c.Epoch+1
			w.Store.Claims["files"] = c
		})
		time.Sleep(5 * time.Second)
		b.settle()
		b.mu.Lock()
		defer b.mu.Unlock()
		if g.told[len(g.told)-1] != reconcile.HoldsForeign {
			t.Errorf("told %v", g.told)
		}
	})
}

func TestStrayIsNoReasonToResetTheHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, g := watchedBed(t)
		b.fail["unmount"] = errors.New("busy")
		c := b.w.Store.Claims["files"]
		c.Holder, c.BootID, c.Epoch, c.Released = "beta", b.w.Host("beta").BootID, c.Epoch+1, false
		b.w.Store.Claims["files"] = c
		b.start(t)
		time.Sleep(5 * time.Second)
		b.settle()
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.w.Host("alpha") == nil || slices.Contains(g.told, reconcile.HoldsForeign) || slices.Contains(g.told, reconcile.HoldsOwn) {
			t.Errorf("told %v", g.told)
		}
	})
}

// watchedBed is a bed whose watchdog never refuses.
func watchedBed(t *testing.T) (*bed, *watched) {
	b := newBed(t)
	g := &watched{b: b}
	b.loop.opt.Guard = g
	return b, g
}
