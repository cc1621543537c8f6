package files

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// save writes as editors do: a new file, renamed over the old one.
func save(t *testing.T, path, text string) {
	t.Helper()
	must(t, os.WriteFile(path+".new", []byte(text), 0o600))
	must(t, os.Rename(path+".new", path))
}

func TestWatch(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "understudy.toml")
	save(t, path, "one")
	got := make(chan string, 10)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- Watch(ctx, path, slog.New(slog.NewTextHandler(t.Output(), nil)), func(b []byte) { got <- string(b) })
	}()
	want := func(text string) {
		t.Helper()
		select {
		case s := <-got:
			if s != text {
				t.Fatalf("content %q, want %q", s, text)
			}
		case <-time.After(5 * time.Second):
			t.Fatalf("content %q was not told", text)
		}
	}
	want("one")
	save(t, path, "two")
	want("two")
	save(t, path, "two") // no news
	must(t, os.Chtimes(path, time.Time{}, time.Now()))
	must(t, os.Remove(path)) // absent is no news either
	save(t, path, "three")
	want("three")
	// Through a symbolic link that is replaced, as configuration managers do.
	must(t, os.Mkdir(filepath.Join(dir, "v1"), 0o700))
	save(t, filepath.Join(dir, "v1", "file"), "four")
	must(t, os.Symlink(filepath.Join(dir, "v1", "file"), path+".new"))
	must(t, os.Rename(path+".new", path))
	want("four")
	cancel()
	if err := <-done; err != context.Canceled {
		t.Fatal(err)
	}
	if len(got) > 0 {
		t.Errorf("told once too often: %q", <-got)
	}
}

func TestDirs(t *testing.T) {
	dir := t.TempDir()
	fired := make(chan struct{}, 100)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- Dirs(ctx, []string{dir + "/a.pid", dir + "/b.pid", "/nonexistent/c.pid"}, slog.New(slog.DiscardHandler), func() { fired <- struct{}{} })
	}()
	wait := func(what string) {
		t.Helper()
		select {
		case <-fired:
		case <-time.After(5 * time.Second):
			t.Fatalf("%s was not noticed", what)
		}
	}
	wait("the beginning")
	must(t, os.WriteFile(dir+"/stranger", nil, 0o600))
	save(t, dir+"/b.pid", "7")
	wait("a pid file")
	must(t, os.Remove(dir+"/b.pid"))
	wait("its removal")
	cancel()
	<-done
}
