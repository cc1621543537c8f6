package loop

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"understudy/config"
	"understudy/fsm"
	"understudy/reconcile"
)

// externalFile is the file of the bed where somebody else moves address and disk.
const externalFile = `
cluster = "lab"
[lease]
store = "external"
[node.alpha]
addresses = { public = "10.7.0.11/24" }
[node.beta]
addresses = { public = "10.7.0.12/24" }
[group.files]
nodes = ["alpha", "beta"]
restarts = 2
[[group.files.address]]
label = "svc"
prefix = "10.7.0.50/24"
network = "public"
[[group.files.filesystem]]
mount = "/srv/shared"
device = "/dev/shared0"
type = "ext4"
[[group.files.application]]
name = "server"
run = ["/bin/server"]
`

func newExternalBed(t *testing.T, dir string) *bed {
	t.Helper()
	c, err := config.Parse("test.toml", []byte(externalFile))
	if err != nil {
		t.Fatal(err)
	}
	b := &bed{
		w: reconcile.Steady(c, time.Now()), changes: make(chan struct{}, 1), started: time.Now(),
		fail: map[string]error{}, slow: map[string]time.Duration{}, gone: true, // there is never a lease
	}
	b.restart(dir)
	return b
}

// restart gives the bed a new loop, as a new process on the same host.
func (b *bed) restart(dir string) {
	b.loop = New(Options{
		Config: b.w.Config, Node: "alpha", Observer: b, Actor: b, Lease: leaseView{b}, Journal: b, Log: slog.New(slog.DiscardHandler),
		StateDir: dir, Announce: func(s reconcile.NodeStatus) { b.mu.Lock(); b.status = s; b.mu.Unlock() },
	})
}

// taken is the other manager taking everything from alpha.
func taken(w *reconcile.World) {
	lose(w, "mount-lost=/srv/shared")
	lose(w, "address-lost=svc")
}

// brought is the other manager bringing everything to alpha.
func brought(w *reconcile.World) { w.Bring("files", "alpha") }

// told waits until the other node had the time to say that it sees the group too.
func (b *bed) told() {
	time.Sleep(b.w.Config.Keepalive.Interval + time.Millisecond) // virtual
	b.settle()
}

func TestExternalComesAndGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newExternalBed(t, "")
		b.start(t)
		b.wants(t, fsm.Owner, "")
		b.change(func(w *reconcile.World) { lose(w, "address-lost=svc") })
		b.wants(t, fsm.Standby, "stop server")
		b.change(func(w *reconcile.World) { lose(w, "mount-lost=/srv/shared") })
		b.wants(t, fsm.Standby, "")
		b.change(brought)
		b.wants(t, fsm.Standby, "")
		b.told()
		b.wants(t, fsm.Owner, "start server, verify server")
		if d := b.loop.State().Decisions["files"]; d.Phase != reconcile.Serving {
			t.Errorf("phase %s: %s", d.Phase, d.Because)
		}
	})
}

func TestExternalRestartsInPlaceWithinBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newExternalBed(t, "")
		b.start(t)
		for range 2 {
			b.change(func(w *reconcile.World) { lose(w, "daemon-died=server") })
			b.wants(t, fsm.Owner, "start server, verify server")
		}
		b.change(func(w *reconcile.World) { lose(w, "daemon-died=server") })
		b.wants(t, fsm.Rejoining, "")
		if d := b.loop.State().Decisions["files"]; d.Phase != reconcile.Blocked || !strings.Contains(d.Status.Reason, "restarted 2 times") {
			t.Errorf("phase %s, reason %q", d.Phase, d.Status.Reason)
		}
		if err := b.loop.Acquire(t.Context(), "files"); err != nil { // the other manager's word is a new beginning
			t.Fatal(err)
		}
		b.wants(t, fsm.Owner, "start server, verify server")
	})
}

// A start that hangs is cancelled when an address goes, and nothing is started
// after it.
func TestExternalCancelsThePlanInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newExternalBed(t, "")
		b.slow["start"] = time.Hour
		b.start(t)
		b.change(func(w *reconcile.World) { lose(w, "daemon-died=server") })
		if got := b.loop.State().Flights["files"]; got.N != 1 {
			t.Fatalf("flight is at step %d", got.N)
		}
		b.change(func(w *reconcile.World) { lose(w, "address-lost=svc") })
		b.wants(t, fsm.Standby, "")
		if f := b.loop.State().Flights; len(f) != 0 {
			t.Errorf("in flight: %v", f)
		}
	})
}

