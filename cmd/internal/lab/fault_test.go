//go:build linux

package lab

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

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

// A client on the host that loses its power is told of nothing that its disk does
// not hold: the processes stop before the disk does.
func TestCrashIsNotSeenByTheHost(t *testing.T) {
	ctx, l := up(t, Options{DiskMiB: 32})
	const at = "127.0.0.1:7001"
	for range 3 {
		sh(ctx, t, l, Alpha, "mkdir -p /srv/shared && mount /dev/shared0 /srv/shared")
		must(t, l.Spawn(ctx, Alpha, "app", binaryInside, "lab-app", "--listen", at, "--file", AnswersFile))
		c, err := l.ClientOn(ctx, Alpha, netip.MustParseAddrPort(at), 1)
		must(t, err)
		must(t, c.Answered(ctx, 0, 30))
		must(t, l.Crash(ctx, Alpha))
		told, err := c.recorded()
		must(t, err)
		var acked []int64
		for _, a := range told {
			acked = append(acked, a.number)
		}
		sh(ctx, t, l, Beta, "mkdir -p /srv/shared && mount /dev/shared0 /srv/shared")
		v, err := l.Verify(ctx, Beta, acked)
		if err != nil || len(v.Lost) > 0 || v.Acked < 30 {
			t.Errorf("%+v, %v", v, err)
		}
		sh(ctx, t, l, Beta, "rm "+AnswersFile+" && umount /srv/shared")
		must(t, l.Start(ctx, Alpha))
	}
}
