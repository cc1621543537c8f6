package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"understudy/cmd/internal/api"
	"understudy/reconcile"
	"understudy/reconcile/loop"
)

// serviceStatuses are the services of this node as its last pass found them.
func serviceStatuses(st *loop.State) []api.ServiceStatus {
	var out []api.ServiceStatus
	for _, i := range st.Services.Items {
		m := st.Snapshot.Memory[reconcile.ServiceKey(i.Name)]
		out = append(out, api.ServiceStatus{
			Name: i.Name, State: i.State.String(), Detail: i.Detail, Error: m.Error, Starts: len(m.Restarts),
		})
	}
	p := st.Services.Plan
	for i := range out {
		for _, r := range append(p.Blocked[:len(p.Blocked):len(p.Blocked)], p.Waits...) {
			if out[i].Waits == "" && strings.HasPrefix(r.Text, out[i].Name+" ") || strings.HasPrefix(r.Text, out[i].Name+":") {
				out[i].Waits = r.String()
			}
		}
	}
	return out
}

// noticeStatus is what people were told about a group, nil if nothing.
func noticeStatus(n loop.Notice) *api.NoticeStatus {
	if n.Count == 0 {
		return nil
	}
	return &api.NoticeStatus{App: n.App, Text: n.Text, At: n.At, Count: n.Count}
}

func printServices(w io.Writer, st api.Status, p palette) {
	if len(st.Services) == 0 {
		return
	}
	fmt.Fprintf(w, "\n%sservices%s · %s\n", p.bold, p.off, st.Node)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, s := range st.Services {
		state := s.State
		if s.Detail != "" && s.State != "absent" {
			state += " (" + s.Detail + ")"
		}
		fmt.Fprintf(tw, "  service\t%s\t%s\n", s.Name, state)
	}
	_ = tw.Flush()
	for _, s := range st.Services {
		if why := cmp.Or(s.Waits, s.Error); why != "" {
			indent(w, "  waits: ", why)
		}
	}
}

// printNotice tells what people must do again since the last start.
func printNotice(w io.Writer, n *api.NoticeStatus) {
	if n == nil {
		return
	}
	times := "once"
	if n.Count > 1 {
		times = fmt.Sprintf("%d times", n.Count)
	}
	indent(w, "  notice: ", fmt.Sprintf("%s (%s, %s since understudy started)", n.Text, n.At.Local().Format("2006-01-02 15:04:05"), times))
}

// printCommands prints the one command of every step, for a person who does by hand
// what the plan says (guide, "DCE Failover Actions": each step complete before the
// next).
func printCommands(w io.Writer, reply api.PlanReply) error {
	for i, raw := range reply.Plans {
		var p struct {
			Group, Node string
			Steps       []struct {
				N                                   int
				Verb, Object, Command, Post, Detail string
			}
		}
		if err := json.Unmarshal(raw, &p); err != nil {
			return fmt.Errorf("cannot read the plan: %w", err)
		}
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "# %s on %s\n", p.Group, p.Node)
		for _, s := range p.Steps {
			fmt.Fprintf(w, "# %d %s %s; then: %s\n%s\n", s.N, s.Verb, s.Object, s.Post, s.Command)
		}
	}
	return nil
}
