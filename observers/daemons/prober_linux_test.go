package daemons

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"understudy/config"
	"understudy/observers/trigger"
	"understudy/reconcile"
)

type bench struct {
	t     *testing.T
	p     *Prober
	cfg   *config.Config
	fired trigger.Trigger
	stop  func()
}

// probing runs a Prober over one application whose only daemon runs.
func probing(t *testing.T, limit time.Duration, argv ...string) *bench {
	t.Helper()
	b := &bench{t: t, fired: trigger.New(), cfg: file1(config.Daemon{Name: "d"})}
	a := &b.cfg.Groups[0].Applications[0]
	a.Probes, a.ProbeInterval, a.ProbeLimit = []config.Probe{{Command: argv}}, 10*time.Millisecond, limit
	a.Environment = []config.Option{{Key: "WHERE", Value: "here"}}
	b.p = NewProber(b.fired.Fire, slog.New(slog.NewTextHandler(t.Output(), nil)))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- b.p.Run(ctx) }()
	b.stop = sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(b.stop)
	return b
}

func (b *bench) set(start uint64) reconcile.AppState {
	s := []reconcile.AppState{{Group: "g", App: "a", Daemons: []reconcile.DaemonState{{Name: "d"}}}}
	if start > 0 {
		s[0].Daemons[0].Processes = []reconcile.Process{{PID: 1, Start: start}}
	}
	b.p.Set(b.cfg, s)
	return s[0]
}

func (b *bench) verdict(start uint64) reconcile.AppState {
	b.t.Helper()
	limit := time.After(10 * time.Second)
	for {
		if s := b.set(start); s.Probe != reconcile.ProbeUnknown {
			return s
		}
		select {
		case <-b.fired:
		case <-limit:
			b.t.Fatal("no verdict")
		}
	}
}

func TestProbeVerdicts(t *testing.T) {
	for _, c := range []struct {
		name, why string
		argv      []string
		limit     time.Duration
		want      reconcile.Probe
	}{
		{"good", "", []string{"/bin/sh", "-c", "test $WHERE = here"}, 5 * time.Second, reconcile.ProbeGood},
		{"bad", "exit status 3: it hurts", []string{"/bin/sh", "-c", "echo well; printf 'it\\thurts\n\n' >&2; exit 3"}, 5 * time.Second, reconcile.ProbeBad},
		{"absent", "no such file", []string{"/nonexistent/probe"}, 5 * time.Second, reconcile.ProbeBad},
		{"slow", "no answer within 100ms", []string{"/bin/sh", "-c", "sleep 60 & sleep 60"}, 100 * time.Millisecond, reconcile.ProbeBad},
		{"leaves a child behind", "", []string{"/bin/sh", "-c", "sleep 2 & exit 0"}, 5 * time.Second, reconcile.ProbeGood},
		{"talkative", "exit status 1: end", []string{"/bin/sh", "-c", "head -c 1000000 /dev/zero; echo; echo end; exit 1"}, 5 * time.Second, reconcile.ProbeBad},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := probing(t, c.limit, c.argv...)
			s := b.verdict(1)
			if s.Probe != c.want || !strings.Contains(s.ProbeErr, c.why) || c.want == reconcile.ProbeGood && s.ProbeErr != "" {
				t.Fatalf("verdict %v %q", s.Probe, s.ProbeErr)
			}
			if s := b.set(2); s.Probe != reconcile.ProbeUnknown {
				t.Errorf("the verdict of an earlier start is still told")
			}
		})
	}
}

// An application whose optional daemons are absent is probed all the same.
func TestProbeWithoutOptionalDaemons(t *testing.T) {
	run := []reconcile.Process{{PID: 1, Start: 1}}
	a := config.Application{Name: "a", Probes: []config.Probe{{Command: []string{"/bin/true"}}}, ProbeInterval: time.Second}
	state := func(always, optional []reconcile.Process) reconcile.AppState {
		return reconcile.AppState{Daemons: []reconcile.DaemonState{{Name: "always", Processes: always}, {Name: "optional", Processes: optional, Optional: true}}}
	}
	if got := eligible(a, state(run, nil)); got == nil || len(got.processes) != 1 {
		t.Errorf("without the optional one: %+v", got)
	}
	if got := eligible(a, state(nil, run)); got != nil {
		t.Errorf("without the other: %+v", got)
	}
}

