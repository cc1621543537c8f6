//go:build linux

package lab

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"understudy/reconcile/journal"
)

func TestTargets(t *testing.T) {
	for name := range targets {
		if !strings.Contains(" "+strings.Join(benchNames(), " ")+" ", " "+name+" ") {
			t.Errorf("a target for %q, which is no case", name)
		}
	}
	m := &meter{}
	for _, c := range []struct {
		row    Row
		timers Timers
		want   string
		missed bool
	}{
		{Row{Case: "crash", Outages: []float64{1600, 900, 1000}}, DefaultTimers, "1500 met", false},
		{Row{Case: "crash", Outages: []float64{1600, 900, 1000}}, TunedTimers, "400 MISSED", true},
		{Row{Case: "crash", Outages: []float64{2000, 1100}}, DefaultTimers, "1500 MISSED", true}, // the mean of both
		{Row{Case: "move", Outages: []float64{110}, Own: 35}, TunedTimers, "80+35 met", false},
		{Row{Case: "move", Outages: []float64{116}, Own: 35}, DefaultTimers, "80+35 MISSED", true},
		{Row{Case: "unmount", Outages: []float64{5000}}, DefaultTimers, "none", false},
		{Row{Case: "unmount", Outages: []float64{5}, Lost: 1}, DefaultTimers, "none", true},
		{Row{Case: "ipdel", Outages: []float64{5}, Violations: 1}, DefaultTimers, "20 met", true},
	} {
		m.o.Timers = c.timers
		m.judge(&c.row)
		if got := c.row.word(); got != c.want || c.row.Missed != c.missed {
			t.Errorf("%+v: %q, missed %v", c.row, got, c.row.Missed)
		}
	}
	row := Row{Usage: []Usage{{Role: active, CPU: 1.3, RSS: 40}, {Role: "standby", CPU: 9, RSS: 900}}}
	if m.judge(&row); !row.Missed || row.Usage[0].word() != "1.2 s, 64 MiB RSS MISSED" || row.Usage[1].word() != "none" {
		t.Errorf("%+v", row)
	}
}

func TestBenchRefuses(t *testing.T) {
	var out bytes.Buffer
	for _, b := range []BenchOptions{{Runs: -1}, {Idle: time.Millisecond}, {Cases: []string{"storm"}}} {
		if err := Bench(t.Context(), Options{}, b, &out, &out); err == nil || out.Len() > 0 {
			t.Errorf("%+v was taken: %q", b, out.String())
		}
	}
}

func TestStatFields(t *testing.T) {
	f := statFields([]byte("12 (a) (b c) S 7 12 12 0 -1 0 1 2 3 4 50 60 7 8 20"))
	if len(f) < 15 || f[0] != "S" || f[1] != "7" || f[11] != "50" || f[14] != "8" {
		t.Errorf("%q", f)
	}
	cpu, err := cpuSeconds(os.Getpid())
	if err != nil || cpu < 0 || cpu > 3600 {
		t.Errorf("this process used %v s, %v", cpu, err)
	}
	rss, pss, err := memory(os.Getpid())
	if err != nil || rss < 1 || pss <= 0 || pss > rss+1 {
		t.Errorf("this process has %v MiB, its share %v, %v", rss, pss, err)
	}
	if _, err := cpuSeconds(1 << 30); err == nil {
		t.Error("a process that is not there used time")
	}
}

// A client that dies with its host has told what it was told.
func TestRecorded(t *testing.T) {
	a := &Asker{l: &Lab{rec: record{Charge: charge{Dir: t.TempDir()}}}, host: Alpha}
	path := filepath.Join(a.l.Dir(), Alpha, recordName)
	if _, err := a.recorded(); err == nil {
		t.Error("no file was no error")
	}
	must(t, os.Mkdir(filepath.Dir(path), 0o700))
	must(t, os.WriteFile(path, []byte("7 100\n9 250\n1"), 0o600))
	all, err := a.recorded()
	if err != nil || len(all) != 2 || all[1] != (answered{9, 250}) {
		t.Errorf("%v, %v", all, err)
	}
	must(t, os.WriteFile(path, []byte("7 x\n"), 0o600))
	if _, err := a.recorded(); err == nil {
		t.Error("a broken line was taken")
	}
}

func TestWrap(t *testing.T) {
	for _, c := range []struct {
		text    string
		columns int
		want    string
	}{
		{"", 5, ""},
		{"one two three", 7, "one two|three"},
		{"one two three", 6, "one|two|three"},
		{"überlang kurz", 4, "überlang|kurz"},
		{"a → b: c", 5, "a →|b: c"},
	} {
		if got := strings.Join(wrap(c.text, c.columns), "|"); got != c.want {
			t.Errorf("%q in %d: %q", c.text, c.columns, got)
		}
	}
}

func TestTold(t *testing.T) {
	for _, c := range []struct {
		r            journal.Record
		before, want string
	}{
		{journal.Record{Kind: journal.Seen, FromRole: "standby", Role: "owner", Why: "home"}, "", "standby → owner: home"},
		{journal.Record{Kind: journal.Decided, Of: 1, Why: "home"}, "home", "plan of 1 step"},
		{journal.Record{Kind: journal.Decided, Of: 7, Why: "gone"}, "home", "plan of 7 steps: gone"},
		{journal.Record{Kind: journal.Done, N: 2, Of: 7, Step: "mount /srv", Took: 5 * time.Millisecond}, "", "step 2/7 mount /srv, 5 ms"},
		{journal.Record{Kind: journal.Failed, N: 2, Of: 7, Step: "mount /srv", Err: "busy"}, "", "step 2/7 mount /srv FAILED after 0 ms: busy"},
	} {
		if got := told(c.r, c.before); got != c.want {
			t.Errorf("%+v: %q, want %q", c.r, got, c.want)
		}
	}
}

// A demonstration needs the name of its lab for itself, and says so at once.
func TestDemoBesideALab(t *testing.T) {
	_, l := up(t, Options{Disks: -1})
	var out bytes.Buffer
	if err := Demo(context.Background(), Options{Name: l.Name}, &out); err == nil ||
		!strings.Contains(err.Error(), "lab down --name "+l.Name) || out.Len() > 0 {
		t.Errorf("%v, %q", err, out.String())
	}
}
