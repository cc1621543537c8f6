//go:build linux

package vmlab

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"

	"understudy/packaging"
)

// systemdLab is three machines that run systemd, with all of their files on disks of
// their own: what is installed and enabled is there after a boot.
var systemdLab = Options{Guests: 3, Disks: 1, LocalMB: 1024, MemoryMB: 768, Systemd: true}

// appOfGroup finds the process of the group's application.
const appOfGroup = "pgrep -f '^/usr/local/sbin/understudy lab-app'"

// installed puts program, unit and file on a guest as a package does, and enables them.
func (p *play) installed(ctx context.Context, node string) error {
	unit, text := "understudy.service", packaging.Service
	if node == "n3" {
		unit, text = "understudy-witness.service", packaging.Witness
	}
	for _, f := range []struct {
		path string
		mode os.FileMode
		text string
	}{
		{"/etc/systemd/system/" + unit, 0o644, text},
		{"/etc/understudy/understudy.toml", 0o644, p.cluster.file},
		{"/etc/understudy/cluster.key", 0o600, p.cluster.key},
	} {
		if err := p.Put(ctx, node, f.path, f.mode, f.text); err != nil {
			return err
		}
	}
	_, err := p.must(ctx, node, "cp /usr/local/sbin/understudy /usr/sbin/understudy && mkdir -p /srv/data && systemctl daemon-reload && systemctl enable -q "+unit+" && systemctl start --no-block "+unit)
	return err
}

// systemdScenario: the units of the package under systemd. The program is upgraded,
// killed and restarted; hosts are switched off and booted by systemd, and systemd alone
// starts understudy again.
func systemdScenario(ctx context.Context, s *Stage) error {
	p := &play{Stage: s, cluster: newCluster(sharedGroup)}
	// Nothing crashes here. A restart of the program is a silence, and takes many seconds
	// on an emulated machine.
	p.cluster.file = strings.Replace(p.cluster.file, `timeout  = "10s"`, `timeout  = "50s"`, 1)
	p.start = p.installed
	if err := p.open(ctx); err != nil {
		return err
	}
	app, err := s.must(ctx, "n1", appOfGroup)
	if err != nil {
		return err
	}
	if err := s.prove(ctx,
		claim{"process 1 is systemd", "n1", "cat /proc/1/comm; systemctl --version | head -n 1", "systemd"},
		claim{"ifupdown has made the networks, and D-Bus runs", "n1", "systemctl is-active networking.service dbus.service | sort -u", "active"},
		claim{"the application is in a control group of its own", "n1", "cat /proc/$(" + appOfGroup + ")/cgroup", "0::/"},
	); err != nil {
		return err
	}

	s.title("on n1, the owner, the program is replaced and started again, with the service left running")
	if err := p.mark(ctx); err != nil {
		return err
	}
	if _, err := s.must(ctx, "n1", "cp /usr/sbin/understudy /usr/sbin/.new && mv /usr/sbin/.new /usr/sbin/understudy"); err != nil {
		return err
	}
	if err := s.prove(ctx,
		claim{"understudy has left", "n1", "understudy stop --mode leave --reason upgrade; echo $?", "0"},
		claim{"and is started again", "n1", "systemctl start --no-block understudy; echo $?", "0"},
	); err != nil {
		return err
	}
	same := claim{"the application is the same process", "n1", appOfGroup, strings.TrimSpace(app)}
	if err := p.untouched(ctx, same); err != nil {
		return err
	}

	s.title("on n1 the program is killed: systemd starts it again")
	if err := p.mark(ctx); err != nil {
		return err
	}
	was, err := s.must(ctx, "n1", "systemctl show -p MainPID --value understudy")
	if err != nil {
		return err
	}
	if _, err := s.must(ctx, "n1", "systemctl kill -s KILL --kill-whom=main understudy"); err != nil {
		return err
	}
	if err := s.await(ctx, claim{"it runs again, as another process", "n1", "[ $(systemctl show -p MainPID --value understudy) -gt " + strings.TrimSpace(was) + " ] && systemctl is-active understudy", "active"}); err != nil {
		return err
	}
	if err := p.untouched(ctx, same); err != nil {
		return err
	}

	s.title("systemctl restart on n1, with stop = \"hand-over\", which is the default: n2 gets the group in order")
	if err := p.mark(ctx); err != nil {
		return err
	}
	if _, err := s.must(ctx, "n1", "systemctl restart --no-block understudy"); err != nil {
		return err
	}
	if err := p.tookOver(ctx, "n2", "clean release"); err != nil {
		return err
	}
	if err := p.standsBy(ctx, "n1"); err != nil {
		return err
	}

	s.title("n2, the owner, is switched off: systemctl poweroff")
	if err := p.shutdown(ctx, "n2", "systemctl poweroff", "power-off", "n1"); err != nil {
		return err
	}
	s.title("n2 gets its power back; nobody logs in")
	mark := s.Mark()
	if err := s.Power("n2", "on"); err != nil {
		return err
	}
	if err := s.event(ctx, mark, "n2", "ready"); err != nil {
		return err
	}
	if err := p.standsBy(ctx, "n2"); err != nil {
		return err
	}

	s.title("n1, the owner, boots: shutdown -r now")
	mark = s.Mark()
	if err := p.shutdown(ctx, "n1", "shutdown -r now", "reset", "n2"); err != nil {
		return err
	}
	if err := s.event(ctx, mark, "n1", "ready"); err != nil {
		return err
	}
	if err := p.standsBy(ctx, "n1"); err != nil {
		return err
	}
	return p.finish(ctx, "n1", "n2", "n1", "n2")
}

