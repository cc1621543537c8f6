package act

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"understudy/config"
	"understudy/reconcile"
)

// mountFS attaches a file system. See [reconcile.MountFS].
func (h *Host) mountFS(ctx context.Context, s reconcile.MountFS) error {
	fs := s.FS
	fail := func(err error) error { return fmt.Errorf("cannot mount %s at %s: %w", fs.Device, fs.Mount, err) }
	opts, err := parseMountOptions(fs.Options)
	if err != nil {
		return fail(err)
	}
	if !filepath.IsAbs(fs.Mount) || filepath.Clean(fs.Mount) != fs.Mount || fs.Mount == "/" {
		return fail(errors.New("the mount point is not an absolute, clean path below /"))
	}
	if overNetwork(fs.Type) {
		return h.mountByHelper(ctx, fs, opts)
	}
	dev, err := blockDevice(fs.Device)
	if err != nil {
		return fail(fmt.Errorf("%w — is the storage attached and its volume group active?", err))
	}
	here, err := mountedHere(fs, dev, opts)
	if err != nil || here {
		return err
	}
	if err := h.mountPoint(ctx, fs.Mount); err != nil {
		return fail(err)
	}
	sb, err := h.readDevice(ctx, fs.Device)
	if err != nil {
		return fail(err)
	}
	if want := family(fs.Type); want != sb.family {
		return fail(fmt.Errorf("the device holds %s, declared is %s — correct type in the file, or the device", named(sb.family), fs.Type))
	}
	if fs.RequireMMP && !sb.mmp {
		return fail(fmt.Errorf("it has no multi-mount protection, and the file requires it — tune2fs -O mmp %s, while no host has it mounted", fs.Device))
	}
	if sb.mustCheck() {
		if err := h.check(ctx, fs, sb); err != nil {
			return fail(err)
		}
	} else if sb.replay {
		h.log.InfoContext(ctx, "journal will be replayed by the mount", "device", fs.Device, "mount", fs.Mount)
	}

	began := time.Now()
	what := "mount " + fs.Device + " at " + fs.Mount
	err = h.flights.do(ctx, what, func() error {
		return unix.Mount(fs.Device, fs.Mount, fs.Type, opts.flags, opts.data)
	}, func(err error) { h.takeBack(fs, dev, err) })
	if err != nil {
		if errno := (unix.Errno)(0); errors.As(err, &errno) {
			return fail(h.explain(errno, fs, sb))
		}
		return err
	}
	here, err = mountedHere(fs, dev, opts)
	if err != nil {
		return err
	}
	if !here {
		return fail(errors.New("the kernel said yes, but the mount table does not show it — something unmounts it, look for an automounter or a systemd mount unit"))
	}
	h.log.InfoContext(ctx, "mounted", "mount", fs.Mount, "device", fs.Device, "took", time.Since(began))
	if after, err := h.readDevice(ctx, fs.Device); err == nil && after.errors && !sb.errors {
		h.log.WarnContext(ctx, "file system has errors on record that were in its journal: it will be checked before the next mount", "device", fs.Device)
	}
	return nil
}

func named(family string) string {
	switch family {
	case "":
		return "no file system of a type this program knows (ext2, ext3, ext4, xfs, btrfs)"
	case "ext":
		return "ext2, ext3 or ext4"
	}
	return family
}

