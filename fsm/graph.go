package fsm

import (
	"bytes"
	"fmt"
	"io"
	"strings"
)

// edge is every row that leads from one role to another, or back to itself.
type edge struct {
	from, to Role
	rules    []rule
}

// edges groups the table by from and to, in the order of [Roles].
func edges() []edge {
	var out []edge
	for _, from := range Roles {
		for _, to := range Roles {
			e := edge{from: from, to: to}
			for _, r := range rules {
				if r.from == from && r.to == to {
					e.rules = append(e.rules, r)
				}
			}
			if len(e.rules) > 0 {
				out = append(out, e)
			}
		}
	}
	return out
}

// label is the edge's events, one line for each guard: "broken, held if away".
func (e edge) label() []string {
	var lines []string
	for _, g := range append([]guard{always}, guards...) {
		var on []string
		for _, r := range e.rules {
			if r.when.name == g.name {
				on = append(on, r.on.String())
			}
		}
		if len(on) == 0 {
			continue
		}
		line := strings.Join(on, ", ")
		if g.name != "" {
			line += " if " + g.name
		}
		lines = append(lines, line)
	}
	return lines
}

// DOT writes the machine for graphviz. An edge towards rejoining, which lets
// go, is dashed. The error is the writer's.
func DOT(w io.Writer) error {
	var b bytes.Buffer
	fmt.Fprintln(&b, "digraph understudy {")
	fmt.Fprintln(&b, "\trankdir=LR;\n\tnode [shape=box, style=rounded];")
	for _, r := range Roles {
		fmt.Fprintf(&b, "\t%q [tooltip=%q];\n", r.String(), r.Meaning())
	}
	for _, e := range edges() {
		style := "solid"
		if e.to == Rejoining {
			style = "dashed"
		}
		fmt.Fprintf(&b, "\t%q -> %q [style=%s, label=%q];\n", e.from.String(), e.to.String(), style, strings.Join(e.label(), "\n"))
	}
	fmt.Fprintln(&b, "}")
	_, err := w.Write(b.Bytes())
	return err
}
