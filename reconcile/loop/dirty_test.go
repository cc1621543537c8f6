package loop

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"understudy/fsm"
	"understudy/reconcile"
)

// SavedHostname is what act would read from disk.
func (b *bed) SavedHostname() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.w.Host("alpha").Memory["files"].SavedHostname
}

// Dirty is what act would read from disk.
func (b *bed) Dirty() (map[string]string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return maps.Clone(b.marks), b.unread
}

// dfsFile is the file of the other tests with a second application, which only a
// reboot ends.
var dfsFile = file + `
[[group.files.application]]
name = "dfs"
start = ["/usr/bin/start.dfs"]
stop = ["/usr/bin/stop.dfs"]
daemons = [{ name = "fxd", exe = "/opt/dcelocal/bin/fxd" }]
reboot_to_release = true
`

func automatically(file string) string {
	return strings.Replace(file, "restarts = 2", "restarts = 2\nreboot = \"automatic\"", 1)
}

// dfsBed is at rest: alpha owns, and act has the record of it.
func dfsBed(t *testing.T, file string) *bed {
	b := newBedOf(t, file)
	b.marks = map[string]string{"files": b.w.Host("alpha").BootID}
	b.loop.opt.StateDir = t.TempDir()
	return b
}

// run runs the loop until it is killed.
func (b *bed) run(t *testing.T) (kill func()) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	l := b.loop
	go func() { ended <- l.Run(ctx) }()
	b.settle()
	killed := false
	kill = func() {
		if killed {
			return
		}
		killed = true
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(kill)
	return kill
}

// again is the next run of the program on the same host.
func (b *bed) again(t *testing.T) (kill func()) {
	opt := b.loop.opt
	opt.Log = slog.New(slog.DiscardHandler)
	b.loop = New(opt)
	return b.run(t)
}

// fresh takes everything away from alpha: nothing was ever claimed or started.
func (b *bed) fresh() {
	b.w.Store.Claims = map[string]reconcile.Claim{}
	h := b.w.Host("alpha")
	h.Mounts.Value, h.Addrs.Value, h.Memory = nil, h.Addrs.Value[:1], map[string]reconcile.Memory{}
	for i := range h.Apps.Value {
		for k := range h.Apps.Value[i].Daemons {
			h.Apps.Value[i].Daemons[k].Processes = nil
		}
	}
	b.marks = nil
}

func (b *bed) ask(to string) {
	b.change(func(w *reconcile.World) {
		w.Store.Requests["files"] = reconcile.Request{Group: "files", To: to, By: "root", Epoch: w.Store.Claims["files"].Epoch}
	})
}

func (b *bed) decision() reconcile.Decision { return b.loop.State().Decisions["files"] }

const takeUp = "claim files, activate /dev/shared0, mount /srv/shared, address svc, start server, verify server, "

// The mark stands before the start begins, so that a kill at any moment of it leaves
// a host that knows that it is dirty.
func TestKilledInTheStartOfDFS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := dfsBed(t, dfsFile)
		b.fresh()
		b.slow["start"] = 0
		b.before = func(verb string) {
			if verb == "mark" {
				b.slow["start"] = time.Hour // that of DFS hangs
			}
		}
		kill := b.run(t)
		b.wants(t, fsm.Owner, takeUp+"mark dfs")
		kill()
		b.steps()
		b.mu.Lock()
		b.before, b.slow["start"] = nil, 0
		b.mu.Unlock()
		b.again(t)
		b.ask("beta")
		// Whatever the start did to the kernel, nobody knows: it stays where it is.
		d := b.decision()
		if d.Dirty != "dfs" || !d.Status.Dirty || !b.status.Group("files").Dirty {
			t.Errorf("dirty %q, says %+v", d.Dirty, d.Status)
		}
		if got := b.steps(); strings.Contains(got, "unmount") || strings.Contains(got, "sign off") {
			t.Errorf("a dirty host lets go: %s", got)
		}
		if !d.AtBarrier || d.Phase != reconcile.Waiting {
			t.Errorf("at the barrier %v, phase %s", d.AtBarrier, d.Phase)
		}
	})
}

// A mark that cannot be written refuses the start, and what was taken up is let go
// in order, since DFS has not run.
func TestNoStartWithoutAMark(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := dfsBed(t, dfsFile)
		b.fresh()
		b.fail["mark"] = errors.New("no space left on device")
		b.run(t)
		got := b.steps()
		if strings.Contains(got, "start dfs") || !strings.HasPrefix(got, takeUp+"mark dfs") {
			t.Errorf("steps: %s", got)
		}
		if !strings.HasSuffix(got, "stop server, drop svc, unmount /srv/shared, release /dev/shared0, prove files, sign off files") {
			t.Errorf("what was taken up is not let go: %s", got)
		}
	})
}

