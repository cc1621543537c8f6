//go:build linux

package lab

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	if handled, exit := Dispatch(os.Args); handled {
		os.Exit(exit)
	}
	os.Setenv("GORACE", "atexit_sleep_ms=0") // or every process of a lab takes a second to end
	os.Exit(m.Run())
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: namespaces and loop devices")
	}
}

// up makes a lab of this test's own; it is gone when the test ends, and the test
// fails when something of it is left.
func up(t *testing.T, o Options) (context.Context, *Lab) {
	t.Helper()
	needRoot(t)
	ctx, cancel := context.WithTimeout(t.Context(), 25*time.Second)
	t.Cleanup(cancel)
	if o.Name == "" {
		o.Name = fmt.Sprintf("t%d", os.Getpid()%100000)
	}
	o.LifeLine = true
	began := time.Now()
	l, err := Up(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("up after %v", time.Since(began).Round(time.Millisecond))
	dir := l.Dir()
	t.Cleanup(func() {
		if t.Failed() {
			for _, name := range []string{Alpha, Beta, Witness, Client} {
				if log, err := l.Log(name); err == nil && log != "" {
					t.Logf("log of %s:\n%s", name, log)
				}
			}
			b, _ := os.ReadFile(filepath.Join(dir, "supervisor.log"))
			t.Logf("log of the supervisor:\n%s", b)
		}
		ctx, cancel := context.WithTimeout(context.Background(), downLimit)
		defer cancel()
		began := time.Now()
		if err := l.Down(ctx); err != nil {
			t.Error(err)
		}
		t.Logf("down after %v", time.Since(began).Round(time.Millisecond))
		if left := leftovers(t, l.Name, dir); len(left) > 0 {
			t.Errorf("left behind:\n%s", strings.Join(left, "\n"))
		}
	})
	return ctx, l
}

// leftovers finds everything that a lab of this name could leave on the machine.
func leftovers(t *testing.T, name, dir string) []string {
	t.Helper()
	var left []string
	for _, path := range []string{runDir(name), dir, labCgroup(name)} {
		if path == "" {
			continue
		}
		if _, err := os.Lstat(path); err == nil {
			left = append(left, "file "+path)
		}
	}
	backs, _ := filepath.Glob("/sys/block/loop*/loop/backing_file")
	for _, f := range backs {
		if b, err := os.ReadFile(f); err == nil && strings.HasPrefix(string(b), dir+"/") {
			left = append(left, "loop device "+f+" of "+strings.TrimSpace(string(b)))
		}
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, runDir(name)) || strings.Contains(line, dir) {
			left = append(left, "mount "+line)
		}
	}
	procs, _ := filepath.Glob("/proc/[0-9]*/mountinfo")
	for _, f := range procs {
		b, _ := os.ReadFile(f)
		if strings.Contains(string(b), runDir(name)+"/") || strings.Contains(string(b), dir+"/") {
			cmd, _ := os.ReadFile(filepath.Join(filepath.Dir(f), "cmdline"))
			left = append(left, fmt.Sprintf("process %s %q", filepath.Dir(f), cmd))
		}
		if b, _ := os.ReadFile(filepath.Join(filepath.Dir(f), "cmdline")); strings.Contains(string(b), dir) {
			left = append(left, fmt.Sprintf("process %s %q", filepath.Dir(f), b))
		}
	}
	return left
}

