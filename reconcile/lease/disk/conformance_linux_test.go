package disk

import (
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"understudy/reconcile/lease"
	"understudy/reconcile/lease/leasetest"
)

func options(node string) Options {
	return Options{
		Cluster: "c", Key: secret, Node: node, Boot: "boot of " + node, Log: slog.New(slog.DiscardHandler),
		TTL: 5 * time.Second, Limit: 20 * time.Second, Poll: 100 * time.Millisecond, Settle: 20 * time.Millisecond,
	}
}

// fresh makes a file of the length of a store for two nodes, with the store on it.
func fresh(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "disk")
	h := Header{Cluster: "c", Nodes: []string{"x", "y"}}
	if err := os.WriteFile(path, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Format(path, h, secret, false); err != nil {
		t.Fatal(err)
	}
	return path
}

func opened(t *testing.T, path, node string) *Store {
	t.Helper()
	dev, err := OpenDevice(path)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), dev, options(node))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(); s.lane.wg.Wait() })
	return s
}

func TestConformanceFile(t *testing.T) {
	leasetest.Conformance(t, func(t *testing.T) (a, b lease.Store) {
		path := fresh(t)
		return opened(t, path, "x"), opened(t, path, "y")
	})
}

// Two loop devices with direct I/O on one file are two hosts' paths to one disk.
func TestConformanceLoop(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	leasetest.Conformance(t, func(t *testing.T) (a, b lease.Store) {
		path := fresh(t)
		return opened(t, loop(t, path), "x"), opened(t, loop(t, path), "y")
	})
}

func loop(t *testing.T, path string) string {
	t.Helper()
	out, err := exec.Command("losetup", "--find", "--show", "--direct-io=on", path).Output()
	if err != nil {
		t.Fatalf("losetup: %v", err)
	}
	dev := strings.TrimSpace(string(out))
	t.Cleanup(func() {
		if out, err := exec.Command("losetup", "--detach", dev).CombinedOutput(); err != nil {
			t.Errorf("losetup --detach %s: %v: %s", dev, err, out)
		}
	})
	return dev
}
