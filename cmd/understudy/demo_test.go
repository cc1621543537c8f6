//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"understudy/cmd/internal/lab"
)

// program is a command line of the program itself: this binary, under its name.
// Its lab is this test's own; the test fails when something of it is left.
func program(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: namespaces, mounts and loop devices")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("d%d", os.Getpid()%100000)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, self)
	cmd.Args = append([]string{"understudy", "lab"}, append(args, "--name", name)...)
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0") // or every process of a lab takes a second to end
	t.Cleanup(func() {
		if left := lab.Left(name, ""); len(left) > 0 {
			t.Errorf("left behind:\n%s", strings.Join(left, "\n"))
		}
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		if err := lab.Down(ctx, name); err != nil {
			t.Error(err)
		}
	})
	return cmd
}

// watched keeps what is written to it, and calls seen once when that contains a
// text.
type watched struct {
	all  strings.Builder
	text string
	seen func()
}

func (w *watched) String() string { return w.all.String() }

func (w *watched) Write(b []byte) (int, error) {
	n, err := w.all.Write(b)
	if w.seen != nil && strings.Contains(w.String(), w.text) {
		w.seen()
		w.seen = nil
	}
	return n, err
}

// interrupted runs it and presses Ctrl-C, so to speak, when its output or what it
// says beside it contains a text. It must end soon, and as failed.
func interrupted(t *testing.T, text string, args ...string) (stdout, stderr string) {
	t.Helper()
	cmd := program(t, args...)
	var began time.Time
	press := func() {
		began = time.Now()
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			t.Error(err)
		}
	}
	both := sync.OnceFunc(press)
	out, errs := &watched{text: text, seen: both}, &watched{text: text, seen: both}
	cmd.Stdout, cmd.Stderr = out, errs
	err := cmd.Run()
	if began.IsZero() {
		t.Fatalf("it never said %q: %v\n%s%s", text, err, out, errs)
	}
	took := time.Since(began)
	t.Logf("ended %v after the signal", took.Round(time.Millisecond))
	if code := cmd.ProcessState.ExitCode(); code != exitFailed || took > time.Minute {
		t.Errorf("exit %d after %v:\n%s%s", code, took, out, errs)
	}
	return out.String(), errs.String()
}

func TestDemo(t *testing.T) {
	cmd := program(t, "demo")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	began := time.Now()
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s%s", err, &out, &errs)
	}
	t.Logf("%v:\n%s", time.Since(began).Round(time.Millisecond), &out)
	if errs.Len() > 0 {
		t.Errorf("it complains: %s", &errs)
	}
	rest := out.String()
	for _, want := range []string{ // in this order
		"Ctrl-C ends it at any time",
		"1 of 6  boot", "alpha   everything is up",
		"2 of 6  power cut of the owner", "the power of alpha is cut", "its\n                    fence confirms off",
		"fence alpha", "standby → takeover", "without an answer; served by beta",
		"3 of 6  power back, reintegration", "takeover → rejoining", "standby → owner", "served by alpha",
		"4 of 6  application killed", "step 1/2 start answers",
		"5 of 6  service address removed by hand", "address svc",
		"6 of 6  planned move", "owner → rejoining", "sign off files", "served by beta",
		"alpha → beta", "fence", "beta → alpha", "clean release", "not needed", "not needed", "alpha → beta", "clean release",
		" writes were acknowledged, 0 of them lost", "on two nodes at once: 0 times", "nothing is left behind",
		"understudy lab up --name d",
	} {
		_, after, found := strings.Cut(rest, want)
		if !found {
			t.Fatalf("it does not say %q, or not there; the rest is\n%s", want, rest)
		}
		rest = after
	}
	for line := range strings.Lines(out.String()) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 80 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
}

func TestDemoInterrupted(t *testing.T) {
	out, errs := interrupted(t, "the power of alpha is cut", "demo")
	if !strings.Contains(errs, "interrupted in phase 2 of 6; nothing is left behind") || strings.Contains(out, "3 of 6") {
		t.Errorf("%s%s", out, errs)
	}
}

// benched is what a test reads of a bench's document.
type benched struct {
	Timers      string    `json:"timers"`
	Rows        []lab.Row `json:"cases"`
	Interrupted bool      `json:"interrupted"`
}

func TestBench(t *testing.T) {
	cmd := program(t, "bench", "--runs", "1", "--case", "move,ipdel", "--json")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s%s", err, &out, &errs)
	}
	var doc benched
	if err := json.Unmarshal(out.Bytes(), &doc); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	t.Logf("%s%s", &errs, &out)
	if len(doc.Rows) != 2 || doc.Timers != "default" || doc.Interrupted {
		t.Fatalf("%+v", doc)
	}
	for i, name := range []string{"move", "ipdel"} {
		r := doc.Rows[i]
		if r.Case != name || len(r.Outages) != 1 || r.Median <= 0 || r.Median != r.Outages[0] || r.Target <= 0 ||
			r.Acked < 150 || r.Lost != 0 || r.Violations != 0 || r.Error != "" {
			t.Errorf("%+v", r)
		}
	}
	if own := doc.Rows[0].Own; own <= 0 || doc.Rows[0].Target <= own {
		t.Errorf("move: the application's own time is %v of %v", own, doc.Rows[0].Target)
	}
	if !strings.Contains(errs.String(), "ipdel: run 1 of 1") {
		t.Errorf("no progress: %s", &errs)
	}
}

func TestBenchInterrupted(t *testing.T) {
	out, errs := interrupted(t, "crash: a new lab boots", "bench", "--runs", "1", "--case", "ipdel,crash", "--json")
	var doc benched
	if err := json.Unmarshal([]byte(out), &doc); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if len(doc.Rows) != 1 || doc.Rows[0].Case != "ipdel" || !doc.Interrupted || !strings.Contains(errs, "interrupted after 1 of 2 cases") {
		t.Errorf("%s%s", out, errs)
	}
}
