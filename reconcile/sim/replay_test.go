package sim

import (
	"fmt"
	"strings"
	"testing"
)

// A run is made again exactly: not only what is wrong in the end, but every line of
// what happened. A machine that is busy may stop a goroutine between two others that
// have something to do at one moment; then the next time shows it.
func TestReplay(t *testing.T) {
	oneProcessor(t)
	for seed := range uint64(5) {
		first, why := simulate(t, seed).timeline, ""
		for range 3 {
			again := simulate(t, seed).timeline
			if why = differ(first, again); why == "" {
				break
			}
			t.Logf("seed %d does not give the same run twice: %s", seed, why)
			first = again
		}
		if why != "" {
			t.Errorf("seed %d did not give the same run twice in four", seed)
		}
	}
}

// differ is the first line in which two texts differ, with those around it, "" if there
// is none.
func differ(a, b string) string {
	if a == b {
		return ""
	}
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(x), len(y)) {
		if x[i] != y[i] {
			from := max(0, i-5)
			return fmt.Sprintf("line %d\n%s\n  and:\n%s", i+1, strings.Join(x[from:min(i+5, len(x))], "\n"), strings.Join(y[from:min(i+5, len(y))], "\n"))
		}
	}
	return fmt.Sprintf("%d lines and %d", len(x), len(y))
}
