package journal

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// cutPower ends an ext4 file system as a power cut does: nothing that is only in
// memory reaches the disk, the file system's own log included (ext4 fs,
// EXT4_IOC_SHUTDOWN with EXT4_GOING_FLAGS_NOLOGFLUSH).
func cutPower(t *testing.T, at string) {
	t.Helper()
	const ioctlShutdown, noLogFlush = 0x8004587d, 2
	f, err := os.Open(at)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(int(f.Fd()), ioctlShutdown, noLogFlush); err != nil {
		t.Fatalf("cannot shut the file system down: %v", err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestPowerCut cuts the power below a journal that has rotated several times.
// What AppendSync and SaveState vouched for is there afterwards.
func TestPowerCut(t *testing.T) {
	if !ownMounts(t) {
		return
	}
	dir := t.TempDir()
	at, image := filepath.Join(dir, "disk"), filepath.Join(dir, "image")
	run := func(cmd ...string) {
		t.Helper()
		if out, err := exec.Command(cmd[0], cmd[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", cmd, err, out)
		}
	}
	if err := os.Mkdir(at, 0o700); err != nil {
		t.Fatal(err)
	}
	run("truncate", "-s", "16M", image)
	run("mkfs.ext4", "-q", "-F", image)
	run("mount", "-o", "loop", image, at)
	t.Cleanup(func() { _ = unix.Unmount(at, 0) })

	j := mustOpen(t, filepath.Join(at, "j"), Options{MaxSize: 4000, Files: 64})
	for round := range 5 {
		for i := range 37 + round {
			say(t, j, fmt.Sprint(i))
		}
		if err := j.AppendSync(Record{Kind: Started, Why: fmt.Sprint("vouched for ", round)}); err != nil {
			t.Fatal(err)
		}
		vouched := j.seq
		if err := SaveState(j.dir, "g", round); err != nil {
			t.Fatal(err)
		}
		for i := range 30 { // may be lost, and may rotate
			say(t, j, fmt.Sprint("after ", i))
		}
		cutPower(t, at)

		// The program sees it before it dies, and does not fall over.
		if err := j.AppendSync(Record{Kind: Note, Why: "too late"}); err == nil {
			t.Error("a durable append without power")
		}
		if err := j.Append(Record{Kind: Note, Why: "too late"}); err != nil {
			t.Error(err)
		}
		if s := j.State(); s.Held == 0 || s.Err == "" {
			t.Errorf("state without power: %+v", s)
		}
		if err := SaveState(j.dir, "g", 99); err == nil {
			t.Error("state was saved without power")
		}
		if err := j.Close(); err == nil || !strings.Contains(err.Error(), "last 2 records") {
			t.Errorf("close without power: %v", err)
		}
		if err := unix.Unmount(at, 0); err != nil {
			t.Fatal(err)
		}
		run("mount", "-o", "loop", image, at)

		j = mustOpen(t, j.dir, Options{MaxSize: 4000, Files: 64})
		rs := mustRecords(t, j, Filter{})
		seen := map[uint64]bool{}
		for _, r := range rs {
			seen[r.Seq] = true
		}
		for seq := uint64(1); seq <= vouched; seq++ {
			if !seen[seq] {
				t.Fatalf("round %d: record %d of %d is lost", round, seq, vouched)
			}
		}
		var got int
		if found, err := LoadState(j.dir, "g", &got); !found || err != nil || got != round {
			t.Errorf("round %d: the state is %d, %v, %v", round, got, found, err)
		}
	}
	if err := errors.Join(j.Close(), unix.Unmount(at, 0)); err != nil {
		t.Error(err)
	}
}

// TestFlushThatFails takes the room away from below the file system: write(2)
// reaches the cache and fsync(2) cannot reach the device.
func TestFlushThatFails(t *testing.T) {
	if !ownMounts(t) {
		return
	}
	dir := t.TempDir()
	at, below := filepath.Join(dir, "disk"), filepath.Join(dir, "below")
	for _, d := range []string{at, below} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Mount("tmpfs", below, "tmpfs", 0, "size=4m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(below, 0) })
	image := filepath.Join(below, "image")
	for _, cmd := range [][]string{
		{"truncate", "-s", "16M", image},
		{"mkfs.ext4", "-q", "-F", "-O", "^has_journal", image},
		{"mount", "-o", "loop,errors=continue", image, at},
	} {
		if out, err := exec.Command(cmd[0], cmd[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", cmd, err, out)
		}
	}
	t.Cleanup(func() { _ = unix.Unmount(at, 0) })

	j := mustOpen(t, filepath.Join(at, "j"), Options{})
	if err := j.AppendSync(Record{Kind: Started, Why: "before"}); err != nil {
		t.Fatal(err)
	}
	release := fill(t, below)
	var err error
	for range 100 { // until a block is needed that the image does not have yet
		if err = j.AppendSync(Record{Kind: Started, Why: strings.Repeat("x", 1000)}); err != nil {
			break
		}
	}
	if err == nil || errors.Is(err, ErrHeld) || j.State().Err == "" {
		t.Fatalf("the flush did not fail: %v, %+v", err, j.State())
	}
	release()
	if err := j.AppendSync(Record{Kind: Started, Why: "after"}); err != nil {
		t.Fatalf("after the device is well again: %v", err)
	}
	if s := j.State(); s != (State{}) {
		t.Errorf("state: %+v", s)
	}
	if !exists(j.path(1)) {
		t.Error("the file that failed to flush is written on")
	}
	rs := mustRecords(t, j, Filter{})
	if n := len(rs); rs[n-2].Why != "after" || rs[n-1].Kind != Note || rs[n-1].Err == "" {
		t.Errorf("the last records: %+v", rs[n-2:])
	}
	if err := errors.Join(j.Close(), unix.Unmount(at, 0), unix.Unmount(below, 0)); err != nil {
		t.Error(err)
	}
}
