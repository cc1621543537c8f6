package journal

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: mounts a small file system in a mount namespace of its own")
	}
}

const inNamespace = "JOURNAL_TEST_IN_NAMESPACE"

// ownMounts runs the calling test again in a child process with a mount
// namespace of its own, and returns true there. What it mounts goes with it.
func ownMounts(t *testing.T) bool {
	t.Helper()
	needRoot(t)
	if os.Getenv(inNamespace) != "" {
		return true
	}
	child := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.count=1", "-test.v")
	child.Env = append(os.Environ(), inNamespace+"=1")
	child.SysProcAttr = &syscall.SysProcAttr{
		Unshareflags: syscall.CLONE_NEWNS, // and makes every mount private
		Pdeathsig:    syscall.SIGKILL,
	}
	out, err := child.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("%v\n%s", err, out)
	}
	return false
}

// smallDisks are real file systems without much room.
var smallDisks = map[string]func(t *testing.T, at string){
	"tmpfs": func(t *testing.T, at string) {
		if err := unix.Mount("tmpfs", at, "tmpfs", 0, "size=512k"); err != nil {
			t.Fatal(err)
		}
	},
	"ext4": func(t *testing.T, at string) {
		image := at + ".img"
		if err := os.WriteFile(image, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, cmd := range [][]string{
			{"truncate", "-s", "2M", image},
			{"mkfs.ext4", "-q", "-F", "-m", "0", "-O", "^has_journal", image},
			{"mount", "-o", "loop", image, at}, // detached with the mount (LO_FLAGS_AUTOCLEAR)
		} {
			if out, err := exec.Command(cmd[0], cmd[1:]...).CombinedOutput(); err != nil {
				t.Fatalf("%v: %v\n%s", cmd, err, out)
			}
		}
	},
}

// fill takes all room but a little, and returns what gives it back.
func fill(t *testing.T, dir string) (release func()) {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, "fill"))
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{4096, 1} {
		for {
			if _, err := f.Write(make([]byte, size)); errors.Is(err, unix.ENOSPC) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		if err := os.Remove(f.Name()); err != nil {
			t.Fatal(err)
		}
		unix.Sync() // ext4 gives blocks back with the next commit
	}
}

func TestDiskFull(t *testing.T) {
	if !ownMounts(t) {
		return
	}
	for name, mount := range smallDisks {
		t.Run(name, func(t *testing.T) {
			at := filepath.Join(t.TempDir(), "disk")
			if err := os.Mkdir(at, 0o700); err != nil {
				t.Fatal(err)
			}
			mount(t, at)
			t.Cleanup(func() {
				if err := unix.Unmount(at, 0); err != nil {
					t.Errorf("cannot unmount %s: %v", at, err)
				}
			})
			fullAndBack(t, at)
			droppedWhenTooMany(t, at)
			openedWhenFull(t, at)
		})
	}
}

// fullAndBack fills the disk below an open journal and makes room again.
func fullAndBack(t *testing.T, disk string) {
	j := mustOpen(t, filepath.Join(disk, "a"), Options{MaxSize: 64 << 10})
	say(t, j, "before")
	if err := SaveState(j.dir, "g", 1); err != nil {
		t.Fatal(err)
	}
	release := fill(t, disk)
	n := 0
	for ; j.State().Held < 50; n++ {
		say(t, j, fmt.Sprint(n))
		if n > 1000 {
			t.Fatalf("the disk does not get full: %+v", j.State())
		}
	}
	if s := j.State(); !strings.Contains(s.Err, "no space left") || s.Dropped != 0 {
		t.Errorf("state when full: %+v", s)
	}
	if err := j.AppendSync(Record{Kind: Started, Why: "sync"}); !errors.Is(err, ErrHeld) || !errors.Is(err, unix.ENOSPC) {
		t.Errorf("a durable append to a full disk: %v", err)
	}
	if got := mustRecords(t, j, Filter{}); len(got) != n+2 || got[len(got)-1].Why != "sync" {
		t.Errorf("%d records can be read while the disk is full, want %d", len(got), n+2)
	}
	if b, err := os.ReadFile(j.path(0)); err != nil || !strings.HasSuffix(string(b), "}\n") {
		t.Errorf("half a record was left on the full disk: %v", err)
	}
	if err := SaveState(j.dir, "g", strings.Repeat("x", 100_000)); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("state was saved to a full disk: %v", err)
	}
	release()
	if err := j.AppendSync(Record{Kind: Done, Why: "room"}); err != nil {
		t.Fatalf("after there is room again: %v", err)
	}
	if s := j.State(); s != (State{}) {
		t.Errorf("state when there is room: %+v", s)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	rs, err := collect(Read(j.dir, Filter{}))
	if err != nil || len(rs) != n+3 {
		t.Fatalf("%d records, want %d (%v)", len(rs), n+3, err)
	}
	for i, r := range rs {
		if r.Seq != uint64(i+1) {
			t.Fatalf("record %d has number %d", i, r.Seq)
		}
	}
	var one int
	if found, err := LoadState(j.dir, "g", &one); !found || err != nil || one != 1 {
		t.Errorf("the state is %v, %v, %v", one, found, err)
	}
}

