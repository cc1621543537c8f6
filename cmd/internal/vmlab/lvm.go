//go:build linux

package vmlab

import (
	"context"
	"strings"
)

// lvmGroup is one group on a volume group of LVM, on the disk that n1 and n2 share.
const lvmGroup = `
[group.data]
nodes    = ["n1", "n2"]
fallback = "never"

[[group.data.address]]
label  = "svc"
prefix = "10.77.0.100/24"

[[group.data.filesystem]]
mount  = "/srv/data"
device = "/dev/datavg/datalv"
type   = "ext4"

[[group.data.application]]
name = "writer"
run  = ["/usr/local/sbin/writer"]
`

// writer appends a line a second and has it on the disk before the next.
const writer = `#!/bin/sh
n=0
while :; do
	n=$((n + 1))
	echo "$(hostname) $n" >>/srv/data/lines && sync /srv/data/lines && echo "$(hostname) $n" >/run/writer.last
	sleep 1
done
`

// hostOfLVM gives a guest its system id, by its host name.
const hostOfLVM = `sed -i 's/^global {/global {\n\tsystem_id_source = "uname"/' /etc/lvm/lvm.conf && mkdir -p /srv/data && lvm systemid`

const (
	owner   = `vgs --foreign --noheadings -o vg_systemid datavg | tr -d ' '`
	active  = `cat /sys/block/dm-*/dm/name 2>/dev/null`
	mounted = `grep /srv/data /proc/mounts`
	status  = `understudy status`
)