// A record that cannot be read refuses it too, and the node does not stand by.
func TestUnreadMarksAreNotTakenForClean(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := dfsBed(t, dfsFile)
		b.fresh()
		b.unread = errors.New("input/output error")
		b.run(t)
		if got := b.steps(); got != "" {
			t.Errorf("steps: %s", got)
		}
		if d := b.decision(); d.Status.Ready || !strings.Contains(d.Status.Reason, "input/output error") {
			t.Errorf("ready %v, reason %q", d.Status.Ready, d.Status.Reason)
		}
		b.change(func(*reconcile.World) { b.unread = nil })
		b.wants(t, fsm.Owner, takeUp+"mark dfs, start dfs, verify dfs")
	})
}

// What was only seen to run makes the host dirty as well, across a restart.
func TestSeenToRunIsDirty(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := dfsBed(t, dfsFile)
		b.marks = nil // the record is lost
		kill := b.run(t)
		b.ask("beta")
		b.wants(t, fsm.Rejoining, "stop dfs, stop server, drop svc")
		kill()
		b.again(t)
		b.wants(t, fsm.Rejoining, "")
		if d := b.decision(); d.Dirty != "dfs" {
			t.Errorf("dirty %q", d.Dirty)
		}
	})
}

// A file that no longer says so does not make the host clean.
func TestDirtyUnderAnotherFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t) // nothing in it needs a reboot
		b.marks = map[string]string{"files": b.w.Host("alpha").BootID}
		b.run(t)
		b.ask("beta")
		b.wants(t, fsm.Rejoining, "stop server, drop svc")
		if d := b.decision(); !d.AtBarrier || d.Dirty != "an application of an earlier file" {
			t.Errorf("at the barrier %v, dirty %q", d.AtBarrier, d.Dirty)
		}
	})
}

// The node at the barrier says what it waits for. When the other cannot take over
// any more it serves again, but not at once: one that comes and goes must not make
// it start and stop.
func TestBarrierAndItsWayBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := dfsBed(t, dfsFile)
		b.run(t)
		b.wants(t, fsm.Owner, "")
		b.ask("beta")
		b.wants(t, fsm.Rejoining, "stop dfs, stop server, drop svc")
		d := b.decision()
		if d.Phase != reconcile.Waiting || !strings.Contains(d.Status.Reason, "reboot alpha; beta takes files up") {
			t.Errorf("%s, %s", d.Phase, d.Status.Reason)
		}
		time.Sleep(time.Hour) // virtual
		b.settle()
		b.wants(t, fsm.Rejoining, "")
		for range 3 { // beta comes and goes
			b.change(func(w *reconcile.World) { w.Down["beta"] = true })
			time.Sleep(barrierPatience / 2)
			b.change(func(w *reconcile.World) { w.Down["beta"] = false })
			time.Sleep(barrierPatience / 2)
		}
		b.settle()
		b.wants(t, fsm.Rejoining, "")
		b.change(func(w *reconcile.World) { w.Down["beta"] = true })
		b.settle()
		if got := b.steps(); got != "" {
			t.Errorf("at once: %s", got)
		}
		time.Sleep(barrierPatience + resync)
		b.settle()
		got := b.steps()
		if !strings.Contains(got, "start dfs, verify dfs") || strings.Contains(got, "mount") || b.role() != fsm.Owner {
			t.Errorf("%s: %s", b.role(), got)
		}
	})
}

// A person who clears the group does not wait for the patience.
func TestClearAtTheBarrier(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := dfsBed(t, dfsFile)
		b.fresh()
		b.fail["start dfs"] = errors.New("exit status 1")
		b.run(t)
		time.Sleep(10 * time.Minute) // its budget of attempts is spent
		b.settle()
		d := b.decision()
		if !d.AtBarrier || d.Phase != reconcile.Waiting || d.Transition.To != fsm.Rejoining {
			t.Fatalf("%s, %s, at barrier %v", d.Transition.To, d.Phase, d.AtBarrier)
		}
		if got := b.steps(); !strings.HasSuffix(got, "stop dfs, stop server, drop svc") {
			t.Errorf("steps: %s", got)
		}
		b.mu.Lock()
		delete(b.fail, "start dfs")
		b.mu.Unlock()
		if err := b.loop.Clear(t.Context(), "files"); err != nil {
			t.Fatal(err)
		}
		b.settle()
		if got := b.steps(); b.role() != fsm.Owner || !strings.HasSuffix(got, "start dfs, verify dfs") {
			t.Errorf("%s: %s", b.role(), got)
		}
	})
}

