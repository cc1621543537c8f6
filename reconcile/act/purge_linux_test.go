package act

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"understudy/config"
	"understudy/reconcile"
)

func touch(t *testing.T, path string) string {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	return path
}

func exists(path string) bool { _, err := os.Lstat(path); return err == nil }

func TestPurgeFile(t *testing.T) {
	h := newHost(t)
	fs := mounted(t, h)
	purge := func(path string) error {
		return h.Do(within(t, 5*time.Second), reconcile.PurgeFiles{Group: "g", App: config.Application{Name: "a"}, Purge: config.Purge{Path: path}, Mount: fs.Mount})
	}
	file := touch(t, fs.Mount+"/dced/Ep.db")
	outside := touch(t, filepath.Dir(fs.Mount)+"/outside/Ep.db")
	for range 2 { // absent is fine
		if err := purge(file); err != nil || exists(file) {
			t.Fatalf("%v, exists %v", err, exists(file))
		}
	}
	if err := purge(fs.Mount + "/no/such"); err != nil {
		t.Error(err)
	}
	if err := errors.Join(os.Symlink(filepath.Dir(outside), fs.Mount+"/link"), os.Symlink(outside, fs.Mount+"/file")); err != nil {
		t.Fatal(err)
	}
	wantError(t, purge(fs.Mount+"/link/Ep.db"), "symbolic link")
	wantError(t, purge(fs.Mount+"/file"), "symbolic link")
	wantError(t, purge(fs.Mount+"/dced"), "is a directory", "tree = true")
	wantError(t, purge(fs.Mount+"/../outside/Ep.db"), "does not lie below")
	wantError(t, purge(fs.Mount), "does not lie below")
	if !exists(outside) {
		t.Fatal("a file outside of the mount is gone")
	}
	if err := h.Do(within(t, 5*time.Second), reconcile.Unmount{FS: fs}); err != nil {
		t.Fatal(err)
	}
	own := touch(t, fs.Mount+"/dced/Ep.db")
	wantError(t, purge(own), "nothing is mounted at "+fs.Mount)
	if !exists(own) {
		t.Fatal("the host's own file below the mount point is gone")
	}
}

func TestPurgeTree(t *testing.T) {
	h := newHost(t)
	fs := mounted(t, h)
	creds := fs.Mount + "/security/creds"
	purge := func() error {
		return h.Do(within(t, 20*time.Second), reconcile.PurgeFiles{Group: "g", App: config.Application{Name: "a"}, Purge: config.Purge{Path: creds, Tree: true}, Mount: fs.Mount})
	}
	if err := purge(); err != nil { // absent is fine
		t.Fatal(err)
	}
	outside := touch(t, filepath.Dir(fs.Mount)+"/outside/file")
	beside := touch(t, fs.Mount+"/security/file")
	touch(t, creds+"/.hidden")
	touch(t, creds+"/a/b/c/deep")
	if err := errors.Join(os.Symlink(filepath.Dir(outside), creds+"/a/dir"), os.Symlink(outside, creds+"/file"), unix.Mkfifo(creds+"/pipe", 0o600)); err != nil {
		t.Fatal(err)
	}
	for i := range 10000 {
		f, err := os.Create(fmt.Sprintf("%s/dcecred_%08x", creds, i))
		if err != nil {
			t.Fatal(err)
		}
		_ = f.Close()
	}
	began := time.Now()
	if err := purge(); err != nil {
		t.Fatal(err)
	}
	t.Logf("10,000 files in %s", time.Since(began))
	err := filepath.WalkDir(creds, func(p string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			err = fmt.Errorf("%s is left", p)
		}
		return err
	})
	if err != nil || !exists(creds+"/a/b/c") {
		t.Errorf("left behind or directory gone: %v", err)
	}
	if !exists(outside) || !exists(beside) {
		t.Error("files outside are gone")
	}

	inner := creds + "/a/b"
	if err := unix.Mount("inner", inner, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(inner, 0)
	stranger, kept := touch(t, inner+"/stranger"), touch(t, creds+"/z")
	wantError(t, purge(), inner, "mounted in the way")
	if !exists(stranger) || !exists(kept) {
		t.Error("files are gone although it was refused")
	}
}

// A mount that comes between the look at the table and the walk is not entered.
func TestPurgeDoesNotCrossAMountItDidNotSee(t *testing.T) {
	h := newHost(t)
	fs := mounted(t, h)
	if err := os.MkdirAll(fs.Mount+"/d/in", 0o755); err != nil {
		t.Fatal(err)
	}
	root, err := openMount(fs.Mount, fs.Mount+"/d")
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(root)
	if err := unix.Mount("inner", fs.Mount+"/d/in", "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(fs.Mount+"/d/in", 0)
	stranger := touch(t, fs.Mount+"/d/in/stranger")
	var done purged
	wantError(t, purgeTree(t.Context(), root, "d", "d", &done), "another mount is in the way")
	if !exists(stranger) {
		t.Error("it was entered")
	}
}
