package act

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"understudy/config"
	"understudy/reconcile"
)

// TestDirtyOutlivesTheProgram: the record is of a boot, survives a kill of the
// program, and a later boot's replaces it.
func TestDirtyOutlivesTheProgram(t *testing.T) {
	h := newHost(t)
	is := func(want map[string]string) {
		t.Helper()
		got, err := h.Dirty()
		if err != nil || len(got) != len(want) {
			t.Fatalf("dirty %v %v, want %v", got, err, want)
		}
		for g, b := range want {
			if got[g] != b {
				t.Errorf("dirty %v, want %v", got, want)
			}
		}
	}
	mark := func(group, boot string) {
		t.Helper()
		if err := h.Do(t.Context(), reconcile.MarkDirty{Group: group, App: "dfs", BootID: boot}); err != nil {
			t.Fatal(err)
		}
	}
	is(nil)
	mark("dce", "boot1")
	mark("dce", "boot1")
	mark("other", "boot1")
	is(map[string]string{"dce": "boot1", "other": "boot1"})

	h = New(Options{StateDir: h.opts.StateDir}) // as after kill -9
	defer h.Close()
	is(map[string]string{"dce": "boot1", "other": "boot1"})
	mark("dce", "boot2") // the boots before have ended
	is(map[string]string{"dce": "boot2"})
}

// TestDirtyIsNotGuessed: a record that cannot be read or written is an error, and
// stays as it is.
func TestDirtyIsNotGuessed(t *testing.T) {
	h := newHost(t)
	path := filepath.Join(h.opts.StateDir, dirtyFile)
	step := reconcile.MarkDirty{Group: "dce", App: "dfs", BootID: "boot1"}
	for _, text := range []string{"", "{", `{"dce":{}}`, `{"":{"boot_id":"x"}}`, `[]`} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := h.Dirty(); err == nil {
			t.Errorf("%q reads as %v", text, got)
		}
		wantError(t, h.Do(t.Context(), step), "cannot record that dfs of dce needs a reboot to end", path)
		if b, err := os.ReadFile(path); err != nil || string(b) != text {
			t.Errorf("%q was replaced by %q, %v", text, b, err)
		}
	}
	blocked := New(Options{StateDir: filepath.Join(path, "below-a-file")})
	defer blocked.Close()
	wantError(t, blocked.Do(t.Context(), step), "not a directory")
	wantError(t, h.Do(t.Context(), reconcile.MarkDirty{Group: "dce", App: "dfs"}), "no boot")
}

// TestProofOfADirtyBoot: the proof of release knows what only a reboot ends, sees who
// has an aggregate open, and leaves a node's own disk to the node.
func TestProofOfADirtyBoot(t *testing.T) {
	needRoot(t)
	h := newHost(t)
	agg, own := disk(t, "ext4"), disk(t, "ext4")
	own.Local = true
	g := config.Group{Name: "dce", Aggregates: []config.Aggregate{{Device: agg.Device}}, Filesystems: []config.Filesystem{own}}
	prove := func() error { return h.Do(within(t, 20*time.Second), reconcile.ProveRelease{Group: g}) }
	if err := prove(); err != nil {
		t.Fatal(err)
	}
	if err := h.Do(within(t, 20*time.Second), reconcile.MountFS{FS: own}); err != nil {
		t.Fatal(err)
	}
	wantError(t, prove(), "is mounted at "+own.Mount)
	if err := h.Do(within(t, 20*time.Second), reconcile.Unmount{FS: own, Point: own.Mount}); err != nil {
		t.Fatal(err)
	}
	held, err := unix.Open(agg.Device, unix.O_RDONLY|unix.O_EXCL|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	wantError(t, prove(), agg.Device+" cannot be opened exclusively")
	if err := unix.Close(held); err != nil {
		t.Fatal(err)
	}
	mark := func(boot string) {
		t.Helper()
		if err := h.Do(t.Context(), reconcile.MarkDirty{Group: "dce", App: "dfs", BootID: boot}); err != nil {
			t.Fatal(err)
		}
	}
	mark("an earlier boot")
	if err := prove(); err != nil {
		t.Fatal(err)
	}
	boot, err := bootID()
	if err != nil {
		t.Fatal(err)
	}
	mark(boot)
	wantError(t, prove(), "dfs was started in this boot and holds the disks until a reboot")
}

// TestRebootIsAskedForOnceAndAwaited: a host that still runs at the end of the
// step's time has not been rebooted.
func TestRebootIsAskedForOnceAndAwaited(t *testing.T) {
	for _, atOnce := range []bool{false, true} {
		asked := 0
		h := New(Options{StateDir: t.TempDir(), Reboot: func(_ context.Context, now bool) error {
			asked++
			if now != atOnce {
				t.Errorf("at once %v, want %v", now, atOnce)
			}
			return nil
		}})
		defer h.Close()
		ctx, cancel := context.WithCancelCause(t.Context())
		ended := make(chan error, 1)
		go func() {
			ended <- h.Do(ctx, reconcile.Reboot{Group: "dce", Why: "dfs has run here", AtOnce: atOnce})
		}()
		select {
		case err := <-ended:
			t.Fatalf("it returned on a host that still runs: %v", err)
		case <-time.After(50 * time.Millisecond):
		}
		wanted := errors.New("the group is wanted otherwise by now")
		cancel(wanted)
		err := <-ended
		wantError(t, err, "cannot reboot this host", "wanted otherwise")
		// The writing back may have been cut short by the cancelling.
		if asked > 1 || asked == 0 && !atOnce && !errors.Is(err, wanted) || asked == 0 && atOnce {
			t.Errorf("asked %d times", asked)
		}
	}
	h := newHost(t)
	wantError(t, h.Do(t.Context(), reconcile.Reboot{}), "nothing is set up", "by hand")
	h = New(Options{StateDir: t.TempDir(), Reboot: func(context.Context, bool) error { return errors.New("a shutdown is under way") }})
	defer h.Close()
	wantError(t, h.Do(t.Context(), reconcile.Reboot{AtOnce: true}), "a shutdown is under way", "by hand")
}

// TestMarkWaitsForNoDisk: a state directory that hangs must not keep a plan in flight
// whose lease is lost.
func TestMarkWaitsForNoDisk(t *testing.T) {
	h := newHost(t)
	path := filepath.Join(h.opts.StateDir, dirtyFile)
	if err := unix.Mkfifo(path, 0o600); err != nil { // nobody writes, so that reading hangs
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeoutCause(t.Context(), 20*time.Millisecond, errors.New("the lease is lost"))
	defer cancel()
	step := reconcile.MarkDirty{Group: "dce", App: "dfs", BootID: "boot1"}
	wantError(t, h.Do(ctx, step), "record what only a reboot ends", "the lease is lost")
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Remove(path), f.Close()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for {
		err := h.Do(ctx, step)
		if err == nil {
			return
		}
		if !pause(ctx, time.Millisecond) {
			t.Fatal(err)
		}
	}
}
