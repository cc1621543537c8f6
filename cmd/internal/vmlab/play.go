//go:build linux

package vmlab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// sharedGroup is one group on an ext4 of the disk that n1 and n2 share, with a server
// that answers for a line when the disk has it.
const sharedGroup = `
[group.data]
nodes     = ["n1", "n2"]
fallback  = "never"
failovers = 0

[[group.data.address]]
label  = "svc"
prefix = "` + serviceAddress + `/24"

[[group.data.filesystem]]
mount  = "/srv/data"
device = "/dev/disk/by-id/shared0"
type   = "ext4"

[[group.data.application]]
name = "answers"
run  = ["/usr/local/sbin/understudy", "lab-app", "--listen", "` + serviceAddress + `:7000", "--file", "/srv/data/answers"]
stop_limit = "10s"
`

const (
	serviceAddress = "10.77.0.100"
	recordOfClient = "/root/acknowledged"
)

// evidenceOfClaim prints the kind of the evidence on which the group was claimed.
const evidenceOfClaim = `understudy status --json | grep -o '"evidence": "[^"]*"'`

// play is a cluster that serves a client in the lab: n1 and n2 share a disk, n3 is the
// witness and has the client, and what may never happen is watched.
type play struct {
	*Stage
	cluster cluster
	start   func(context.Context, string) error // configures a guest and starts understudy on it
	watch   *watch
	acked   []ack // in the order of the answers
	turn    int   // how many there were at the last mark
}

// ack is a line for which the client has an answer.
type ack struct {
	number int64
	at     time.Duration // by the monotonic clock of n3
}

// begin makes the cluster and waits until n1 serves, n2 is ready and the client is
// answered. The rest of the file is the group, usually sharedGroup.
func (s *Stage) begin(ctx context.Context, group string) (*play, error) {
	p := &play{Stage: s, cluster: newCluster(group)}
	p.start = p.boot
	return p, p.open(ctx)
}

// open is begin for a play that says how a guest starts.
func (p *play) open(ctx context.Context) error {
	p.title("three machines; n1 and n2 share a SCSI disk, n3 is the witness and has the client")
	if _, err := p.must(ctx, "n1", "mkfs.ext4 -q -F /dev/disk/by-id/shared0"); err != nil {
		return err
	}
	for _, node := range []string{"n3", "n1", "n2"} {
		if err := p.start(ctx, node); err != nil {
			return err
		}
	}
	p.watch = newWatch(p.Lab, serviceAddress, "/srv/")
	p.play = p
	if err := p.client(ctx); err != nil {
		return err
	}
	if err := p.serves(ctx, "n1"); err != nil {
		return err
	}
	return p.standsBy(ctx, "n2")
}

// boot puts the file on a guest that has booted, and starts understudy.
func (p *play) boot(ctx context.Context, node string) error {
	if err := p.cluster.configure(ctx, p.Stage, node); err != nil {
		return err
	}
	if _, err := p.must(ctx, node, "mkdir -p /srv/data"); err != nil {
		return err
	}
	return p.cluster.run(ctx, p.Stage, node)
}

// switchOn gives a guest its power back and starts understudy on it.
func (p *play) switchOn(ctx context.Context, nodes ...string) error {
	mark := p.Mark()
	for _, node := range nodes {
		if err := p.Power(node, "on"); err != nil {
			return err
		}
	}
	for _, node := range nodes {
		if err := p.event(ctx, mark, node, "ready"); err != nil {
			return err
		}
		if err := p.start(ctx, node); err != nil {
			return err
		}
	}
	return nil
}

// client asks the service four times a second, from n3, and writes each answer down.
func (p *play) client(ctx context.Context) error {
	first := int64(1)
	if n := len(p.acked); n > 0 {
		first = p.acked[n-1].number + 1_000_000 // another client than the former one
	}
	_, err := p.Start(ctx, "n3", fmt.Sprintf("exec understudy lab-client --to %s:7000 --every 250ms --limit 20s --first %d --record %s --socket /run/client.sock", serviceAddress, first, recordOfClient))
	return err
}

