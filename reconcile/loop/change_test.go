package loop

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"understudy/config"
	"understudy/fsm"
	"understudy/reconcile"
)

// follow has the model go by what the loop puts in force, as observers and hands do.
func (b *bed) follow() {
	b.loop.opt.Adopt = func(c *config.Config) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.w.Learn(c)
		b.w.Config = c
	}
}

// takes has the loop take over the file with parts of it replaced, and waits until
// nothing moves any more. It reports whether all of it is in force.
func (b *bed) takes(t *testing.T, replace ...string) *bool {
	t.Helper()
	next, err := config.Parse("test.toml", []byte(strings.NewReplacer(replace...).Replace(file)))
	if err != nil {
		t.Fatal(err)
	}
	former, ended := b.loop.config(), new(bool)
	if err := b.loop.Change(t.Context(), former, next, nil, func() { *ended = true }); err != nil {
		t.Fatal(err)
	}
	b.settle()
	b.settle()
	return ended
}

func TestChangeLetsGoFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.follow()
		b.start(t)
		for _, dev := range []string{"/dev/shared1", "/dev/shared2", "/dev/shared3"} { // more often than the budget of restarts
			was := b.loop.config().Groups[0].Filesystems[0].Device
			if !*b.takes(t, "/dev/shared0", dev) {
				t.Error("not in force")
			}
			b.wants(t, fsm.Owner, "stop server, unmount /srv/shared, release "+was+", "+
				"activate "+dev+", mount /srv/shared, start server, verify server")
		}
		if b.status.Changing != "" || b.status.ConfigHash != b.loop.config().Hash || b.status.Speaks != reconcile.Protocol {
			t.Errorf("status: %+v", b.status)
		}
		b.change(func(w *reconcile.World) { lose(w, "daemon-died=server") })
		b.wants(t, fsm.Owner, "start server, verify server")
	})
}

// What matters to nothing that runs touches nothing.
func TestChangeOfLimitsTouchesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.follow()
		b.start(t)
		if !*b.takes(t, `restarts = 2`, `restarts = 5`, `run = ["/bin/server"]`, `run = ["/bin/server"]
stop_limit = "9s"`) {
			t.Error("not in force")
		}
		b.wants(t, fsm.Owner, "")
		if got := b.loop.config().Groups[0].Restarts; got != 5 {
			t.Errorf("restarts = %d", got)
		}
	})
}

// What comes is mounted beside what runs.
func TestChangeAddsWhileServing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.follow()
		b.start(t)
		ended := b.takes(t, `[[group.files.application]]`, `[[group.files.filesystem]]
mount = "/srv/more"
device = "/dev/shared7"
type = "ext4"
[[group.files.application]]`)
		b.wants(t, fsm.Owner, "activate /dev/shared7, mount /srv/more")
		if !*ended || len(b.loop.config().Groups[0].Added) > 0 {
			t.Error("not in force")
		}
	})
}

// A group that goes is let go and signed off while it is still known, and a failure
// of that keeps it known.
func TestChangeRemovesAGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.follow()
		b.fail["unmount"] = errors.New("busy")
		b.start(t)
		other := strings.NewReplacer("group.files", "group.other", "/srv/shared", "/srv/other", "shared0", "shared1", ".50/", ".51/", `"svc"`, `"other"`).Replace(file)
		next, err := config.Parse("test.toml", []byte(other))
		if err != nil {
			t.Fatal(err)
		}
		ended := false
		if err := b.loop.Change(t.Context(), b.loop.config(), next, nil, func() { ended = true }); err != nil {
			t.Fatal(err)
		}
		b.settle()
		if ended || b.loop.config().Group("files") == nil || !strings.Contains(b.status.Changing, "files") {
			t.Errorf("forgotten before it was let go: %q", b.status.Changing)
		}
		if err := b.loop.Change(t.Context(), b.loop.config(), next, nil, nil); !errors.Is(err, ErrChanging) {
			t.Errorf("a second change: %v", err)
		}
		b.mu.Lock()
		b.fail["unmount"] = nil
		b.mu.Unlock()
		for range 3 {
			time.Sleep(lastBackoff) // virtual
			b.settle()
		}
		steps := b.steps()
		if !ended || b.loop.config().Group("files") != nil || !strings.Contains(steps, "prove files, sign off files") {
			t.Errorf("in force: %v; steps: %s", ended, steps)
		}
		if c := b.w.Store.Claims["files"]; !c.Released {
			t.Errorf("claim: %+v", c)
		}
		if got := b.loop.State().Decisions["other"].Transition.To; got != fsm.Standby { // beta of the model has not got so far
			t.Errorf("the group that came: %s, %+v", got, b.loop.State().Decisions["other"].Status)
		}
	})
}

// Killed behind the letting go: what was started by the changed file is not taken for
// what the former one had.
func TestChangeGoesOnAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.loop.opt.StateDir = t.TempDir()
		b.follow()
		former := b.loop.config()
		next, err := config.Parse("test.toml", []byte(strings.Replace(file, `"/bin/server"`, `"/bin/server", "-v"`, 1)))
		if err != nil {
			t.Fatal(err)
		}
		b.loop.keepChange(changeDone{Former: former.Hash, Hash: next.Hash, Done: []string{"files"}})
		if done := begun(b.loop.opt.StateDir, next, former); done != nil {
			t.Errorf("of another change: %v", done)
		}
		b.start(t)
		ended := false
		if err := b.loop.Change(t.Context(), former, next, nil, func() { ended = true }); err != nil {
			t.Fatal(err)
		}
		b.settle()
		b.wants(t, fsm.Owner, "")
		if !ended || begun(b.loop.opt.StateDir, former, next) != nil {
			t.Errorf("in force: %v; kept: %v", ended, begun(b.loop.opt.StateDir, former, next))
		}
	})
}

// A group that is not to be on this node any more, which took it over while the file was
// voted on, is let go and signed off: by the changed file nobody here would look at it.
func TestChangeTakesAHeldGroupOffThisNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.follow()
		b.start(t)
		ended := b.takes(t, `["alpha", "beta"]`, `["beta"]`)
		b.wants(t, fsm.Rejoining, "stop server, drop svc, unmount /srv/shared, release /dev/shared0, prove files, sign off files")
		if c := b.w.Store.Claims["files"]; !*ended || !c.Released {
			t.Errorf("in force: %v; claim: %+v", *ended, c)
		}
	})
}

// A file that could not be recorded as the one in force is not: a later run would go by
// the former one, whose disks another group may have by then.
func TestChangeIsInForceWhenItIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.loop.opt.StateDir = t.TempDir()
		b.follow()
		b.start(t)
		former := b.loop.config()
		next, err := config.Parse("test.toml", []byte(strings.Replace(file, "/dev/shared0", "/dev/shared1", 1)))
		if err != nil {
			t.Fatal(err)
		}
		full, ended := errors.New("no space left on device"), false
		if err := b.loop.Change(t.Context(), former, next, func() error { return full }, func() { ended = true }); err != nil {
			t.Fatal(err)
		}
		b.settle()
		b.settle()
		begin, going := Resume(b.loop.opt.StateDir, "alpha", former, next)
		if ended || b.status.Changing == "" || !going || begin.Groups[0].Filesystems[0].Device != "/dev/shared1" || begin.Groups[0].Shed != nil {
			t.Fatalf("in force: %v; status: %q; a restart begins with %+v", ended, b.status.Changing, begin)
		}
		full = nil
		b.settle()
		if _, going := Resume(b.loop.opt.StateDir, "alpha", former, next); !ended || going {
			t.Errorf("in force: %v; goes on: %v", ended, going)
		}
	})
}
