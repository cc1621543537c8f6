//go:build linux

package lab

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// meter measures one case after the other.
type meter struct {
	BenchOptions
	o         Options
	out, errw io.Writer
	began     time.Time
}

func (m *meter) progress(name, format string, args ...any) {
	fmt.Fprintf(m.errw, "%5.0f s  %s: %s\n", time.Since(m.began).Seconds(), name, fmt.Sprintf(format, args...))
}

// measure runs one case in a lab of its own.
func (m *meter) measure(ctx context.Context, name string) (Row, error) {
	m.progress(name, "a new lab boots")
	c, title := stageCase{}, ""
	switch name {
	case "idle":
		title = fmt.Sprintf("nothing happens for %s", m.Idle)
	case "splitbrain":
		c = splitCase
	default:
		var err error
		if c, err = caseOf(name); err != nil {
			return Row{}, err
		}
	}
	if title == "" {
		title = c.title
	}
	row := Row{Case: name, Title: title}
	o := m.o
	if c.hosts != nil {
		o.Hosts = c.hosts()
	}
	s, err := set(ctx, o)
	if err != nil {
		return row, err
	}
	if name == "idle" {
		row.Usage, err = m.idle(ctx, s)
	} else {
		err = m.outages(ctx, s, c, &row)
	}
	v, violations, err := s.end(ctx, err)
	if err != nil {
		return row, err
	}
	row.Acked, row.Lost, row.Violations, row.CutOff = v.Acked, len(v.Lost), len(violations), s.cutOff
	row.Load = load()
	m.judge(&row)
	if row.Lost > 0 {
		m.progress(name, "lost, of each client from a multiple of %d upwards: %v", apart, v.Lost[:min(20, row.Lost)])
	}
	for _, one := range violations {
		m.progress(name, "%s", one)
	}
	return row, nil
}

func (m *meter) outages(ctx context.Context, s *stage, c stageCase, row *Row) error {
	for run := range m.Runs {
		owner, err := s.serving(ctx, "")
		if err == nil {
			err = s.ready(ctx, s.other(owner))
		}
		if err == nil && run == 0 && targets[c.name].own {
			row.Own, err = s.own(ctx, s.other(owner), c.moves)
		}
		if err == nil && s.ask == nil {
			s.ask, err = s.Client(ctx)
		}
		if err == nil && c.prepare != nil {
			err = c.prepare(ctx, s, owner)
		}
		if err != nil {
			return err
		}
		gap, noise, err := s.play(ctx, c, owner, func(time.Duration) {})
		if err != nil {
			return err
		}
		row.Outages = append(row.Outages, millis(gap))
		row.Noise = max(row.Noise, millis(noise))
		m.progress(c.name, "run %d of %d: %s, %s", run+1, m.Runs, owner, short(gap))
		if c.mend != nil {
			if err = c.mend(ctx, s, owner); err == nil {
				err = calm(ctx)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// judge fills in what follows from what was measured.
func (m *meter) judge(row *Row) {
	if n := len(row.Outages); n > 0 {
		sorted := slices.Sorted(slices.Values(row.Outages))
		row.Median, row.Min, row.Max = (sorted[(n-1)/2]+sorted[n/2])/2, sorted[0], sorted[n-1]
		row.Target = targets[row.Case].limit(m.o.Timers, row.Own)
		row.Missed = row.Target > 0 && row.Median > row.Target
	}
	for i := range row.Usage {
		u := &row.Usage[i]
		u.Missed = u.Role == active && (u.CPU > idleTargetCPU || u.RSS > idleTargetRSS)
		row.Missed = row.Missed || u.Missed
	}
	row.Missed = row.Missed || row.Lost > 0 || row.Violations > 0
}

func (m *meter) heading() {
	fmt.Fprintf(m.out, "%s timers; outages in ms, of a client that asks every 5 ms; noise: its\n"+
		"longest wait just before a fault; lost: answers whose write is not on the disk;\n"+
		"double: times something was on two hosts at once; target: for the median, plus\n"+
		"the application's own stop and start where they are part of it\n\n", m.o.Timers.word())
	fmt.Fprintf(m.out, "%-10s %4s %6s %6s %6s %5s %4s %6s %5s  %s\n",
		"case", "runs", "median", "min", "max", "noise", "lost", "double", "load", "target")
}

func (m *meter) print(r Row) {
	switch {
	case r.Error != "":
		fmt.Fprintf(m.out, "%-10s failed: %s\n", r.Case, r.Error)
	case r.Usage != nil:
		fmt.Fprintf(m.out, "\n%-22s %9s %8s %8s  %s\n", "idle for "+m.Idle.String(), "CPU s/min", "RSS MiB", "PSS MiB", "target")
		for _, u := range r.Usage {
			fmt.Fprintf(m.out, "%-22s %9.2f %8.1f %8.1f  %s\n", u.Host+", "+u.Role, u.CPU, u.RSS, u.PSS, u.word())
		}
		fmt.Fprintf(m.out, "load %.2f\n\n", r.Load)
	default:
		fmt.Fprintf(m.out, "%-10s %4d %6.1f %6.1f %6.1f %5.1f %4d %6d %5.2f  %s\n", r.Case, len(r.Outages),
			r.Median, r.Min, r.Max, r.Noise, r.Lost, r.Violations, r.Load, r.word())
		if r.CutOff > 0 {
			fmt.Fprintf(m.out, "%-10s of %d answers, %d came from an owner that was cut off already\n", "", r.Acked, r.CutOff)
		}
	}
}

// word says of a target whether it was met.
func (r Row) word() string {
	if r.Target == 0 {
		return "none"
	}
	text := fmt.Sprintf("%.0f", r.Target)
	if r.Own > 0 {
		text = fmt.Sprintf("%.0f+%.0f", r.Target-r.Own, r.Own) // the application's own
	}
	if r.Median > r.Target {
		return text + " MISSED"
	}
	return text + " met"
}

// own is the time that the application itself needs to start, and to stop if it
// is stopped, measured on an idle host by a client there, as the outages are.
func (s *stage) own(ctx context.Context, host string, stopped bool) (float64, error) {
	const at, file = "127.0.0.1:7001", "/run/own-answers"
	ask, err := s.ClientOn(ctx, host, netip.MustParseAddrPort(at), 1)
	if err != nil {
		return 0, err
	}
	var all []float64
	for range 5 {
		mark := ask.Mark()
		if err := s.Spawn(ctx, host, "own", binaryInside, "lab-app", "--listen", at, "--file", file); err != nil {
			return 0, err
		}
		if err := ask.Answered(ctx, mark, 20); err != nil {
			return 0, err
		}
		took, err := ask.Gap(ctx, mark)
		if err != nil {
			return 0, err
		}
		began := time.Now()
		if err := s.Signal(ctx, host, "own", syscall.SIGTERM); err != nil {
			return 0, err
		}
		if _, err := s.WaitEnd(ctx, host, "own"); err != nil {
			return 0, err
		}
		if stopped {
			took += time.Since(began)
		}
		all = append(all, millis(took))
	}
	slices.Sort(all)
	return all[len(all)/2], ask.Stop(ctx)
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

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// load is the machine's load average over the last minute (proc_loadavg(5)), -1
// if it cannot be read.
func load() float64 {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return -1
	}
	one, _, _ := strings.Cut(string(b), " ")
	f, err := strconv.ParseFloat(one, 64)
	if err != nil {
		return -1
	}
	return f
}
