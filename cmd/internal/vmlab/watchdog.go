//go:build linux

package vmlab

import (
	"context"
	"fmt"
	"strings"
)

// watchdogTable is what the scenario adds to the file. The device is the board's.
const watchdogTable = `
[watchdog]
mode    = "required"
device  = "auto"
timeout = "20s"
release = "30s"
`

// plainGroup is one group on a file system of the disk that n1 and n2 share.
const plainGroup = watchdogTable + `
[group.data]
nodes    = ["n1", "n2"]
fallback = "never"

[[group.data.address]]
label  = "svc"
prefix = "10.77.0.100/24"

[[group.data.filesystem]]
mount  = "/srv/data"
device = "/dev/disk/by-id/shared0"
type   = "ext4"

[[group.data.application]]
name = "writer"
run  = ["/usr/local/sbin/writer"]
stop_limit = "10s"
`

// program finds understudy's resident service: not its process 1, which is the
// guest's.
const program = `$(pgrep -f '^understudy run')`

// watchdogScenario: armed before the first mount; leaving and starting in time;
// the owner's program stopped, and the board resets the host; the standby takes over.
func watchdogScenario(ctx context.Context, s *Stage) error {
	c := newCluster(plainGroup)
	bootNode := func(node string) error {
		if err := c.configure(ctx, s, node); err != nil || node == "n3" {
			return err
		}
		_, err := s.must(ctx, node, "mkdir -p /srv/data")
		if err != nil {
			return err
		}
		return s.Put(ctx, node, "/usr/local/sbin/writer", 0o755, writer)
	}
	s.title("three machines with the watchdog of their board; n3 is the witness")
	for _, node := range []string{"n1", "n2", "n3"} {
		if err := bootNode(node); err != nil {
			return err
		}
	}
	if _, err := s.must(ctx, "n1", "mkfs.ext4 -q -F /dev/disk/by-id/shared0"); err != nil {
		return err
	}
	if err := s.prove(ctx,
		claim{"the board has a watchdog, and nobody has started it", "n1", "cat /sys/class/watchdog/watchdog0/identity /sys/class/watchdog/watchdog0/state", "inactive"},
	); err != nil {
		return err
	}

	if err := c.serves(ctx, s, claim{"n2 stands by and is ready", "n2", status, "ready"}); err != nil {
		return err
	}
	if err := s.prove(ctx,
		claim{"the watchdog of n1 is armed, and proven", "n1", status + " | grep watchdog", "armed · fed for"},
		claim{"it counts", "n1", "cat /sys/class/watchdog/watchdog0/state /sys/class/watchdog/watchdog0/timeout", "active"},
		claim{"it was armed before the first mount", "n1", "grep -n 'watchdog armed\\|\"step\":\"mount' /var/lib/understudy/run.log | head -2 | head -1", "watchdog armed"},
		claim{"that of n2 is fed for good, as n2 holds nothing", "n2", status + " | grep watchdog", "nothing is held"},
	); err != nil {
		return err
	}

	s.title("understudy on n1 leaves the service running, and starts again in time")
	if _, err := s.must(ctx, "n1", "kill -QUIT "+program+"; while pgrep -f '^understudy run' >/dev/null; do sleep 0.2; done"); err != nil {
		return err
	}
	if err := c.run(ctx, s, "n1"); err != nil {
		return err
	}
	if err := s.await(ctx, claim{"it carries on with what it finds", "n1", status, "owner, serving"}); err != nil {
		return err
	}
	if err := s.prove(ctx,
		claim{"the watchdog counted on meanwhile", "n1", "grep 'watchdog counts on' /var/lib/understudy/run.log", "as this host holds something"},
		claim{"and is armed again", "n1", status + " | grep watchdog", "armed · fed for"},
	); err != nil {
		return err
	}

	s.title("understudy on n1 is stopped (SIGSTOP), its application goes on writing, and nobody can fence n1")
	boot, err := s.must(ctx, "n1", "cat /proc/sys/kernel/random/boot_id")
	if err != nil {
		return err
	}
	if err := s.SetBMC("n1", BMC{Silent: true}); err != nil {
		return err
	}
	mark := s.Mark()
	began := s.since()
	if _, err := s.must(ctx, "n1", "kill -STOP "+program); err != nil {
		return err
	}
	if err := s.event(ctx, mark, "n1", "watchdog"); err != nil {
		return err
	}
	s.ok("the board of n1 has reset it %.1f s after its program stopped, timeout 20 s (under emulation)", s.since()-began)
	if err := s.event(ctx, mark, "n1", "ready"); err != nil {
		return err
	}
	now, err := s.must(ctx, "n1", "cat /proc/sys/kernel/random/boot_id")
	if err != nil {
		return err
	}
	if now == boot {
		return fmt.Errorf("not shown: n1 runs another boot: %s", strings.TrimSpace(now))
	}
	if err := s.prove(ctx, claim{"nothing of the group is mounted after the reset", "n1", mounted, ""}); err != nil {
		return err
	}

	s.title("understudy starts on n1: its other boot is the evidence")
	if err := bootNode("n1"); err != nil {
		return err
	}
	if err := c.run(ctx, s, "n1"); err != nil {
		return err
	}
	if err := s.await(ctx, claim{"the group has been claimed anew, and not before", "n2", "understudy why data 2>&1", "epoch 2"}); err != nil {
		return err
	}
	return s.prove(ctx,
		claim{"on the evidence of another boot", "n2", evidenceOfClaim, "other boot id"},
		claim{"the history", "n2", "understudy history data 2>&1 | tail -5", "data"},
	)
}
