package daemons

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"understudy/config"
	"understudy/observers/trigger"
	"understudy/reconcile"
)

const boot = "11111111-2222-3333-4444-555555555555"

// program copies sleep(1) so that the test has an executable that nobody else runs.
func program(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("sleep")
	must(t, err)
	text, err := os.ReadFile(path)
	must(t, err)
	dir, err := filepath.EvalSymlinks(t.TempDir())
	must(t, err)
	out := filepath.Join(dir, "dced")
	must(t, os.WriteFile(out, text, 0o755))
	return out
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// start runs a command until the test ends.
func start(t *testing.T, argv ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: 0}
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
	})
	return cmd
}

func file1(d config.Daemon) *config.Config {
	return &config.Config{Groups: []config.Group{{Name: "g", Applications: []config.Application{{Name: "a", Daemons: []config.Daemon{d}}}}}}
}

// found looks once and returns the pids of the only daemon.
func found(t *testing.T, r *Reader) []reconcile.Process {
	t.Helper()
	got, err := r.Look(t.Context(), time.Now())
	must(t, err)
	if len(got) != 1 || got[0].Group != "g" || got[0].App != "a" || len(got[0].Daemons) != 1 {
		t.Fatalf("state %+v", got)
	}
	return got[0].Daemons[0].Processes
}

func want(t *testing.T, r *Reader, pids ...int) []reconcile.Process {
	t.Helper()
	got := found(t, r)
	ok := len(got) == len(pids)
	for i := range min(len(got), len(pids)) {
		ok = ok && got[i].PID == pids[i] && got[i].Start > 0
	}
	if !ok {
		t.Fatalf("processes %+v, want pids %v", got, pids)
	}
	return got
}

func TestFoundByExe(t *testing.T) {
	exe := program(t)
	link := filepath.Join(filepath.Dir(exe), "link")
	must(t, os.Symlink(exe, link))
	for _, path := range []string{exe, link} {
		r, err := NewReader(file1(config.Daemon{Name: "d", Exe: path}), "alpha", t.TempDir(), boot)
		must(t, err)
		want(t, r)
		one := start(t, exe, "60")
		if got := want(t, r, one.Process.Pid); got[0].Exe != exe {
			t.Errorf("program %q, want %q", got[0].Exe, exe)
		}
		// A zombie does not run: it is killed and not reaped.
		must(t, one.Process.Kill())
		zombie(t, one.Process.Pid)
		want(t, r)
	}
}

// zombie waits until a child has ended, without reaping it.
func zombie(t *testing.T, pid int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	must(t, trigger.Exit(ctx, pid, func() bool { return true }))
	s, err := new(proc).stat(pid)
	if err != nil || s.state != 'Z' {
		t.Fatalf("process %d is %q, %v; a zombie is wanted", pid, s.state, err)
	}
}

// A daemon whose executable was replaced on disk still runs.
func TestFoundByDeletedExe(t *testing.T) {
	exe := program(t)
	r, err := NewReader(file1(config.Daemon{Name: "d", Exe: exe}), "alpha", t.TempDir(), boot)
	must(t, err)
	one := start(t, exe, "60")
	must(t, os.Remove(exe))
	want(t, r, one.Process.Pid)
}

// What is optional is told, and looked for like the rest.
func TestOptionalIsTold(t *testing.T) {
	exe := program(t)
	r, err := NewReader(file1(config.Daemon{Name: "d", Exe: exe, Optional: true}), "alpha", t.TempDir(), boot)
	must(t, err)
	look := func() reconcile.DaemonState {
		got, err := r.Look(t.Context(), time.Now())
		must(t, err)
		return got[0].Daemons[0]
	}
	if d := look(); !d.Optional || len(d.Processes) != 0 {
		t.Errorf("%+v", d)
	}
	cmd := start(t, exe, "60")
	if d := look(); !d.Optional || len(d.Processes) != 1 || d.Processes[0].PID != cmd.Process.Pid {
		t.Errorf("%+v", d)
	}
}

func TestAllCriteriaMustHold(t *testing.T) {
	exe := program(t)
	r, err := NewReader(file1(config.Daemon{Name: "d", Exe: exe, Match: `dced 7[0-9]$`}), "alpha", t.TempDir(), boot)
	must(t, err)
	start(t, exe, "60")
	want(t, r)
	a, b := start(t, exe, "70"), start(t, exe, "71")
	want(t, r, min(a.Process.Pid, b.Process.Pid), max(a.Process.Pid, b.Process.Pid))
}

