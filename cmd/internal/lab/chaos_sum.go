//go:build linux

package lab

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// stintSum is what one cluster amounts to.
type stintSum struct {
	Nodes     int `json:"nodes"`
	Takeovers int `json:"takeovers"` // claims of another node than the one before
	Sent      int `json:"lines_sent"`
	Answered  int `json:"lines_answered"`
	Lines     int `json:"lines_in_logs"`
	Torn      int `json:"lines_torn"` // beginnings of lines that were not answered
}

// chaosSum is what --json prints.
type chaosSum struct {
	Seed        uint64         `json:"seed"`
	Store       string         `json:"store"`
	Timers      string         `json:"timers"`
	Seconds     float64        `json:"seconds"`
	Interrupted bool           `json:"interrupted"`
	Faults      int            `json:"faults"`
	ByKind      map[string]int `json:"faults_by_kind"`
	Missed      int            `json:"faults_missed"` // what they were to hit was down already
	Claims      map[string]int `json:"claims_by_evidence"`
	Takeovers   int            `json:"takeovers"`
	Sent        int            `json:"lines_sent"`
	Answered    int            `json:"lines_answered"`
	Torn        int            `json:"lines_torn"`
	Outages     int            `json:"outages"`
	Median      float64        `json:"outage_median_ms"`
	P99         float64        `json:"outage_p99_ms"`
	Max         float64        `json:"outage_max_ms"`
	Cleared     int            `json:"cleared_by_operator"`
	Restarted   int            `json:"services_ended_by_themselves"`
	Violations  int            `json:"violations"`
	Broken      []string       `json:"broken,omitempty"`
	Error       string         `json:"error,omitempty"`
	Clusters    []stintSum     `json:"clusters"`
}

func (r *chaosRun) sum(interrupted bool, err error) chaosSum {
	c := chaosSum{Seed: r.Seed, Store: r.Store, Timers: r.o.Timers.word(), Seconds: time.Since(r.began).Seconds(), Interrupted: interrupted,
		ByKind: r.faults, Claims: r.claims, Outages: len(r.outages), Cleared: r.cleared, Restarted: r.again,
		Broken: r.broken, Violations: len(r.broken), Clusters: r.stints}
	for _, n := range r.faults {
		c.Faults += n
	}
	for _, n := range r.missed {
		c.Missed += n
	}
	for _, s := range r.stints {
		c.Takeovers += s.Takeovers
		c.Sent += s.Sent
		c.Answered += s.Answered
		c.Torn += s.Torn
	}
	if n := len(r.outages); n > 0 {
		slices.Sort(r.outages)
		c.Median, c.P99, c.Max = millis(r.outages[n/2]), millis(r.outages[min(n-1, n*99/100)]), millis(r.outages[n-1])
	}
	if err != nil {
		c.Error = err.Error()
		c.Violations = max(1, c.Violations)
	}
	return c
}

// print is the table at the end, 80 columns wide.
func (c chaosSum) print(w io.Writer) {
	fmt.Fprintf(w, "\n%-40s    %s\n", "faults that struck", "claims, by their evidence")
	kinds := slices.SortedFunc(maps.Keys(c.ByKind), func(a, b string) int { return c.ByKind[b]*1000 - c.ByKind[a]*1000 + strings.Compare(a, b) })
	evidence := slices.Sorted(maps.Keys(c.Claims))
	for i := range max(len(kinds), len(evidence)) {
		left, right := fmt.Sprintf("%40s", ""), ""
		if i < len(kinds) {
			left = fmt.Sprintf("%-34s%6d", kinds[i], c.ByKind[kinds[i]])
		}
		if i < len(evidence) {
			right = fmt.Sprintf("    %-28s%6d", evidence[i], c.Claims[evidence[i]])
		}
		fmt.Fprintf(w, "%s\n", strings.TrimRight(left+right, " "))
	}
	nodes := ""
	for _, s := range c.Clusters {
		nodes += fmt.Sprintf(" %d", s.Nodes)
	}
	fmt.Fprintf(w, "\nclusters, by their nodes          %s\n", strings.TrimSpace(nodes))
	fmt.Fprintf(w, "faults that struck, and missed    %d, %d\n", c.Faults, c.Missed)
	fmt.Fprintf(w, "takeovers: another node's claim   %d\n", c.Takeovers)
	fmt.Fprintf(w, "outages of %s and more         %d: median %s, p99 %s, max %s\n", short(outageFrom), c.Outages, seconds(c.Median), seconds(c.P99), seconds(c.Max))
	fmt.Fprintf(w, "lines sent, and answered          %d, %d\n", c.Sent, c.Answered)
	fmt.Fprintf(w, "cleared by an operator            %d\n", c.Cleared)
	fmt.Fprintf(w, "services that ended by themselves %d\n", c.Restarted)
	fmt.Fprintf(w, "violations                        %d\n", c.Violations)
	for _, b := range c.Broken {
		fmt.Fprintf(w, "  %s\n", b)
	}
	fmt.Fprintf(w, "seconds                           %.0f\n", c.Seconds)
	fmt.Fprintf(w, "seed                              %d, store %s, %s timers\n", c.Seed, c.Store, c.Timers)
}

func seconds(ms float64) string { return fmt.Sprintf("%.2f s", ms/1000) }