// fetch reads what the client has written down.
func (p *play) fetch(ctx context.Context) error {
	text, err := p.Get(ctx, "n3", recordOfClient)
	if err != nil {
		return err
	}
	known := map[int64]bool{}
	for _, a := range p.acked {
		known[a.number] = true
	}
	for line := range strings.Lines(text) {
		var a ack
		if !strings.HasSuffix(line, "\n") {
			break
		}
		if _, err := fmt.Sscan(line, &a.number, &a.at); err != nil {
			return fmt.Errorf("cannot read %s of n3: %q: %w", recordOfClient, line, err)
		}
		if !known[a.number] {
			p.acked = append(p.acked, a)
		}
	}
	return nil
}

// until waits for something that is looked at without a command in a guest.
func (p *play) until(ctx context.Context, what string, is func() (bool, error)) error {
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		done, err := is()
		if done {
			return nil
		}
		if !pause(limited, between) {
			return fmt.Errorf("not seen in time: %s (%w)", what, errors.Join(context.Cause(limited), err))
		}
	}
}

// answered waits for that many more answers to the client.
func (p *play) answered(ctx context.Context, more int) error {
	if err := p.fetch(ctx); err != nil && len(p.acked) > 0 {
		return err
	}
	from := len(p.acked)
	return p.until(ctx, "the client is answered", func() (bool, error) {
		err := p.fetch(ctx)
		return err == nil && len(p.acked) >= from+more, err
	})
}

// mark begins a part whose outage is asked for.
func (p *play) mark(ctx context.Context) error {
	err := p.fetch(ctx)
	p.turn = len(p.acked)
	return err
}

// outage is the longest time between two answers since mark.
func (p *play) outage() (longest time.Duration) {
	for i := max(p.turn, 1); i < len(p.acked); i++ {
		longest = max(longest, p.acked[i].at-p.acked[i-1].at)
	}
	return longest
}

// serves waits until a guest has the file system and the address, and the client is
// answered.
func (p *play) serves(ctx context.Context, node string) error {
	since := time.Since(p.began)
	if err := p.until(ctx, node+" has the file system and the address", func() (bool, error) {
		return p.watch.last(node) > since && p.watch.has(node, "mount /srv/data") && p.watch.has(node, "address"), nil
	}); err != nil {
		return err
	}
	if err := p.answered(ctx, 8); err != nil {
		return err
	}
	p.ok("%s has the file system and the address, and answers the client", node)
	return nil
}

// tookOver proves that a guest serves, on which evidence it took the group over ("":
// it had it before), and says how long the client had no answer.
func (p *play) tookOver(ctx context.Context, node, evidence string) error {
	if err := p.serves(ctx, node); err != nil {
		return err
	}
	p.ok("the client had no answer for %.1f s (under emulation)", p.outage().Seconds())
	if evidence == "" {
		return nil
	}
	return p.prove(ctx,
		claim{"why it is there", node, "understudy why data", "data is on " + node + " since"},
		claim{"the evidence is on record", node, evidenceOfClaim, `"` + evidence + `"`})
}

// lets waits until a guest that runs has nothing of the group any more.
func (p *play) lets(ctx context.Context, node string) error {
	since := time.Since(p.began)
	if err := p.until(ctx, node+" has let go of file system and address", func() (bool, error) {
		return p.watch.last(node) > since && !p.watch.has(node, ""), nil
	}); err != nil {
		return err
	}
	p.ok("%s has neither file system nor address any more", node)
	return nil
}

// backAgain switches a guest on that had been off, and waits until it stands by.
func (p *play) backAgain(ctx context.Context, node string) error {
	p.title("%s boots again, and stands by", node)
	if err := p.switchOn(ctx, node); err != nil {
		return err
	}
	return p.standsBy(ctx, node)
}

