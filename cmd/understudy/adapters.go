package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"understudy/cmd/internal/api"
	"understudy/config"
	"understudy/reconcile"
)

// adapterWords are what the states of an adapter are called.
var adapterWords = map[reconcile.Presence]string{reconcile.Present: "works", reconcile.Absent: "lost", reconcile.Unknown: "unknown"}

// adapterStatuses are this node's adapters, and which service addresses they carry.
func adapterStatuses(c *config.Config, s *reconcile.Snapshot) []api.AdapterStatus {
	var out []api.AdapterStatus
	for _, n := range c.Networks {
		for _, a := range reconcile.Adapters(n.Name, c, s) {
			out = append(out, api.AdapterStatus{
				Network: n.Name, Address: a.Own, Link: a.Link, State: adapterWords[a.State], Why: a.Detail, Carries: a.Carries(c, s),
			})
		}
	}
	return out
}

// printAdapters tells of the adapters where a network has several, or one of it does
// not work.
func printAdapters(w io.Writer, st api.Status, p palette) {
	tell := map[string]bool{}
	seen := map[string]bool{}
	for _, a := range st.Adapters {
		tell[a.Network] = tell[a.Network] || seen[a.Network] || a.State != "works"
		seen[a.Network] = true
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	last := ""
	for _, a := range st.Adapters {
		if !tell[a.Network] {
			continue
		}
		if a.Network != last {
			_ = tw.Flush()
			fmt.Fprintf(w, "\n%sadapters of %s%s\n", p.bold, a.Network, p.off)
			last = a.Network
		}
		text := a.State
		if a.Why != "" {
			text += " (" + a.Why + ")"
		}
		if a.State != "works" {
			text = p.bad + text + p.off
		}
		if len(a.Carries) > 0 {
			text += ", has " + strings.Join(a.Carries, ", ")
		}
		fmt.Fprintf(tw, "  %s\t%s\t%s\n", dash(a.Link), a.Address, text)
	}
	_ = tw.Flush()
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
