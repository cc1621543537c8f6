package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"understudy/reconcile/journal"
)

// A node that was ended on its way to a changed file begins with what it had done: by
// the former file it would mount again what it has let go for another group.
func TestBeginsOnTheWayToAChangedFile(t *testing.T) {
	const file = `
cluster = "test"
key_file = "/etc/understudy/cluster.key"
[witness]
address = "10.7.0.13"
[node.alpha]
addresses = { public = "10.7.0.11/24" }
[node.beta]
addresses = { public = "10.7.0.12/24" }
[group.files]
policy = "cascading"
nodes = ["alpha", "beta"]
[[group.files.filesystem]]
mount = "/srv/shared"
device = "/dev/shared0"
type = "ext4"
[[group.files.filesystem]]
mount = "/srv/more"
device = "/dev/shared1"
type = "ext4"
`
	dir := t.TempDir()
	c := &common{config: filepath.Join(dir, "understudy.toml"), stateDir: filepath.Join(dir, "state")}
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(c.config, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(c.stateDir, 0o700); err != nil {
		t.Fatal(err)
	}
	write(file)
	old, former, err := c.onDisk()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.keepInForce(old); err != nil {
		t.Fatal(err)
	}
	last := strings.LastIndex(file, "[[")
	write(file[:last])
	b, next, err := c.onDisk()
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		done  []string
		disks int
	}{{nil, 2}, {[]string{"files"}, 1}} {
		done := map[string]any{"former": former.Hash, "hash": next.Hash, "done": test.done}
		if err := journal.SaveState(c.stateDir, "change", done); err != nil {
			t.Fatal(err)
		}
		_, was, begin, err := c.begins(next, "alpha", b)
		if err != nil {
			t.Fatal(err)
		}
		if was.Hash != former.Hash || begin.Hash != next.Hash || len(begin.Groups[0].Filesystems) != test.disks {
			t.Errorf("done %v: from %.8s it begins with %+v", test.done, was.Hash, begin.Groups[0].Filesystems)
		}
	}
}
