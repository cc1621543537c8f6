//go:build linux

package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// BenchOptions says what [Bench] measures and how it tells it.
type BenchOptions struct {
	Cases []string      // nil: all, in the order of [benchNames]
	Runs  int           // of every case but idle; 0 means 7
	Idle  time.Duration // how long the case idle looks; 0 means a minute
	JSON  bool          // one document at the end instead of a table
}

// A target is what a case is to reach, by the choice of timers: the median
// outage, in milliseconds. The peers are what it was set by.
type target struct {
	tuned, standard float64
	own             bool // the application's own start and stop are added
}

var targets = map[string]target{
	"crash":      {tuned: 400, standard: 1500},
	"move":       {tuned: 80, standard: 80, own: true},
	"appkill":    {tuned: 30, standard: 30, own: true},
	"ipdel":      {tuned: 20, standard: 20},
	"linkdown":   {tuned: 300, standard: 1000},
	"splitbrain": {tuned: 500, standard: 1500},
}

// What the active node may use while nothing happens, embedded store included.
const (
	idleTargetCPU = 1.2 // CPU seconds in a minute
	idleTargetRSS = 64  // MiB resident
)

// limit is the target of a case in milliseconds, zero if it has none.
func (t target) limit(timers Timers, own float64) float64 {
	ms := t.standard
	if timers == TunedTimers {
		ms = t.tuned
	}
	if t.own && ms > 0 {
		ms += own
	}
	return ms
}

// Row is what was measured of one case. All times are in milliseconds.
type Row struct {
	Case       string    `json:"case"`
	Title      string    `json:"title"`
	Outages    []float64 `json:"outages_ms,omitempty"` // one a run, in their order
	Median     float64   `json:"median_ms,omitempty"`
	Min        float64   `json:"min_ms,omitempty"`
	Max        float64   `json:"max_ms,omitempty"`
	Noise      float64   `json:"noise_ms,omitempty"`       // longest gap just before the faults
	Own        float64   `json:"application_ms,omitempty"` // of it the application's own, measured alone
	Acked      int       `json:"acked,omitempty"`          // answers, each a write that was promised
	CutOff     int       `json:"acked_cut_off,omitempty"`  // of them given by an owner that was cut off already
	Lost       int       `json:"lost"`
	Violations int       `json:"violations"` // times something was on two hosts at once
	Usage      []Usage   `json:"usage,omitempty"`
	Target     float64   `json:"target_ms,omitempty"`
	Missed     bool      `json:"missed"`
	Load       float64   `json:"load"` // of the machine, over the last minute, at the end
	Error      string    `json:"error,omitempty"`
}

// benchDocument is what --json prints.
type benchDocument struct {
	Timers      string `json:"timers"`
	Rows        []Row  `json:"cases"`
	Interrupted bool   `json:"interrupted"`
}

// benchNames are all cases, in the order they are measured.
func benchNames() []string { return append(caseNames(), "splitbrain", "idle") }

// Bench measures, for each case, the longest time a client is without an answer,
// and checks every answer it was given. The group is rotating, so that it stays
// where a fault has put it and every run begins with two good nodes. Rows go to
// out as they are measured, progress goes to errw. A case that fails does not end
// the others; the end of ctx does, and what was measured until then is told.
func Bench(ctx context.Context, o Options, b BenchOptions, out, errw io.Writer) error {
	if len(b.Cases) == 0 {
		b.Cases = benchNames()
	}
	if b.Runs == 0 {
		b.Runs = 7
	}
	if b.Idle == 0 {
		b.Idle = time.Minute
	}
	if b.Runs < 1 || b.Idle < time.Second {
		return fmt.Errorf("cannot measure %d runs, and idle for %s — one run and one second at least", b.Runs, b.Idle)
	}
	for _, name := range b.Cases {
		if !slices.Contains(benchNames(), name) {
			return fmt.Errorf("cannot find case %q — the cases are %s", name, strings.Join(benchNames(), ", "))
		}
	}
	if err := vacant(o.Name); err != nil {
		return err
	}
	o.Policy = "rotating"
	// A killed application is to be restarted in place, in every run.
	o.Group += "\nrestarts = 1000\n"
	m := &meter{o: o, BenchOptions: b, out: out, errw: errw, began: time.Now()}
	doc := benchDocument{Timers: o.Timers.word(), Rows: []Row{}}
	if !b.JSON {
		m.heading()
	}
	var failed []string
	for _, name := range b.Cases {
		row, err := m.measure(ctx, name)
		if ctx.Err() != nil {
			m.progress(name, "interrupted; what was measured of it is not counted")
			doc.Interrupted = true
			break
		}
		if err != nil {
			m.progress(name, "failed: %v", err)
			row = Row{Case: name, Title: row.Title, Load: load()}
			row.Error, _, _ = strings.Cut(err.Error(), "\n")
			failed = append(failed, name)
		}
		if row.Lost > 0 || row.Violations > 0 {
			failed = append(failed, name)
		}
		doc.Rows = append(doc.Rows, row)
		if !b.JSON {
			m.print(row)
		}
	}
	if b.JSON {
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		if err := enc.Encode(doc); err != nil {
			return err
		}
	}
	switch {
	case doc.Interrupted:
		return fmt.Errorf("interrupted after %d of %d cases: %w", len(doc.Rows), len(b.Cases), context.Cause(ctx))
	case len(failed) > 0:
		return errors.New("cannot call this a good bench: " + strings.Join(failed, ", ") + " failed or broke a promise")
	}
	return nil
}

func (t Timers) word() string {
	if t == TunedTimers {
		return "tuned"
	}
	return "default"
}
