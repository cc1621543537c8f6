//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// makeDisk makes one shared disk: a sparse file with a file system on it. The
// file must lie on a file system with direct I/O, or one host's writes would
// wait in the page cache that all hosts of a lab share.
func makeDisk(ctx context.Context, path string, mib int, format []string) error {
	var room unix.Statfs_t
	if err := unix.Statfs(filepath.Dir(path), &room); err != nil {
		return fmt.Errorf("cannot make disk %s: %w", path, err)
	}
	if free := room.Bavail * uint64(room.Bsize) >> 20; free < uint64(mib) {
		return fmt.Errorf("cannot make disk %s: it may grow to %d MiB and %d MiB are free — choose another directory with --dir",
			path, mib, free)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR|unix.O_DIRECT|unix.O_CLOEXEC, 0o600)
	if errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("cannot make disk %s: no direct I/O there — choose a directory on a disk", path)
	}
	if err != nil {
		return fmt.Errorf("cannot make disk %s: %w", path, err)
	}
	err = errors.Join(f.Truncate(int64(mib)<<20), f.Close())
	if err != nil {
		return fmt.Errorf("cannot make disk %s: %w", path, err)
	}
	cmd := exec.CommandContext(ctx, format[0], append(format[1:len(format):len(format)], path)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("cannot make a file system on %s: %s: %v: %s — is e2fsprogs installed?",
			path, strings.Join(format, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// loopDevice is one host's own way to a shared disk.
type loopDevice struct {
	number int
	back   string
	f      *os.File // keeps the device while no one mounts it
}

// attachLoop binds a free loop device to a file: direct I/O, and released by the
// kernel with its last user, so that nothing is left when this process dies
// (loop(4), LO_FLAGS_AUTOCLEAR).
func attachLoop(back string) (*loopDevice, error) {
	fail := func(err error) (*loopDevice, error) {
		return nil, fmt.Errorf("cannot attach %s to a loop device: %w", back, err)
	}
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return fail(err)
	}
	defer control.Close()
	file, err := os.OpenFile(back, os.O_RDWR|unix.O_DIRECT|unix.O_CLOEXEC, 0)
	if err != nil {
		return fail(err)
	}
	defer file.Close()

	for deadline := time.Now().Add(5 * time.Second); ; {
		n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return fail(err)
		}
		dev, err := os.OpenFile(fmt.Sprintf("/dev/loop%d", n), os.O_RDWR|unix.O_CLOEXEC, 0)
		if err == nil {
			conf := unix.LoopConfig{Fd: uint32(file.Fd()), Size: 4096}
			conf.Info.Flags = unix.LO_FLAGS_AUTOCLEAR | unix.LO_FLAGS_DIRECT_IO
			copy(conf.Info.File_name[:len(conf.Info.File_name)-1], back)
			if err = unix.IoctlLoopConfigure(int(dev.Fd()), &conf); err == nil {
				return checkLoop(&loopDevice{number: n, back: back, f: dev})
			}
			dev.Close()
		}
		// Someone else was faster, or the node of a new device is not there yet.
		again := errors.Is(err, unix.EBUSY) || errors.Is(err, unix.ENXIO) || errors.Is(err, os.ErrNotExist)
		if !again || time.Now().After(deadline) {
			return fail(err)
		}
		time.Sleep(time.Millisecond)
	}
}

func checkLoop(d *loopDevice) (*loopDevice, error) {
	info, err := unix.IoctlLoopGetStatus64(int(d.f.Fd()))
	if err == nil && info.Flags&unix.LO_FLAGS_DIRECT_IO == 0 {
		err = errors.New("direct I/O refused — choose a directory on a disk")
	}
	if err == nil && info.Flags&unix.LO_FLAGS_AUTOCLEAR == 0 {
		err = errors.New("the kernel does not clear it by itself")
	}
	if err != nil {
		d.f.Close()
		return nil, fmt.Errorf("cannot use loop%d for %s: %w", d.number, d.back, err)
	}
	return d, nil
}

// releaseLoop drops this process's hold on the device and waits until the kernel
// has let go of the file behind it: no write of the host can come later.
func releaseLoop(ctx context.Context, d *loopDevice) error {
	d.f.Close()
	for {
		b, err := os.ReadFile(fmt.Sprintf("/sys/block/loop%d/loop/backing_file", d.number))
		if err != nil || strings.TrimSuffix(string(b), "\n") != d.back {
			return nil // unbound, or already someone else's
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("cannot release loop%d of %s: still in use: %w", d.number, d.back, ctx.Err())
		case <-time.After(200 * time.Microsecond):
		}
	}
}

// live reports whether a file system of this device is alive in the kernel,
// whichever mount namespace pins it: ext4 and xfs show each live superblock in
// sysfs.
func (d *loopDevice) live() bool {
	n := strconv.Itoa(d.number)
	return unix.Access("/sys/fs/ext4/loop"+n, unix.F_OK) == nil || unix.Access("/sys/fs/xfs/loop"+n, unix.F_OK) == nil
}

func (d *loopDevice) device() uint64 { return unix.Mkdev(loopMajor, uint32(d.number)) }

const loopMajor = 7 // Documentation/admin-guide/devices.txt

// The file systems' own power switch: EXT4_IOC_SHUTDOWN and XFS_IOC_GOINGDOWN are
// one number, _IOR('X', 125, __u32); 2 is "do not flush the log"
// (fs/ext4/ext4.h, EXT4_GOING_FLAGS_NOLOGFLUSH; fs/xfs/libxfs/xfs_fs.h).
const (
	fsShutdown   = 0x8004587d
	noLogFlush   = 2
	sysfsCgroup2 = "/sys/fs/cgroup"
)

// shutdownFilesystem makes the file system at path refuse all further writes,
// those in its log that are not committed included.
func shutdownFilesystem(path string) error {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.IoctlSetPointerInt(int(f.Fd()), fsShutdown, noLogFlush)
}

// cgroupRoot finds the version 2 hierarchy of this machine, "" if it has none.
func cgroupRoot() string {
	for _, dir := range []string{sysfsCgroup2, filepath.Join(sysfsCgroup2, "unified")} {
		var st unix.Statfs_t
		if unix.Statfs(dir, &st) == nil && st.Type == unix.CGROUP2_SUPER_MAGIC {
			return dir
		}
	}
	return ""
}

// labCgroup is where the cgroups of a lab's hosts are, "" without version 2.
func labCgroup(lab string) string {
	root := cgroupRoot()
	if root == "" {
		return ""
	}
	return filepath.Join(root, "understudy-lab", lab)
}

// removeCgroup removes a tree of cgroups, innermost first; dead members may take
// a moment to leave.
func removeCgroup(ctx context.Context, dir string) error {
	if dir == "" {
		return nil
	}
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := removeCgroup(ctx, filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	for {
		err := unix.Rmdir(dir)
		if err == nil || errors.Is(err, unix.ENOENT) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("cannot remove cgroup %s: %w", dir, err)
		case <-time.After(time.Millisecond):
		}
	}
}