// untouched proves that n1 serves on with the same application, under its first claim.
func (p *play) untouched(ctx context.Context, same claim) error {
	if err := p.await(ctx, claim{"it carries on with what it finds", "n1", status + " | grep '^group'", "on n1, epoch 1 · n1: owner, serving"}); err != nil {
		return err
	}
	if err := p.answered(ctx, 8); err != nil {
		return err
	}
	p.ok("the longest time between two answers to the client was %.1f s (under emulation)", p.outage().Seconds())
	return p.prove(ctx, same)
}

// shutdown has a host shut down by its systemd, and proves that the group was let go in
// order, before anything that this needs, and that the other node took it without a
// fence.
func (p *play) shutdown(ctx context.Context, node, line, ends, next string) error {
	if err := p.mark(ctx); err != nil {
		return err
	}
	mark, from := p.Mark(), len(p.console(node))
	if _, err := p.must(ctx, node, line); err != nil {
		return err
	}
	if err := p.event(ctx, mark, node, ends); err != nil {
		return err
	}
	if err := p.tookOver(ctx, next, "clean release"); err != nil {
		return err
	}
	for _, e := range p.eventsAfter(mark) {
		if strings.HasPrefix(e.Name, "fence-") {
			return fmt.Errorf("not shown: nobody is fenced: %s of %s, %s", e.Name, e.Node, e.Note)
		}
	}
	p.ok("nobody was fenced, or asked for")
	return p.ordered(node, p.console(node)[from:])
}

// console is what a guest has printed on its console, its systemd's journal with it.
func (p *play) console(node string) []byte {
	n, err := p.node(node)
	if err != nil {
		return nil
	}
	b, _ := os.ReadFile(n.file("console")) // none: it has printed nothing
	return b
}

// ordered proves by the journal of a host that understudy had signed off and ended
// before what it needs was stopped.
func (p *play) ordered(node string, journal []byte) error {
	at := func(what string) int { return bytes.Index(journal, []byte(what)) }
	before := []string{"Stopping understudy.service", "claim signed off", "Stopped understudy.service"}
	for i, what := range before {
		if at(what) < 0 || i > 0 && at(what) < at(before[i-1]) {
			return fmt.Errorf("not shown: the journal of %s has %q in this order: %s", node, before, lastLines(journal))
		}
	}
	p.ok("the journal of %s: asked to stop, claim signed off, stopped", node)
	for _, later := range []string{"Stopping networking.service", "Stopped target network.target", "Stopping dbus.service", "Stopped target local-fs.target"} {
		if at(later) < at(before[2]) {
			return fmt.Errorf("not shown: %s stops %s after understudy, in its journal: %s", node, later, lastLines(journal))
		}
		p.ok("and only then: %s", later)
	}
	return nil
}

func lastLines(journal []byte) string {
	return string(journal[max(0, len(journal)-6000):])
}
