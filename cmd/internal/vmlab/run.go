//go:build linux

package vmlab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
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

// scenarioLimit is how long a scenario may take. The longest takes half an hour where other
// work has most of the processors.
const scenarioLimit = 75 * time.Minute

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
		table(r.out, scenarios, results, time.Since(began))
	}
	return verdict(ctx, scenarios, results)
}

// columns is the width of the table.
const columns = 79

// table is what is printed last: a line for each scenario, also for those that were not
// begun, with the reason of those that failed as far as there is room.
func table(out io.Writer, scenarios []Scenario, results []result, took time.Duration) {
	fmt.Fprintf(out, "\n%-10s %6s %8s  %s\n", "scenario", "shown", "seconds", "result")
	line := func(name string, shown int, took time.Duration, result string) {
		text := []rune(fmt.Sprintf("%-10s %6d %8.0f  %s", name, shown, took.Seconds(), strings.Join(strings.Fields(result), " ")))
		fmt.Fprintln(out, string(text[:min(len(text), columns)]))
	}
	shown, good := 0, 0
	for _, r := range results {
		shown += r.shown
		if r.err == nil {
			good++
			line(r.name, r.shown, r.took, "all shown")
			continue
		}
		line(r.name, r.shown, r.took, "failed: "+strings.TrimPrefix(r.err.Error(), r.name+": "))
	}
	for _, sc := range scenarios[len(results):] {
		line(sc.Name, 0, 0, "not begun")
	}
	line("all", shown, took, fmt.Sprintf("%d of %d scenarios", good, len(scenarios)))
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
	limited, cancel := context.WithTimeoutCause(ctx, scenarioLimit, fmt.Errorf("the scenario was not done after %s", scenarioLimit))
	defer cancel()
	if err := attempt(limited, sc, s); err != nil {
		if ctx.Err() == nil {
			s.logs(ctx)
		}
		return s.proved, fmt.Errorf("%s: after %d things shown: %w", sc.Name, s.proved, err)
	}
	fmt.Fprintf(r.out, "\n%s: %d things shown in %s: %s\n", sc.Name, s.proved, time.Since(began).Round(time.Second), sc.Short)
	return s.proved, nil
}

// attempt runs a scenario. A mistake in it fails it alone, and leaves the others their
// turn.
func attempt(ctx context.Context, sc Scenario, s *Stage) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the scenario panicked: %v\n%s", r, debug.Stack())
		}
	}()
	return sc.Run(ctx, s)
}
