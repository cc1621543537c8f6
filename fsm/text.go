package fsm

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// textWidth is the width of a terminal that nobody has widened.
const textWidth = 80

// Text writes the table in at most 80 columns: what each word means, then one
// block for each role. The error is the writer's.
func Text(w io.Writer) error {
	var b bytes.Buffer
	fmt.Fprintln(&b, "roles of one node in one group")
	for _, r := range Roles {
		row(&b, []int{14}, []string{r.String()}, r.Meaning())
	}
	fmt.Fprintln(&b, "\nevents, the first that is true is the one offered")
	for _, e := range Events {
		row(&b, []int{14}, []string{e.String()}, e.Meaning())
	}
	fmt.Fprintln(&b, "\nguards")
	for _, g := range guards {
		row(&b, []int{14}, []string{g.name}, g.meaning)
	}
	widths := []int{14, 9, 9}
	for _, from := range Roles {
		fmt.Fprintf(&b, "\nfrom %s\n", from)
		row(&b, widths, []string{"event", "if", "next"}, "why")
		for _, r := range rules {
			if r.from != from {
				continue
			}
			next := r.to.String()
			if r.to == from {
				next = "stays"
			}
			row(&b, widths, []string{r.on.String(), r.when.name, next}, r.why)
		}
	}
	_, err := w.Write(b.Bytes())
	return err
}

// row writes cells of fixed widths and a last cell that is wrapped beside them.
func row(b *bytes.Buffer, widths []int, cells []string, last string) {
	var line strings.Builder
	for i, c := range cells {
		fmt.Fprintf(&line, "  %-*s", widths[i], c)
	}
	indent := utf8.RuneCountInString(line.String()) + 2
	for i, part := range wrap(last, textWidth-indent) {
		if i > 0 {
			line.Reset()
			line.WriteString(strings.Repeat(" ", indent-2))
		}
		fmt.Fprintf(b, "%s  %s\n", line.String(), part)
	}
}

// wrap breaks s at blanks into lines of at most width characters; a longer word
// stands alone.
func wrap(s string, width int) []string {
	var lines []string
	var line string
	for _, word := range strings.Fields(s) {
		switch {
		case line == "":
			line = word
		case utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) <= width:
			line += " " + word
		default:
			lines = append(lines, line)
			line = word
		}
	}
	return append(lines, line)
}

// Markdown writes the same as a page with tables. The error is the writer's.
func Markdown(w io.Writer) error {
	var b bytes.Buffer
	table := func(head ...string) {
		fmt.Fprintf(&b, "\n| %s |\n|%s\n", strings.Join(head, " | "), strings.Repeat(" --- |", len(head)))
	}
	fmt.Fprintln(&b, "| role | means |\n| --- | --- |")
	for _, r := range Roles {
		fmt.Fprintf(&b, "| **%s** | %s |\n", r, r.Meaning())
	}
	table("event", "what the present snapshot shows")
	for _, e := range Events {
		fmt.Fprintf(&b, "| `%s` | %s |\n", e, e.Meaning())
	}
	table("guard", "holds if")
	for _, g := range guards {
		fmt.Fprintf(&b, "| %s | %s |\n", g.name, g.meaning)
	}
	table("role", "event", "if", "next", "why")
	for _, r := range rules {
		next := "**" + r.to.String() + "**"
		if r.to == r.from {
			next = "stays"
		}
		fmt.Fprintf(&b, "| %s | `%s` | %s | %s | %s |\n", r.from, r.on, r.when.name, next, r.why)
	}
	_, err := w.Write(b.Bytes())
	return err
}
