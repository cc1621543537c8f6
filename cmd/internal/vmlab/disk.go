//go:build linux

package vmlab

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"time"
)

// diskFile is a cluster of two nodes with nothing but a shared disk: no witness, no
// fence. The times are those of emulated machines; release + timeout + 1 s ≤ margin.
const diskFile = `cluster = "vmlab"

[lease]
store   = "disk"
device  = "/dev/disk/by-id/shared1"
ttl     = "120s"
renew   = "8s"
request = "20s"
margin  = "44s"

[watchdog]
mode    = "required"
timeout = "30s"
release = "13s"

[keepalive]
interval = "1s"
timeout  = "10s"

[node.n1]
addresses = { public = "10.77.0.1/24", storage = "10.77.1.1/24" }

[node.n2]
addresses = { public = "10.77.0.2/24", storage = "10.77.1.2/24" }
` + sharedGroup

// diskTTL is the ttl of diskFile.
const diskTTL = 120 * time.Second

// bound is the evidence of every takeover here.
const bound = "watchdog bound"

// diskScenario: both start at once; the wires between them are cut; the owner loses its
// power; the owner's program stops; the owner loses its path to both disks.
func diskScenario(ctx context.Context, s *Stage) error {
	var k [32]byte
	_, _ = rand.Read(k[:]) // never fails (crypto/rand)
	p := &play{Stage: s, cluster: cluster{diskFile, base64.StdEncoding.EncodeToString(k[:]) + "\n"}}
	p.start = p.boot
	s.title("n1 and n2 share two SCSI disks and have the watchdogs of their boards; no witness, no fence. n3 has the client")
	if _, err := s.must(ctx, "n1", "mkfs.ext4 -q -F /dev/disk/by-id/shared0"); err != nil {
		return err
	}
	for _, node := range []string{"n2", "n1"} {
		if err := p.boot(ctx, node); err != nil {
			return err
		}
	}
	if err := s.prove(ctx,
		claim{"the file is as it must be", "n1", "understudy check 2>&1 >/dev/null", ""},
		claim{"both run, and wait for a store that is made now", "n1", "understudy disk init", "made the store of vmlab for n1, n2"},
	); err != nil {
		return err
	}
	p.watch = newWatch(s.Lab, serviceAddress, "/srv/")
	s.play = p
	if err := p.client(ctx); err != nil {
		return err
	}
	if err := p.serves(ctx, "n1"); err != nil {
		return err
	}
	if err := p.standsBy(ctx, "n2"); err != nil {
		return err
	}
	if err := s.prove(ctx, claim{"the watchdog of n1 is armed, and proven", "n1", status + " | grep watchdog", "armed · fed for"}); err != nil {
		return err
	}

	s.title("every wire between n1 and n2 is cut, and both live")
	if err := p.between("n1", "n2", true); err != nil {
		return err
	}
	if err := s.await(ctx, claim{"n2 does not hear n1 any more", "n2", status + " | grep '^n1 '", "silent"}); err != nil {
		return err
	}
	if err := p.hold(ctx, diskTTL+30*time.Second, "n2"); err != nil {
		return err
	}
	if err := p.between("n1", "n2", false); err != nil {
		return err
	}
	if err := p.serves(ctx, "n1"); err != nil {
		return err
	}

	s.title("the power of n1, the owner, is cut")
	if err := p.mark(ctx); err != nil {
		return err
	}
	if err := s.Power("n1", "off"); err != nil {
		return err
	}
	if err := p.tookOver(ctx, "n2", bound); err != nil {
		return err
	}
	if err := p.switchOn(ctx, "n1"); err != nil {
		return err
	}
	if err := p.standsBy(ctx, "n1"); err != nil {
		return err
	}

	s.title("understudy on n2 is stopped (SIGSTOP), and its application goes on")
	if err := p.mark(ctx); err != nil {
		return err
	}
	mark := s.Mark()
	if _, err := s.must(ctx, "n2", "kill -STOP "+program); err != nil {
		return err
	}
	if err := p.reset(ctx, mark, "n2"); err != nil {
		return err
	}
	if err := p.tookOver(ctx, "n1", bound); err != nil {
		return err
	}
	if err := p.boot(ctx, "n2"); err != nil {
		return err
	}
	if err := p.standsBy(ctx, "n2"); err != nil {
		return err
	}

	s.title("neither disk answers n1, the owner, any more; the wires are whole, and n2 hears it")
	if err := p.mark(ctx); err != nil {
		return err
	}
	mark = s.Mark()
	began := s.since()
	if err := s.HangDisks("n1", true); err != nil {
		return err
	}
	if err := s.event(ctx, mark, "n1", "watchdog"); err != nil {
		return err
	}
	s.ok("the board of n1 has reset it %.1f s later", s.since()-began)
	if err := s.HangDisks("n1", false); err != nil { // so that it can boot
		return err
	}
	if err := p.tookOver(ctx, "n2", bound); err != nil {
		return err
	}

	if err := s.prove(ctx, claim{"the history", "n2", "understudy history data 2>&1 | tail -5", "data"}); err != nil {
		return err
	}
	return p.finish(ctx, "n1", "n2", "n1", "n2")
}

// between cuts or mends all wires between two guests. Every carrier stays up.
func (p *play) between(one, other string, cut bool) error {
	for i := range networks {
		if err := p.Wire(one, other, i, Fault{Cut: cut}); err != nil {
			return err
		}
		if err := p.Wire(other, one, i, Fault{Cut: cut}); err != nil {
			return err
		}
	}
	return nil
}

// reset waits until the board of a guest has reset it, and the guest is up again.
func (p *play) reset(ctx context.Context, after int, node string) error {
	began := p.since()
	if err := p.event(ctx, after, node, "watchdog"); err != nil {
		return err
	}
	p.ok("the board of %s has reset it %.1f s later", node, p.since()-began)
	return p.event(ctx, after, node, "ready")
}