// droppedWhenTooMany goes on until memory holds no more.
func droppedWhenTooMany(t *testing.T, disk string) {
	j := mustOpen(t, filepath.Join(disk, "b"), Options{MaxSize: 64 << 10, Files: 3})
	say(t, j, "before")
	release := fill(t, disk)
	for range maxHeld + 500 {
		say(t, j, "x")
	}
	s := j.State()
	if s.Held != maxHeld || s.Dropped == 0 || s.Dropped > 500 {
		t.Fatalf("state: %+v", s)
	}
	release()
	say(t, j, "after")
	if got := j.State(); got.Held != 0 || got.Dropped != s.Dropped+1 { // "after" pushed one more out
		t.Errorf("state when there is room: %+v, before %+v", got, s)
	}
	rs := mustRecords(t, j, Filter{})
	if last := rs[len(rs)-1]; last.Why != "after" {
		t.Errorf("the last record is %+v", last)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(j.dir); err != nil {
		t.Fatal(err)
	}

	// The note stands where the lost ones would.
	j = mustOpen(t, filepath.Join(disk, "c"), Options{})
	release = fill(t, disk)
	for range maxHeld + 500 {
		say(t, j, "x")
	}
	s = j.State()
	release()
	j.mu.Lock()
	for len(j.held) > 10 { // the little disk does not take them all
		j.heldBytes -= len(j.held[0].line)
		j.lostSeq = j.held[0].seq
		j.held = j.held[1:]
		j.lost++
	}
	j.mu.Unlock()
	say(t, j, "after")
	rs = mustRecords(t, j, Filter{})
	note := -1
	for i, r := range rs {
		if i > 0 && r.Seq <= rs[i-1].Seq {
			t.Fatalf("%d follows %d", r.Seq, rs[i-1].Seq)
		}
		if r.Kind == Note {
			note = i
		}
	}
	if note < 0 || rs[note+1].Seq != rs[note].Seq+1 || !strings.Contains(rs[note].Why, "were lost") || !strings.Contains(rs[note].Err, "no space left") {
		t.Fatalf("no note of %d lost records among %d", s.Dropped, len(rs))
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(j.dir); err != nil {
		t.Fatal(err)
	}
}

// openedWhenFull opens a torn journal, and a new one, while nothing can be written.
func openedWhenFull(t *testing.T, disk string) {
	torn, fresh := filepath.Join(disk, "d"), filepath.Join(disk, "e")
	j := mustOpen(t, torn, Options{})
	say(t, j, "before")
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(j.path(0), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(strings.Repeat("torn", 1000)); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(fresh, 0o700); err != nil {
		t.Fatal(err)
	}
	release := fill(t, disk)
	j = mustOpen(t, torn, Options{})
	k := mustOpen(t, fresh, Options{})
	say(t, j, "full")
	say(t, k, "full")
	release()
	say(t, j, "room")
	say(t, k, "room")
	got := mustRecords(t, j, Filter{})
	if len(got) < 4 || got[0].Why != "before" || got[len(got)-2].Why != "full" || got[len(got)-1].Why != "room" {
		t.Errorf("the torn one: %q", whys(got))
	}
	if all := strings.Join(whys(got), "\n"); !strings.Contains(all, "4000 bytes") {
		t.Errorf("nothing tells of the torn bytes: %q", all)
	}
	if got := whys(mustRecords(t, k, Filter{})); len(got) != 2 {
		t.Errorf("the new one: %q", got)
	}
	if err := errors.Join(j.Close(), k.Close()); err != nil {
		t.Error(err)
	}
}
