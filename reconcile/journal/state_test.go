package journal

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

type memory struct {
	Role  int
	Saved string
	More  map[string]int
}

func TestState(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	var got memory
	if found, err := LoadState(dir, "group.dce", &got); found || err != nil {
		t.Fatalf("nothing was saved, and load says %v, %v", found, err)
	}
	for _, want := range []memory{{}, {Role: 3, Saved: "alpha <&>\n", More: map[string]int{"a": 1}}} {
		if err := SaveState(dir, "group.dce", want); err != nil {
			t.Fatal(err)
		}
		got = memory{}
		found, err := LoadState(dir, "group.dce", &got)
		if diff := cmp.Diff(want, got); !found || err != nil || diff != "" {
			t.Errorf("found %v, %v; changed (+):\n%s", found, err, diff)
		}
	}
	fi, err := os.Stat(filepath.Join(dir, "group.dce.state"))
	if err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", fi.Mode(), err)
	}
	if names, _ := os.ReadDir(dir); len(names) != 1 {
		t.Errorf("left beside the file: %v", names)
	}
}

func TestStateNames(t *testing.T) {
	for _, name := range []string{"", ".", "..", "a/b", "../x", ".hidden", "a\x00", "a b", "-x"} {
		if err := SaveState(t.TempDir(), name, 1); err == nil {
			t.Errorf("saved %q", name)
		}
		if _, err := LoadState(t.TempDir(), name, new(int)); err == nil {
			t.Errorf("loaded %q", name)
		}
	}
}

// TestDamagedState flips each byte, and cuts at each.
func TestDamagedState(t *testing.T) {
	dir := t.TempDir()
	if err := SaveState(dir, "g", memory{Role: 2}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "g.state")
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	check := func(bad []byte) {
		t.Helper()
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		found, err := LoadState(dir, "g", new(memory))
		damaged, ok := errors.AsType[*DamagedError](err)
		if found || !ok {
			t.Fatalf("%q: found %v, %v", bad, found, err)
		}
		if aside, err := os.ReadFile(damaged.Aside); err != nil || string(aside) != string(bad) {
			t.Fatalf("%q was moved aside as %q, %v", bad, aside, err)
		}
		if found, err := LoadState(dir, "g", new(memory)); found || err != nil {
			t.Fatalf("after it was moved aside: %v, %v", found, err)
		}
	}
	for i := range good[:len(good)-1] {
		bad := append([]byte{}, good...)
		bad[i] ^= 0x04
		check(bad)
		check(good[:i])
	}
	line, err := seal("another type")
	if err != nil {
		t.Fatal(err)
	}
	check(line)
}

func TestStateSavedFromManyGoroutines(t *testing.T) {
	dir := t.TempDir()
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for range 10 {
				if err := SaveState(dir, "g", memory{Role: w}); err != nil {
					t.Error(err)
				}
				if found, err := LoadState(dir, "g", new(memory)); !found || err != nil {
					t.Errorf("found %v, %v", found, err)
				}
			}
		})
	}
	wg.Wait()
}

func TestSaveThatFailsLeavesWhatWasThere(t *testing.T) {
	dir := t.TempDir()
	if err := SaveState(dir, "g", 1); err != nil {
		t.Fatal(err)
	}
	if err := SaveState(dir, "g", func() {}); err == nil {
		t.Error("a function was saved")
	}
	if err := os.Mkdir(filepath.Join(dir, "g.state.new"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := SaveState(dir, "g", 2); err == nil {
		t.Error("saved through a directory")
	}
	var got int
	if found, err := LoadState(dir, "g", &got); !found || err != nil || got != 1 {
		t.Errorf("found %v %v, %v", got, found, err)
	}
}
