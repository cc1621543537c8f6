package daemons

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"understudy/reconcile"
)

// A probe that waits for a disk that hangs cannot be killed. It counts as bad all the
// same, no second one is begun beside it, and when the disk answers again it is good.
func TestProbeThatTheKernelDoesNotEnd(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	image, at := filepath.Join(dir, "image"), filepath.Join(dir, "at")
	do := func(argv ...string) {
		t.Helper()
		if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%q: %v: %s", argv, err, out)
		}
	}
	if err := os.Mkdir(at, 0o755); err != nil {
		t.Fatal(err)
	}
	do("truncate", "-s", "16M", image)
	do("mkfs.ext4", "-q", "-F", image)
	do("mount", "-o", "loop", image, at)
	t.Cleanup(func() { do("umount", at) })
	do("fsfreeze", "--freeze", at)
	thaw := sync.OnceFunc(func() { do("fsfreeze", "--unfreeze", at) })
	t.Cleanup(thaw)

	b := probing(t, 100*time.Millisecond, "/bin/sh", "-c", "echo $$ >>"+at+"/begun")
	t.Cleanup(thaw) // before the prober's end is waited for
	if s := b.verdict(1); s.Probe != reconcile.ProbeBad || !strings.Contains(s.ProbeErr, "the kernel does not end it") {
		t.Fatalf("verdict %v %q", s.Probe, s.ProbeErr)
	}
	thaw()
	limit := time.After(20 * time.Second)
	for b.verdict(1).Probe != reconcile.ProbeGood {
		select {
		case <-b.fired:
		case <-limit:
			t.Fatal("no good verdict after the thaw")
		}
	}
}

// needRoot fails the test of one who cannot mount.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("mounting needs root")
	}
}