// SIGTERM at the barrier, or on the way to it, waits for no reboot.
func TestStopOfADirtyNodeReturns(t *testing.T) {
	for name, text := range map[string]string{"by hand": dfsFile, "automatic": automatically(dfsFile)} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := dfsBed(t, text)
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
				if got := b.steps(); got != "stop dfs, stop server, drop svc" {
					t.Errorf("steps: %s", got)
				}
			})
		})
	}
}

// With reboot = "automatic" the node reboots itself behind the stop. A shutdown that
// it has begun so ends this program, which must not wait for the reboot then.
func TestRebootIsBegunAndLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := dfsBed(t, automatically(dfsFile))
		b.slow["reboot"] = time.Hour
		ended := make(chan error, 1)
		go func() { ended <- b.loop.Run(t.Context()) }()
		b.settle()
		b.ask("beta")
		b.wants(t, fsm.Rejoining, "stop dfs, stop server, drop svc")
		f := b.loop.State().Flights["files"]
		if f.N == 0 || f.Plan.Steps[f.N-1].Step.Spec().Verb != "reboot" {
			t.Fatalf("in flight: step %d of %+v", f.N, f.Plan)
		}
		if d := b.decision(); d.Phase != reconcile.Waiting || !b.status.Group("files").Dirty {
			t.Errorf("phase %s while it reboots, says %+v", d.Phase, b.status)
		}
		began := time.Now()
		if err := b.loop.Stop(t.Context(), "the host is shutting down"); err != nil {
			t.Fatal(err)
		}
		b.settle()
		if err := <-ended; err != nil || time.Since(began) > time.Minute {
			t.Errorf("left after %s: %v", time.Since(began), err)
		}
	})
}

// A reboot that does not come is tried again and reported, and after some attempts
// the node serves again: half let go it served nobody.
func TestRebootThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := dfsBed(t, automatically(dfsFile))
		b.fail["reboot"] = errors.New("a shutdown is under way")
		b.run(t)
		b.ask("beta")
		time.Sleep(5 * time.Minute) // virtual
		b.settle()
		got := b.steps()
		if strings.Count(got, "reboot (this host)") < 3 || strings.Contains(got, "unmount") {
			t.Errorf("steps: %s", got)
		}
		if d := b.decision(); d.Transition.To != fsm.Owner || len(d.Plan.Waits) == 0 || !strings.Contains(d.Plan.Waits[0].Text, "a shutdown is under way") {
			t.Errorf("%s, waits %v", d.Transition.To, d.Plan.Waits)
		}
	})
}

// A lost lease stops the service and unmounts nothing; the same boot takes up again
// what nobody else has taken.
func TestLostLeaseOfADirtyNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := dfsBed(t, dfsFile)
		b.run(t)
		b.change(func(*reconcile.World) { b.gone = true })
		b.wants(t, fsm.Rejoining, "stop dfs, stop server, drop svc")
		b.change(func(*reconcile.World) { b.gone = false })
		time.Sleep(time.Second)
		b.settle()
		got := b.steps()
		if b.role() != fsm.Owner || !strings.HasPrefix(got, "claim files, ") || !strings.HasSuffix(got, "start dfs, verify dfs") || strings.Contains(got, "mount") {
			t.Errorf("%s: %s", b.role(), got)
		}
	})
}

// In a rotating group the stop runs under the service's host name, also when the
// program is killed in the middle of it, and the host's own name comes back (guide,
// figure 4, which sets no name at all).
func TestKilledInTheStopUnderTheServicesName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		text := strings.Replace(dfsFile, `policy = "cascading"`, "policy = \"rotating\"\nhostname = \"svc\"", 1)
		b := dfsBed(t, text)
		var names []string // at each stop
		b.before = func(verb string) {
			if verb == "stop" {
				names = append(names, b.w.Host("alpha").Hostname.Value)
			}
		}
		b.slow["stop"] = 90 * time.Second
		kill := b.run(t)
		b.ask("beta")
		time.Sleep(100 * time.Second) // into the second stop
		b.settle()
		b.wants(t, fsm.Rejoining, "hostname svc, stop dfs")
		kill()
		if got := b.SavedHostname(); got != "alpha" || b.w.Host("alpha").Hostname.Value != "svc" {
			t.Errorf("after the kill: saved %q, present %q", got, b.w.Host("alpha").Hostname.Value)
		}
		b.again(t)
		time.Sleep(5 * time.Minute)
		b.settle()
		if got := b.steps(); !strings.HasSuffix(got, "hostname (saved), drop svc") {
			t.Errorf("steps: %s", got)
		}
		if got := b.w.Host("alpha").Hostname.Value; got != "alpha" || b.SavedHostname() != "" {
			t.Errorf("host name %q, saved %q", got, b.SavedHostname())
		}
		for _, n := range names {
			if n != "svc" {
				t.Errorf("a stop ran under %q: %v", n, names)
			}
		}
	})
}
