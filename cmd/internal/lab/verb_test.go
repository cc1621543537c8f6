//go:build linux

package lab

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

func TestVerbs(t *testing.T) {
	needRoot(t)
	name := fmt.Sprintf("v%d", os.Getpid()%100000)
	verb := func(in string, args ...string) (string, string, int) {
		var out, errs bytes.Buffer
		code := Verb(context.Background(), append(args[:1:1], append([]string{"--name", name}, args[1:]...)...), strings.NewReader(in), &out, &errs)
		return out.String(), errs.String(), code
	}
	want := func(exit int, out string, args ...string) {
		t.Helper()
		o, e, code := verb("in\n", args...)
		if code != exit || !strings.Contains(o+e, out) {
			t.Errorf("%q: exit %d, %q %q; want %d, %q", args, code, o, e, exit, out)
		}
	}
	dir := t.TempDir() + "/lab"
	t.Cleanup(func() {
		if _, e, code := verb("", "down"); code != 0 {
			t.Error(e)
		}
		if left := Left(name, dir); len(left) > 0 {
			t.Errorf("left behind:\n%s", strings.Join(left, "\n"))
		}
	})
	want(0, "", "down") // nothing is there
	want(1, "no such lab", "hosts")
	want(2, "unknown flag", "up", "--no-such-flag")
	want(2, "arg(s)", "crash")
	began := time.Now()
	want(0, "is up", "up", "--idle", "--dir", dir)
	t.Logf("up after %v", time.Since(began))
	want(1, "is up already", "up", "--idle", "--dir", dir)
	want(0, "alpha", "hosts")
	want(7, "in\n--flag\n", "exec", "alpha", "sh", "-c", "cat; echo $1; exit 7", "sh", "--flag")
	want(0, "", "cut", "alpha", "public")
	want(0, "public cut", "hosts")
	want(0, "", "heal", "alpha")
	want(0, "", "freeze", "beta")
	want(0, "frozen", "hosts")
	want(0, "", "thaw", "beta")
	want(0, "", "link-down", "alpha", "storage")
	want(0, "", "link-up", "alpha", "storage")
	want(1, "not on that network", "cut", "client", "storage")
	want(1, "cannot find host", "crash", "gamma")
	want(0, "", "crash", "alpha")
	want(0, "off", "hosts")
	want(1, "alpha", "exec", "alpha", "true")
	want(0, "", "start", "alpha")
	want(0, "", "power", "alpha", "lie")
	want(1, "slow:DURATION", "power", "alpha", "perhaps")
	want(0, "", "log", "alpha")
}

// Two labs side by side do not meet.
func TestTwoLabs(t *testing.T) {
	ctx, one := up(t, Options{Name: "one", DiskMiB: 32})
	_, two := up(t, Options{Name: "two", DiskMiB: 32})
	sh(ctx, t, one, Alpha, "mount /dev/shared0 /mnt && touch /mnt/one && sync -f /mnt/one && ip addr add 10.7.0.50/24 dev public")
	sh(ctx, t, two, Alpha, "mount /dev/shared0 /mnt && test ! -e /mnt/one && ip addr add 10.7.0.50/24 dev public")
	must(t, one.Crash(ctx, Alpha))
	sh(ctx, t, two, Alpha, "touch /mnt/two && sync -f /mnt/two")
	for _, l := range []*Lab{one, two} {
		if v, err := l.Violations(ctx); err != nil || len(v) > 0 {
			t.Errorf("violations %v, %v", v, err)
		}
	}
}
