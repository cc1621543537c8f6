package main

import (
	"strings"
	"testing"
	"time"

	"understudy/reconcile/journal"
)

// The last step of a plan is printed with the time of the whole, if there is one.
func TestHistoryTellsTheTimeOfAPlan(t *testing.T) {
	rec := journal.Record{Kind: journal.Done, Group: "dce", Step: "verify dce", N: 12, Of: 12, Took: 5 * time.Millisecond}
	for fact, want := range map[string]string{
		"3.204s": " 12/12 verify dce, 5 ms (the plan: 3.2 s)\n", "": " 12/12 verify dce, 5 ms\n", "soon": " 12/12 verify dce, 5 ms\n",
	} {
		rec.Facts = map[string]string{journal.PlanTook: fact}
		var b strings.Builder
		printRecord(&b, rec)
		if !strings.HasSuffix(b.String(), want) {
			t.Errorf("%q: %q, want %q", fact, b.String(), want)
		}
	}
}
