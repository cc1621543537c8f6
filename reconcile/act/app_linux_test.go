package act

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"understudy/config"
	"understudy/reconcile"
)

var sleeps atomic.Int32

// aSleep is a command line that no other test runs.
func aSleep() string { return fmt.Sprintf("sleep 77%05d", sleeps.Add(1)) }

// lookFor is a Look for some applications, by their daemons' Match.
func lookFor(group string, apps ...config.Application) func(context.Context) ([]reconcile.AppState, error) {
	return func(context.Context) ([]reconcile.AppState, error) {
		pids, err := allPIDs()
		if err != nil {
			return nil, err
		}
		var out []reconcile.AppState
		for _, a := range apps {
			st := reconcile.AppState{Group: group, App: a.Name}
			for _, d := range a.Daemons {
				ds := reconcile.DaemonState{Name: d.Name, Optional: d.Optional}
				for _, pid := range pids {
					b, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
					line := strings.Join(strings.Split(strings.TrimRight(string(b), "\x00"), "\x00"), " ")
					if ok, _ := regexp.MatchString("^"+d.Match+"$", line); ok {
						if s, err := readStat(pid); err == nil && s.state != 'Z' {
							ds.Processes = append(ds.Processes, reconcile.Process{PID: pid, Start: s.start})
						}
					}
				}
				st.Daemons = append(st.Daemons, ds)
			}
			out = append(out, st)
		}
		return out, nil
	}
}

// running counts the processes with this command line.
func running(t *testing.T, line string) int {
	t.Helper()
	states, err := lookFor("g", config.Application{Name: "a", Daemons: []config.Daemon{{Match: line}}})(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return len(states[0].Daemons[0].Processes)
}

// appHost is a host with one application of group "g".
func appHost(t *testing.T, app config.Application) *Host {
	t.Helper()
	needRoot(t)
	h := newHost(t)
	h.opts.Look = lookFor("g", app)
	t.Cleanup(func() {
		cg, err := cgroupFor("g", app.Name)
		if err == nil && cg != "" {
			_ = cg.kill(context.Background())
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			for on := true; on && pause(ctx, time.Millisecond); on, _ = cg.populated() {
			}
			_ = cg.remove()
		}
	})
	return h
}

func appNamed(t *testing.T) config.Application {
	return config.Application{Name: strings.ReplaceAll(t.Name(), "/", "_"), StartLimit: time.Minute, StopLimit: 2 * time.Second}
}

func TestRunStartVerifyStop(t *testing.T) {
	line := aSleep()
	app := appNamed(t)
	app.Run = strings.Fields(line)
	app.Daemons = []config.Daemon{{Name: "sleep", Match: line}}
	ready := filepath.Join(t.TempDir(), "ready")
	app.Probes = []config.Probe{{Command: []string{"/bin/sh", "-c", `[ -e "$READY" ] || { touch "$READY"; echo not yet; exit 1; }`}}}
	app.Environment = []config.Option{{Key: "READY", Value: ready}}
	h := appHost(t, app)
	ctx := within(t, 20*time.Second)
	began := time.Now()
	for range 2 {
		if err := h.Do(ctx, reconcile.Start{Group: "g", App: app, Environment: []config.Option{{Key: "RPC_UNSUPPORTED_NETADDRS", Value: "10.7.0.11"}}}); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("started in %s", time.Since(began))
	if err := h.Do(ctx, reconcile.Verify{Group: "g", App: app}); err != nil {
		t.Fatal(err)
	}
	if n := running(t, line); n != 1 {
		t.Fatalf("%d run", n)
	}
	p, err := h.recorded("g", app)
	if err != nil || p.PID == 0 {
		t.Fatalf("record %+v %v", p, err)
	}
	env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", p.PID))
	want := strings.Join([]string{"PATH=" + searchPath, "HOME=/", "LANG=C", "READY=" + ready, "RPC_UNSUPPORTED_NETADDRS=10.7.0.11", ""}, "\x00")
	if err != nil || string(env) != want {
		t.Errorf("environment %q %v", env, err)
	}
	st, err := readStat(p.PID)
	if err != nil || st.session != p.PID {
		t.Errorf("not in a session of its own: %+v %v", st, err)
	}
	if to, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/0", p.PID)); to != "/dev/null" {
		t.Errorf("standard input is %s", to)
	}
	if in, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", p.PID)); !strings.Contains(string(in), "/understudy/g."+app.Name) {
		t.Logf("no cgroup of version 2: %s", in)
	}

	h.Close() // another program takes over: the record is on disk
	h = New(Options{StateDir: h.opts.StateDir, Look: h.opts.Look})
	defer h.Close()
	if n := running(t, line); n != 1 {
		t.Fatalf("%d run after a restart", n)
	}
	for range 2 {
		if err := h.Do(ctx, reconcile.Stop{Group: "g", App: app}); err != nil {
			t.Fatal(err)
		}
	}
	if n := running(t, line); n != 0 {
		t.Errorf("%d still run", n)
	}
	if p, err := readRecord(h.recordPath("g." + app.Name)); err != nil || p.PID != 0 {
		t.Errorf("record is left: %v %v", p, err)
	}
	for text, ok := range map[string]bool{"": true, "\x00\x00": true, `{"pid":`: false} { // the first two are left by a power cut
		path := filepath.Join(t.TempDir(), "record")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if p, err := readRecord(path); (err == nil) != ok || p.PID != 0 {
			t.Errorf("%q: %v %v", text, p, err)
		}
	}
	wantError(t, h.Do(within(t, 200*time.Millisecond), reconcile.Verify{Group: "g", App: app}), "sleep not there", "deadline")
}