// mountedHere reports whether the device is mounted exactly as declared. It is
// an error if the device is somewhere else, or something else is at the point.
func mountedHere(fs config.Filesystem, dev devno, opts mountOptions) (bool, error) {
	fail := func(format string, args ...any) (bool, error) {
		return false, fmt.Errorf("cannot mount %s at %s: %w", fs.Device, fs.Mount, fmt.Errorf(format, args...))
	}
	table, err := mountTable()
	if err != nil {
		return false, err
	}
	for _, m := range table {
		if carries(m, dev) && m.Mountpoint != fs.Mount {
			return fail("the device is mounted at %s already — umount %s", m.Mountpoint, m.Mountpoint)
		}
	}
	top := topAt(table, fs.Mount)
	if top == nil {
		return false, nil
	}
	if !carries(top, dev) {
		return fail("%s (%s, device %d:%d) is mounted there — umount %s", top.Source, top.FSType, top.Major, top.Minor, fs.Mount)
	}
	switch {
	case top.Root != "/" && top.FSType != "btrfs":
		return fail("only its directory %s is mounted there — umount %s", top.Root, fs.Mount)
	case top.FSType != fs.Type:
		return fail("it is mounted there as %s, declared is %s — umount %s", top.FSType, fs.Type, fs.Mount)
	case readOnly(top) && !opts.readOnly():
		return fail("it is mounted there read-only; the kernel does that after errors — look at dmesg, then umount %s", fs.Mount)
	}
	return true, nil
}

// mountPoint makes sure that there is a directory to mount on, and that the path
// to it has no symbolic link, since the mount table would show another path.
func (h *Host) mountPoint(ctx context.Context, point string) error {
	return h.flights.do(ctx, "look at "+point, func() error {
		parent := filepath.Dir(point)
		real, err := filepath.EvalSymlinks(parent)
		if err != nil {
			return fmt.Errorf("%w — mkdir -p %s", err, point)
		}
		if real != parent {
			return fmt.Errorf("%s is %s behind a symbolic link — declare the mount as %s", parent, real, filepath.Join(real, filepath.Base(point)))
		}
		fi, err := os.Lstat(point)
		if errors.Is(err, os.ErrNotExist) {
			if err := os.Mkdir(point, 0o755); err != nil {
				return fmt.Errorf("%w — mkdir %s", err, point)
			}
			h.log.WarnContext(ctx, "mount point was missing and has been made", "mount", point)
			return nil
		}
		if err != nil {
			return err
		}
		if !fi.IsDir() {
			return fmt.Errorf("the mount point is not a directory but %v — remove it, then mkdir %s", fi.Mode(), point)
		}
		return nil
	}, nil)
}

// readDevice reads the superblock of a device.
func (h *Host) readDevice(ctx context.Context, path string) (superblock, error) {
	b, err := h.readAt(ctx, path, 0, superblockBytes)
	return readSuperblock(b), err
}

func (h *Host) readAt(ctx context.Context, path string, offset int64, n int) ([]byte, error) {
	got := make(chan []byte, 1)
	err := h.flights.do(ctx, "read "+path, func() error {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		b := make([]byte, n)
		n, err := f.ReadAt(b, offset)
		if err != nil && err != io.EOF {
			return err
		}
		got <- b[:n]
		return nil
	}, nil)
	if err != nil {
		return nil, err
	}
	return <-got, nil
}

// check runs e2fsck in its safe automatic mode. Exit status 0 is clean, 1 and 2
// are errors that were corrected, 4 and more are not (e2fsck(8), "EXIT CODE").
func (h *Host) check(ctx context.Context, fs config.Filesystem, sb superblock) error {
	why := "its superblock says that it has errors"
	if !sb.errors {
		why = "it has no journal and was not unmounted in order"
	}
	h.log.WarnContext(ctx, "file system is checked before the mount", "device", fs.Device, "reason", why)
	began := time.Now()
	o, err := run(ctx, command{argv: []string{"e2fsck", "-p", fs.Device}})
	if err != nil {
		return err
	}
	if o.code < 0 || o.code >= 4 {
		return fmt.Errorf("%s and e2fsck -p could not correct that (exit status %d: %s) — run e2fsck %s by hand", why, o.code, o.says(), fs.Device)
	}
	h.log.WarnContext(ctx, "file system was checked", "device", fs.Device, "status", o.code, "said", o.says(), "took", time.Since(began))
	return nil
}