// A process that becomes another program a while after it was first seen is found.
func TestFoundAfterExec(t *testing.T) {
	exe := program(t)
	r, err := NewReader(file1(config.Daemon{Name: "d", Exe: exe}), "alpha", t.TempDir(), boot)
	must(t, err)
	cmd := exec.Command("/bin/sh", "-c", "read x; exec "+exe+" 60")
	in, err := cmd.StdinPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	want(t, r)
	_, err = io.WriteString(in, "go\n")
	must(t, err)
	for limit := time.Now().Add(5 * time.Second); len(found(t, r)) == 0; {
		if time.Now().After(limit) {
			t.Fatal("not found after exec")
		}
	}
}

func TestPIDFile(t *testing.T) {
	exe := program(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "dced.pid")
	stranger := start(t, "sleep", "60")
	one := start(t, exe, "60")
	reader := func(d config.Daemon) *Reader {
		d.Name, d.PIDFile = "d", path
		r, err := NewReader(file1(d), "alpha", t.TempDir(), boot)
		must(t, err)
		return r
	}
	write := func(text string) { must(t, os.WriteFile(path, []byte(text), 0o600)) }
	alone, both, matched := reader(config.Daemon{}), reader(config.Daemon{Exe: exe}), reader(config.Daemon{Match: "^/.*/dced"})

	for _, r := range []*Reader{alone, both, matched} {
		want(t, r) // no file
	}
	write("")
	want(t, alone)
	write(fmt.Sprintf("  %d\n/var/lib\n", one.Process.Pid))
	for _, r := range []*Reader{alone, both, matched} {
		want(t, r, one.Process.Pid)
	}
	// The pid belongs to somebody else by now.
	write(strconv.Itoa(stranger.Process.Pid))
	want(t, both)
	want(t, matched)
	// Nothing else is declared: a file that was written before the process began is stale.
	must(t, os.Chtimes(path, time.Time{}, time.Now().Add(-time.Hour)))
	want(t, alone)
	write("2") // a kernel thread, or nobody
	want(t, alone)
	for _, bad := range []string{"x", "-4", "0", "99999999999"} {
		write(bad)
		if _, err := alone.Look(t.Context(), time.Now()); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("content %q: error %v", bad, err)
		}
	}
	must(t, os.Remove(path))
	must(t, syscall.Mkfifo(path, 0o600))
	if _, err := alone.Look(t.Context(), time.Now()); err == nil {
		t.Error("a FIFO in place of the pid file is no error")
	}
}

// A user who may write the pid file points at a process of root, which would be
// killed at the next stop. It is not believed unless something else is declared.
func TestPIDFileOfAnotherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: files of another user")
	}
	exe := program(t)
	path := filepath.Join(t.TempDir(), "pid")
	one := start(t, exe, "60")
	theirs := exec.Command("sleep", "60")
	theirs.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	must(t, theirs.Start())
	t.Cleanup(func() { _ = theirs.Process.Kill(); _ = theirs.Wait() })
	look := func(d config.Daemon, pid int) ([]reconcile.AppState, error) {
		must(t, os.WriteFile(path, []byte(strconv.Itoa(pid)), 0o600))
		must(t, os.Chown(path, 65534, 65534))
		d.Name, d.PIDFile = "d", path
		r, err := NewReader(file1(d), "alpha", t.TempDir(), boot)
		must(t, err)
		return r.Look(t.Context(), time.Now())
	}
	if _, err := look(config.Daemon{}, one.Process.Pid); err == nil || !strings.Contains(err.Error(), "is of uid 65534 and names process") {
		t.Errorf("a process of root: %v", err)
	}
	for _, d := range []struct {
		config.Daemon
		pid int
	}{{config.Daemon{Exe: exe}, one.Process.Pid}, {config.Daemon{}, theirs.Process.Pid}} {
		got, err := look(d.Daemon, d.pid)
		if err != nil || len(got[0].Daemons[0].Processes) != 1 {
			t.Errorf("%+v: %+v %v", d, got, err)
		}
	}
	if pid := 1 << 22; pid != one.Process.Pid { // nobody: no error
		if got, err := look(config.Daemon{}, pid); err != nil || len(got[0].Daemons[0].Processes) != 0 {
			t.Errorf("nobody: %+v %v", got, err)
		}
	}
}

