//go:build linux

package vmlab

import (
	"context"
	"fmt"
	"strings"
)

// boxGuests is a lab in which no disk is shared but by n3's own means.
var boxGuests = Options{Guests: 3, LocalMB: 256}

// reservedGroup is one group on the disk of the storage box, which both nodes reach
// over the second network.
const reservedGroup = `
[group.data]
nodes       = ["n1", "n2"]
fallback    = "never"
reservation = "required"

[[group.data.address]]
label  = "svc"
prefix = "10.77.0.100/24"

[[group.data.filesystem]]
mount  = "/srv/data"
device = "/dev/sda"
type   = "ext4"

[[group.data.application]]
name = "writer"
run  = ["/usr/local/sbin/writer"]
stop_limit = "10s"
`

// storageBox makes n3 an iSCSI target of the kernel (LIO), with a file in its memory as
// the disk. Registrations are kept in a file of its own (APTPL).
const storageBox = `set -e
modprobe -a target_core_mod target_core_file iscsi_target_mod
T=/sys/kernel/config/target; mkdir -p /etc/target/pr /var/target/pr /var/target/alua; echo /etc/target >$T/dbroot 2>/dev/null || true
truncate -s 96M /run/box.img
D=$T/core/fileio_0/box; mkdir -p $D; echo fd_dev_name=/run/box.img,fd_dev_size=100663296 >$D/control; echo 1 >$D/enable; echo understudy-box >$D/wwn/vpd_unit_serial
I=$T/iscsi/iqn.2000-01.vmlab:box/tpgt_1; mkdir -p $I/lun/lun_0 $I/np/10.77.1.3:3260; ln -s $D $I/lun/lun_0/box
cd $I/attrib; echo 0 >authentication; echo 1 >generate_node_acls; echo 0 >demo_mode_write_protect; echo 1 >cache_dynamic_acls; echo 1 >../enable`

// initiator logs a node in to the storage box. Its limits are those of a machine that is
// emulated and may stand still: a disk that the kernel gives up stays offline.
const initiator = `set -e
modprobe iscsi_tcp; echo InitiatorName=iqn.2000-01.vmlab:$(hostname) >/etc/iscsi/initiatorname.iscsi; mkdir -p /run/lock/iscsi
pidof iscsid >/dev/null || iscsid
sed -i 's/^\(node.session.timeo.replacement_timeout\).*/\1 = 600/; s/^\(node.conn\[0\].timeo.noop_out_[a-z]*\).*/\1 = 0/; s/^\(node.session.err_timeo.[a-z_]*\).*/\1 = 300/' /etc/iscsi/iscsid.conf
iscsiadm -m discovery -t st -p 10.77.1.3 >/dev/null; iscsiadm -m node -l >/dev/null
for i in $(seq 200); do [ -b /dev/sda ] && break; sleep 0.2; done; mkdir -p /srv/data; echo 600 >/sys/block/sda/device/timeout`

// rawWriter writes a number to a block of the disk behind the file system, past every
// cache, for ever, and keeps what came of it.
const rawWriter = `#!/bin/sh
n=0
while :; do
	n=$((n + 1))
	if printf '%s raw %s\n' "$(hostname)" $n | dd of=/dev/sda bs=4096 seek=20480 conv=sync,notrunc oflag=direct 2>/run/raw.err; then echo "$n" >/run/raw.ok; else echo "$n $(grep -m1 error /run/raw.err)" >>/run/raw.refused; fi
	sleep 0.5
done
`

const (
	keysOf    = `sg_persist --no-inquiry --in --read-keys /dev/sda 2>&1; sg_persist --no-inquiry --in --read-reservation /dev/sda 2>&1`
	lastRaw   = `dd if=/run/box.img bs=4096 skip=20480 count=1 2>/dev/null | tr -d '\0' | tail -n 1; echo`
	byHand    = `dd if=/dev/zero of=/dev/sda bs=4096 count=1 seek=24000 oflag=direct conv=notrunc 2>&1`
	linesKept = `tail -n 1 /srv/data/lines`
)

