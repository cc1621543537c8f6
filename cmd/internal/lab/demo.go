//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// Demo brings up a lab and shows, step by step, what the nodes do when the owner
// loses its power, comes back, loses its application and its address, and when a
// person moves the group; then what a client saw of it. It ends clean, also when
// ctx ends. It fails when an acknowledged write is lost, or when something was on
// two hosts at once.
func Demo(ctx context.Context, o Options, out io.Writer) error {
	o, err := o.withDefaults()
	if err != nil {
		return err
	}
	if err := vacant(o.Name); err != nil {
		return err
	}
	if o.Policy == "" {
		o.Policy = "cascading"
	}
	d := &demo{out: out, policy: o.Policy, name: o.Name, dir: o.Dir}
	d.intro(o)
	d.phase("boot", "Four hosts are made, with disks, networks and a power controller. Each "+
		"node finds the others, and asks for its lease; one takes the group, the other stands by.")
	s, err := set(ctx, o)
	if err != nil {
		return d.stopped(ctx, err)
	}
	d.say("All hosts are up.")
	failed := d.play(ctx, s)
	if ctx.Err() != nil {
		d.printf("\ninterrupted: the lab is being taken away\n")
	} else if failed == nil {
		d.printf("\nEvery answer is looked for on the disk, then the lab is taken away …\n")
	}
	verdict, violations, err := s.end(ctx, failed)
	if err != nil {
		return d.stopped(ctx, err)
	}
	if left := Left(s.Name, s.Dir()); len(left) > 0 {
		return fmt.Errorf("cannot take the lab away: left behind: %s", strings.Join(left, ", "))
	}
	return d.table(o, verdict, violations)
}

type demo struct {
	out    io.Writer
	policy string
	name   string        // of the lab
	dir    string        // of its files
	n      int           // phases begun
	mark   time.Duration // CLOCK_MONOTONIC that the times of this phase count from
	rows   []row
}

// row is one phase in the table at the end.
type row struct {
	title, from, to, evidence string
	outage                    time.Duration
}

const phases = 6

func (d *demo) intro(o Options) {
	home := "It has no home: it stays where it is."
	if d.policy == "cascading" {
		home = "Its home is alpha: it goes back there."
	}
	d.printf(`understudy lab demo: a cluster on this machine, for 10 to 20 seconds

Two nodes, alpha and beta, share a disk; a witness has the third vote. A group,
made of a file system, an address and an application, runs on one of them.
%s
%s
A client asks every 5 ms; an answer means that its write is on the disk. All of
them are checked at the end. A watcher sees every moment at which both nodes
have what only one may have.

%d phases: boot, power cut, power back, application killed, address removed,
planned move. Times count from the fault. Policy: %s. Timers: %s.
Ctrl-C ends it at any time; nothing is left behind.
`, home, o.cast(), phases, d.policy, o.Timers.word())
}

// cast says who plays beside the application.
func (o Options) cast() string {
	if o.Profile != ProfileDCE {
		return ""
	}
	return `
Before the application DCE is started, in the order of the HACMP guide for DCE
and DFS: its endpoints and credentials are purged, then start.dce runs. It is a
stand-in: daemons and files of DCE's names at DCE's places, none of its code.
`
}

func (d *demo) printf(format string, args ...any) { fmt.Fprintf(d.out, format, args...) }

// phase begins one, and says what is done and what must come of it.
func (d *demo) phase(title, about string) {
	d.n++
	d.mark = time.Duration(monotonic())
	d.printf("\n%d of %d  %s\n", d.n, phases, title)
	d.say(about)
}

// The columns of a line: what it may have, where its text begins if it has a
// time, and if it has none.
const (
	width  = 80
	margin = 20
	indent = 8
)

func (d *demo) say(text string) {
	for _, line := range wrap(text, width-indent) {
		d.printf("%*s%s\n", indent, "", line)
	}
}

// tell is a line at a time after the phase's mark; a long text is wrapped.
func (d *demo) tell(at time.Duration, host, text string) {
	head := fmt.Sprintf("%8.3f s  %-*s", (at - d.mark).Seconds(), margin-12, host)
	for _, line := range wrap(text, width-margin) {
		d.printf("%s%s\n", head, line)
		head = strings.Repeat(" ", margin)
	}
}

// wrap breaks a text between words; a word that is too long stays whole.
func wrap(text string, columns int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		switch {
		case line == "":
			line = word
		case len([]rune(line))+1+len([]rune(word)) > columns:
			lines = append(lines, line)
			line = word
		default:
			line += " " + word
		}
	}
	return append(lines, line)
}