// lvmScenario: take up, be refused without evidence, crash, take over, be refused at
// boot, move back.
func lvmScenario(ctx context.Context, s *Stage) error {
	c := newCluster(lvmGroup)
	bootNode := func(node string) error {
		if err := c.configure(ctx, s, node); err != nil || node == "n3" {
			return err
		}
		if err := s.Put(ctx, node, "/usr/local/sbin/writer", 0o755, writer); err != nil {
			return err
		}
		_, err := s.must(ctx, node, hostOfLVM)
		return err
	}

	s.title("three machines; n1 and n2 share a disk, n3 is the witness")
	for _, node := range []string{"n1", "n2", "n3"} {
		if err := bootNode(node); err != nil {
			return err
		}
	}
	if _, err := s.must(ctx, "n1", `vgcreate -qq datavg /dev/disk/by-id/shared0 && lvcreate -qq -an -Wn -Zn -n datalv -L 200M datavg && lvchange -ay datavg/datalv && mkfs.ext4 -q /dev/datavg/datalv && vgchange -qq -an datavg`); err != nil {
		return err
	}
	if err := s.prove(ctx,
		claim{"the kernel and LVM are Debian's own", "n1", "uname -r; lvm version | head -1", "LVM version"},
		claim{"a volume group that n1 made names n1 as its owner", "n1", owner, "n1"},
		claim{"nothing of it is active on n1", "n1", active, ""},
		claim{"n2 sees it on the shared disk", "n2", owner, "n1"},
	); err != nil {
		return err
	}

	if err := c.serves(ctx, s, claim{"n2 stands by and is ready", "n2", status, "standby"}); err != nil {
		return err
	}
	if err := s.prove(ctx,
		claim{"the volume group is active on n1", "n1", active, "datavg-datalv"},
		claim{"its file system is mounted on n1", "n1", mounted, "/dev/datavg/datalv"},
		claim{"nothing of it is active on n2", "n2", active, ""},
		claim{"LVM on n2 refuses to switch it on by hand", "n2", "vgchange -ay datavg 2>&1", "Cannot access VG datavg with system ID n1 with local system ID n2"},
		claim{"this host's LVM is checked", "n1", "understudy check --host 2>&1 | grep -i -A2 'volume group\\|lvm'", "vgchange --setautoactivation n datavg"},
	); err != nil {
		return err
	}

	s.title("n1 falls silent, and its power controller cannot be reached: there is no evidence")
	if err := s.SetBMC("n1", BMC{Fails: true}); err != nil {
		return err
	}
	mark := s.Mark()
	if err := s.isolate("n1", true); err != nil {
		return err
	}
	if err := s.event(ctx, mark, "n1", "fence-off"); err != nil {
		return err
	}
	if err := s.await(ctx, claim{"n2 says what it waits for", "n2", status, "n1"}); err != nil {
		return err
	}
	if err := s.await(ctx, claim{"n1 has let go by itself, as its lease ran out", "n1", active, ""}); err != nil {
		return err
	}
	if err := s.prove(ctx,
		claim{"n1 still runs: nobody has switched it off", "n1", "cat /proc/uptime", "."},
		claim{"n2 has not touched the volume group: its metadata name n1", "n2", owner, "n1"},
		claim{"nothing of it is active on n2", "n2", active, ""},
		claim{"the claim is n1's", "n2", "understudy why data 2>&1", "n1"},
	); err != nil {
		return err
	}

	s.title("the wires are mended: n1 takes up again what it held")
	if err := s.isolate("n1", false); err != nil {
		return err
	}
	if err := s.await(ctx, claim{"n2 hears n1 again", "n2", status + " | grep '^n1 '", "heard"}); err != nil {
		return err
	}
	if err := s.SetBMC("n1", BMC{}); err != nil {
		return err
	}
	if _, err := s.must(ctx, "n1", "rm -f /run/writer.last"); err != nil {
		return err
	}
	if err := s.await(ctx, claim{"n1 writes again", "n1", "cat /run/writer.last", "n1 "}); err != nil {
		return err
	}
	if err := s.await(ctx, claim{"n2 stands by", "n2", status, "standby"}); err != nil {
		return err
	}

	s.title("the power of n1 is cut: n2 fences it, and takes the volume group over from it")
	last, err := s.must(ctx, "n1", "cat /run/writer.last")
	if err != nil {
		return err
	}
	mark = s.Mark()
	if err := s.Power("n1", "off"); err != nil {
		return err
	}
	if err := s.event(ctx, mark, "n1", "fence-off"); err != nil {
		return err
	}
	if err := s.await(ctx, claim{"n2 writes to the shared file system", "n2", "cat /run/writer.last", "n2 "}); err != nil {
		return err
	}
	if err := s.prove(ctx,
		claim{"the metadata name n2 now", "n2", owner, "n2"},
		claim{"it was taken over from n1", "n2", "grep 'volume group taken over' /var/lib/understudy/run.log", `"from_system_id":"n1"`},
		claim{"why it is there", "n2", "understudy why data", "n1"},
	); err != nil {
		return err
	}

	if err := s.await(ctx, claim{"what n1 had written last is there", "n2", "grep -n '^" + strings.TrimSpace(last) + "$' /srv/data/lines | tail -1", strings.TrimSpace(last)}); err != nil {
		return err
	}

	s.title("n1 boots again: its LVM keeps off what n2 has")
	mark = s.Mark()
	if err := s.Power("n1", "on"); err != nil {
		return err
	}
	if err := s.event(ctx, mark, "n1", "ready"); err != nil {
		return err
	}
	if err := bootNode("n1"); err != nil {
		return err
	}
	if err := s.prove(ctx,
		claim{"automatic activation, as at every boot, is refused", "n1", "vgchange -aay datavg 2>&1", "Cannot access VG datavg with system ID n2 with local system ID n1"},
		claim{"and when the disk appears", "n1", "vgchange -aay --autoactivation event datavg 2>&1", "Cannot access VG datavg with system ID n2"},
		claim{"nothing of it is active on n1", "n1", active, ""},
	); err != nil {
		return err
	}

	s.title("understudy starts on n1, and an operator moves the group back")
	if err := c.run(ctx, s, "n1"); err != nil {
		return err
	}
	if err := s.await(ctx, claim{"n1 stands by", "n1", status, "standby"}); err != nil {
		return err
	}
	if err := s.await(ctx, claim{"the move is asked for", "n1", "understudy move data n1 --reason rehearsal && echo asked", "asked"}); err != nil {
		return err
	}
	if err := s.await(ctx, claim{"n1 writes to the shared file system", "n1", "cat /run/writer.last 2>/dev/null", "n1 "}); err != nil {
		return err
	}
	return s.prove(ctx,
		claim{"the metadata name n1 again", "n1", owner, "n1"},
		claim{"n2 has switched it off", "n2", active, ""},
		claim{"n2 has nothing mounted", "n2", mounted, ""},
		claim{"lines of both are on the disk", "n1", "cut -d' ' -f1 /srv/data/lines | uniq -c", "n2"},
		claim{"LVM on n2 refuses it again", "n2", "vgchange -ay datavg 2>&1", "Cannot access VG datavg with system ID n1 with local system ID n2"},
		claim{"the history", "n1", "understudy history data 2>&1 | tail -20", "data"},
	)
}
