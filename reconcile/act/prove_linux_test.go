package act

import (
	"context"
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"understudy/config"
	"understudy/reconcile"
)

// A whole group goes up and down, and the proof names each thing that is left.
func TestProofOfRelease(t *testing.T) {
	link, _ := wire(t)
	line := aSleep()
	app := appNamed(t)
	app.Run = strings.Fields(line)
	app.Daemons = []config.Daemon{{Name: "sleep", Match: line}}
	h := appHost(t, app)
	fs := disk(t, "ext4")
	g := config.Group{Name: "g", Addresses: []config.ServiceAddress{service("10.7.0.50/24")}, Filesystems: []config.Filesystem{fs}, Applications: []config.Application{app}}
	prove := func() error { return h.Do(within(t, time.Second), reconcile.ProveRelease{Group: g}) }
	must := func(s reconcile.Step) {
		t.Helper()
		if err := h.Do(within(t, 10*time.Second), s); err != nil {
			t.Fatal(err)
		}
	}
	if err := prove(); err != nil {
		t.Fatal(err)
	}
	for _, s := range []reconcile.Step{
		reconcile.Activate{Device: fs.Device}, reconcile.MountFS{FS: fs},
		reconcile.AddAddress{Address: g.Addresses[0], Link: link}, reconcile.Start{Group: "g", App: app},
	} {
		must(s)
	}
	wantError(t, prove(), "application "+app.Name+" still runs (sleep ", "10.7.0.50 is on "+link, fs.Device+" is mounted at "+fs.Mount, "exclusively")
	must(reconcile.Stop{Group: "g", App: app})
	must(reconcile.DropAddress{Address: g.Addresses[0]})
	err := prove()
	wantError(t, err, "is mounted at "+fs.Mount)
	if strings.Contains(err.Error(), "still runs") || strings.Contains(err.Error(), "10.7.0.50") {
		t.Errorf("what is gone is named: %v", err)
	}
	must(reconcile.Unmount{FS: fs})
	must(reconcile.Deactivate{Device: fs.Device})
	began := time.Now()
	if err := prove(); err != nil {
		t.Fatal(err)
	}
	t.Logf("proved in %s", time.Since(began))
}

func TestProofSeesWhatAnUnmountLeaves(t *testing.T) {
	h := newHost(t)
	fs := mounted(t, h)
	g := config.Group{Name: "g", Filesystems: []config.Filesystem{fs}}
	prove := func() error { return h.Do(within(t, time.Second), reconcile.ProveRelease{Group: g}) }
	unmount := func() {
		t.Helper()
		if err := h.Do(within(t, 5*time.Second), reconcile.Unmount{FS: fs}); err != nil {
			t.Fatal(err)
		}
	}

	cmd := actorWith(t, &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS}, "stay")
	unmount()
	wantError(t, prove(), fs.Device+" is mounted at "+fs.Mount+" in the mount namespace of exe ", "exclusively")
	_ = cmd.Process.Kill()
	for end := time.Now().Add(5 * time.Second); prove() != nil; {
		if time.Now().After(end) {
			t.Fatal(prove())
		}
	}

	// A mount that no mount table shows.
	if err := h.Do(within(t, 5*time.Second), reconcile.MountFS{FS: fs}); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.OpenTree(unix.AT_FDCWD, fs.Mount, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	unmount()
	wantError(t, prove(), "exclusively", "perhaps in a namespace without a process")
	_ = unix.Close(fd)
	if err := prove(); err != nil {
		t.Error(err)
	}

	l := loop(t, fs.Device) // a loop device on top of the device itself
	wantError(t, prove(), "is used by loop device "+l)
	g.Filesystems[0].Device = "/dev/nosuch"
	wantError(t, prove(), "device /dev/nosuch is unknown")
	g.Filesystems[0].Volume = "dcevg" // switched off: no device is as it should be
	if err := prove(); err != nil {
		t.Error(err)
	}
	g.Applications = []config.Application{{Name: "a", Daemons: []config.Daemon{{Name: "d"}}}}
	h.opts.Look = func(context.Context) ([]reconcile.AppState, error) { return nil, errors.New("cannot read /proc") }
	wantError(t, prove(), "unknown", "cannot read /proc")
}

func TestStepsOfTheStoreAreRefused(t *testing.T) {
	h := newHost(t)
	wantError(t, h.Do(t.Context(), reconcile.TakeClaim{Group: "g"}), "step claim", "package lease")
	wantError(t, h.Do(t.Context(), reconcile.SignOff{Group: "g"}), "step sign off", "package lease")
	ctx, cancel := context.WithCancelCause(t.Context())
	lost := errors.New("lease lost")
	cancel(lost)
	for _, s := range []reconcile.Step{
		reconcile.Fence{}, reconcile.Activate{}, reconcile.MountFS{}, reconcile.AddAddress{}, reconcile.SetHostname{Name: "x"}, reconcile.RestoreHostname{},
		reconcile.PurgeFiles{}, reconcile.Start{App: config.Application{Start: []string{"x"}}}, reconcile.Verify{}, reconcile.Stop{}, reconcile.DropAddress{}, reconcile.Unmount{}, reconcile.Deactivate{}, reconcile.ProveRelease{},
	} {
		if err := h.Do(ctx, s); !errors.Is(err, lost) {
			t.Errorf("%T: %v", s, err)
		}
	}
}

// Run announces until its context ends, and leaves no goroutine.
func TestRunEndsWithItsContext(t *testing.T) {
	h := newHost(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := h.Run(ctx); err != nil {
		t.Error(err)
	}
}
