package disk

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// What holds anything is left alone unless somebody insists; what is too small,
// always.
func TestFormat(t *testing.T) {
	h := Header{Cluster: "c", Nodes: []string{"x", "y"}}
	blank := func(t *testing.T, size int) string {
		path := filepath.Join(t.TempDir(), "disk")
		if err := os.WriteFile(path, make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	refused := func(path, why string) {
		t.Helper()
		before, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := Format(path, h, secret, false); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("got %v, want %q", err, why)
		}
		if after, err := os.ReadFile(path); err != nil || string(after) != string(before) {
			t.Errorf("it was changed all the same (%v)", err)
		}
	}
	ext4 := blank(t, 8<<20)
	if out, err := exec.Command("mkfs.ext4", "-q", "-F", ext4).CombinedOutput(); err != nil {
		t.Fatalf("mkfs.ext4: %v: %s", err, out)
	}
	refused(ext4, "ext4")
	something := blank(t, 1<<20)
	f, err := os.OpenFile(something, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte{1}, 300_000); err != nil {
		t.Fatal(err)
	}
	f.Close()
	refused(something, "not empty")
	refused(blank(t, 64<<10), "it has 65536 bytes")

	path := blank(t, 1<<20)
	if err := Format(path, h, secret, false); err != nil {
		t.Fatal(err)
	}
	refused(path, "store of a cluster already")
	first := inspect(t, path)
	if err := Format(path, h, secret, true); err != nil {
		t.Fatal(err)
	}
	if again := inspect(t, path); again.ID == first.ID || again.Cluster != "c" || len(again.Slots) != 4 || again.Slots[0].Node != "" {
		t.Errorf("%+v after %+v", again, first)
	}
	opened(t, path, "x")
	if s := inspect(t, path).Slots[0]; s.Node != "x" || s.Incarnation != 1 {
		t.Errorf("%+v", s)
	}
	// Another process of this host must not come between.
	dev, err := OpenDevice(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := dev.(*file).lock(h.headAt(0, 0), BlockSize*copies); err == nil {
		t.Error("a second lock on a slot that is in use")
	}
	dev.Close()
	for _, bad := range []string{t.TempDir(), "/dev/null", filepath.Join(t.TempDir(), "none")} {
		if d, err := OpenDevice(bad); err == nil {
			d.Close()
			t.Errorf("%s is a disk", bad)
		}
	}
}

func inspect(t *testing.T, path string) Inspection {
	t.Helper()
	dev, err := OpenDevice(path)
	if err != nil {
		t.Fatal(err)
	}
	d, err := Inspect(t.Context(), dev, secret, nil, 20*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	return d
}
