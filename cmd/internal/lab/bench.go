//go:build linux

package lab

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
)

// Bench measures, for each case, the longest time a client is without an answer.
// The group is rotating, so that it stays where a fault has put it and every run
// begins with two good nodes.
func Bench(ctx context.Context, o Options, cases []string, runs int, out io.Writer) error {
	if len(cases) == 0 {
		cases = caseNames()
	}
	if runs < 1 {
		return fmt.Errorf("cannot measure %d runs — one at least", runs)
	}
	for _, name := range cases {
		if _, err := caseOf(name); err != nil {
			return err
		}
	}
	o.Policy = "rotating"
	// A killed application is to be restarted in place, in every run.
	o.Group += "\nrestarts = 1000\n"
	fmt.Fprintf(out, "%-10s %5s %10s %10s %10s %10s %6s %6s  %s\n",
		"case", "runs", "median ms", "min", "max", "noise max", "lost", "double", "load")
	for _, name := range cases {
		c, err := caseOf(name)
		if err != nil {
			return err
		}
		if err := benchCase(ctx, o, c, runs, out); err != nil {
			return fmt.Errorf("cannot measure %s: %w", name, err)
		}
	}
	return nil
}

// benchCase runs one case in a lab of its own.
func benchCase(ctx context.Context, o Options, c stageCase, runs int, out io.Writer) error {
	s, err := set(ctx, o, func(time.Duration, string, string) {})
	if err != nil {
		return err
	}
	var gaps, noises []time.Duration
	err = func() error {
		for range runs {
			owner, err := s.serving(ctx, "")
			if err == nil {
				err = s.ready(ctx, s.other(owner))
			}
			if err == nil && s.ask == nil {
				s.ask, err = s.Client(ctx)
			}
			if err != nil {
				return err
			}
			gap, noise, err := s.play(ctx, c, owner, func(time.Duration) {})
			if err == nil && c.mend != nil {
				if err = c.mend(ctx, s, owner); err == nil {
					err = calm(ctx)
				}
			}
			if err != nil {
				return err
			}
			gaps, noises = append(gaps, gap), append(noises, noise)
		}
		return nil
	}()
	v, violations, err := s.end(ctx, err)
	if err != nil {
		return err
	}
	slices.Sort(gaps)
	ms := func(d time.Duration) string { return fmt.Sprintf("%.0f", float64(d)/float64(time.Millisecond)) }
	fmt.Fprintf(out, "%-10s %5d %10s %10s %10s %10s %6d %6d  %s\n", c.name, len(gaps),
		ms(gaps[len(gaps)/2]), ms(gaps[0]), ms(gaps[len(gaps)-1]), ms(slices.Max(noises)), len(v.Lost), len(violations), load())
	return nil
}

// calm lets a node that has just booted grow old enough to judge others: it
// waits for nodes of higher priority at its start (config, settle, 5 s).
func calm(ctx context.Context) error {
	select {
	case <-time.After(7 * time.Second):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// load is the machine's load average over the last minute (proc_loadavg(5)).
func load() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "?"
	}
	one, _, _ := strings.Cut(string(b), " ")
	return one
}
