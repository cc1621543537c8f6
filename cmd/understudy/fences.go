package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"understudy/config"
	"understudy/reconcile/act"
)

// fencesAtOnce bounds the devices that are asked at the same time.
const fencesAtOnce = 4

// fenceAnswer is what `check --fences` learned of one method of one node.
type fenceAnswer struct {
	Node  string `json:"node"`
	N     int    `json:"method"` // from 1, in the order in which they are tried
	Of    int    `json:"methods"`
	Agent string `json:"agent"`
	State string `json:"state"` // "on", "off" or "unknown"
	TookM int64  `json:"took_ms"`
	// Severity is "" if nothing is wrong.
	Severity config.Severity `json:"severity,omitempty"`
	Message  string          `json:"message,omitempty"`
	WayOut   string          `json:"way_out,omitempty"`
}

// String is the answer on one line.
func (a fenceAnswer) String() string {
	s := fmt.Sprintf("fence of %s (%d of %d, %s): %s after %s", a.Node, a.N, a.Of, a.Agent, a.State, time.Duration(a.TookM)*time.Millisecond)
	if a.Message != "" {
		s = fmt.Sprintf("%s: %s: %s", a.Severity, s, a.Message)
	}
	if a.WayOut != "" {
		s += " — " + a.WayOut
	}
	return s
}

// checkFences asks every fence method of every node whether that node has power, and
// its agent what options it has. Nothing is switched. node is this host's, "" if it is
// none of the file's.
func checkFences(ctx context.Context, cfg *config.Config, node string) []fenceAnswer {
	var out []fenceAnswer
	var methods []config.Fence
	for i := range cfg.Nodes {
		n := &cfg.Nodes[i]
		for k, m := range n.Fences {
			out = append(out, fenceAnswer{Node: n.Name, N: k + 1, Of: len(n.Fences), Agent: m.Agent, State: "unknown"})
			methods = append(methods, m)
		}
	}
	var tasks errgroup.Group
	tasks.SetLimit(fencesAtOnce)
	for i := range out {
		tasks.Go(func() error {
			began := time.Now()
			out[i].ask(ctx, methods[i], node)
			out[i].TookM = time.Since(began).Milliseconds()
			return nil
		})
	}
	_ = tasks.Wait() // none fails
	return inDoubt(out)
}

// inDoubt makes a warning of what is wrong with one method where another of the node
// works: it would be tried next.
func inDoubt(out []fenceAnswer) []fenceAnswer {
	works := map[string]bool{}
	for _, a := range out {
		works[a.Node] = works[a.Node] || a.State != "unknown" && a.Severity != config.Error
	}
	for i := range out {
		if a := &out[i]; a.Severity == config.Error && works[a.Node] {
			a.Severity, a.WayOut = config.Warning, "mend it: another method of "+a.Node+" answers"
		}
	}
	return out
}

func (a *fenceAnswer) ask(ctx context.Context, m config.Fence, node string) {
	on, err := act.FenceStatus(ctx, m)
	switch {
	case err != nil:
		a.Severity, a.Message = config.Error, err.Error()
		a.WayOut = "mend it: no fence of " + a.Node + " can be relied on"
	case on:
		a.State = "on"
	default:
		a.State = "off"
		a.Severity, a.Message, a.WayOut = config.Warning, "it says that "+a.Node+" has no power", "if that node runs, the device or its options name another machine"
		if a.Node == node {
			a.Severity, a.Message, a.WayOut = config.Error, "this host runs", "the device or its options name another machine"
		}
	}
	meta, cancel := context.WithTimeout(ctx, fenceMetadataLimit)
	defer cancel()
	has, err := act.Metadata(meta, m.Agent)
	if err != nil {
		if a.Severity == config.Error {
			return // which says more
		}
		a.worse(config.Warning, err.Error(), "its options cannot be checked")
		return
	}
	unknown, missing := act.CheckOptions(has, m.Options)
	switch {
	case len(unknown) > 0:
		a.worse(config.Error, "the agent does not know "+strings.Join(unknown, ", "), "its options: man "+m.Agent)
	case len(missing) > 0:
		a.worse(config.Error, "the agent asks for "+strings.Join(missing, ", "), "its options: man "+m.Agent)
	case !has.Can("off") || !has.Can("status"):
		a.worse(config.Error, "the agent cannot do off and status", "name a fence agent that switches power")
	}
}

// fenceMetadataLimit bounds the question for an agent's options; it asks no device.
const fenceMetadataLimit = 20 * time.Second

// worse adds what else is wrong; what came first stands first.
func (a *fenceAnswer) worse(s config.Severity, message, way string) {
	if a.Message == "" {
		a.Severity, a.Message, a.WayOut = s, message, way
		return
	}
	if s == config.Error {
		a.Severity = s
	}
	a.Message += "; " + message
}

// tellFences prints the answers, what is wrong to stderr, and ends blocked if a device
// is of no use.
func (c *common) tellFences(answers []fenceAnswer) error {
	errs := 0
	for _, a := range answers {
		if a.Severity == config.Error {
			errs++
		}
		switch {
		case c.json:
		case a.Severity == "":
			fmt.Fprintln(c.out, a)
		default:
			fmt.Fprintln(c.err, a)
		}
	}
	if !c.json {
		fmt.Fprintf(c.out, "fences: %d asked, %d of no use\n", len(answers), errs)
	}
	if errs > 0 {
		return &exitError{code: exitBlocked}
	}
	return nil
}
