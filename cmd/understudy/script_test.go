package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"

	"understudy/config"
	"understudy/reconcile/journal"
)

// TestScripts runs the whole program by its command line: exit codes, what goes
// to stdout and what to stderr. `exec understudy` is this test binary. A script
// may start `run` only where it is refused, and then without a network.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Condition: func(cond string) (bool, error) {
			if cond == "root" {
				return os.Geteuid() == 0, nil
			}
			return false, fmt.Errorf("unknown condition %q", cond)
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"exit":    exitIs,
			"journal": keepJournal,
			"shape":   shapeOf,
			"answer":  answerChanges,
		},
	})
}

// exitIs runs the program and wants an exit code: exit CODE understudy ARG...
func exitIs(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exit CODE PROGRAM ARG...")
	}
	err := ts.Exec(args[1], args[2:]...)
	got := "0"
	if err != nil {
		e, ok := errors.AsType[interface {
			error
			ExitCode() int
		}](err)
		if !ok {
			ts.Fatalf("%v", err)
		}
		got = fmt.Sprint(e.ExitCode())
	}
	if got != args[0] {
		ts.Fatalf("exit code %s, want %s", got, args[0])
	}
}

// keepJournal writes two records, of the day before yesterday and of now, and, with "held", keeps it open
// like a resident service until the script ends: journal DIR [held]
func keepJournal(ts *testscript.TestScript, _ bool, args []string) {
	j, err := journal.Open(ts.MkAbs(args[0]), journal.Options{Node: "alpha", BootID: "b1"})
	ts.Check(err)
	ts.Check(j.Append(journal.Record{At: time.Now().Add(-48 * time.Hour), Kind: journal.Seen, Group: "files", FromRole: "rejoining", Role: "standby", Event: "held", Why: "beta holds it"}))
	ts.Check(j.Append(journal.Record{Kind: journal.Note, Why: "understudy ended"}))
	if len(args) > 1 && args[1] == "held" {
		ts.Defer(func() { _ = j.Close() })
		return
	}
	ts.Check(j.Close())
}

// shapeOf prints the names of the fields of the JSON in a file, a path each, to
// be held against a golden list: shape FILE GOLDEN
func shapeOf(ts *testscript.TestScript, _ bool, args []string) {
	var v any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &v))
	names := map[string]bool{}
	walkJSON("", v, names)
	got := strings.Join(slices.Sorted(maps.Keys(names)), "\n") + "\n"
	if want := ts.ReadFile(args[1]); got != want {
		ts.Fatalf("fields:\n%swant:\n%s", got, want)
	}
}

func walkJSON(path string, v any, names map[string]bool) {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			names[strings.TrimPrefix(path+"."+k, ".")] = true
			walkJSON(path+"."+k, e, names)
		}
	case []any:
		for _, e := range v {
			walkJSON(path+"[]", e, names)
		}
	}
}

// verbs are all commands, also those below others.
func verbs(cmd *cobra.Command) []*cobra.Command {
	out := []*cobra.Command{cmd}
	for _, sub := range cmd.Commands() {
		out = append(out, verbs(sub)...)
	}
	return out
}

// elsewhere are verbs whose help text is not held to the width here.
var elsewhere = []string{"lab", "witness"}

// TestHelp asks every command for help: exit 0, a usage, nothing on stderr, and
// nothing wider than a terminal.
func TestHelp(t *testing.T) {
	for _, cmd := range verbs(newRoot(&bytes.Buffer{}, &bytes.Buffer{})) {
		args := append(strings.Fields(cmd.CommandPath())[1:], "--help")
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			var out, errs bytes.Buffer
			if code := run(t.Context(), args, &out, &errs); code != exitOK || errs.Len() > 0 {
				t.Fatalf("exit %d, stderr %q", code, &errs)
			}
			if !strings.Contains(out.String(), "Usage:") {
				t.Errorf("no usage in %q", &out)
			}
			if slices.Contains(elsewhere, cmd.Name()) {
				return
			}
			for line := range strings.Lines(out.String()) {
				if line = strings.TrimRight(line, "\n"); len([]rune(line)) > helpWidth {
					t.Errorf("%d columns: %s", len([]rune(line)), line)
				}
			}
		})
	}
}

func readme(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// section is what stands below a heading, up to the next one of its rank.
func section(t *testing.T, text, heading string) string {
	t.Helper()
	_, after, ok := strings.Cut(text, "\n## "+heading)
	if !ok {
		t.Fatalf("README.md has no section %q", heading)
	}
	body, _, _ := strings.Cut(after, "\n## ")
	return body
}

// TestDocumentedFiles checks the files that people copy.
func TestDocumentedFiles(t *testing.T) {
	_, after, ok := strings.Cut(section(t, readme(t), "Two hosts"), "\n```toml\n")
	if !ok {
		t.Fatal("README.md shows no file")
	}
	example, _, _ := strings.Cut(after, "\n```")
	reference, err := os.ReadFile("../../config/reference.toml")
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"README.md": []byte(example), "config/reference.toml": reference} {
		cfg, findings := config.Check(name, data)
		for _, f := range findings {
			t.Error(f)
		}
		if cfg == nil || len(cfg.Groups) == 0 || len(cfg.Nodes) < 2 {
			t.Errorf("%s is refused, or has no group", name)
		}
	}
}

// TestDocumentedVerbs holds the list of verbs in README.md to those there are.
func TestDocumentedVerbs(t *testing.T) {
	list, _, ok := strings.Cut(section(t, readme(t), "Verbs"), ":\n`understudy VERB --help`")
	if !ok {
		t.Fatal("README.md does not list the verbs")
	}
	var said, there []string
	for _, m := range regexp.MustCompile("`([a-z-]+)`").FindAllStringSubmatch(list, -1) {
		said = append(said, m[1])
	}
	for _, cmd := range newRoot(&bytes.Buffer{}, &bytes.Buffer{}).Commands() {
		if cmd.IsAvailableCommand() && cmd.Name() != "help" {
			there = append(there, cmd.Name())
		}
	}
	slices.Sort(said)
	slices.Sort(there)
	if !slices.Equal(said, there) {
		t.Errorf("README.md lists %q, there are %q", said, there)
	}
}
