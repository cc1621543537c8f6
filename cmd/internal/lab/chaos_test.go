//go:build linux

package lab

import (
	"context"
	"strings"
	"syscall"
	"testing"
)

// The parts of the lab that only a chaos run uses, on the kernel: a switch that
// loses frames of one direction, storage that hangs, applications on two hosts.
func TestChaosParts(t *testing.T) {
	ctx, l := up(t, Options{DiskMiB: 32})
	t.Run("filters", func(t *testing.T) {
		reach := func(from, addr string) bool {
			_, errs, _, err := l.Exec(ctx, from, "timeout", "0.3", "bash", "-c", "echo > /dev/tcp/"+addr+"/9")
			must(t, err)
			return strings.Contains(errs, "refused")
		}
		must(t, l.Filters(ctx, Filter{Network: PublicNet, From: Alpha, To: Beta, Percent: 100}))
		if reach(Alpha, "10.7.0.12") || reach(Beta, "10.7.0.11") || !reach(Alpha, "10.8.0.12") || !reach(Alpha, "10.7.0.100") {
			t.Error("what alpha says to beta on public must be lost, and nothing else")
		}
		must(t, l.Filters(ctx))
		must(t, l.Wait(ctx, "the wire", func(context.Context) (bool, error) { return reach(Alpha, "10.7.0.12"), nil }))
		for _, f := range []Filter{{}, {From: Alpha}, {From: "x\" drop", Percent: 1}, {From: Alpha, Network: "none", Percent: 1}} {
			if err := l.Filters(ctx, f); err == nil {
				t.Errorf("%+v is taken", f)
			}
		}
	})
	t.Run("storage", func(t *testing.T) {
		sh(ctx, t, l, Alpha, "mkdir /srv/shared && mount /dev/shared0 /srv/shared && echo 1 > /srv/shared/f && sync")
		if err := l.Hang(ctx, Alpha, "/"); err == nil {
			t.Error("the root of a host hangs")
		}
		write := func() {
			must(t, l.Hang(ctx, Alpha, "/srv/shared"))
			must(t, l.Spawn(ctx, Alpha, "write", "sh", "-c", "echo 2 >> /srv/shared/f; sync"))
			must(t, l.Wait(ctx, "a write that waits in the kernel", func(ctx context.Context) (bool, error) {
				_, _, code, err := l.Exec(ctx, Alpha, "sh", "-c", "grep -q '^State:.D' /proc/[0-9]*/status")
				return code == 0, err
			}))
		}
		write()
		if got := sh(ctx, t, l, Alpha, "cat /srv/shared/f"); got != "1" {
			t.Errorf("while it hangs: %q", got)
		}
		must(t, l.Unhang(ctx, Alpha))
		if e, err := l.WaitEnd(ctx, Alpha, "write"); err != nil || e.Code != 0 {
			t.Errorf("%+v, %v", e, err)
		}
		write()
		must(t, l.Crash(ctx, Alpha)) // it does not wait for what cannot be killed
		if got := sh(ctx, t, l, Beta, "mkdir /srv/shared && mount /dev/shared0 /srv/shared && cat /srv/shared/f && umount /srv/shared"); got != "1\n2" {
			t.Errorf("after the power cut: %q", got)
		}
		must(t, l.Start(ctx, Alpha))
	})
	t.Run("applications", func(t *testing.T) {
		start := func(host string) { // it opens its file after it has appeared
			sh(ctx, t, l, host, "rm -f /run/log")
			must(t, l.Spawn(ctx, host, "log", binaryInside, "lab-log", "--name", "log", "--listen", "127.0.0.1:7000", "--file", "/run/log"))
			must(t, l.Wait(ctx, "the log", func(ctx context.Context) (bool, error) {
				_, _, code, err := l.Exec(ctx, host, "test", "-e", "/run/log")
				return code == 0, err
			}))
		}
		doubles := func(want int) {
			t.Helper()
			all, err := l.Violations(ctx)
			must(t, err)
			if len(all) != want {
				t.Errorf("%d violations, want %d: %v", len(all), want, all)
			}
		}
		start(Alpha)
		must(t, l.Signal(ctx, Alpha, "log", syscall.SIGKILL))
		_, err := l.WaitEnd(ctx, Alpha, "log")
		must(t, err)
		start(Beta)
		doubles(0)
		start(Alpha) // while beta has it
		doubles(1)
		must(t, l.Crash(ctx, Alpha))
		doubles(1)
	})
}
