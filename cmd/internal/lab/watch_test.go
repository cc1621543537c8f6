//go:build linux

package lab

import (
	"context"
	"slices"
	"syscall"
	"testing"
	"time"
)

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
	sh(ctx, t, l, Alpha, "ip addr del 10.7.0.50/24 dev public; unshare -m --propagation private sleep 60 >/dev/null 2>&1 & until [ \"$(cat /proc/$!/comm)\" = sleep ]; do :; done; umount /srv/shared")
	sh(ctx, t, l, Beta, "mount -o ro,noload /dev/shared0 /srv/shared && umount /srv/shared")
	if v, err = l.Violations(ctx); err != nil || len(v) != 3 {
		t.Errorf("pinned: violations %v, %v", v, err)
	}
}