// standsBy waits until a guest is a standby that is ready.
func (p *play) standsBy(ctx context.Context, node string) error {
	return p.await(ctx, claim{node + " stands by and is ready", node, "understudy status | grep '^group'", "standby, idle, ready"})
}

// finish cuts the power of all guests, and proves from outside that nothing was twice,
// that the disk was written by those who may, one after the other, and that every line
// the client was answered for is on it.
func (p *play) finish(ctx context.Context, may ...string) error {
	p.title("the power of all is cut; what was seen, and what is on the disk")
	if err := p.fetch(ctx); err != nil {
		return err
	}
	for _, n := range p.nodes {
		if err := p.Power(n.name, "off"); err != nil {
			return err
		}
	}
	p.watch.end()
	order, story, looks := p.watch.story()
	if bad := p.watch.twice(); len(bad) > 0 {
		return fmt.Errorf("two owners: %s", strings.Join(bad, "; "))
	}
	p.ok("never on two: the writable mount, the address (%d looks at three guests)", looks)
	if !follows(order, may) {
		return fmt.Errorf("the disk was written by %s, and should have been by %s in this order", story, strings.Join(may, ", "))
	}
	p.ok("by qemu's count the disk was written by one after the other: %s", story)
	return p.onDisk(ctx)
}

// onDisk reads the shared disk on this machine: its file system is whole once the
// journal is replayed, as the next mount would, and has every acknowledged line.
func (p *play) onDisk(ctx context.Context) error {
	copied := p.file("shared0.copy")
	defer os.Remove(copied)
	for _, argv := range [][]string{
		{"cp", "--sparse=always", p.file("shared0"), copied},
		{"e2fsck", "-p", copied},
		{"e2fsck", "-f", "-n", copied},
	} {
		if out, err := exec.CommandContext(ctx, argv[0], argv[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("the file system is not whole: %s: %w: %s", strings.Join(argv, " "), err, out)
		}
	}
	out, err := exec.CommandContext(ctx, "debugfs", "-R", "cat /answers", copied).Output()
	if err != nil {
		return fmt.Errorf("cannot read the lines on the disk: %w", err)
	}
	lines := map[string]bool{}
	for line := range strings.Lines(string(out)) {
		lines[strings.TrimSpace(line)] = true
	}
	var lost []int64
	for _, a := range p.acked {
		if !lines[fmt.Sprint(a.number)] {
			lost = append(lost, a.number)
		}
	}
	if len(lost) > 0 || len(p.acked) == 0 {
		return fmt.Errorf("%d of %d lines that were acknowledged are not on the disk: %v", len(lost), len(p.acked), lost[:min(len(lost), 20)])
	}
	p.ok("a full check finds the file system whole, and all %d lines that the client was answered for are there", len(p.acked))
	return nil
}

// endPlay ends what a scenario that failed has left running beside the guests.
func (s *Stage) endPlay() {
	if s.play == nil || s.play.watch == nil {
		return
	}
	s.play.watch.end()
	if bad := s.play.watch.twice(); len(bad) > 0 {
		fmt.Fprintf(s.out, "          two owners: %s\n", strings.Join(slices.Compact(bad), "; "))
	}
}

// taken waits until either node has mounted the file system, and returns which.
func (p *play) taken(ctx context.Context) (node string, err error) {
	since := time.Since(p.began)
	err = p.until(ctx, "n1 or n2 has the file system", func() (bool, error) {
		for _, n := range []string{"n1", "n2"} {
			if p.watch.last(n) > since && p.watch.has(n, "mount") {
				node = n
			}
		}
		return node != "", nil
	})
	return node, err
}

// hold lets time pass in which a guest must have nothing of the group.
func (p *play) hold(ctx context.Context, d time.Duration, node string) error {
	limited, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	for pause(limited, between) {
		if p.watch.has(node, "") {
			return fmt.Errorf("not shown: %s has nothing of the group: it has", node)
		}
	}
	if ctx.Err() == nil {
		p.ok("%s has touched nothing for %.0f s", node, d.Seconds())
	}
	return ctx.Err()
}
