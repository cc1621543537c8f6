package aix

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// namesKept bounds how many of the deleted files are named.
const namesKept = 20

// Purged is what was deleted.
type Purged struct {
	Count int
	Names []string // the first of them
}

func (p *Purged) add(name string) {
	p.Count++
	if len(p.Names) < namesKept {
		p.Names = append(p.Names, name)
	}
}

var errStillThere = errors.New("files are there again after they were deleted — something still writes there, stop it first")

// Purge deletes a file, or with tree every file below a directory, on one mount and
// never on another. AIX has no call that resolves a path beneath a directory
// without links and mounts (Linux has openat2(2)); instead, every directory is
// opened from the one before it, must be no link, must lie on the device of the
// mount, and must be after it was opened what it was before.
func (h *Host) Purge(ctx context.Context, path, mount string, tree bool) (Purged, error) {
	var done Purged
	fail := func(err error) (Purged, error) { return done, fmt.Errorf("cannot purge %s: %w", path, err) }
	if !clean(path) || !clean(mount) || !below(path, mount) || path == mount && !tree {
		return fail(fmt.Errorf("it does not lie below the group's mount %s", mount))
	}
	table, err := h.See.Mounts(ctx)
	if err != nil {
		return fail(err)
	}
	if _, ok := topAt(table, mount); !ok {
		return fail(fmt.Errorf("nothing is mounted at %s: the files there are this host's own — mount it first", mount))
	}
	for _, m := range table {
		if m.Point != mount && (below(m.Point, path) || below(path, m.Point) && below(m.Point, mount)) {
			return fail(fmt.Errorf("%s (%s) is mounted in the way — umount it, or declare the path on its own mount", m.Point, m.Source))
		}
	}
	root, dev, err := openMount(mount)
	if err != nil {
		return fail(err)
	}
	defer root.Close()
	rel, err := filepath.Rel(mount, path)
	if err != nil {
		return fail(err)
	}
	w := walk{ctx: ctx, dev: dev, done: &done}
	if tree {
		err = w.tree(root, rel)
	} else {
		err = w.file(root, rel)
	}
	if err != nil {
		return fail(err)
	}
	return done, nil
}

// openMount opens a mount point and proves that it lies on another device than
// the directory it is in.
func openMount(mount string) (*os.Root, uint64, error) {
	root, err := os.OpenRoot(mount)
	if err != nil {
		return nil, 0, err
	}
	here, err := root.Stat(".")
	if err == nil {
		var above os.FileInfo
		if above, err = os.Stat(filepath.Dir(mount)); err == nil && device(here) == device(above) {
			err = fmt.Errorf("%s lies on the device of the directory above: nothing is mounted there", mount)
		}
	}
	if err != nil {
		return nil, 0, errors.Join(err, root.Close())
	}
	return root, device(here), nil
}

func device(fi os.FileInfo) uint64 { return uint64(fi.Sys().(*syscall.Stat_t).Dev) }

// walk is one deletion on one device.
type walk struct {
	ctx  context.Context
	dev  uint64
	done *Purged
}

// enter opens a directory of a directory.
func (w walk) enter(dir *os.Root, name string) (*os.Root, error) {
	before, err := dir.Lstat(name)
	switch {
	case err != nil:
		return nil, err
	case before.Mode()&fs.ModeSymlink != 0:
		return nil, fmt.Errorf("%s is a symbolic link — name the path behind it", name)
	case !before.IsDir():
		return nil, fmt.Errorf("%s is not a directory", name)
	case device(before) != w.dev:
		return nil, fmt.Errorf("%s is on another mount", name)
	}
	sub, err := dir.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	after, err := sub.Stat(".")
	if err == nil && !os.SameFile(before, after) {
		err = fmt.Errorf("%s was replaced while it was opened", name)
	}
	if err != nil {
		return nil, errors.Join(err, sub.Close())
	}
	return sub, nil
}

// descend opens a directory below dir, one part of its path after the other. The
// caller closes what it returns; dir stays open.
func (w walk) descend(dir *os.Root, rel string) (*os.Root, error) {
	at, err := dir.OpenRoot(".")
	if err != nil || rel == "." {
		return at, err
	}
	for part := range strings.SplitSeq(rel, string(filepath.Separator)) {
		next, err := w.enter(at, part)
		_ = at.Close()
		if err != nil {
			return nil, err
		}
		at = next
	}
	return at, nil
}

// file deletes one file. None is fine.
func (w walk) file(root *os.Root, rel string) error {
	dir, err := w.descend(root, filepath.Dir(rel))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer dir.Close()
	name := filepath.Base(rel)
	fi, err := dir.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case fi.IsDir():
		return errors.New("it is a directory — declare it with tree = true to delete the files below it")
	case fi.Mode()&fs.ModeSymlink != 0:
		return errors.New("it is a symbolic link — name the file behind it")
	}
	if err := w.remove(dir, fi, rel); err != nil {
		return err
	}
	if _, err := dir.Lstat(name); !errors.Is(err, fs.ErrNotExist) {
		return errStillThere
	}
	return nil
}

// remove deletes what is no directory and no device.
func (w walk) remove(dir *os.Root, fi os.FileInfo, shown string) error {
	switch {
	case fi.Mode()&fs.ModeDevice != 0 || fi.Mode()&fs.ModeIrregular != 0:
		return fmt.Errorf("%s is a device, which nobody leaves behind by accident — remove it by hand", shown)
	case device(fi) != w.dev:
		return fmt.Errorf("%s is on another mount", shown)
	}
	if err := dir.Remove(fi.Name()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	w.done.add(shown)
	return nil
}

// tree deletes every file below a directory and keeps the directories. Deleting
// while reading may make a directory skip names, so that it is done until nothing
// is left to delete.
func (w walk) tree(root *os.Root, rel string) error {
	dir, err := w.descend(root, rel)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer dir.Close()
	const passes = 8
	for range passes {
		before := w.done.Count
		if err := w.below(dir, rel); err != nil {
			return err
		}
		if w.done.Count == before {
			return nil
		}
	}
	return errStillThere
}

func (w walk) below(dir *os.Root, shown string) error {
	d, err := dir.Open(".")
	if err != nil {
		return err
	}
	defer d.Close()
	for {
		names, err := d.Readdirnames(256)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		for _, name := range names {
			if err := context.Cause(w.ctx); err != nil {
				return err
			}
			if err := w.entry(dir, name, filepath.Join(shown, name)); err != nil {
				return err
			}
		}
	}
}

func (w walk) entry(dir *os.Root, name, shown string) error {
	fi, err := dir.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !fi.IsDir():
		return w.remove(dir, fi, shown)
	}
	sub, err := w.enter(dir, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer sub.Close()
	return w.below(sub, shown)
}
