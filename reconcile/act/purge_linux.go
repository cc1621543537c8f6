package act

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"understudy/reconcile"
)

// namesLogged bounds how many of the deleted files are named in the log.
const namesLogged = 20

// purge deletes what a previous holder left behind. It starts from a descriptor
// of the group's mount, proved to be that mount, and resolves every path beneath
// it without crossing a mount or following a link (openat2(2)): files of the host
// below a mount point that nothing is mounted on are out of reach. See
// [reconcile.PurgeFiles].
func (h *Host) purge(ctx context.Context, s reconcile.PurgeFiles) error {
	path, mount := filepath.Clean(s.Purge.Path), filepath.Clean(s.Mount)
	fail := func(err error) error { return fmt.Errorf("cannot purge %s: %w", path, err) }
	if !filepath.IsAbs(path) || !below(path, mount) || path == mount && !s.Purge.Tree || mount == "/" {
		return fail(fmt.Errorf("it does not lie below the group's mount %s", mount))
	}
	// A daemon that runs keeps on using what is deleted beneath it: a live dced would
	// go on with an endpoint map that nobody can see (guide, "DCE Failover Actions").
	if err := h.mustBeDown(ctx, s.Group, s.App); err != nil {
		return fail(err)
	}
	began := time.Now()
	var done purged
	err := h.flights.do(ctx, "purge "+path, func() error { return purgeBelow(ctx, path, mount, s.Purge.Tree, &done) }, nil)
	if err != nil {
		if errors.Is(err, errStillThere) || ctx.Err() == nil {
			return fail(err)
		}
		return err
	}
	h.log.InfoContext(ctx, "purged", "path", path, "count", done.count, "names", strings.Join(done.names, " "), "took", time.Since(began))
	return nil
}

var errStillThere = errors.New("files are there again after they were deleted — something still writes there, stop it first")

// purged is what was deleted.
type purged struct {
	count int
	names []string // the first namesLogged
}

func (p *purged) add(name string) {
	p.count++
	if len(p.names) < namesLogged {
		p.names = append(p.names, name)
	}
}

func purgeBelow(ctx context.Context, path, mount string, tree bool, done *purged) error {
	root, err := openMount(mount, path)
	if err != nil {
		return err
	}
	defer unix.Close(root)
	rel, err := filepath.Rel(mount, path)
	if err != nil {
		return err
	}
	if !tree {
		return purgeFile(root, rel, done)
	}
	const passes = 8 // deleting while reading may make a directory skip names
	for range passes {
		before := done.count
		if err := purgeTree(ctx, root, rel, rel, done); err != nil {
			return err
		}
		if done.count == before {
			return nil
		}
	}
	return errStillThere
}

// openMount opens a mount point and proves that it is the mount that the table
// shows there, and that no other mount lies on or below path.
func openMount(mount, path string) (int, error) {
	table, err := mountTable()
	if err != nil {
		return -1, err
	}
	top := topAt(table, mount)
	if top == nil {
		return -1, fmt.Errorf("nothing is mounted at %s: the files there are this host's own — mount it first", mount)
	}
	for _, m := range table {
		if m.Mountpoint != mount && below(m.Mountpoint, path) || m.Mountpoint != mount && below(path, m.Mountpoint) && below(m.Mountpoint, mount) {
			return -1, fmt.Errorf("%s (%s) is mounted in the way — umount it, or declare the path on its own mount", m.Mountpoint, m.Source)
		}
	}
	fd, err := unix.Open(mount, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: mount, Err: err}
	}
	var st unix.Statx_t
	err = unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_MNT_ID, &st)
	if err == nil && (st.Mask&unix.STATX_MNT_ID == 0 || st.Mnt_id != uint64(top.ID)) {
		err = fmt.Errorf("the mount at %s is not the one that the mount table shows (id %d, not %d)", mount, st.Mnt_id, top.ID)
	}
	if err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// openBeneath opens a path below dir and on the same mount, following nothing.
func openBeneath(dir int, rel string, flags int) (int, error) {
	for range 16 {
		fd, err := unix.Openat2(dir, rel, &unix.OpenHow{
			Flags:   uint64(flags | unix.O_CLOEXEC),
			Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_XDEV | unix.RESOLVE_NO_SYMLINKS,
		})
		switch {
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.EAGAIN):
			continue
		case errors.Is(err, unix.ELOOP):
			err = errors.New("a symbolic link is in the way — name the path behind it")
		case errors.Is(err, unix.EXDEV):
			err = errors.New("another mount is in the way")
		}
		if err != nil {
			return -1, &os.PathError{Op: "open", Path: rel, Err: err}
		}
		return fd, nil
	}
	return -1, &os.PathError{Op: "open", Path: rel, Err: unix.EAGAIN}
}

func purgeFile(root int, rel string, done *purged) error {
	dir, err := openBeneath(root, filepath.Dir(rel), unix.O_RDONLY|unix.O_DIRECTORY)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	name := filepath.Base(rel)
	var st unix.Stat_t
	if err := unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		if errors.Is(err, unix.ENOENT) {
			return nil
		}
		return &os.PathError{Op: "stat", Path: rel, Err: err}
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG, unix.S_IFSOCK, unix.S_IFIFO:
	case unix.S_IFDIR:
		return errors.New("it is a directory — declare it with tree = true to delete the files below it")
	case unix.S_IFLNK:
		return errors.New("it is a symbolic link — name the file behind it")
	default:
		return errors.New("it is a device")
	}
	if err := unix.Unlinkat(dir, name, 0); err != nil && !errors.Is(err, unix.ENOENT) {
		return &os.PathError{Op: "unlink", Path: rel, Err: err}
	}
	done.add(name)
	if err := unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW); !errors.Is(err, unix.ENOENT) {
		return errStillThere
	}
	return nil
}

// purgeTree deletes every file, link, socket and pipe below a directory and
// keeps the directories. Devices are kept and are an error.
func purgeTree(ctx context.Context, dir int, name, shown string, done *purged) error {
	fd, err := openBeneath(dir, name, unix.O_RDONLY|unix.O_DIRECTORY)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return err
	}
	d := os.NewFile(uintptr(fd), shown)
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
			if ctx.Err() != nil {
				return stopped(ctx, "purge "+shown)
			}
			if err := purgeEntry(ctx, fd, name, filepath.Join(shown, name), done); err != nil {
				return err
			}
		}
	}
}

func purgeEntry(ctx context.Context, dir int, name, shown string, done *purged) error {
	var st unix.Stat_t
	if err := unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		if errors.Is(err, unix.ENOENT) {
			return nil
		}
		return &os.PathError{Op: "stat", Path: shown, Err: err}
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return purgeTree(ctx, dir, name, shown, done)
	case unix.S_IFREG, unix.S_IFLNK, unix.S_IFSOCK, unix.S_IFIFO:
		if err := unix.Unlinkat(dir, name, 0); err != nil && !errors.Is(err, unix.ENOENT) {
			return &os.PathError{Op: "unlink", Path: shown, Err: err}
		}
		done.add(shown)
		return nil
	}
	return fmt.Errorf("%s is a device, which nobody leaves behind by accident — remove it by hand", shown)
}
