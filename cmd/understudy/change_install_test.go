package main

import (
	"os"
	"path/filepath"
	"testing"

	"understudy/reconcile/journal"
)

// A power cut while several files are put in their places leaves some old and some new.
// The next start finishes what was begun, but not over what a person has written since.
func TestHalfInstalledFilesAreFinished(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: the state folder has to be root's")
	}
	dir, err := os.MkdirTemp("/root", "understudy-install") // no folder on the way is anybody's
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	c := &common{config: filepath.Join(dir, "understudy.toml"), stateDir: filepath.Join(dir, "state")}
	profile := c.profilePath("mine")
	read := func(path string) string {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	write := func(path, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	next := &bundle{File: []byte("new"), Profiles: map[string][]byte{"mine": []byte("new profile")}}
	for _, test := range []struct{ what, main, profile, wantMain, wantProfile string }{
		{"ended before the first", "old", "old profile", "new", "new profile"},
		{"ended between the two", "old", "new profile", "new", "new profile"},
		{"ended behind the last", "new", "new profile", "new", "new profile"},
		{"a person was there", "by hand", "new profile", "by hand", "new profile"},
	} {
		write(c.config, test.main)
		write(profile, test.profile)
		if err := journal.SaveState(c.stateDir, installState, &installing{Bundle: next, Was: []byte("old")}); err != nil {
			t.Fatal(err)
		}
		for range 2 { // and the start behind that has nothing to do
			if err := c.finishInstall(); err != nil {
				t.Fatal(test.what, err)
			}
			if m, p := read(c.config), read(profile); m != test.wantMain || p != test.wantProfile {
				t.Errorf("%s: %q and %q", test.what, m, p)
			}
		}
		var half installing
		if _, err := journal.LoadState(c.stateDir, installState, &half); err != nil || half.Bundle != nil {
			t.Errorf("%s: it is still on record: %+v %v", test.what, half, err)
		}
	}
	write(c.config, "old")
	if err := c.install(next); err != nil || read(c.config) != "new" || read(c.config+".before") != "old" {
		t.Error(err)
	}
}
