//go:build linux

package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// chaosFor is how long there are faults, over both stores. Booting, healing and
// checking come on top.
const chaosFor = 3 * time.Minute

// Three minutes of faults of every kind: nothing on two hosts at once, every line
// that was answered on the disk, the service whole after each healing. The bounds
// are those of a promise and not of a fast machine.
func TestChaos(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: namespaces, mounts and loop devices")
	}
	binary := filepath.Join(t.TempDir(), "understudy")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "understudy/cmd/understudy").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	during := chaosFor
	if testing.Short() {
		during = 20 * time.Second
	}
	for _, run := range []struct {
		store string
		share time.Duration
	}{{"embedded", during * 2 / 3}, {"disk", during / 3}} {
		t.Run(run.store, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 18*time.Minute)
			defer cancel()
			name := fmt.Sprintf("c%d%.1s", os.Getpid()%1000000, run.store)
			cmd := exec.CommandContext(ctx, binary, "lab", "chaos", "--name", name, "--store", run.store, "--for", run.share.String(),
				"--json")
			var out, told bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &told
			cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // it takes its lab away
			cmd.WaitDelay = 2 * time.Minute
			err := cmd.Run()
			var sum struct {
				Faults, Violations, Takeovers int
				Answered                      int `json:"lines_answered"`
			}
			if e := json.Unmarshal(out.Bytes(), &sum); e != nil {
				t.Errorf("%v: %q", e, out.String())
			}
			t.Logf("%d faults, %d takeovers, %d answers checked, %d violations", sum.Faults, sum.Takeovers, sum.Answered, sum.Violations)
			if err != nil || sum.Violations > 0 || sum.Faults == 0 || sum.Answered == 0 {
				t.Errorf("%v\n%s\n%s", err, told.String(), strings.TrimSpace(out.String()))
			}
		})
	}
}
