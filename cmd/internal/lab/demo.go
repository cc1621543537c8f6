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
	d := &demo{out: out}
	d.mark = time.Duration(monotonic())
	timers := "default"
	if o.Timers == TunedTimers {
		timers = "tuned"
	}
	policy := o.Policy
	if policy == "" {
		policy = "cascading"
	}
	d.printf("two nodes, a witness and a client on this machine; %s timers, %s\n", timers, policy)
	d.printf("the client asks every 5 ms; an answer means that the write is on the disk\n")
	d.head("boot")
	s, err := set(ctx, o, d.tell)
	if err != nil {
		return err
	}
	verdict, violations, err := s.end(ctx, d.play(ctx, s, policy))
	if ctx.Err() != nil {
		d.printf("\ninterrupted; the lab is taken away\n")
	}
	if err != nil {
		return err
	}
	return d.table(verdict, violations)
}

type demo struct {
	out  io.Writer
	mark time.Duration
	rows []row
}

type row struct {
	title          string
	outage, before time.Duration
	from, to       string
}

func (d *demo) printf(format string, args ...any) { fmt.Fprintf(d.out, format, args...) }

func (d *demo) head(title string) { d.printf("\n%s\n", title) }

// tell is one line of at most 80 columns.
func (d *demo) tell(at time.Duration, host, line string) {
	text := []rune(fmt.Sprintf("%8.3f s  %-6s %s", (at - d.mark).Seconds(), host, line))
	if len(text) > 80 {
		text = append(text[:79], '…')
	}
	d.printf("%s\n", strings.TrimRight(string(text), " "))
}

func (d *demo) play(ctx context.Context, s *stage, policy string) error {
	owner, err := s.serving(ctx, s.nodes[0])
	if err != nil {
		return err
	}
	if err := s.ready(ctx, s.other(owner)); err != nil {
		return err
	}
	if s.ask, err = s.Client(ctx); err != nil {
		return err
	}
	home := owner
	for _, name := range []string{"crash", "", "appkill", "ipdel", "move"} {
		if name == "" {
			if owner, err = d.reintegrate(ctx, s, home, policy); err != nil {
				return err
			}
			continue
		}
		c, err := caseOf(name)
		if err != nil {
			return err
		}
		if err := d.act(ctx, s, c, &owner); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) act(ctx context.Context, s *stage, c stageCase, owner *string) error {
	d.head(fmt.Sprintf("%s (%s)", c.title, *owner))
	outage, noise, err := s.play(ctx, c, *owner, func(mark time.Duration) { d.mark = mark })
	if err != nil {
		return err
	}
	to := *owner
	if c.moves {
		to = s.other(to)
	}
	d.note(outage)
	d.rows = append(d.rows, row{c.title, outage, noise, *owner, to})
	*owner = to
	return nil
}

func (d *demo) note(outage time.Duration) {
	d.printf("            client: longest time without an answer %s\n", short(outage))
}

// reintegrate switches the old owner on again. A cascading group goes home by
// itself, a rotating one stays.
func (d *demo) reintegrate(ctx context.Context, s *stage, home, policy string) (string, error) {
	d.head(fmt.Sprintf("power back, reintegration (%s)", home))
	mark := s.ask.Mark()
	d.mark = mark
	if err := s.Start(ctx, home); err != nil {
		return "", err
	}
	owner := s.other(home)
	if policy == "cascading" {
		owner = home
	}
	if _, err := s.serving(ctx, owner); err != nil {
		return "", err
	}
	if err := s.ready(ctx, s.other(owner)); err != nil {
		return "", err
	}
	if err := s.ask.Answered(ctx, s.ask.Mark(), 40); err != nil {
		return "", err
	}
	outage, err := s.ask.Gap(ctx, mark)
	if err != nil {
		return "", err
	}
	d.note(outage)
	d.rows = append(d.rows, row{"reintegration of the old owner", outage, 0, s.other(home), owner})
	return owner, nil
}

func (d *demo) table(v Verdict, violations []Violation) error {
	d.printf("\n%-34s %-15s %12s\n", "what happened", "served by", "outage")
	for _, r := range d.rows {
		where := r.from
		if r.to != r.from {
			where += " → " + r.to
		}
		d.printf("%-34s %-15s %12s\n", r.title, where, short(r.outage))
	}
	d.printf("\nanswered writes: %d, lost: %d; on two hosts at once: %d times\n", v.Acked, len(v.Lost), len(violations))
	for _, one := range violations {
		d.printf("  %s\n", one)
	}
	if len(v.Lost) > 0 || len(violations) > 0 {
		return errors.New("cannot call this a good run: a promise was broken")
	}
	d.printf("the lab is gone; nothing is left of it\n")
	return nil
}
