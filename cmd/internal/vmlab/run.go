//go:build linux

package vmlab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// runner runs scenarios, each in a lab of its own.
type runner struct {
	cache       string // "": the default
	keep, trace bool
	out         io.Writer // what is shown
	progress    io.Writer // what else happens
}

// result is what became of one scenario.
type result struct {
	name  string
	shown int
	took  time.Duration
	err   error
}

// run runs scenarios one after the other, also after one that failed, and closes
// with a table if they are several. It ends early only with ctx.
func (r *runner) run(ctx context.Context, scenarios []Scenario) error {
	program, err := r.prepare(ctx)
	if err != nil {
		return err
	}
	began := time.Now()
	var results []result
	for _, sc := range scenarios {
		if ctx.Err() != nil {
			break
		}
		if len(scenarios) > 1 {
			fmt.Fprintf(r.out, "\n=== %s: %s\n\n", sc.Name, sc.Short)
		}
		from := time.Now()
		shown, err := r.show(ctx, sc, program)
		results = append(results, result{sc.Name, shown, time.Since(from), err})
		if err != nil && len(scenarios) > 1 {
			fmt.Fprintf(r.out, "\n    FAILED %s: %v\n", sc.Name, err)
		}
	}
	if len(scenarios) > 1 {
		table(r.out, results, time.Since(began))
	}
	return verdict(ctx, scenarios, results)
}

// table is what is printed last.
func table(out io.Writer, results []result, took time.Duration) {
	fmt.Fprintf(out, "\n%-12s %6s %7s %8s\n", "scenario", "shown", "failed", "seconds")
	line := func(name string, shown, failed int, took time.Duration) {
		fmt.Fprintf(out, "%-12s %6d %7d %8.0f\n", name, shown, failed, took.Seconds())
	}
	shown, failed := 0, 0
	for _, r := range results {
		bad := 0
		if r.err != nil {
			bad = 1
		}
		shown, failed = shown+r.shown, failed+bad
		line(r.name, r.shown, bad, r.took)
	}
	line("all", shown, failed, took)
}

// verdict is the error of a run: the scenario's own if there was one, how many
// failed otherwise, and what was not begun.
func verdict(ctx context.Context, scenarios []Scenario, results []result) error {
	if len(scenarios) == 1 && len(results) == 1 {
		return results[0].err
	}
	failed := 0
	for _, r := range results {
		if r.err != nil {
			failed++
		}
	}
	var errs []error
	if failed > 0 {
		errs = append(errs, fmt.Errorf("%d of %d scenarios failed", failed, len(scenarios)))
	}
	if n := len(scenarios) - len(results); n > 0 {
		errs = append(errs, fmt.Errorf("%d of %d scenarios were not begun: %w", n, len(scenarios), context.Cause(ctx)))
	}
	return errors.Join(errs...)
}

// prepare builds what guests boot, and tells the program that they run: this one.
func (r *runner) prepare(ctx context.Context) (program string, err error) {
	if os.Geteuid() != 0 {
		return "", errors.New("cannot make a lab of machines: that needs root")
	}
	if program, err = os.Executable(); err != nil {
		return "", err
	}
	if err := Static(program); err != nil {
		return "", err
	}
	if r.cache == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("cannot tell the cache folder: %w — name one with --cache", err)
		}
		r.cache = filepath.Join(cache, "understudy", "vm")
	}
	return program, Build(ctx, r.cache, r.progress)
}

// show runs one scenario in a lab of its own, of which nothing is left afterwards,
// and returns how many things were shown.
func (r *runner) show(ctx context.Context, sc Scenario, program string) (shown int, err error) {
	opts := sc.Lab
	opts.Cache, opts.Program = r.cache, program
	if r.trace {
		opts.Trace = r.progress
	}
	if opts.Dir, err = os.MkdirTemp("", "understudy-vm-"); err != nil {
		return 0, err
	}
	defer func() {
		if r.keep {
			fmt.Fprintln(r.progress, "kept:", opts.Dir)
			return
		}
		err = errors.Join(err, os.RemoveAll(opts.Dir))
	}()
	began := time.Now()
	lab, err := Up(opts)
	if err != nil {
		return 0, err
	}
	defer lab.Close()
	for _, n := range lab.nodes {
		limited, cancel := context.WithTimeout(ctx, patience)
		e, err := lab.Wait(limited, 0, n.name, "ready")
		cancel()
		if err != nil {
			return 0, err
		}
		fmt.Fprintf(r.out, "%6.1f s  %s is up: %s\n", e.At.Seconds(), e.Node, e.Note)
	}
	s := &Stage{Lab: lab, out: r.out}
	defer s.endPlay()
	if err := sc.Run(ctx, s); err != nil {
		if ctx.Err() == nil {
			s.logs(ctx)
		}
		return s.proved, fmt.Errorf("%s: after %d things shown: %w", sc.Name, s.proved, err)
	}
	fmt.Fprintf(r.out, "\n%s: %d things shown in %s: %s\n", sc.Name, s.proved, time.Since(began).Round(time.Second), sc.Short)
	return s.proved, nil
}
