package act

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"understudy/config"
)

// stage tells a re-executed test binary what it is.
const stage = "ACT_TEST_STAGE"

// TestMain runs the tests as root in mount, network, host name and pid
// namespaces of their own, below a process 1 that reaps: whatever a test leaves
// behind ends with it. Loop devices are made so that they detach themselves.
func TestMain(m *testing.M) {
	fuzzing := strings.Contains(strings.Join(os.Args, " "), "-test.fuzz=") || strings.Contains(strings.Join(os.Args, " "), "-test.fuzzworker")
	switch {
	case os.Getenv(stage) == "init":
		os.Exit(beInit())
	case os.Getenv(stage) == "actor": // a process of a test, see actors_linux_test.go
		os.Exit(beActor(os.Args[1:]))
	case os.Getenv(stage) == "test" || os.Geteuid() != 0 || fuzzing:
		os.Exit(m.Run())
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), stage+"=init")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWUTS | unix.CLONE_NEWPID,
		Pdeathsig:  unix.SIGKILL,
	}
	runtime.LockOSThread()
	err := cmd.Run()
	if err != nil && cmd.ProcessState == nil {
		fmt.Fprintln(os.Stderr, "cannot make namespaces for the tests:", err)
		os.Exit(1)
	}
	os.Exit(cmd.ProcessState.ExitCode())
}

// beInit is process 1 of the tests' namespace.
func beInit() int {
	must := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	must(unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	must(unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""))
	must(unix.Sethostname([]byte("node1")))
	self, err := os.Executable()
	must(err)
	must(os.Setenv(stage, "test"))
	pid, err := syscall.ForkExec(self, os.Args, &syscall.ProcAttr{
		Env: os.Environ(), Files: []uintptr{0, 1, 2},
	})
	must(err)
	for {
		var ws syscall.WaitStatus
		got, err := syscall.Wait4(-1, &ws, 0, nil)
		if err == syscall.EINTR {
			continue
		}
		must(err)
		if got == pid {
			if ws.Exited() {
				return ws.ExitStatus()
			}
			return 1
		}
	}
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Getenv(stage) != "test" {
		t.Skip("needs root: mounts, addresses and other namespaces")
	}
}

func newHost(t *testing.T) *Host {
	t.Helper()
	h := New(Options{StateDir: t.TempDir(), Node: "node1", Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	t.Cleanup(h.Close)
	return h
}

// within is a context for one step.
func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// loop makes a loop device over a file in a directory. It detaches itself with
// the last that uses it, at the end of the test at the latest.
func loop(t *testing.T, image string) string {
	t.Helper()
	needRoot(t)
	f, err := os.OpenFile(image, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if fi, _ := f.Stat(); fi.Mode().IsRegular() && fi.Size() == 0 {
		if err := f.Truncate(64 << 20); err != nil {
			t.Fatal(err)
		}
	}
	ctl, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer ctl.Close()
	for range 100 {
		n, err := unix.IoctlRetInt(int(ctl.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			t.Fatal(err)
		}
		path := fmt.Sprintf("/dev/loop%d", n)
		dev, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			continue
		}
		var name [64]uint8
		copy(name[:], image)
		err = unix.IoctlLoopConfigure(int(dev.Fd()), &unix.LoopConfig{
			Fd: uint32(f.Fd()), Info: unix.LoopInfo64{Flags: unix.LO_FLAGS_AUTOCLEAR, File_name: name},
		})
		if err != nil { // another test was faster
			_ = dev.Close()
			continue
		}
		t.Cleanup(func() { _ = dev.Close() })
		return path
	}
	t.Fatal("no loop device is free")
	return ""
}

// format makes a file system on a device.
func format(t *testing.T, dev, fstype string, args ...string) {
	t.Helper()
	prog := "mkfs." + fstype
	if _, err := exec.LookPath(prog); err != nil {
		t.Skipf("needs %s", prog)
	}
	quiet := map[string][]string{"ext4": {"-q", "-F"}, "ext2": {"-q", "-F"}, "xfs": {"-q", "-f"}}[fstype]
	do(t, append(append(append([]string{prog}, quiet...), args...), dev)...)
}

// do runs a program of the test.
func do(t *testing.T, argv ...string) string {
	t.Helper()
	out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", argv, err, out)
	}
	return string(out)
}

// disk is a formatted loop device and a mount point, both of this test.
func disk(t *testing.T, fstype string) config.Filesystem {
	t.Helper()
	needRoot(t)
	dir := t.TempDir()
	image := filepath.Join(dir, "image")
	if fstype == "xfs" {
		if err := os.WriteFile(image, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(image, 320<<20); err != nil {
			t.Fatal(err)
		}
	}
	dev := loop(t, image)
	format(t, dev, fstype)
	point := filepath.Join(dir, "mnt")
	if err := os.Mkdir(point, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for unix.Unmount(point, unix.MNT_DETACH) == nil {
		}
	})
	return config.Filesystem{Mount: point, Device: dev, Type: fstype}
}

// wantError checks that an error says each of the words.
func wantError(t *testing.T, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one that says %q", words)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error %q does not say %q", err, w)
		}
	}
}

// actor starts this binary as another process, which says "ready" and then does
// its part until its standard input ends or it is killed.
func actor(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	return actorWith(t, nil, args...)
}

func actorWith(t *testing.T, attr *syscall.SysProcAttr, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = []string{stage + "=actor"}
	cmd.SysProcAttr = attr
	cmd.Dir = "/"
	cmd.Stderr = t.Output()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	ready := make([]byte, 6)
	if _, err := io.ReadFull(out, ready); err != nil || !bytes.Equal(ready, []byte("ready\n")) {
		t.Fatalf("actor %v did not get ready: %q %v", args, ready, err)
	}
	go func() { _ = cmd.Wait(); close(ended) }()
	t.Cleanup(func() { _ = in.Close(); _ = cmd.Process.Kill(); <-ended })
	return cmd
}

// beActor is the process that actor started.
func beActor(args []string) int {
	fail := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	switch args[0] {
	case "open":
		f, err := os.OpenFile(args[1], os.O_CREATE|os.O_RDWR, 0o600)
		fail(err)
		defer f.Close()
	case "chdir":
		fail(os.Chdir(args[1]))
	case "map":
		f, err := os.OpenFile(args[1], os.O_CREATE|os.O_RDWR, 0o600)
		fail(err)
		fail(f.Truncate(4096))
		_, err = unix.Mmap(int(f.Fd()), 0, 4096, unix.PROT_READ, unix.MAP_SHARED)
		fail(errors.Join(err, f.Close()))
	case "stay": // in the namespaces it was started in
	default:
		fail(fmt.Errorf("unknown part %q", args[0]))
	}
	if len(args) > 2 && args[2] == "stubborn" {
		signalIgnoreTERM()
	}
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin)
	return 0
}
