package loop

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"understudy/config"
	"understudy/fsm"
	"understudy/reconcile"
	"understudy/reconcile/journal"
)

const file = `
cluster = "test"
key_file = "/etc/understudy/cluster.key"
[witness]
address = "10.7.0.13"
[node.alpha]
addresses = { public = "10.7.0.11/24" }
fence = { agent = "fence_test" }
[node.beta]
addresses = { public = "10.7.0.12/24" }
fence = { agent = "fence_test" }
[group.files]
policy = "cascading"
nodes = ["alpha", "beta"]
settle = "0s"
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

// bed is a loop of node alpha on a model of the cluster, in virtual time. The
// model is strict where it matters: a step that fails is told to, and all else
// is reconcile's own model.
type bed struct {
	mu      sync.Mutex
	w       *reconcile.World
	changes chan struct{}
	done    []string                  // steps carried out, in order
	fail    map[string]error          // by verb
	slow    map[string]time.Duration  // by verb
	records []journal.Record          // what was written
	status  reconcile.NodeStatus      // what was announced last
	gone    bool                      // the lease
	marks   map[string]string         // what only a reboot ends, by group
	unread  error                     // of the marks
	before  func(verb string)         // called before a step, if set
	looked  func()                    // called after a look, if set
	sees    func(*reconcile.Snapshot) // changes what a look found, if set
	started time.Time
	loop    *Loop
}

func newBed(t *testing.T) *bed { return newBedOf(t, file) }

func newBedOf(t *testing.T, file string) *bed {
	t.Helper()
	c, err := config.Parse("test.toml", []byte(file))
	if err != nil {
		t.Fatal(err)
	}
	b := &bed{
		w: reconcile.Steady(c, time.Now()), changes: make(chan struct{}, 1), started: time.Now(),
		fail: map[string]error{}, slow: map[string]time.Duration{},
	}
	b.loop = New(Options{
		Config: c, Node: "alpha", Observer: b, Actor: b, Lease: leaseView{b}, Journal: b, Log: slog.New(slog.DiscardHandler),
		Announce: func(s reconcile.NodeStatus) { b.mu.Lock(); b.status = s; b.mu.Unlock() },
	})
	return b
}

// start runs the loop until the test ends.
func (b *bed) start(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- b.loop.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	b.settle()
}

// change does something behind the loop's back, lets it look, and waits until
// nothing moves any more.
func (b *bed) change(f func(w *reconcile.World)) {
	b.mu.Lock()
	f(b.w)
	b.mu.Unlock()
	b.settle()
}

func (b *bed) settle() {
	for range 4 { // a step's effect is seen by the next look
		select {
		case b.changes <- struct{}{}:
		default:
		}
		synctest.Wait()
	}
}

func (b *bed) Look(context.Context) reconcile.Snapshot {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.w.Now = time.Now()
	s := *b.w.View("alpha")
	s.Since = b.started
	if b.sees != nil {
		b.sees(&s)
	}
	if b.looked != nil {
		b.looked()
	}
	return s
}

func (b *bed) Changes() <-chan struct{} { return b.changes }

func (b *bed) Do(ctx context.Context, s reconcile.Step) error {
	sp := s.Spec()
	b.mu.Lock()
	err, wait := b.fail[sp.Verb], b.slow[sp.Verb]
	if err == nil {
		err = b.fail[sp.Verb+" "+sp.Object]
	}
	if b.before != nil {
		b.before(sp.Verb)
	}
	b.mu.Unlock()
	if wait > 0 {
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.done = append(b.done, strings.TrimSpace(sp.Verb+" "+sp.Object))
	if err != nil {
		return err
	}
	if m, ok := s.(reconcile.MarkDirty); ok {
		b.marks = map[string]string{m.Group: m.BootID}
	}
	b.w.Carry("alpha", "files", s)
	return nil
}

// failing makes the starts of an application fail, or no longer.
func (b *bed) failing(app string, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fail["start "+app] = err
}

func (b *bed) Append(r journal.Record) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.records = append(b.records, r)
	return nil
}

// leaseView is the keeper as the loop sees it.
type leaseView struct{ b *bed }

func (l leaseView) Lease() reconcile.Lease {
	l.b.mu.Lock()
	defer l.b.mu.Unlock()
	if l.b.gone {
		return reconcile.Lease{Until: l.b.started}
	}
	return reconcile.Lease{Until: time.Now().Add(4 * time.Second)}
}

func (l leaseView) View() reconcile.Seen[reconcile.StoreView] {
	l.b.mu.Lock()
	defer l.b.mu.Unlock()
	return l.b.w.View("alpha").Store
}

func (l leaseView) Changes() <-chan struct{} { return nil }

func (b *bed) role() fsm.Role { return b.loop.State().Decisions["files"].Transition.To }

func (b *bed) steps() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := strings.Join(b.done, ", ")
	b.done = nil
	return s
}

func (b *bed) wants(t *testing.T, role fsm.Role, steps string) {
	t.Helper()
	if got := b.steps(); got != steps {
		t.Errorf("steps:\n got %s\nwant %s", got, steps)
	}
	if got := b.role(); got != role {
		t.Errorf("role is %s, want %s (%s)", got, role, b.loop.State().Decisions["files"].Because)
	}
}

func TestRestartTouchesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t) // the model is at rest: alpha owns and serves
		b.start(t)
		b.wants(t, fsm.Owner, "")
	})
}

func TestRepairsInPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.start(t)
		b.change(func(w *reconcile.World) { lose(w, "address-lost=svc") })
		b.wants(t, fsm.Owner, "address svc")
		b.change(func(w *reconcile.World) { lose(w, "daemon-died=server") })
		b.wants(t, fsm.Owner, "start server, verify server")
	})
}

// lose happens on the model without letting it settle by itself.
func lose(w *reconcile.World, what string) {
	down := w.Down
	w.Down = map[string]bool{"alpha": true, "beta": true} // nobody acts in Happen
	defer func() { w.Down = down }()
	h := w.Host("alpha")
	e, err := reconcile.ParseWhatIf(w.Config, what)
	if err != nil {
		panic(err)
	}
	reconcile.Lose(h, w.Config.Group(e.Group), e)
}

func TestBudgetOfRestartsThenYields(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.start(t)
		for range 2 {
			b.change(func(w *reconcile.World) { lose(w, "daemon-died=server") })
			b.wants(t, fsm.Owner, "start server, verify server")
		}
		b.change(func(w *reconcile.World) { lose(w, "daemon-died=server") })
		b.wants(t, fsm.Standby, "drop svc, unmount /srv/shared, release /dev/shared0, prove files, sign off files")
		if d := b.loop.State().Decisions["files"]; d.Status.Ready || !strings.Contains(d.Status.Reason, "restarted 2 times") {
			t.Errorf("ready %v, reason %q", d.Status.Ready, d.Status.Reason)
		}
		if err := b.loop.Clear(t.Context(), "files"); err != nil {
			t.Fatal(err)
		}
		b.settle()
		if got := b.role(); got != fsm.Owner {
			t.Errorf("after clear: %s", got)
		}
	})
}

func TestHalfAcquiredIsUndone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.w.Store.Claims = map[string]reconcile.Claim{}
		h := b.w.Host("alpha")
		h.Mounts.Value, h.Addrs.Value = nil, h.Addrs.Value[:1]
		for i := range h.Apps.Value {
			h.Apps.Value[i].Daemons = []reconcile.DaemonState{{Name: "server"}}
		}
		b.fail["start"] = errors.New("no such program")
		b.start(t)
		b.wants(t, fsm.Standby, "claim files, activate /dev/shared0, mount /srv/shared, address svc, start server, stop server, "+
			"drop svc, unmount /srv/shared, release /dev/shared0, prove files, sign off files")
		if why := b.loop.State().Decisions["files"].Status.Reason; !strings.Contains(why, "no such program") {
			t.Errorf("reason %q", why)
		}
	})
}

func TestLostLeaseCancelsAndLetsGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.slow["start"] = time.Hour
		b.fail["sign off"] = errors.New("no majority")
		b.start(t)
		b.change(func(w *reconcile.World) { lose(w, "daemon-died=server") })
		if got := b.loop.State().Flights["files"]; got.N != 1 {
			t.Fatalf("flight is at step %d", got.N)
		}
		b.mu.Lock()
		b.gone = true
		b.mu.Unlock()
		b.settle()
		b.wants(t, fsm.Rejoining, "drop svc, unmount /srv/shared, release /dev/shared0, prove files, sign off files")
		b.mu.Lock()
		b.gone = false
		b.slow["start"] = 0
		b.mu.Unlock()
		time.Sleep(firstBackoff) // virtual
		b.settle()
		// What was let go without a lease is taken up with a new epoch only.
		b.wants(t, fsm.Owner, "claim files, activate /dev/shared0, mount /srv/shared, address svc, start server, verify server")
	})
}

// A node that lost its lease and let go claims anew what is still its own. While the
// store does not take that, for longer than the budget of restarts would last, it
// goes on trying: no person is needed when the store is back.
func TestAClaimThatFailsIsNoFailureOfTheNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.fail["sign off"] = errors.New("no majority")
		b.fail["claim"] = errors.New("only 655ms of the lease is left")
		b.start(t)
		gone := func(yes bool) {
			b.mu.Lock()
			b.gone = yes
			b.mu.Unlock()
			b.settle()
		}
		gone(true)
		gone(false)
		time.Sleep(20 * lastBackoff) // virtual
		b.settle()
		if n := strings.Count(b.steps(), "claim files"); n < 5 {
			t.Errorf("claimed %d times", n)
		}
		if d := b.loop.State().Decisions["files"]; d.Status.Reason != "" && strings.Contains(d.Status.Reason, "clear") {
			t.Errorf("a person is asked for: %s", d.Status.Reason)
		}
		b.mu.Lock()
		delete(b.fail, "claim")
		b.mu.Unlock()
		time.Sleep(lastBackoff) // virtual
		b.settle()
		b.wants(t, fsm.Owner, "claim files, activate /dev/shared0, mount /srv/shared, address svc, start server, verify server")
	})
}

func TestFailedFenceWaitsAndTriesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.w.Store.Claims["files"] = reconcile.Claim{Group: "files", Holder: "beta", BootID: b.w.Host("beta").BootID, Epoch: 7}
		h := b.w.Host("alpha")
		h.Mounts.Value, h.Addrs.Value = nil, h.Addrs.Value[:1]
		for i := range h.Apps.Value {
			h.Apps.Value[i].Daemons = []reconcile.DaemonState{{Name: "server"}}
		}
		b.fail["fence"] = errors.New("no answer from the power switch")
		b.w.Down["beta"] = true
		b.start(t)
		b.wants(t, fsm.Standby, "fence beta")
		d := b.loop.State().Decisions["files"]
		if d.Phase != reconcile.Waiting || len(d.Plan.Waits) != 1 || !strings.Contains(d.Plan.Waits[0].String(), "confirm-down beta") {
			t.Errorf("phase %s, waits %v", d.Phase, d.Plan.Waits)
		}
		time.Sleep(firstBackoff) // virtual
		synctest.Wait()
		if got := b.steps(); got != "fence beta" {
			t.Errorf("second attempt: %s", got)
		}
		b.mu.Lock()
		delete(b.fail, "fence")
		b.mu.Unlock()
		time.Sleep(lastBackoff)
		b.settle()
		b.wants(t, fsm.Owner, "fence beta, claim files, activate /dev/shared0, mount /srv/shared, address svc, start server, verify server")
	})
}

// A move that cannot unmount has stopped the application already. After a few
// attempts the node takes the group up again and says why it stays.
func TestMoveThatCannotLetGoServesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.fail["unmount"] = errors.New("busy")
		b.start(t)
		b.change(func(w *reconcile.World) {
			w.Store.Requests["files"] = reconcile.Request{Group: "files", To: "beta", By: "root", Epoch: w.Store.Claims["files"].Epoch}
		})
		time.Sleep(time.Minute) // virtual
		b.settle()
		d := b.loop.State().Decisions["files"]
		if d.Transition.To != fsm.Owner || d.Phase != reconcile.Serving || len(d.Plan.Waits) != 1 || !strings.Contains(d.Plan.Waits[0].Text, "busy") {
			t.Fatalf("%s, %s, waits %v", d.Transition.To, d.Phase, d.Plan.Waits)
		}
		b.steps()
		b.mu.Lock()
		delete(b.fail, "unmount")
		b.mu.Unlock()
		if err := b.loop.Clear(t.Context(), "files"); err != nil {
			t.Fatal(err)
		}
		b.settle()
		if got := b.steps(); !strings.HasSuffix(got, "sign off files") {
			t.Errorf("after clear: %s", got)
		}
	})
}

func TestStopHandsOverAndReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
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
		if got, want := b.steps(), "stop server, drop svc, unmount /srv/shared, release /dev/shared0, prove files, sign off files"; got != want {
			t.Errorf("steps:\n got %s\nwant %s", got, want)
		}
	})
}

func TestIdleLoopSleeps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.start(t)
		before := len(b.records)
		time.Sleep(time.Hour) // virtual: a hot loop would never let it pass
		synctest.Wait()
		if n := len(b.records) - before; n != 0 {
			t.Errorf("%d records written while nothing happened: %v", n, b.records[before:])
		}
	})
}

// The last step of a plan tells how long all of it took: what a takeover costs is
// in the record, group by group.
func TestTimeOfAPlanIsRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.start(t)
		b.slow["start"], b.slow["mount"] = 2*time.Second, time.Second
		b.change(func(w *reconcile.World) { lose(w, "mount-lost=/srv/shared") })
		time.Sleep(time.Minute)
		b.settle()
		var whole []string
		for _, r := range b.records {
			if d := r.Facts[journal.PlanTook]; d != "" {
				whole = append(whole, fmt.Sprintf("%s %d/%d %s", r.Step, r.N, r.Of, d))
			}
		}
		if len(whole) != 1 || !strings.HasPrefix(whole[0], "verify server") || !strings.HasSuffix(whole[0], " 3s") {
			t.Errorf("%q", whole)
		}
	})
}

func TestEveryStepIsRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.start(t)
		b.change(func(w *reconcile.World) { lose(w, "address-lost=svc") })
		var got []string
		for _, r := range b.records {
			got = append(got, fmt.Sprintf("%s %s", r.Kind, r.Step))
		}
		if !slices.Contains(got, "done address svc") {
			t.Errorf("records: %v", got)
		}
	})
}
