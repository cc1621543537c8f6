//go:build linux

package etcd

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"understudy/reconcile"
)

func needRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root: it mounts a small file system")
	}
}

// A member whose disk is full says so and ends, even as the leader; the process
// lives, its calls end with their contexts, the others go on, and the next
// process starts it on what there is.
func TestDiskFull(t *testing.T) {
	needRoot(t)
	c := declare(t, 3)
	c.Lease.Tick, c.Lease.Election = 50*time.Millisecond, 500*time.Millisecond
	k := newCluster(t, c)
	dir := k.dirs["alpha"]
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=24m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		k.stop("alpha")
		// The failed member has its files open until this process ends.
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	for name := range k.dirs {
		k.start(name)
	}
	k.ready()
	k.lead("alpha")
	ran := make(chan error, 1)
	alpha := k.members["alpha"]
	go func() { ran <- alpha.Run(context.Background()) }()

	fill(t, filepath.Join(dir, "ballast"))
	s := k.store("beta")
	id, err := s.Grant(t.Context(), "beta", "b1", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	claim := reconcile.Claim{Group: "g", Holder: "beta", BootID: "b1", Reason: strings.Repeat("x", 50<<10)}
	var rev int64
	for failed := false; !failed; {
		claim.Epoch++
		if rev, err = s.Take(t.Context(), id, claim, rev); err != nil {
			t.Fatalf("the others do not go on: %v", err)
		}
		select {
		case <-alpha.failed:
			failed = true
		default:
		}
		if claim.Epoch > 500 {
			t.Fatal("25 MB later the member with the full disk has not noticed")
		}
	}
	began := time.Now()
	end := <-ran
	t.Logf("after %d claims, and %s to end: %v", claim.Epoch, time.Since(began), end)
	if end == nil || !strings.Contains(end.Error(), "no space left") {
		t.Errorf("Run: %v", end)
	}
	mine, err := alpha.Store()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	began = time.Now()
	if _, err := mine.View(ctx); err == nil || time.Since(began) > time.Minute {
		t.Errorf("View on a failed member: %v after %s", err, time.Since(began))
	}
	k.eventually("the failed member neither leads nor answers", func() bool {
		for _, h := range k.members["beta"].Members(t.Context()) {
			if h.Name == "alpha" {
				return !h.Reachable && !h.Leader
			}
		}
		return false
	})
	// What the next process finds, with room again.
	delete(k.members, "alpha")
	k.dirs["alpha"] = t.TempDir()
	if err := os.Remove(filepath.Join(dir, "ballast")); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(k.dirs["alpha"], os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	k.start("alpha")
	k.eventually("alpha is back", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		v, err := k.store("alpha").View(ctx)
		return err == nil && v.Claims["g"].Revision == rev
	})
}

// fill writes a file until the file system has no room.
func fill(t *testing.T, path string) {
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	block := make([]byte, 4096)
	for {
		if _, err := f.Write(block); err != nil {
			return
		}
	}
}