// TestProbeThresholds: what so many of so many probes say together.
func TestProbeThresholds(t *testing.T) {
	for _, c := range []struct {
		least, of    int
		probes, want string // + good, - bad; of the verdict also ? for none yet
	}{
		{1, 1, "+-+-", "+-+-"},
		{0, 0, "+-+-", "+-+-"}, // not declared
		{3, 3, "+--+---+", "++++++-+"},
		{3, 3, "--+", "??+"},
		{2, 4, "+-++-+--++++", "++++-+----++"},
		{2, 3, "-+-", "?+-"},
	} {
		seen, got := tally{least: c.least, of: c.of}, ""
		for _, p := range c.probes {
			v := verdict{probe: reconcile.ProbeGood}
			if p == '-' {
				v = verdict{probe: reconcile.ProbeBad, why: "it hurts"}
			}
			v = seen.add(v)
			got += map[reconcile.Probe]string{reconcile.ProbeUnknown: "?", reconcile.ProbeGood: "+", reconcile.ProbeBad: "-"}[v.probe]
			if v.probe == reconcile.ProbeBad && v.why == "" || v.probe != reconcile.ProbeBad && v.why != "" {
				t.Errorf("%d of %d, %s: %+v", c.least, c.of, got, v)
			}
		}
		if got != c.want {
			t.Errorf("%d of %d: %s gives %s, want %s", c.least, c.of, c.probes, got, c.want)
		}
	}
	seen := tally{least: 3, of: 3}
	seen.add(verdict{probe: reconcile.ProbeGood})
	if v := seen.add(verdict{probe: reconcile.ProbeBad, why: "it hurts"}); v != (verdict{probe: reconcile.ProbeGood, doubt: "probe: 1 of 3 bad: it hurts"}) {
		t.Errorf("%+v", v)
	}
}

// TestOneBadProbeOfThreeIsShownAndDoesNothing: a real probe that fails until it is told
// to be good again; the third in a row counts.
func TestOneBadProbeOfThreeIsShownAndDoesNothing(t *testing.T) {
	dir := t.TempDir()
	count := filepath.Join(dir, "count")
	// Bad from the second probe on, and each bad one waits until it may end.
	b := probing(t, 20*time.Second, "/bin/sh", "-c", `echo >>`+count+`; n=$(wc -l <`+count+`); [ $n -eq 1 ] && exit 0
while [ ! -e `+dir+`/$n ]; do sleep 0.01; done; echo refused; exit 1`)
	a := &b.cfg.Groups[0].Applications[0]
	a.ProbeFailures, a.ProbeOf = 3, 3
	until := func(what string, is func(s reconcile.AppState) bool) {
		t.Helper()
		limit := time.After(20 * time.Second)
		for {
			s := b.set(1)
			if is(s) {
				return
			}
			select {
			case <-b.fired:
			case <-limit:
				t.Fatalf("never %s: %+v", what, s)
			}
		}
	}
	let := func(n string) { must(t, os.WriteFile(filepath.Join(dir, n), nil, 0o600)) }
	until("good", func(s reconcile.AppState) bool { return s.Probe == reconcile.ProbeGood && s.Doubt == "" })
	let("2")
	until("in doubt", func(s reconcile.AppState) bool {
		return s.Probe == reconcile.ProbeGood && strings.HasPrefix(s.Doubt, "probe: 1 of 3 bad: exit status 1: refused")
	})
	let("3")
	until("more in doubt", func(s reconcile.AppState) bool {
		return s.Probe == reconcile.ProbeGood && strings.HasPrefix(s.Doubt, "probe: 2 of 3 bad")
	})
	let("4")
	until("bad", func(s reconcile.AppState) bool {
		return s.Probe == reconcile.ProbeBad && strings.HasPrefix(s.ProbeErr, "3 of the latest 3 bad: exit status 1: refused") && s.Doubt == ""
	})
}

// A probe that is killed for its time takes its children with it.
func TestProbeIsKilledWithItsChildren(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pid")
	b := probing(t, 2*time.Second, "/bin/sh", "-c", "sleep 60 & echo $! > "+path+"; wait")
	b.verdict(1)
	b.set(0)
	b.p.Pause("g", "a")
	text, err := os.ReadFile(path)
	must(t, err)
	var pid int
	_, err = fmt.Sscan(string(text), &pid)
	must(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	must(t, trigger.Exit(ctx, pid, func() bool { return true }))
}

// While an application is paused no probe of it runs, and two never run at once.
func TestPause(t *testing.T) {
	dir := t.TempDir()
	// The probe fails if another one is inside at the same time.
	b := probing(t, 5*time.Second, "/bin/sh", "-c", "mkdir "+dir+"/busy || exit 9; echo >> "+dir+"/runs; rmdir "+dir+"/busy")
	runs := func() int {
		text, _ := os.ReadFile(dir + "/runs")
		return len(text)
	}
	for range 10 {
		if s := b.verdict(1); s.Probe != reconcile.ProbeGood {
			t.Fatal(s.ProbeErr)
		}
		b.p.Pause("g", "a")
		_ = os.Remove(dir + "/busy") // a killed probe may have left it
		before := runs()
		if s := b.set(1); s.Probe != reconcile.ProbeUnknown {
			t.Fatal("a verdict is told during a pause")
		}
		idle := time.NewTimer(30 * time.Millisecond) // three intervals in which nothing may run
		<-idle.C
		if runs() != before {
			t.Fatal("a probe ran during a pause")
		}
		b.p.Resume("g", "a")
	}
	b.stop()
	if before := runs(); before == 0 {
		t.Fatal("no probe ran")
	}
}

// Without Run, pausing and resuming do nothing and do not wait.
func TestPauseWithoutRun(*testing.T) {
	p := NewProber(func() {}, slog.New(slog.DiscardHandler))
	p.Pause("g", "a")
	p.Resume("g", "a")
}