// sh runs a shell line on a host and fails the test when it fails.
func sh(ctx context.Context, t *testing.T, l *Lab, host, line string) string {
	t.Helper()
	out, errs, code, err := l.Exec(ctx, host, "sh", "-c", line)
	if err != nil || code != 0 {
		t.Fatalf("%s: %s: exit %d, %v\n%s%s", host, line, code, err, out, errs)
	}
	return strings.TrimSpace(out)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestHosts(t *testing.T) {
	ctx, l := up(t, Options{DiskMiB: 32})
	if got := sh(ctx, t, l, Alpha, "hostname; echo $$ >/dev/null; ls /dev/shared0; cat /etc/hostname"); got != "alpha\n/dev/shared0\nalpha" {
		t.Errorf("alpha says %q", got)
	}
	boot := func(host string) string { return sh(ctx, t, l, host, "cat /proc/sys/kernel/random/boot_id") }
	a, b := boot(Alpha), boot(Beta)
	if a == b || len(a) != 36 {
		t.Errorf("boot ids %q and %q", a, b)
	}
	for _, to := range []string{"10.7.0.12", "10.8.0.12", "10.7.0.13", "10.7.0.100"} {
		// A connection that is refused was answered.
		out, errs, _, err := l.Exec(ctx, Alpha, "bash", "-c", "echo > /dev/tcp/"+to+"/9")
		if err != nil || !strings.Contains(errs, "refused") {
			t.Errorf("alpha cannot reach %s: %q %q %v", to, out, errs, err)
		}
	}
	if got := sh(ctx, t, l, Beta, "echo one; echo two >&2"); got != "one" {
		t.Errorf("beta says %q", got)
	}
	var out strings.Builder
	code, err := l.Run(ctx, Beta, Command{Argv: []string{"sh", "-c", "pwd; echo $X; cat; exit 7"},
		Env: []string{"X=y"}, Dir: "/srv", Stdin: strings.NewReader("in"), Stdout: &out})
	if err != nil || code != 7 || out.String() != "/srv\ny\nin" {
		t.Errorf("exit %d, %q, %v", code, out.String(), err)
	}
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	if _, _, _, err := l.Exec(short, Beta, "sleep", "60"); err == nil {
		t.Error("a command outlived its context")
	}
	must(t, l.Wait(ctx, "the end of sleep", func(ctx context.Context) (bool, error) {
		_, _, code, err := l.Exec(ctx, Beta, "pgrep", "sleep")
		return code == 1, err
	}))
	if _, _, _, err := l.Exec(ctx, Beta, "no-such-program"); err == nil {
		t.Error("a program that is not there ran")
	}

	// The state of a host survives its crash, the rest does not.
	sh(ctx, t, l, Alpha, "echo kept > /var/lib/understudy/x && sync && echo lost > /var/lib/x")
	must(t, l.Crash(ctx, Alpha))
	if _, _, _, err := l.Exec(ctx, Alpha, "true"); err == nil {
		t.Error("a crashed host ran a command")
	}
	must(t, l.Start(ctx, Alpha))
	if got := sh(ctx, t, l, Alpha, "cat /var/lib/understudy/x; ls /var/lib"); got != "kept\nunderstudy" {
		t.Errorf("after a crash: %q", got)
	}
	if boot(Alpha) == a {
		t.Error("the boot id is that of the boot before")
	}

	// Its sysrq and its reboot(2) are its own: they end this boot and begin another.
	resets := map[string]string{"sysrq": "echo b > /proc/sysrq-trigger"}
	if _, err := os.Stat("/proc/sysrq-trigger"); err != nil {
		delete(resets, "sysrq")
	}
	if runtime.GOARCH == "amd64" { // the number of the call
		resets["reboot"] = `perl -e 'syscall(169, 0xfee1dead, 672274793, 0x1234567)'`
	}
	for name, line := range resets {
		before := boot(Beta)
		l.Exec(ctx, Beta, "sh", "-c", line+"; sleep 60")
		must(t, l.Wait(ctx, name, func(ctx context.Context) (bool, error) {
			out, _, _, err := l.Exec(ctx, Beta, "cat", "/proc/sys/kernel/random/boot_id")
			return err == nil && strings.TrimSpace(out) != before, err
		}))
	}
}

func TestCrashLosesWhatWasNotForced(t *testing.T) {
	ctx, l := up(t, Options{DiskMiB: 32})
	sh(ctx, t, l, Alpha, "mkdir /srv/shared && mount -o noatime /dev/shared0 /srv/shared && "+
		"echo forced > /srv/shared/forced && sync -f /srv/shared/forced && echo loose > /srv/shared/loose && "+
		"dd if=/dev/zero of=/srv/shared/big bs=1M count=20 status=none")
	began := time.Now()
	must(t, l.Crash(ctx, Alpha))
	t.Logf("crash took %v", time.Since(began))
	got := sh(ctx, t, l, Beta, "mkdir /srv/shared && mount -o ro,noload /dev/shared0 /srv/shared; ls /srv/shared; umount /srv/shared;"+
		"mount /dev/shared0 /srv/shared && cat /srv/shared/forced && ls /srv/shared && umount /srv/shared")
	if !strings.Contains(got, "forced") || strings.Contains(got, "loose") {
		t.Errorf("beta sees %q", got)
	}
	if v, err := l.Violations(ctx); err != nil || len(v) > 0 {
		t.Errorf("violations %v, %v", v, err)
	}
}

func TestNoLateWrites(t *testing.T) {
	ctx, l := up(t, Options{DiskMiB: 32})
	sh(ctx, t, l, Alpha, "mkdir /srv/shared && mount /dev/shared0 /srv/shared")
	must(t, l.Spawn(ctx, Alpha, "writer", "sh", "-c",
		"while :; do dd if=/dev/urandom of=/srv/shared/f bs=64k count=40 conv=notrunc,fsync status=none; done"))
	must(t, l.Wait(ctx, "writes", func(ctx context.Context) (bool, error) {
		_, _, code, err := l.Exec(ctx, Alpha, "test", "-s", "/srv/shared/f")
		return code == 0, err
	}))
	must(t, l.Crash(ctx, Alpha))
	sum := func() string {
		b, err := os.ReadFile(filepath.Join(l.Dir(), "shared0.img"))
		must(t, err)
		return fmt.Sprintf("%x", hash(b))
	}
	first := sum()
	must(t, syscallSync(filepath.Join(l.Dir(), "shared0.img")))
	if second := sum(); first != second {
		t.Error("the disk changed after the crash was complete")
	}
}

func TestNetworkFaults(t *testing.T) {
	ctx, l := up(t, Options{Disks: -1})
	carrier := func() string { return sh(ctx, t, l, Alpha, "cat /sys/class/net/public/carrier") }
	reach := func(addr string) bool {
		_, errs, _, err := l.Exec(ctx, Alpha, "timeout", "0.3", "bash", "-c", "echo > /dev/tcp/"+addr+"/9")
		must(t, err)
		return strings.Contains(errs, "refused")
	}
	must(t, l.Cut(ctx, Alpha, PublicNet))
	if reach("10.7.0.12") || !reach("10.8.0.12") || carrier() != "1" {
		t.Error("cut: public must be silent with its carrier up, storage must go on")
	}
	must(t, l.Heal(ctx, Alpha))
	// A neighbour that did not answer is asked again once a second (arp(7)).
	must(t, l.Wait(ctx, "the healed network", func(context.Context) (bool, error) { return reach("10.7.0.12"), nil }))
	must(t, l.LinkDown(ctx, Alpha, PublicNet))
	if reach("10.7.0.12") || carrier() != "0" {
		t.Error("link down: public must be silent and without carrier")
	}
	must(t, l.Crash(ctx, Alpha))
	must(t, l.Start(ctx, Alpha))
	if carrier() != "0" {
		t.Error("link down: the cable came back with the boot")
	}
	must(t, l.LinkUp(ctx, Alpha))
	must(t, l.Wait(ctx, "carrier", func(context.Context) (bool, error) { return carrier() == "1" && reach("10.7.0.12"), nil }))

	must(t, l.Freeze(ctx, Beta))
	short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	if _, _, _, err := l.Exec(short, Beta, "true"); err == nil {
		t.Error("a frozen host ran a command")
	}
	must(t, l.Thaw(ctx, Beta))
	sh(ctx, t, l, Beta, "true")
	must(t, l.Freeze(ctx, Beta))
	must(t, l.Crash(ctx, Beta)) // a frozen host can lose its power
}

func TestPower(t *testing.T) {
	ctx, l := up(t, Options{DiskMiB: 32})
	agent := func(limit, lines string) (string, int) {
		t.Helper()
		var out strings.Builder
		code, err := l.Run(ctx, Alpha, Command{Argv: []string{"timeout", limit, "fence_lab"},
			Stdin: strings.NewReader(lines), Stdout: &out, Stderr: t.Output()})
		must(t, err)
		return out.String(), code
	}
	want := func(lines string, exit int) {
		t.Helper()
		if out, code := agent("5", lines); code != exit {
			t.Errorf("%q: exit %d, want %d: %s", lines, code, exit, out)
		}
	}
	if out, code := agent("5", "action=metadata\n"); code != 0 || !strings.Contains(out, `name="off"`) {
		t.Errorf("metadata: exit %d, %s", code, out)
	}
	want("action=monitor\n", 0)
	want("action=validate-all\nplug=beta\n", 0)
	want("action=validate-all\nplug=gamma\n", 1)
	want("action=status\nplug=beta\n", 0)
	want("action=status\nplug=gamma\n", 1)
	began := time.Now()
	want("action=off\nport=beta\n", 0)
	t.Logf("off took %v", time.Since(began))
	if h, err := l.Host(ctx, Beta); err != nil || h.On {
		t.Errorf("beta is %+v, %v", h, err)
	}
	began = time.Now()
	want("action=status\nplug=beta\n", 2)
	t.Logf("status took %v", time.Since(began))
	want("action=off\nplug=beta\n", 0)
	want("action=on\nplug=beta\n", 0)
	want("action=reboot\nplug=beta\n", 0)

	must(t, l.SetPower(ctx, Beta, PowerFail))
	want("action=off\nplug=beta\n", 1)
	must(t, l.SetPower(ctx, Beta, PowerLie))
	want("action=status\nplug=beta\n", 0)
	want("action=off\nplug=beta\n", 0)
	want("action=status\nplug=beta\n", 2)
	sh(ctx, t, l, Beta, "true") // and it runs
	must(t, l.SetPower(ctx, Beta, PowerHang))
	if _, code := agent("0.2", "action=off\nplug=beta\n"); code != 124 {
		t.Errorf("hang: exit %d", code)
	}
	must(t, l.SetPower(ctx, Beta, PowerSlow+"300ms"))
	began = time.Now()
	want("action=status\nplug=beta\n", 0)
	if d := time.Since(began); d < 300*time.Millisecond {
		t.Errorf("slow: %v", d)
	}
	if err := l.SetPower(ctx, Beta, "slow:soon"); err == nil {
		t.Error("a mode that is none was taken")
	}
	must(t, l.SetPower(ctx, Beta, PowerOK))
	// Its own power: it dies before the answer.
	if _, err := l.Run(ctx, Alpha, Command{Argv: []string{"fence_lab", "--action=off", "--plug=alpha"}}); err == nil {
		t.Error("a host that took its own power was told so")
	}
}

func TestClientSeesAGap(t *testing.T) {
	ctx, l := up(t, Options{DiskMiB: 32})
	serve := "ip addr add 10.7.0.50/24 dev public && mkdir -p /srv/shared && mount /dev/shared0 /srv/shared"
	sh(ctx, t, l, Alpha, serve)
	must(t, l.Spawn(ctx, Alpha, "app", AppCommand()...))
	c, err := l.Client(ctx)
	must(t, err)
	must(t, c.Answered(ctx, 0, 20))
	mark := c.Mark()
	must(t, l.Signal(ctx, Alpha, "app", syscall.SIGTERM))
	e, err := l.WaitEnd(ctx, Alpha, "app")
	if err != nil || e.Code != 0 {
		t.Errorf("the application ended with %+v, %v", e, err)
	}
	stopped := time.Now()
	must(t, l.Wait(ctx, "the gap", func(ctx context.Context) (bool, error) {
		r, err := c.Since(ctx, mark)
		return r.Open > 300*time.Millisecond, err
	}))
	must(t, l.Spawn(ctx, Alpha, "app", AppCommand("--start-delay", "50ms")...))
	back := c.Mark()
	must(t, c.Answered(ctx, back, 20))
	r, err := c.Since(ctx, mark)
	must(t, err)
	if r.Longest < 350*time.Millisecond || r.Longest > time.Since(stopped) || len(r.Failures) == 0 {
		t.Errorf("report %+v, stopped %v ago", r, time.Since(stopped))
	}
	t.Logf("%+v", r)
	acked, err := c.Acked(ctx)
	must(t, err)
	v, err := l.Verify(ctx, Alpha, acked)
	if err != nil || len(v.Lost) > 0 || v.Acked < 40 || v.Found < v.Acked || v.Broken > 0 {
		t.Errorf("verdict %+v, %v", v, err)
	}

	// A crash of the owner: everything that was acknowledged is on the disk.
	must(t, l.Crash(ctx, Alpha))
	acked, err = c.Acked(ctx)
	must(t, err)
	sh(ctx, t, l, Beta, "mkdir -p /srv/shared && mount /dev/shared0 /srv/shared")
	v, err = l.Verify(ctx, Beta, acked)
	if err != nil || len(v.Lost) > 0 {
		t.Errorf("verdict %+v, %v", v, err)
	}
	if viol, err := l.Violations(ctx); err != nil || len(viol) > 0 {
		t.Errorf("violations %v, %v", viol, err)
	}
}

func TestWatcher(t *testing.T) {
	ctx, l := up(t, Options{DiskMiB: 32})
	for _, host := range []string{Alpha, Beta} { // one after the other: no violation
		sh(ctx, t, l, host, "mkdir /srv/shared; mount /dev/shared0 /srv/shared && ip addr add 10.7.0.50/24 dev public && "+
			"ip addr del 10.7.0.50/24 dev public && umount /srv/shared")
	}
	if v, err := l.Violations(ctx); err != nil || len(v) > 0 {
		t.Fatalf("violations %v, %v", v, err)
	}
	sh(ctx, t, l, Alpha, "mount /dev/shared0 /srv/shared && ip addr add 10.7.0.50/24 dev public")
	sh(ctx, t, l, Beta, "mount -o ro,noload /dev/shared0 /srv/shared && ip addr add 10.7.0.50/24 dev public && umount /srv/shared && ip addr del 10.7.0.50/24 dev public")
	v, err := l.Violations(ctx)
	must(t, err)
	what := []string{}
	for _, one := range v {
		what = append(what, one.What)
		if !one.Ended || one.For <= 0 || !slices.Equal(one.Hosts, []string{Alpha, Beta}) {
			t.Errorf("%+v", one)
		}
	}
	slices.Sort(what)
	if !slices.Equal(what, []string{"address 10.7.0.50", "filesystem shared0"}) {
		t.Errorf("violations %v", v)
	}
	t.Log(v)

	// A mount that another mount namespace pins is live after its umount.
	sh(ctx, t, l, Alpha, "ip addr del 10.7.0.50/24 dev public; unshare -m --propagation private sleep 60 >/dev/null 2>&1 & sleep 0.2; umount /srv/shared")
	sh(ctx, t, l, Beta, "mount -o ro,noload /dev/shared0 /srv/shared && umount /srv/shared")
	if v, err = l.Violations(ctx); err != nil || len(v) != 3 {
		t.Errorf("pinned: violations %v, %v", v, err)
	}
}

func TestKilledSupervisorLeavesNothing(t *testing.T) {
	ctx, l := up(t, Options{DiskMiB: 32})
	sh(ctx, t, l, Alpha, "mkdir /srv/shared && mount /dev/shared0 /srv/shared")
	must(t, l.Freeze(ctx, Beta))
	pid, _ := l.Processes()
	must(t, syscall.Kill(pid, syscall.SIGKILL))
	must(t, l.Wait(ctx, "the end of everything", func(context.Context) (bool, error) {
		left := leftovers(t, l.Name, l.Dir())
		if len(left) > 0 {
			return false, fmt.Errorf("%s", strings.Join(left, "\n"))
		}
		return true, nil
	}))
}

func TestKilledMakerLeavesNothing(t *testing.T) {
	needRoot(t)
	ctx, cancel := context.WithTimeout(t.Context(), 25*time.Second)
	defer cancel()
	name := "k" + strconv.Itoa(os.Getpid()%100000)
	maker := maker(t, name)
	l, err := Open(name)
	must(t, err)
	must(t, maker.Kill())
	must(t, l.Wait(ctx, "the end of everything", func(context.Context) (bool, error) {
		left := leftovers(t, name, l.Dir())
		if len(left) > 0 {
			return false, fmt.Errorf("%s", strings.Join(left, "\n"))
		}
		return true, nil
	}))
	must(t, Down(ctx, name)) // and again
}

func TestDownOfNothing(t *testing.T) {
	needRoot(t)
	must(t, Down(t.Context(), "nothing"))
	must(t, os.MkdirAll(runDir("stale"), 0o700))
	must(t, Down(t.Context(), "stale"))
	if _, err := os.Lstat(runDir("stale")); err == nil {
		t.Error("a stale directory is left")
	}
}
