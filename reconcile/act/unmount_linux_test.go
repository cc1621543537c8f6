package act

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"understudy/config"
	"understudy/reconcile"
)

// mounted is a disk that the host has mounted.
func mounted(t *testing.T, h *Host) config.Filesystem {
	t.Helper()
	fs := disk(t, "ext4")
	if err := h.Do(within(t, 10*time.Second), reconcile.MountFS{FS: fs}); err != nil {
		t.Fatal(err)
	}
	return fs
}

func TestUnmountStopsProcessesThatHoldIt(t *testing.T) {
	for _, tc := range []struct{ part, file, what string }{
		{"open", "/file", "open"}, {"chdir", "", "working directory"}, {"map", "/file", "mapped"},
	} {
		t.Run(tc.part, func(t *testing.T) {
			h := newHost(t)
			fs := mounted(t, h)
			around := actor(t, "open", fs.Mount+"-beside") // on the file system around it
			cmd := actor(t, tc.part, fs.Mount+tc.file)
			holders, err := Holders(fs.Mount)
			if err != nil || len(holders) != 1 {
				t.Fatalf("holders %v, %v", holders, err)
			}
			if hd := holders[0]; hd.Kind != HeldByProcess || hd.PID != cmd.Process.Pid || !strings.Contains(hd.What, tc.what) || hd.Command == "" {
				t.Errorf("holder %+v", hd)
			}
			if err := h.Do(within(t, 10*time.Second), reconcile.Unmount{FS: fs, Point: fs.Mount}); err != nil {
				t.Fatal(err)
			}
			st, err := readStat(around.Process.Pid)
			if err != nil || st.state == 'Z' {
				t.Error("a process beside the mount was killed")
			}
		})
	}
}

func TestUnmountKillsTheStubbornAtHalfTime(t *testing.T) {
	h := newHost(t)
	fs := mounted(t, h)
	actor(t, "open", fs.Mount+"/file", "stubborn")
	began := time.Now()
	if err := h.Do(within(t, 3*time.Second), reconcile.Unmount{FS: fs, Point: fs.Mount}); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took < 1400*time.Millisecond {
		t.Errorf("took %s, half of the limit was 1.5 s", took)
	}
}

func TestUnmountNamesWhatItMustNotRemove(t *testing.T) {
	h := newHost(t)
	busy := func(t *testing.T, fs config.Filesystem, words ...string) {
		t.Helper()
		wantError(t, h.Do(within(t, 3*time.Second), reconcile.Unmount{FS: fs, Point: fs.Mount}), append(words, "cannot unmount "+fs.Mount+": busy")...)
	}
	t.Run("nested mount", func(t *testing.T) {
		fs := mounted(t, h)
		in := fs.Mount + "/in"
		if err := errors.Join(os.Mkdir(in, 0o755), unix.Mount("inner", in, "tmpfs", 0, "")); err != nil {
			t.Fatal(err)
		}
		defer unix.Unmount(in, 0)
		cmd := actor(t, "open", fs.Mount+"/file")
		busy(t, fs, "nested mount "+in, "nobody was signalled")
		if st, err := readStat(cmd.Process.Pid); err != nil || st.state == 'Z' {
			t.Error("a process was killed although that could not help")
		}
	})
	t.Run("loop", func(t *testing.T) {
		fs := mounted(t, h)
		dev := loop(t, fs.Mount+"/image")
		do(t, "mkfs.ext4", "-q", dev)
		busy(t, fs, "loop device "+dev+" backed by "+fs.Mount+"/image")
	})
	t.Run("swap", func(t *testing.T) {
		fs := mounted(t, h)
		file := fs.Mount + "/swap"
		if err := os.WriteFile(file, make([]byte, 4<<20), 0o600); err != nil {
			t.Fatal(err)
		}
		do(t, "mkswap", "-q", file)
		if out, err := exec.Command("swapon", file).CombinedOutput(); err != nil {
			t.Skipf("needs swap: %s", out)
		}
		defer func() { do(t, "swapoff", file) }()
		busy(t, fs, "swap file "+file)
	})
	t.Run("this program", func(t *testing.T) {
		fs := mounted(t, h)
		f, err := os.Create(fs.Mount + "/file")
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		busy(t, fs, strconv.Itoa(os.Getpid())+" has "+fs.Mount+"/file open", "this program")
	})
}

func TestExportsOfTheNFSServerHoldAMount(t *testing.T) {
	const list = "# Version 1.1\n# Path Client(Flags) # IPs\n" +
		"/srv/shared\t10.7.0.0/24(rw,root_squash,sync,wdelay,no_subtree_check,uuid=1:2:3:4,sec=1)\n" +
		"/srv/shared/with\\040blank\t*(ro,sec=1)\n" +
		"/srv/sharedother\t*(ro)\n/srv\t*(ro)\n\n"
	var got []string
	for _, h := range parseExports(list, "/srv/shared") {
		if h.Kind != HeldByExport {
			t.Errorf("kind %s", h.Kind)
		}
		got = append(got, h.What)
	}
	want := []string{
		"/srv/shared to 10.7.0.0/24 (exportfs -u 10.7.0.0/24:/srv/shared)",
		"/srv/shared/with blank to * (exportfs -u *:/srv/shared/with blank)",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

// Another namespace does not stop the unmount, and is named.
func TestHoldersInAnotherNamespace(t *testing.T) {
	h := newHost(t)
	fs := mounted(t, h)
	cmd := actorWith(t, &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS}, "stay")
	holders, err := Holders(fs.Mount)
	if err != nil || len(holders) != 1 || holders[0].Kind != HeldByNamespace || holders[0].PID != cmd.Process.Pid {
		t.Fatalf("holders %v, %v", holders, err)
	}
	if err := h.Do(within(t, 5*time.Second), reconcile.Unmount{FS: fs}); err != nil {
		t.Fatal(err)
	}
}

func TestUnmountTakesAStackOff(t *testing.T) {
	h := newHost(t)
	fs := mounted(t, h)
	if err := unix.Mount(fs.Mount, fs.Mount, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	if err := h.Do(within(t, 5*time.Second), reconcile.Unmount{FS: fs}); err != nil {
		t.Fatal(err)
	}
	if points, err := mountsOf(fs.Device); err != nil || len(points) != 0 {
		t.Errorf("still at %v %v", points, err)
	}
}

func TestUnmountEndsWithItsContext(t *testing.T) {
	h := newHost(t)
	fs := mounted(t, h)
	actor(t, "open", fs.Mount+"/file", "stubborn")
	ctx, cancel := context.WithCancelCause(within(t, time.Minute))
	lost := errors.New("another step is more urgent")
	time.AfterFunc(50*time.Millisecond, func() { cancel(lost) })
	began := time.Now()
	err := h.Do(ctx, reconcile.Unmount{FS: fs})
	wantError(t, err, "cannot unmount")
	if time.Since(began) > 30*time.Second {
		t.Errorf("took %s", time.Since(began))
	}
	if !errors.Is(err, lost) {
		t.Errorf("the cause is not in %v", err)
	}
}

func TestParseStat(t *testing.T) {
	st, err := parseStat("7 (a) b (c)) S 3 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4711 1 2 3")
	if err != nil || st != (procStat{'S', 3, 7, 4711}) {
		t.Errorf("%+v %v", st, err)
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add("7 (a) b (c)) S 3 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4711 1 2 3")
	f.Add(")")
	f.Fuzz(func(t *testing.T, s string) { _, _ = parseStat(s) })
}
