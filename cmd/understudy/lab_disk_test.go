//go:build linux

package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"understudy/cmd/internal/api"
	"understudy/cmd/internal/lab"
)

// leaseDisk is the shared disk of the lab that carries the store.
const leaseDisk = "/dev/shared1"

// onDisk is a lab of two nodes with nothing but the shared disks and a fence: no
// witness, no store that needs a network.
func onDisk() lab.Options {
	hosts := slices.DeleteFunc(lab.DefaultHosts(), func(h lab.Host) bool { return h.Name == lab.Witness })
	return lab.Options{
		Hosts: hosts, Disks: 2, Timers: lab.TunedTimers,
		Extra: fmt.Sprintf("\n[lease]\nstore  = \"disk\"\ndevice = %q\n", leaseDisk),
	}
}

// Two nodes and a shared disk: the store is made while both wait for it; a crash
// is survived; a node that is cut off from every network holds its lease and its
// group through the disk, the other leaves it alone, and nobody is fenced; what
// was lost comes back by itself. A changed file goes through the disk, too.
func TestStoreOnASharedDisk(t *testing.T) {
	b := newIdle(t, onDisk())
	_, errs, code, err := b.Exec(b.ctx, lab.Alpha, "/opt/understudy/bin/understudy", "disk", "init")
	if err != nil || code != 1 || !strings.Contains(errs, "ext4") {
		t.Fatalf("disk init over a file system: exit %d, %v: %s", code, err, errs)
	}
	b.understudy(lab.Alpha, "disk", "init", "--force")
	b.serving(lab.Alpha)
	b.ask()
	b.ready(lab.Beta)

	began := time.Now()
	b.must(b.Crash(b.ctx, lab.Alpha))
	g := b.serving(lab.Beta)
	if g.Claim.Evidence != "fence" || g.Claim.Epoch != 2 {
		t.Errorf("claim: %+v", g.Claim)
	}
	t.Logf("a crash is survived within %s", time.Since(began).Round(time.Millisecond))
	b.must(b.client.Answered(b.ctx, b.client.Mark(), 20))
	b.must(b.Start(b.ctx, lab.Alpha))
	b.serving(lab.Alpha) // its home
	b.ready(lab.Beta)
	out := b.understudy(lab.Beta, "disk", "show")
	for _, want := range []string{"store of lab", "alpha, boot", "beta, boot", "incarnation 2"} {
		if !strings.Contains(out, want) {
			t.Errorf("disk show does not say %q:\n%s", want, out)
		}
	}

	boot, err := b.status(lab.Alpha)
	b.must(err)
	b.must(b.Cut(b.ctx, lab.Beta))
	b.until(lab.Beta, "hearing nobody", func(api.GroupStatus) bool {
		st, err := b.status(lab.Beta)
		return err == nil && len(st.Peers) == 1 && st.Peers[0].State == "silent"
	})
	b.must(b.client.Answered(b.ctx, b.client.Mark(), 1200)) // more than a ttl
	b.must(b.Heal(b.ctx, lab.Beta))
	b.ready(lab.Beta)
	now, err := b.status(lab.Alpha)
	b.must(err)
	if now.BootID != boot.BootID {
		t.Error("alpha was fenced by a node that was cut off")
	}
	b.serving(lab.Alpha)
	changeOnADisk(b)
}

// changeOnADisk takes a changed file over through the disk. One that is too large for
// the slots is refused, with a way out, and nothing changes.
func changeOnADisk(b *bench) {
	first := b.counting("")
	b.run(lab.Beta, "sh", "-c", "sed '1i # '$(head -c 12000 /dev/urandom | base64 -w 0) "+labFile+" >/root/large.toml")
	code, out := b.change(lab.Beta, "--file", "/root/large.toml", "--apply")
	if code != 1 || !strings.Contains(out, "the store takes 12288 — stop every node, copy it to all of them") {
		b.t.Errorf("a file that the disk does not take: exit %d: %s", code, out)
	}
	b.counting(first)
	for i := range 2 { // twice: the one that counts and the one that is voted on lie there together
		b.run(lab.Beta, "sh", "-c", fmt.Sprintf("(echo '#' $(head -c 11000 /dev/urandom | base64 -w 0); sed -e '/^#/d' -e '/^restarts/d' -e 's/^policy.*/&\\nrestarts = %d/' %s) >/root/next.toml", 7+i, labFile))
		if code, out = b.change(lab.Beta, "--file", "/root/next.toml", "--apply"); code != 0 {
			b.t.Fatalf("change on a disk: exit %d: %s", code, out)
		}
		if next := b.counting(""); next == first {
			b.t.Error("nothing has changed")
		} else {
			first = next
		}
	}
	b.serving(lab.Alpha)
}
