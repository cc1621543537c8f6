//go:build linux

package lab

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
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
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
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
		if left := Left(l.Name, dir); len(left) > 0 {
			t.Errorf("left behind:\n%s", strings.Join(left, "\n"))
		}
	})
	return ctx, l
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