func TestRecordOfRun(t *testing.T) {
	state := t.TempDir()
	cfg := &config.Config{Groups: []config.Group{{Name: "g", Applications: []config.Application{{
		Name: "a", Run: []string{"x"}, Daemons: []config.Daemon{{Name: "a"}}}}}}}
	r, err := NewReader(cfg, "alpha", state, boot)
	must(t, err)
	path := filepath.Join(state, "apps", "g.a.json")
	want(t, r)
	must(t, os.Mkdir(filepath.Dir(path), 0o700))
	one := start(t, "sleep", "60")
	s, err := new(proc).stat(one.Process.Pid)
	must(t, err)
	write := func(pid int, start uint64, boot string) {
		must(t, os.WriteFile(path, fmt.Appendf(nil, `{"pid":%d,"start":%d,"boot_id":%q}`, pid, start, boot), 0o600))
	}
	write(one.Process.Pid, s.start, boot)
	want(t, r, one.Process.Pid)
	write(one.Process.Pid, s.start+1, boot)
	want(t, r)
	write(one.Process.Pid, s.start, "another boot")
	want(t, r)
	write(one.Process.Pid, s.start, boot)
	must(t, one.Process.Kill())
	zombie(t, one.Process.Pid)
	want(t, r)
	for _, left := range []string{"", "\x00\x00\x00"} { // by a power cut
		must(t, os.WriteFile(path, []byte(left), 0o600))
		want(t, r)
	}
	must(t, os.WriteFile(path, []byte(`{"pid":`), 0o600))
	if _, err := r.Look(t.Context(), time.Now()); err == nil {
		t.Error("half a record is no error")
	}
}

// The end of a process that the last look found is a trigger.
func TestExitIsNoticed(t *testing.T) {
	exe := program(t)
	r, err := NewReader(file1(config.Daemon{Name: "d", Exe: exe}), "alpha", t.TempDir(), boot)
	must(t, err)
	fired := trigger.New()
	e := NewExits(fired.Fire, slog.New(slog.NewTextHandler(t.Output(), nil)))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	var took []time.Duration
	for range 20 {
		one := start(t, exe, "60")
		states, err := r.Look(ctx, time.Now())
		must(t, err)
		e.Set(states)
		began := time.Now()
		must(t, one.Process.Kill())
		select {
		case <-fired:
		case <-time.After(5 * time.Second):
			t.Fatal("the end was not noticed")
		}
		took = append(took, time.Since(began))
		want(t, r)
	}
	cancel()
	<-done
	t.Logf("noticed after %v", took)
}

func TestParseStat(t *testing.T) {
	line := func(name string) []byte {
		return []byte("7 (" + name + ") S 1 7 7 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 3 0 12345 0 0\n")
	}
	for _, name := range []string{"sleep", "a b", "a) R 1 (b", "", "\n"} {
		if s, err := parseStat(line(name)); err != nil || s.state != 'S' || s.start != 12345 || s.threads != 3 || s.flags != 4194560 {
			t.Errorf("%q: %+v %v", name, s, err)
		}
	}
	for _, bad := range []string{"", "7 (x", "7 (x) S 1 2", "7 (x) S 1 7 7 0 -1 x 0 0"} {
		if _, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("%q is no error", bad)
		}
	}
	if (stat{state: 'Z', threads: 1}).alive() || !(stat{state: 'Z', threads: 2}).alive() || !(stat{state: 'D', threads: 1}).alive() {
		t.Error("alive is wrong")
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte("7 (a b) S 1 7 7 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 3 0 12345 0 0\n"))
	f.Fuzz(func(_ *testing.T, text []byte) { _, _ = parseStat(text) })
}

func FuzzParseUID(f *testing.F) {
	f.Add([]byte("Name:\tsleep\nUid:\t0\t33\t0\t0\nGid:\t0\t0\t0\t0\n"))
	f.Fuzz(func(_ *testing.T, text []byte) { _, _ = parseUID(text) })
}

func FuzzParsePID(f *testing.F) {
	f.Add([]byte("12\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if pid, err := parsePID(text); err == nil && pid < 0 {
			t.Fatal(pid)
		}
	})
}

func FuzzParseRecord(f *testing.F) {
	f.Add([]byte(`{"pid":1,"start":2,"boot_id":"x"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		if r, err := parseRecord(text); err == nil && (r.PID <= 0 || r.Start == 0) {
			t.Fatal(r)
		}
	})
}

func BenchmarkLook(b *testing.B) {
	exe, err := os.Executable()
	must(b, err)
	for name, d := range map[string]config.Daemon{
		"known":   {Name: "d", Match: "."},
		"missing": {Name: "d", Exe: exe + "x"},
	} {
		b.Run(name, func(b *testing.B) {
			r, err := NewReader(file1(d), "alpha", b.TempDir(), boot)
			must(b, err)
			for b.Loop() {
				if _, err := r.Look(b.Context(), time.Now()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("full", func(b *testing.B) {
		r, err := NewReader(file1(config.Daemon{Name: "d", Exe: exe + "x", Match: "x"}), "alpha", b.TempDir(), boot)
		must(b, err)
		for b.Loop() {
			r.lastFull = time.Time{}
			if _, err := r.Look(b.Context(), time.Now()); err != nil {
				b.Fatal(err)
			}
		}
	})
}