// scsiScenario: reserved before the first mount; a paused owner, declared down, whose
// writes are refused when it goes on; there and back by hand; a power cut.
func scsiScenario(ctx context.Context, s *Stage) error {
	c := newCluster(reservedGroup)
	bootNode := func(node string) error {
		if err := c.configure(ctx, s, node); err != nil {
			return err
		}
		if err := s.Put(ctx, node, "/usr/local/sbin/writer", 0o755, writer); err != nil {
			return err
		}
		if err := s.Put(ctx, node, "/usr/local/sbin/raw", 0o755, rawWriter); err != nil {
			return err
		}
		_, err := s.must(ctx, node, initiator)
		return err
	}
	again := func(node string) error {
		mark := s.Mark()
		if err := s.Power(node, "on"); err != nil {
			return err
		}
		if err := s.event(ctx, mark, node, "ready"); err != nil {
			return err
		}
		return bootNode(node)
	}
	s.title("n3 is the witness and a storage box; n1 and n2 reach its disk by iSCSI")
	if err := c.configure(ctx, s, "n3"); err != nil {
		return err
	}
	if _, err := s.must(ctx, "n3", storageBox); err != nil {
		return err
	}
	for _, node := range []string{"n1", "n2"} {
		if err := bootNode(node); err != nil {
			return err
		}
	}
	if _, err := s.must(ctx, "n1", "mkfs.ext4 -q -F /dev/sda 64M"); err != nil {
		return err
	}
	if err := s.prove(ctx,
		claim{"the disk can be reserved, and keeps it when its power goes", "n1", "uname -r; lsscsi; sg_persist --no-inquiry --in --report-capabilities /dev/sda 2>&1 | grep -i 'PTPL_C\\|Write Exclusive:'", "(PTPL_C): 1"},
		claim{"nobody has reserved it", "n1", keysOf, "there are NO registered reservation keys"},
		claim{"the host check finds it fit", "n1", "understudy prepare 2>&1 | grep -A3 'reservation of /dev/sda'; understudy prepare --json | grep -A12 'reservation of /dev/sda' | grep '\"state\"'", `"done"`},
	); err != nil {
		return err
	}

	if err := c.serves(ctx, s, claim{"n2 stands by and is ready", "n2", status, "ready"}); err != nil {
		return err
	}
	if err := s.prove(ctx,
		claim{"the disk was reserved before it was touched", "n1", "grep -n '\"step\":\"\\(reserve\\|activate\\|mount\\) ' /var/lib/understudy/run.log | head -1", "reserve /dev/sda"},
		claim{"n2 sees that n1 holds it, for its claim of epoch 1", "n2", keysOf, "0100000001"},
		claim{"as write exclusive", "n2", keysOf, "type: Write Exclusive"},
		claim{"a write of n2 is refused", "n2", byHand, "error writing"},
		claim{"by the disk", "n2", "dmesg | tail -n 5", "eservation conflict"},
	); err != nil {
		return err
	}

	s.title("n1 is paused: its clocks stop with it. Nobody can fence it, and an operator says that it is down, which it is not")
	if _, err := s.Start(ctx, "n1", "exec /usr/local/sbin/raw"); err != nil {
		return err
	}
	if err := s.await(ctx, claim{"n1 writes to the bare disk as well", "n1", "cat /run/raw.ok; rm -f /run/raw.refused", "\n"}); err != nil {
		return err
	}
	if err := s.SetBMC("n1", BMC{Fails: true}); err != nil {
		return err
	}
	mark := s.Mark()
	if err := s.Pause("n1"); err != nil {
		return err
	}
	if err := s.event(ctx, mark, "n1", "fence-off"); err != nil {
		return err
	}
	if err := s.await(ctx, claim{"his word is taken", "n2", "understudy confirm-down n1 --yes n1 --reason 'its lights are off' 2>&1 && echo taken", "taken"}); err != nil {
		return err
	}
	if err := s.await(ctx, claim{"n2 writes to the shared file system", "n2", "cat /run/writer.last 2>/dev/null", "n2 "}); err != nil {
		return err
	}
	if err := s.prove(ctx,
		claim{"on his word", "n2", "understudy why data", "its lights are off"},
		claim{"n2 holds the disk, for its own claim", "n2", keysOf, "02000000"},
		claim{"and n1 is not registered any more", "n2", "{ " + keysOf + "; } | grep -c 0100000001", "0\n"},
	); err != nil {
		return err
	}
	before, err := s.must(ctx, "n3", lastRaw)
	if err != nil {
		return err
	}

	s.title("n1 goes on. Its clock says that its lease is good, its programs write as before")
	mark = s.Mark()
	if err := s.Resume("n1"); err != nil {
		return err
	}
	if err := s.event(ctx, mark, "n1", "resume"); err != nil {
		return err
	}
	if err := s.await(ctx, claim{"its writes come back with an error", "n1", "tail -n 3 /run/raw.refused 2>/dev/null", "error writing"}); err != nil {
		return err
	}
	if err := s.await(ctx, claim{"the disk has refused them", "n1", "dmesg | grep -i 'reservation conflict' | tail -n 2", "eservation conflict"}); err != nil {
		return err
	}
	if err := s.await(ctx, claim{"n1 has found the claim with n2, and has let go", "n1", mounted, ""}); err != nil {
		return err
	}
	if err := s.await(ctx, claim{"it is told that its boot is recorded as ended, and holds nothing before it boots anew", "n1", "grep -o 'this boot is recorded as ended' /var/lib/understudy/run.log | tail -n 1", "ended"}); err != nil {
		return err
	}
	if err := s.prove(ctx,
		claim{"the block behind the file system is as it was while n1 slept: not one write has reached the disk", "n3", lastRaw, strings.TrimSpace(before)},
		claim{"n1 goes on trying", "n1", "wc -l /run/raw.refused; tail -n 1 /run/raw.refused", "error writing"},
		claim{"n2 still holds the disk, and alone", "n2", keysOf, "PR generation"},
		claim{"n2 has served on: the last line is its own", "n2", linesKept, "n2 "},
		claim{"the disk has no line of n1 behind the first of n2", "n2", "sed -n '/^n2 /,$p' /srv/data/lines | grep -c '^n1 '", "0\n"},
	); err != nil {
		return err
	}

	s.title("n1 boots anew, and stands by")
	if err := s.SetBMC("n1", BMC{}); err != nil {
		return err
	}
	if err := s.Power("n1", "off"); err != nil {
		return err
	}
	if err := again("n1"); err != nil {
		return err
	}
	if err := c.run(ctx, s, "n1"); err != nil {
		return err
	}
	if err := s.await(ctx, claim{"n1 stands by and is ready", "n1", status + " | grep '^group'", "standby, idle, ready"}); err != nil {
		return err
	}

	s.title("an operator moves the group to n1, and back")
	for _, to := range []string{"n1", "n2", "n1"} {
		if _, err := s.must(ctx, to, "rm -f /run/writer.last"); err != nil {
			return err
		}
		if err := s.await(ctx, claim{"the move is asked for", to, "understudy move data " + to + " --reason rehearsal 2>&1 && echo asked", "asked"}); err != nil {
			return err
		}
		if err := s.await(ctx, claim{to + " writes", to, "cat /run/writer.last 2>/dev/null", to + " "}); err != nil {
			return err
		}
		from := map[string]string{"n1": "n2", "n2": "n1"}[to]
		if err := s.prove(ctx,
			claim{to + " holds the disk, for its claim", from, keysOf, fmt.Sprintf("0%c000000", to[1])},
			claim{"one key is registered", from, keysOf, "1 registered reservation key follows"},
			claim{"a write of " + from + " is refused", from, byHand, "error writing"},
		); err != nil {
			return err
		}
		if err := s.await(ctx, claim{from + " stands by and is ready", from, status + " | grep '^group'", "standby, idle, ready"}); err != nil {
			return err
		}
	}
	if err := s.prove(ctx, claim{"n2 has taken its key off before it signed off", "n2", "grep -n '\"step\":\"\\(prove\\|unreserve\\|sign off\\) ' /var/lib/understudy/run.log | tail -n 3", "unreserve /dev/sda"}); err != nil {
		return err
	}

	s.title("the power of n1 is cut, with its key on the disk")
	mark = s.Mark()
	if _, err := s.must(ctx, "n2", "rm -f /run/writer.last"); err != nil {
		return err
	}
	if err := s.Power("n1", "off"); err != nil {
		return err
	}
	if err := s.event(ctx, mark, "n1", "fence-off"); err != nil {
		return err
	}
	if err := s.await(ctx, claim{"n2 writes", "n2", "cat /run/writer.last 2>/dev/null", "n2 "}); err != nil {
		return err
	}
	if err := s.prove(ctx,
		claim{"n2 holds the disk, for its claim", "n2", keysOf, "02000000"},
		claim{"one key is registered", "n2", keysOf, "1 registered reservation key follows"},
	); err != nil {
		return err
	}
	if err := again("n1"); err != nil {
		return err
	}
	if err := s.prove(ctx, claim{"n1 has booted, and its writes are refused before understudy runs there", "n1", byHand, "error writing"}); err != nil {
		return err
	}

	s.title("the power of both nodes is cut; what is on the disk")
	for _, node := range []string{"n1", "n2"} {
		if err := s.Power(node, "off"); err != nil {
			return err
		}
	}
	return s.prove(ctx,
		claim{"the file system is whole when its journal is replayed", "n3", "cp --sparse=always /run/box.img /run/copy.img; e2fsck -p /run/copy.img; e2fsck -f -n /run/copy.img 2>&1 && echo whole", "whole"},
		claim{"it has the lines of both, one after the other", "n3", "debugfs -R 'cat /lines' /run/copy.img 2>/dev/null | cut -d' ' -f1 | uniq -c", "n2"},
	)
}
