package mounts

import (
	"context"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"understudy/observers/trigger"
	"understudy/reconcile"
)

func needRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root: makes a mount namespace")
	}
}

// inNamespace runs the calling test again in a process with namespaces of its
// own, and reports whether this is that process.
func inNamespace(t *testing.T, flags uintptr) bool {
	t.Helper()
	needRoot(t)
	const mark = "UNDERSTUDY_TEST_NAMESPACE"
	if os.Getenv(mark) == t.Name() {
		return true
	}
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=20s")
	cmd.Env = append(os.Environ(), mark+"="+t.Name())
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return false
}

// Every mount, remount and unmount is noticed and is in the table read after it.
func TestMountsAreNoticed(t *testing.T) {
	if !inNamespace(t, syscall.CLONE_NEWNS) {
		return
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir() + "/a b#c"
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	changed := trigger.New()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- Watch(ctx, changed.Fire) }()
	var table Table
	var worst time.Duration
	wait := func(what string, want func([]reconcile.Mount) bool) {
		t.Helper()
		began := time.Now()
		limit := time.After(5 * time.Second)
		for {
			select {
			case <-changed:
			case <-limit:
				list, err := table.Read(ctx)
				t.Fatalf("%s was not noticed; the table shows %+v, %v", what, list, err)
			}
			list, err := table.Read(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if want(list) {
				worst = max(worst, time.Since(began))
				return
			}
		}
	}
	here := func(ro bool) func([]reconcile.Mount) bool {
		return func(l []reconcile.Mount) bool {
			return slices.ContainsFunc(l, func(m reconcile.Mount) bool {
				return m.Point == dir && m.FSType == "tmpfs" && m.Source == "" && m.ReadOnly == ro && m.Root == "/"
			})
		}
	}
	gone := func(l []reconcile.Mount) bool {
		return !slices.ContainsFunc(l, func(m reconcile.Mount) bool { return m.Point == dir })
	}
	wait("the beginning", gone)
	for range 100 {
		if err := unix.Mount("", dir, "tmpfs", 0, ""); err != nil {
			t.Fatal(err)
		}
		wait("a mount", here(false))
		if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
			t.Fatal(err)
		}
		wait("a remount", here(true))
		if err := unix.Unmount(dir, 0); err != nil {
			t.Fatal(err)
		}
		wait("an unmount", gone)
	}
	cancel()
	if err := <-done; err != context.Canceled {
		t.Fatalf("watch ended with %v", err)
	}
	t.Logf("slowest notice and look %v", worst)
}

// The mount table can be read while another process changes it all the time.
func TestReadDuringChanges(t *testing.T) {
	if !inNamespace(t, syscall.CLONE_NEWNS) {
		return
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
	keep, churn := t.TempDir(), t.TempDir()
	if err := unix.Mount("keep", keep, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Unmount(keep, 0) }()
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			case <-time.After(200 * time.Microsecond):
				if unix.Mount("churn", churn, "tmpfs", 0, "") == nil {
					_ = unix.Unmount(churn, 0)
				}
			}
		}
	}()
	var table Table
	failed := 0
	for range 300 {
		list, err := table.Read(t.Context())
		if err != nil {
			failed++ // unknown is an honest answer
			continue
		}
		if !slices.ContainsFunc(list, func(m reconcile.Mount) bool { return m.Point == keep }) {
			t.Error("a mount that was there all the time is missing")
			break
		}
	}
	close(stop)
	<-done
	if failed > 30 {
		t.Errorf("%d of 300 readings failed", failed)
	}
}