func TestStartNoticesThatTheProgramEnds(t *testing.T) {
	app := appNamed(t)
	app.Run = []string{"/bin/sh", "-c", "echo cannot bind >&2; exit 3"}
	app.Daemons = []config.Daemon{{Name: "sleep", Match: aSleep()}}
	h := appHost(t, app)
	began := time.Now()
	wantError(t, h.Do(within(t, time.Minute), reconcile.Start{Group: "g", App: app}), "exit status 3", "cannot bind", "ended again")
	if time.Since(began) > 30*time.Second {
		t.Errorf("noticed after %s", time.Since(began))
	}
	app.Run = []string{"/no/such/program"}
	wantError(t, h.Do(within(t, time.Minute), reconcile.Start{Group: "g", App: app}), "/no/such/program", "no such file")
}

// A start command leaves daemons of all kinds: one on its standard output, one
// in a session of its own, one that ignores SIGTERM, and one that nobody declared.
func TestStartCommandAndItsDaemons(t *testing.T) {
	dir := t.TempDir()
	onStdout, escaped, hidden := aSleep(), aSleep(), aSleep()
	stubborn := script(t, dir+"/stubborn", `trap "" TERM; while :; do sleep 0.1; done`)
	app := appNamed(t)
	app.Start = []string{script(t, dir+"/start", `echo begun
`+onStdout+` &
(setsid sh -c 'setsid `+escaped+` &' &)
(setsid `+stubborn+` &)
(setsid `+hidden+` >/dev/null 2>&1 &)
echo done`)}
	app.Stop = []string{script(t, dir+"/stop", "echo stopping; exit 1")}
	app.StopLimit = time.Second
	app.Daemons = []config.Daemon{{Name: "one", Match: onStdout}, {Name: "two", Match: escaped}, {Name: "three", Match: "/bin/sh " + stubborn}}
	h := appHost(t, app)
	var lines []string
	h.opts.OnOutput = func(group, name, line string) { lines = append(lines, group+" "+line) }
	if err := h.Do(within(t, time.Minute), reconcile.Start{Group: "g", App: app}); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(lines, ","); got != "g begun,g done" {
		t.Errorf("output %q", got)
	}
	for ctx := within(t, 20*time.Second); running(t, hidden) != 1; { // nobody waits for it: it is not declared
		if !pause(ctx, 5*time.Millisecond) {
			t.Fatal("the undeclared one does not run")
		}
	}
	began := time.Now()
	if err := h.Do(within(t, 2*app.StopLimit), reconcile.Stop{Group: "g", App: app}); err != nil {
		t.Fatal(err)
	}
	t.Logf("stopped in %s", time.Since(began))
	for _, line := range []string{onStdout, escaped, hidden, "/bin/sh " + stubborn} {
		if n := running(t, line); n != 0 {
			t.Errorf("%d of %q are left", n, line)
		}
	}
}

