package act

import (
	"bytes"
	"context"
	"errors"
	"os"
	ossignal "os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"understudy/config"
	"understudy/reconcile"
)

func signalIgnoreTERM() { ossignal.Ignore(syscall.SIGTERM) }

func TestMountAndUnmountAreIdempotent(t *testing.T) {
	for _, fstype := range []string{"ext4", "ext2", "xfs"} {
		t.Run(fstype, func(t *testing.T) {
			fs := disk(t, fstype)
			h := newHost(t)
			ctx := within(t, 20*time.Second)
			for _, s := range []reconcile.Step{
				reconcile.Activate{Device: fs.Device}, reconcile.MountFS{FS: fs}, reconcile.MountFS{FS: fs}, reconcile.Activate{Device: fs.Device},
			} {
				if err := h.Do(ctx, s); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.WriteFile(fs.Mount+"/file", []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
			wantError(t, h.Do(ctx, reconcile.Deactivate{Device: fs.Device}), "still mounted at "+fs.Mount)
			for _, s := range []reconcile.Step{
				reconcile.Unmount{FS: fs, Point: fs.Mount}, reconcile.Unmount{FS: fs, Point: fs.Mount}, reconcile.Deactivate{Device: fs.Device},
			} {
				if err := h.Do(ctx, s); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := os.Stat(fs.Mount + "/file"); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("file is still there: %v", err)
			}
		})
	}
}

func TestMountRefuses(t *testing.T) {
	fs := disk(t, "ext4")
	other := disk(t, "ext4")
	h := newHost(t)
	ctx := within(t, 20*time.Second)
	change := func(f func(*config.Filesystem)) config.Filesystem { c := fs; f(&c); return c }
	for _, tc := range []struct {
		name string
		fs   config.Filesystem
		want []string
	}{
		{"another type", change(func(f *config.Filesystem) { f.Type = "xfs" }), []string{"holds ext2, ext3 or ext4", "declared is xfs"}},
		{"no such device", change(func(f *config.Filesystem) { f.Device = "/dev/nosuch" }), []string{"no such file"}},
		{"not a device", change(func(f *config.Filesystem) { f.Device = "/etc/passwd" }), []string{"not a block device"}},
		{"the root", change(func(f *config.Filesystem) { f.Mount = "/" }), []string{"below /"}},
		{"a bind", change(func(f *config.Filesystem) { f.Options = []string{"bind"} }), []string{`"bind"`}},
		{"an unknown option", change(func(f *config.Filesystem) { f.Options = []string{"nosuchoption"} }), []string{"invalid argument", "nosuchoption"}},
		{"no parent", change(func(f *config.Filesystem) { f.Mount += "/a/b" }), []string{"mkdir -p"}},
		{"a file as point", change(func(f *config.Filesystem) { f.Mount = "/etc/passwd" }), []string{"not a directory"}},
	} {
		t.Run(tc.name, func(t *testing.T) { wantError(t, h.Do(ctx, reconcile.MountFS{FS: tc.fs}), tc.want...) })
	}

	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(filepath.Dir(fs.Mount), link); err != nil {
		t.Fatal(err)
	}
	wantError(t, h.Do(ctx, reconcile.MountFS{FS: change(func(f *config.Filesystem) { f.Mount = link + "/mnt" })}), "symbolic link", fs.Mount)

	if err := h.Do(ctx, reconcile.MountFS{FS: fs}); err != nil {
		t.Fatal(err)
	}
	elsewhere := other
	elsewhere.Mount = fs.Mount
	wantError(t, h.Do(ctx, reconcile.MountFS{FS: elsewhere}), fs.Device, "is mounted there")
	wantError(t, h.Do(ctx, reconcile.Unmount{FS: elsewhere, Point: fs.Mount}), "left alone")
	elsewhere = fs
	elsewhere.Mount = other.Mount
	wantError(t, h.Do(ctx, reconcile.MountFS{FS: elsewhere}), "mounted at "+fs.Mount+" already")
	if err := unix.Mount("", fs.Mount, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	wantError(t, h.Do(ctx, reconcile.MountFS{FS: fs}), "read-only")
	ro := fs
	ro.Options = []string{"ro"}
	if err := h.Do(ctx, reconcile.MountFS{FS: ro}); err != nil {
		t.Error(err)
	}
}

func TestMountMakesItsPoint(t *testing.T) {
	fs := disk(t, "ext4")
	if err := os.Remove(fs.Mount); err != nil {
		t.Fatal(err)
	}
	fs.Options = []string{"noatime,nodev", "data=ordered", "x-systemd.automount", "nofail"}
	if err := newHost(t).Do(within(t, 10*time.Second), reconcile.MountFS{FS: fs}); err != nil {
		t.Fatal(err)
	}
	table, err := mountTable()
	if err != nil {
		t.Fatal(err)
	}
	if m := topAt(table, fs.Mount); !strings.Contains(m.Options, "noatime") || !strings.Contains(m.Options, "nodev") {
		t.Errorf("options %s", m.Options)
	}
}

// A mount after a crash replays the journal, and no check runs for it.
func TestMountAfterACrashReplays(t *testing.T) {
	fs := disk(t, "ext4")
	h := newHost(t)
	ctx := within(t, 20*time.Second)
	if err := h.Do(ctx, reconcile.MountFS{FS: fs}); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(fs.Mount + "/file")
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	const shutdown, noLogFlush = 0x8004587d, 2 // EXT4_IOC_SHUTDOWN
	if err := unix.IoctlSetPointerInt(int(f.Fd()), shutdown, noLogFlush); err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	if err := unix.Unmount(fs.Mount, 0); err != nil {
		t.Fatal(err)
	}
	sb, err := h.readDevice(ctx, fs.Device)
	if err != nil || !sb.replay || sb.mustCheck() {
		t.Fatalf("superblock after the crash: %+v %v", sb, err)
	}
	if err := h.Do(ctx, reconcile.MountFS{FS: fs}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(fs.Mount + "/file"); err != nil {
		t.Errorf("what was synced is lost: %v", err)
	}
}

// A mount that comes about after its step was given up does not stay.
func TestLateMountIsTakenBack(t *testing.T) {
	h := newHost(t)
	fs := mounted(t, h)
	dev, err := blockDevice(fs.Device)
	if err != nil {
		t.Fatal(err)
	}
	h.takeBack(fs, dev, unix.EIO) // it failed late: nothing to take back
	if points, err := mountsOf(fs.Device); err != nil || len(points) != 1 {
		t.Fatal(points, err)
	}
	h.takeBack(fs, dev, nil)
	if points, err := mountsOf(fs.Device); err != nil || len(points) != 0 {
		t.Error(points, err)
	}
}

// Errors on record are corrected before the mount.
func TestMountChecksWhenTheSuperblockSaysSo(t *testing.T) {
	fs := disk(t, "ext4")
	do(t, "debugfs", "-w", "-R", "ssv state 2", fs.Device)
	h := newHost(t)
	ctx := within(t, 20*time.Second)
	if sb, err := h.readDevice(ctx, fs.Device); err != nil || !sb.errors || !sb.mustCheck() {
		t.Fatalf("superblock: %+v %v", sb, err)
	}
	if err := h.Do(ctx, reconcile.MountFS{FS: fs}); err != nil {
		t.Fatal(err)
	}
	if err := h.Do(ctx, reconcile.Unmount{FS: fs}); err != nil {
		t.Fatal(err)
	}
	if sb, err := h.readDevice(ctx, fs.Device); err != nil || sb.errors {
		t.Errorf("superblock afterwards: %+v %v", sb, err)
	}
}

func TestHungCallIsReportedAndNotRepeated(t *testing.T) {
	var f flights
	hang := make(chan struct{})
	late := make(chan error, 1)
	ctx, cancel := context.WithCancelCause(t.Context())
	lost := errors.New("lease lost")
	go cancel(lost)
	err := f.do(ctx, "mount /x", func() error { <-hang; return nil }, func(err error) { late <- err })
	wantError(t, err, "cannot mount /x", "still hanging", "lease lost")
	if !errors.Is(err, lost) {
		t.Error("the cause is not in the error")
	}
	wantError(t, f.do(t.Context(), "mount /x", func() error { return nil }, nil), "earlier attempt")
	close(hang)
	if err := <-late; err != nil {
		t.Error(err)
	}
	for { // the name is free again soon after
		if err := f.do(t.Context(), "mount /x", func() error { return nil }, nil); err == nil {
			break
		}
	}
}

// Two steps that do the same at the same time wait for each other.
func TestCallsOfTheSameNameFollowEachOther(t *testing.T) {
	var f flights
	inside, errs := make(chan struct{}, 1), make(chan error)
	for range 20 {
		go func() {
			errs <- f.do(t.Context(), "read /dev/x", func() error {
				select {
				case inside <- struct{}{}:
					<-inside
					return nil
				default:
					return errors.New("two at the same time")
				}
			}, nil)
		}()
	}
	for range 20 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

func TestReadSuperblock(t *testing.T) {
	ext := func(state, compat, incompat byte) []byte {
		b := make([]byte, superblockBytes)
		b[1024+extMagic], b[1024+extMagic+1] = 0x53, 0xEF
		b[1024+extState], b[1024+extCompat], b[1024+extIncompat] = state, compat, incompat
		return b
	}
	btrfs := make([]byte, superblockBytes)
	copy(btrfs[65536+64:], "_BHRfS_M")
	for _, tc := range []struct {
		name  string
		in    []byte
		want  superblock
		check bool
	}{
		{"nothing", nil, superblock{}, false},
		{"zeros", make([]byte, superblockBytes), superblock{}, false},
		{"clean ext4", ext(1, 4, 0), superblock{family: "ext", clean: true, journal: true}, false},
		{"dirty journal", ext(0, 4, 4), superblock{family: "ext", journal: true, replay: true}, false},
		{"errors", ext(3, 4, 0), superblock{family: "ext", clean: true, journal: true, errors: true}, true},
		{"dirty ext2", ext(0, 0, 0), superblock{family: "ext"}, true},
		{"xfs", append([]byte("XFSB"), make([]byte, 4096)...), superblock{family: "xfs"}, false},
		{"btrfs", btrfs, superblock{family: "btrfs"}, false},
	} {
		if got := readSuperblock(tc.in); got != tc.want || got.mustCheck() != tc.check {
			t.Errorf("%s: %+v, check %v", tc.name, got, got.mustCheck())
		}
	}
}

func FuzzReadSuperblock(f *testing.F) {
	f.Add([]byte("XFSB"))
	f.Add(bytes.Repeat([]byte{0x53, 0xEF}, 40000))
	f.Fuzz(func(t *testing.T, b []byte) {
		sb := readSuperblock(b)
		if sb.mmpOffset < 0 {
			t.Errorf("offset %d", sb.mmpOffset)
		}
		mmpHolder(b)
	})
}

func TestParseMountOptions(t *testing.T) {
	o, err := parseMountOptions([]string{"ro,noatime", "rw", "noexec", "errors=remount-ro,x-foo=1", "commit=5"})
	if err != nil || o.flags != unix.MS_NOATIME|unix.MS_NOEXEC || o.data != "errors=remount-ro,commit=5" {
		t.Errorf("%+v %v", o, err)
	}
}