// takeBack undoes a mount that came about after its step had been given up.
func (h *Host) takeBack(fs config.Filesystem, dev devno, err error) {
	if err != nil {
		return
	}
	table, terr := mountTable()
	if terr == nil {
		if top := topAt(table, fs.Mount); top != nil && carries(top, dev) {
			terr = unix.Unmount(fs.Mount, unix.UMOUNT_NOFOLLOW)
		}
	}
	h.log.Warn("a mount came back after its step was given up, and was taken off again", "mount", fs.Mount, "device", fs.Device, "err", terr)
}

// explain puts the kernel's errno of a mount into words.
func (h *Host) explain(errno unix.Errno, fs config.Filesystem, sb superblock) error {
	switch errno {
	case unix.EBUSY:
		if sb.mmp && sb.mmpOffset > 0 {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			// What something here holds is refused before the block is looked at.
			if b, err := h.readAt(ctx, fs.Device, sb.mmpOffset, 1024); err == nil && h.openExclusively(ctx, fs.Device) == nil {
				if who := mmpHolder(b); who != "" {
					return fmt.Errorf("%w: another host has it mounted, or checks it: %s — unmount it there, or see that this host is off", errno, who)
				}
			}
		}
		return fmt.Errorf("%w: something on this host holds the device exclusively (device mapper, md, swap, another file system) — lsblk %s", errno, fs.Device)
	case unix.ENODEV:
		return fmt.Errorf("%w: this kernel does not know type %s — modprobe %s", errno, fs.Type, fs.Type)
	case unix.EINVAL:
		return fmt.Errorf("%w: superblock or options %q refused, dmesg says which", errno, strings.Join(fs.Options, ","))
	case unix.EACCES, unix.EROFS:
		return fmt.Errorf("%w: the device is write protected — blockdev --getro %s", errno, fs.Device)
	case unix.EUCLEAN:
		return fmt.Errorf("%w: the file system is damaged — run its check by hand (fsck.%s %s)", errno, fs.Type, fs.Device)
	}
	return fmt.Errorf("%w — dmesg may say more", errno)
}

// overNetwork lists the types that mount(8) hands to a program of their own.
func overNetwork(fstype string) bool {
	return slices.Contains([]string{"nfs", "nfs4", "cifs", "smb3", "ceph", "glusterfs"}, fstype)
}

// mountByHelper mounts a file system that is no block device here by mount(8).
func (h *Host) mountByHelper(ctx context.Context, fs config.Filesystem, opts mountOptions) error {
	fail := func(err error) error { return fmt.Errorf("cannot mount %s at %s: %w", fs.Device, fs.Mount, err) }
	here := func() (bool, error) {
		table, err := mountTable()
		if err != nil {
			return false, err
		}
		top := topAt(table, fs.Mount)
		switch {
		case top == nil:
			return false, nil
		case top.Source != fs.Device || !strings.HasPrefix(top.FSType, strings.TrimRight(fs.Type, "4")):
			return false, fail(fmt.Errorf("%s (%s) is mounted there — umount %s", top.Source, top.FSType, fs.Mount))
		case readOnly(top) && !opts.readOnly():
			return false, fail(fmt.Errorf("it is mounted there read-only — umount %s", fs.Mount))
		}
		return true, nil
	}
	if ok, err := here(); ok || err != nil {
		return err
	}
	if err := h.mountPoint(ctx, fs.Mount); err != nil {
		return fail(err)
	}
	argv := []string{"mount", "-t", fs.Type}
	if len(fs.Options) > 0 {
		argv = append(argv, "-o", strings.Join(fs.Options, ","))
	}
	o, err := run(ctx, command{argv: append(argv, "--", fs.Device, fs.Mount)})
	if err != nil {
		return fail(err)
	}
	if o.code != 0 {
		return fail(fmt.Errorf("mount(8) ended with exit status %d: %s", o.code, o.says()))
	}
	ok, err := here()
	if err == nil && !ok {
		err = fail(errors.New("mount(8) said yes, but the mount table does not show it"))
	}
	return err
}
