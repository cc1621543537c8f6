package files

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// settle is how long after the first event the file is read: an atomic save is
	// four events, and after the first of an in-place save the file is empty.
	settle = 100 * time.Millisecond
	// rescan is how often is looked without any event, for the watches that end
	// unseen.
	rescan = 10 * time.Second
)

// Watch calls changed with the content of path whenever it differs from the
// content of the call before, beginning with what it is now. It returns the
// context's error when ctx ends. Where the system has no file events it looks
// every ten seconds. changed is never called twice at once.
func Watch(ctx context.Context, path string, log *slog.Logger, changed func([]byte)) error {
	var last [sha256.Size]byte
	first, misses := true, 0
	look := func() {
		text, err := os.ReadFile(path)
		if err != nil {
			// Absent for a moment during a save; said once if it stays so.
			if misses++; misses == 2 {
				log.WarnContext(ctx, "file cannot be read, its last content stays in force", "path", path, "err", err)
			}
			return
		}
		misses = 0
		if sum := sha256.Sum256(text); first || sum != last {
			first, last = false, sum
			changed(text)
		}
	}
	return watch(ctx, []string{filepath.Dir(path)}, nil, settle, log, look)
}

// Dirs calls fire after changes of any of the named files, until ctx ends. Their
// directories are watched as long as they exist.
func Dirs(ctx context.Context, paths []string, log *slog.Logger, fire func()) error {
	var dirs, names []string
	for _, p := range paths {
		dirs = append(dirs, filepath.Dir(p))
		names = append(names, filepath.Base(p))
	}
	slices.Sort(dirs)
	return watch(ctx, slices.Compact(dirs), names, 0, log, fire)
}

// watch calls look now, at most settle after an event in one of dirs, and at every
// rescan. With names only events of files so called count.
func watch(ctx context.Context, dirs, names []string, settle time.Duration, log *slog.Logger, look func()) error {
	var events chan fsnotify.Event
	var errs chan error
	w, err := fsnotify.NewWatcher()
	if err == nil {
		defer w.Close()
		events, errs = w.Events, w.Errors
	} else {
		log.WarnContext(ctx, "file changes are noticed by periodic looks only", "err", err)
	}
	add := func() {
		for _, d := range dirs {
			if w != nil && !slices.Contains(w.WatchList(), d) {
				_ = w.Add(d) // not there yet: tried again at the next rescan
			}
		}
	}
	add()
	look()
	settled := time.NewTimer(0)
	settled.Stop()
	armed := false
	arm := func() {
		// Armed once, so that a steady stream of events cannot put it off.
		if !armed {
			armed = true
			settled.Reset(settle)
		}
	}
	tick := time.NewTicker(rescan)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case e, ok := <-events:
			if !ok {
				return fmt.Errorf("cannot watch %v: the watch has ended", dirs)
			}
			if e.Op != fsnotify.Chmod && (names == nil || slices.Contains(names, filepath.Base(e.Name))) {
				arm()
			}
		case err, ok := <-errs:
			if !ok {
				return fmt.Errorf("cannot watch %v: the watch has ended", dirs)
			}
			if !errors.Is(err, fsnotify.ErrEventOverflow) {
				log.WarnContext(ctx, "file watch failed", "err", err)
			}
			arm()
		case <-settled.C:
			armed = false
			add()
			look()
		case <-tick.C:
			add()
			look()
		}
	}
}
