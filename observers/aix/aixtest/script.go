// Package aixtest plays recorded conversations with AIX's commands.
//
// What it decides: nothing. [Script] answers each command with what was recorded
// for it, in the order of the record.
//
// What it must never do: answer a command that was not expected, or let one that
// was expected be left out.
//
// Who calls it: tests of observers/aix and of reconcile/act/aix.
package aixtest

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"

	"understudy/observers/aix"
)

type exchange struct {
	command, out, stderr string
	code                 int
}

// Script returns a Run that plays a record: a line "$ COMMAND ARGS", then what it
// prints, and perhaps a last line "? STATUS MESSAGE" for how it fails. Lines before
// the first command are left out, and so is "# " comment. The test fails if another
// command is asked for, or if commands are left when it ends.
func Script(t testing.TB, record string) aix.Run {
	t.Helper()
	var left []exchange
	for line := range strings.Lines(record) {
		line = strings.TrimSuffix(line, "\n")
		if c, ok := strings.CutPrefix(line, "$ "); ok {
			left = append(left, exchange{command: c})
			continue
		}
		if len(left) == 0 || strings.HasPrefix(line, "# ") {
			continue
		}
		last := &left[len(left)-1]
		if f, ok := strings.CutPrefix(line, "? "); ok {
			status, message, _ := strings.Cut(f, " ")
			code, err := strconv.Atoi(status)
			if err != nil {
				t.Fatalf("line %q of the record has no exit status", line)
			}
			last.code, last.stderr = code, message
			continue
		}
		last.out += line + "\n"
	}
	var mu sync.Mutex
	t.Cleanup(func() {
		mu.Lock()
		defer mu.Unlock()
		if len(left) > 0 && !t.Failed() {
			t.Errorf("%d expected commands did not run, first: %s", len(left), left[0].command)
		}
	})
	return func(ctx context.Context, argv ...string) (string, error) {
		mu.Lock()
		defer mu.Unlock()
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
		got := strings.Join(argv, " ")
		if len(left) == 0 {
			t.Errorf("unexpected command: %s", got)
			return "", fmt.Errorf("unexpected command %s", got)
		}
		e := left[0]
		if e.command != got {
			t.Errorf("command %q, expected was %q", got, e.command)
			return "", fmt.Errorf("unexpected command %s", got)
		}
		left = left[1:]
		if e.code != 0 {
			return e.out, &aix.ExitError{Argv: argv, Code: e.code, Stderr: e.stderr}
		}
		return e.out, nil
	}
}