// An optional daemon is not waited for, and is ended like the others where it runs.
func TestOptionalDaemons(t *testing.T) {
	dir := t.TempDir()
	always, configured := aSleep(), aSleep()
	app := appNamed(t)
	app.Start = []string{script(t, dir+"/start", `(setsid sh -c 'setsid `+always+` &' &)
(setsid sh -c 'setsid `+configured+` &' &)`)}
	app.Stop = []string{script(t, dir+"/stop", "exit 0")}
	app.StopLimit = time.Second
	app.Daemons = []config.Daemon{{Name: "always", Match: always}, {Name: "configured", Match: configured, Optional: true}, {Name: "not-here", Match: aSleep(), Optional: true}}
	h := appHost(t, app)
	if err := h.Do(within(t, 20*time.Second), reconcile.Start{Group: "g", App: app}); err != nil {
		t.Fatal(err)
	}
	if err := h.Do(within(t, 20*time.Second), reconcile.Verify{Group: "g", App: app}); err != nil {
		t.Fatal(err)
	}
	ctx := within(t, 20*time.Second)
	for running(t, configured) == 0 && pause(ctx, time.Millisecond) { // nobody has waited for it
	}
	if err := h.Do(within(t, 20*time.Second), reconcile.Stop{Group: "g", App: app}); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{always, configured} {
		if n := running(t, line); n != 0 {
			t.Errorf("%d of %q are left", n, line)
		}
	}
}

func TestStartCommandThatFailsOrHangs(t *testing.T) {
	t.Parallel() // it waits for limits
	dir := t.TempDir()
	daemon, child := aSleep(), aSleep()
	app := appNamed(t)
	app.Daemons = []config.Daemon{{Name: "dced", Match: daemon}}

	app.Start = []string{script(t, dir+"/fails", "echo first; echo second; exit 5")}
	h := appHost(t, app)
	wantError(t, h.Do(within(t, time.Minute), reconcile.Start{Group: "g", App: app}), "cannot start", dir+"/fails", "exit status 5", "first / second")

	app.Start = []string{script(t, dir+"/lies", "exit 0")}
	app.StartLimit = time.Second
	wantError(t, h.Do(within(t, time.Minute), reconcile.Start{Group: "g", App: app}), "dced not there", "its limit of 1s has passed")

	// It hangs after it has started the daemon: its own children are killed, the
	// daemon is left for Stop.
	app.Start = []string{script(t, dir+"/hangs", daemon+" &\n"+child)}
	app.StartLimit = 2 * time.Second
	began := time.Now()
	wantError(t, h.Do(within(t, time.Minute), reconcile.Start{Group: "g", App: app}), "had not ended in time", "its limit of 2s has passed")
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("took %s", took)
	}
	if running(t, child) != 0 {
		t.Error("what hung is left")
	}
	if running(t, daemon) != 1 {
		t.Error("the daemon was killed")
	}
	if err := h.Do(within(t, time.Minute), reconcile.Stop{Group: "g", App: app}); err != nil {
		t.Fatal(err)
	}
	if running(t, daemon) != 0 {
		t.Error("the daemon is left")
	}

	// A lost lease ends it at once.
	app.Start = []string{script(t, dir+"/hangs", child)}
	app.StartLimit = time.Minute
	ctx, cancel := context.WithCancelCause(within(t, time.Minute))
	lost := errors.New("lease lost")
	time.AfterFunc(100*time.Millisecond, func() { cancel(lost) })
	began = time.Now()
	if err := h.Do(ctx, reconcile.Start{Group: "g", App: app}); !errors.Is(err, lost) || time.Since(began) > 30*time.Second {
		t.Errorf("%v after %s", err, time.Since(began))
	}
}