// The address goes without any trigger, right before a step: the look of the gate
// sees it.
func TestExternalGateLooksBeforeEveryStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newExternalBed(t, "")
		b.start(t)
		b.change(taken)
		b.wants(t, fsm.Standby, "stop server")
		b.mu.Lock()
		b.before = func(verb string) {
			if verb == "start" {
				t.Error("a start began with the address gone")
			}
		}
		b.mu.Unlock()
		b.change(brought)
		b.mu.Lock()
		b.looked = func() { lose(b.w, "address-lost=svc") } // after the look that decides
		b.mu.Unlock()
		b.told()
		b.wants(t, fsm.Standby, "")
	})
}

func TestExternalUnreadTouchesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newExternalBed(t, "")
		b.start(t)
		b.change(func(w *reconcile.World) {
			h := w.Host("alpha")
			h.Mounts = reconcile.Unread[[]reconcile.Mount](errors.New("input/output error"), time.Now())
		})
		b.wants(t, fsm.Owner, "")
	})
}

func TestExternalReleaseStopsAndKeepsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		b := newExternalBed(t, dir)
		ctx, end := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- b.loop.Run(ctx) }()
		b.settle()
		if err := b.loop.Release(t.Context(), "files"); err != nil {
			t.Fatal(err)
		}
		b.wants(t, fsm.Rejoining, "stop server")
		time.Sleep(time.Hour) // virtual
		b.wants(t, fsm.Rejoining, "")
		end()
		<-ended

		// A new process remembers the word: the disks are still about to go.
		b.restart(dir)
		b.start(t)
		b.wants(t, fsm.Rejoining, "")
		b.change(taken)
		b.wants(t, fsm.Standby, "")
		if err := b.loop.Release(t.Context(), "files"); err != nil { // nothing is here: done at once
			t.Fatal(err)
		}
		b.change(brought)
		b.wants(t, fsm.Standby, "")
		b.told()
		b.wants(t, fsm.Owner, "start server, verify server")
	})
}

func TestExternalReleaseSaysWhatIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newExternalBed(t, "")
		b.fail["stop"] = errors.New("it ignores SIGTERM")
		b.start(t)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err := b.loop.Release(ctx, "files")
		if err == nil || !strings.Contains(err.Error(), "it ignores SIGTERM") || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("release: %v", err)
		}
		if err := b.loop.Acquire(t.Context(), "files"); err != nil {
			t.Error(err)
		}
		if got := b.role(); got != fsm.Owner {
			t.Errorf("role %s", got)
		}
	})
}

func TestExternalAcquireSaysWhatIsMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newExternalBed(t, "")
		b.start(t)
		b.change(func(w *reconcile.World) { lose(w, "address-lost=svc") })
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err := b.loop.Acquire(ctx, "files")
		if err == nil || !strings.Contains(err.Error(), "not svc (not on any link)") {
			t.Errorf("acquire: %v", err)
		}
	})
}

// What can not be started is tried within the budget, then a person or the other
// manager must say so.
func TestExternalStartThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newExternalBed(t, "")
		b.start(t)
		b.change(taken)
		b.fail["start"] = errors.New("no such program")
		b.steps()
		b.change(brought)
		err := b.loop.Acquire(t.Context(), "files")
		if err == nil || !strings.Contains(err.Error(), "no such program") {
			t.Errorf("acquire: %v", err)
		}
		b.settle() // the answer comes before the pass that it is about has been published
		if got := strings.Count(b.steps(), "start server"); got < 2 {
			t.Errorf("tried %d times", got)
		}
		if d := b.loop.State().Decisions["files"]; d.Phase != reconcile.Blocked {
			t.Errorf("phase %s", d.Phase)
		}
	})
}

func TestExternalStopLetsGoOfTheApplicationsOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newExternalBed(t, "")
		ended := make(chan error, 1)
		go func() { ended <- b.loop.Run(t.Context()) }()
		b.settle()
		if err := b.loop.Stop(t.Context(), "told to"); err != nil {
			t.Fatal(err)
		}
		b.settle()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if got := b.steps(); got != "stop server" {
			t.Errorf("steps: %s", got)
		}
	})
}

func TestExternalIdleLoopSleeps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newExternalBed(t, "")
		b.start(t)
		b.change(func(w *reconcile.World) { lose(w, "address-lost=svc") })
		before := len(b.records)
		time.Sleep(time.Hour) // virtual: a hot loop would never let it pass
		synctest.Wait()
		if n := len(b.records) - before; n > 1 { // that a part has been missing for too long
			t.Errorf("%d records written while nothing happened: %v", n, b.records[before:])
		}
		if d := b.loop.State().Decisions["files"]; d.Phase != reconcile.Blocked {
			t.Errorf("phase %s after an hour with a part", d.Phase)
		}
	})
}