func (d *demo) play(ctx context.Context, s *stage) error {
	f := follow(ctx, d, s)
	owner, err := s.serving(ctx, s.nodes[0])
	if err == nil {
		err = s.ready(ctx, s.other(owner))
	}
	f.end()
	if err != nil {
		return err
	}
	if s.ask, err = s.Client(ctx); err != nil {
		return err
	}
	home := owner
	if owner, err = d.fault(ctx, s, "crash", owner, "the power of "+owner+" is cut",
		fmt.Sprintf("The plug of %s is pulled. %s must notice, prove that %s is off, and take over the disk, "+
			"the address and the application.", owner, s.other(owner), owner)); err != nil {
		return err
	}
	if owner, err = d.reintegrate(ctx, s, home); err != nil {
		return err
	}
	if owner, err = d.fault(ctx, s, "appkill", owner, "the application gets SIGKILL",
		"It is to be started again where it is: no node is at fault."); err != nil {
		return err
	}
	if owner, err = d.fault(ctx, s, "ipdel", owner, "ip address del "+ServiceAddress.String()+" on "+owner,
		"Somebody removes the service address by hand. It is to be put back."); err != nil {
		return err
	}
	_, err = d.fault(ctx, s, "move", owner, "understudy move "+Group+" "+s.other(owner),
		fmt.Sprintf("An operator wants the group on %s. %s lets go in order and signs off; only then is it taken up.",
			s.other(owner), owner))
	return err
}

// fault plays one case and returns the owner after it.
func (d *demo) fault(ctx context.Context, s *stage, name, owner, what, about string) (string, error) {
	c, err := caseOf(name)
	if err != nil {
		return "", err
	}
	d.phase(c.title, about)
	var f *follower
	outage, _, err := s.play(ctx, c, owner, func(mark time.Duration) {
		d.mark = mark
		d.tell(mark, "", what)
		f = follow(ctx, d, s)
	})
	if f != nil {
		f.end()
	}
	if err != nil {
		return "", err
	}
	to := owner
	if c.moves {
		to = s.other(to)
	}
	return to, d.note(s, c.title, owner, to, outage)
}

// note tells the end of a phase.
func (d *demo) note(s *stage, title, from, to string, outage time.Duration) error {
	evidence := "not needed" // nothing changed hands
	if from != to {
		evidence = s.standing(to).Evidence
	}
	d.printf("%*sclient: %s without an answer; served by %s\n", margin, "", short(outage), to)
	d.rows = append(d.rows, row{title, from, to, evidence, outage})
	return nil
}

// reintegrate switches the old owner on again. A cascading group goes home by
// itself, a rotating one stays.
func (d *demo) reintegrate(ctx context.Context, s *stage, home string) (string, error) {
	now := s.other(home)
	owner, then := now, "The group stays on "+now+"."
	if d.policy == "cascading" {
		owner, then = home, "The group goes home: "+now+" lets go in order, then "+home+" takes it up."
	}
	const title = "power back, reintegration"
	d.phase(title, home+" is switched on. It must find itself clean before it may do anything. "+then)
	mark := s.ask.Mark()
	d.mark = mark
	d.tell(mark, "", "the power of "+home+" is back")
	f := follow(ctx, d, s)
	err := s.Start(ctx, home)
	if err == nil {
		_, err = s.serving(ctx, owner)
	}
	if err == nil {
		err = s.ready(ctx, s.other(owner))
	}
	if err == nil {
		err = s.ask.Answered(ctx, s.ask.Mark(), 40)
	}
	f.end()
	if err != nil {
		return "", err
	}
	outage, err := s.ask.Gap(ctx, mark)
	if err != nil {
		return "", err
	}
	return owner, d.note(s, title, now, owner, outage)
}

// stopped is the error of a demonstration that did not come to its end.
func (d *demo) stopped(ctx context.Context, err error) error {
	if left := Left(d.name, d.dir); len(left) > 0 {
		return fmt.Errorf("%w; left behind: %s", err, strings.Join(left, ", "))
	}
	if ctx.Err() != nil {
		return fmt.Errorf("interrupted in phase %d of %d; nothing is left behind", d.n, phases)
	}
	return err
}

func (d *demo) table(o Options, v Verdict, violations []Violation) error {
	d.printf("\n%-33s %-14s %9s  %s\n", "phase", "served by", "outage", "evidence")
	for _, r := range d.rows {
		where := r.from
		if r.to != r.from {
			where += " → " + r.to
		}
		d.printf("%-33s %-14s %9s  %s\n", r.title, where, short(r.outage), r.evidence)
	}
	d.printf("\n%d writes were acknowledged, %d of them lost\n", v.Acked, len(v.Lost))
	d.printf("something was on two nodes at once: %d times\n", len(violations))
	for _, one := range violations {
		d.printf("  %s\n", one)
	}
	d.printf("nothing is left behind: no process, mount, loop device, network or file\n")
	if len(v.Lost) > 0 || len(violations) > 0 {
		return errors.New("cannot call this a good run: a promise was broken")
	}
	d.printf("\nGo on by hand:\n")
	name := ""
	if o.Name != "demo" {
		name = " --name " + o.Name
	}
	for _, c := range [][2]string{
		{"up", "the same cluster, to stay"},
		{"exec alpha understudy status", "what a node knows"},
		{"exec beta understudy why " + Group, "why it is there"},
		{"crash alpha", "pull the plug"},
		{"down", "take it away"},
	} {
		verb, rest, _ := strings.Cut(c[0], " ")
		if verb == "up" && o.Profile != "" {
			rest = "--profile " + o.Profile
		}
		d.printf("  %-46s %s\n", strings.TrimSpace("understudy lab "+verb+name+" "+rest), c[1])
	}
	return nil
}