func TestStartRefusesASecondCopyAndTheUnknown(t *testing.T) {
	one, two := aSleep(), aSleep()
	app := appNamed(t)
	app.Start = []string{"/bin/true"}
	app.Daemons = []config.Daemon{{Name: "one", Match: one}, {Name: "two", Match: two}}
	h := appHost(t, app)
	l, err := h.launch("g", app, strings.Fields(one), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx := within(t, 5*time.Second)
	for running(t, one) == 0 {
	}
	wantError(t, h.Do(ctx, reconcile.Start{Group: "g", App: app}), "runs in part", strconv.Itoa(l.PID), "stop it first")
	look := h.opts.Look
	h.opts.Look = func(context.Context) ([]reconcile.AppState, error) { return nil, errors.New("cannot read /proc") }
	wantError(t, h.Do(ctx, reconcile.Start{Group: "g", App: app}), "unknown", "cannot read /proc")
	wantError(t, h.Do(within(t, 300*time.Millisecond), reconcile.Stop{Group: "g", App: app}), "unknown", "cannot read /proc")
	h.opts.Look = look
	if err := h.Do(ctx, reconcile.Stop{Group: "g", App: app}); err != nil {
		t.Fatal(err)
	}
}

func TestStopCommandThatHangs(t *testing.T) {
	dir := t.TempDir()
	daemon, child := aSleep(), aSleep()
	app := appNamed(t)
	app.Start = []string{script(t, dir+"/start", daemon+" &")}
	app.Stop = []string{script(t, dir+"/stop", child)}
	app.StopLimit = time.Second
	app.Daemons = []config.Daemon{{Name: "one", Match: daemon}}
	h := appHost(t, app)
	if err := h.Do(within(t, time.Minute), reconcile.Start{Group: "g", App: app}); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := h.Do(within(t, time.Minute), reconcile.Stop{Group: "g", App: app}); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 30*time.Second || running(t, daemon)+running(t, child) != 0 {
		t.Errorf("took %s, %d + %d left", took, running(t, daemon), running(t, child))
	}
}

// An application without daemons is known by the exit status of its commands.
func TestStopOfAnApplicationWithoutDaemons(t *testing.T) {
	app := appNamed(t)
	app.Start, app.Stop = []string{"/bin/true"}, []string{"/bin/true"}
	h := appHost(t, app)
	for _, s := range []reconcile.Step{reconcile.Start{Group: "g", App: app}, reconcile.Verify{Group: "g", App: app}, reconcile.Stop{Group: "g", App: app}} {
		if err := h.Do(within(t, time.Minute), s); err != nil {
			t.Fatal(err)
		}
	}
	app.Stop = []string{"/bin/false"}
	wantError(t, h.Do(within(t, time.Minute), reconcile.Stop{Group: "g", App: app}), "/bin/false", "exit status 1")
}

// Without cgroups of version 2, what stays in the session is found by it.
func TestStopWithoutCgroups(t *testing.T) {
	needRoot(t)
	cg, err := cgroupFor("g", "x")
	if err != nil {
		t.Fatal(err)
	}
	if cg != "" {
		base := filepath.Dir(filepath.Dir(string(cg)))
		if err := unix.Unmount(base, unix.MNT_DETACH); err != nil {
			t.Skipf("needs to hide %s: %v", base, err)
		}
		t.Cleanup(func() {
			if err := unix.Mount("cgroup2", base, "cgroup2", 0, ""); err != nil {
				t.Error(err)
			}
		})
	}
	declared, hidden := aSleep(), aSleep()
	app := appNamed(t)
	app.Start = []string{script(t, t.TempDir()+"/start", "(setsid "+declared+" &)\n"+hidden+" &")}
	app.Daemons = []config.Daemon{{Name: "one", Match: declared}}
	h := appHost(t, app)
	if err := h.Do(within(t, time.Minute), reconcile.Start{Group: "g", App: app}); err != nil {
		t.Fatal(err)
	}
	if err := h.Do(within(t, time.Minute), reconcile.Stop{Group: "g", App: app}); err != nil {
		t.Fatal(err)
	}
	if n := running(t, declared) + running(t, hidden); n != 0 {
		t.Errorf("%d are left", n)
	}
}

func TestVerifyNamesTheProbe(t *testing.T) {
	app := appNamed(t)
	app.Probes = []config.Probe{{Command: []string{"/bin/sh", "-c", "echo no answer; exit 7"}}}
	h := appHost(t, app)
	wantError(t, h.Do(within(t, 200*time.Millisecond), reconcile.Verify{Group: "g", App: app}), "exit status 7", "no answer", "deadline")
	app.Probes = []config.Probe{{Command: []string{"/bin/sh", "-c", "sleep 1000"}}}
	app.ProbeLimit = 50 * time.Millisecond
	wantError(t, h.Do(within(t, 300*time.Millisecond), reconcile.Verify{Group: "g", App: app}), "50ms")
}

func TestLogIsPutAside(t *testing.T) {
	path := t.TempDir() + "/log/a.log"
	for range 2 {
		f, err := openLog(path)
		if err := errors.Join(err, f.Truncate(logLimit), f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	if fi, err := os.Stat(path + ".1"); err != nil || fi.Size() != logLimit {
		t.Error(fi, err)
	}
}

func FuzzParseRecord(f *testing.F) {
	f.Add([]byte(`{"pid":4711,"start":99,"boot_id":"b"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := parseRecord(b); err == nil && (r.PID <= 1 || r.Start == 0) {
			t.Errorf("%q gave %+v", b, r)
		}
	})
}

// What a command prints beyond the limit is not kept.
func TestOutputIsLimited(t *testing.T) {
	o, err := run(t.Context(), command{argv: []string{"sh", "-c", "yes | head -c 100000; yes | head -c 100000 >&2"}, max: 1000})
	if err != nil || len(o.stdout) != 1000 || len(o.stderr) != 1000 {
		t.Errorf("%d and %d bytes, %v", len(o.stdout), len(o.stderr), err)
	}
}
