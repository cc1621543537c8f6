package prepare

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

const width = 80

// Text writes the items for a person, by section, within 80 columns where words allow;
// a command is never broken.
func Text(w io.Writer, items []Item) {
	last := Section(-1)
	for _, it := range items {
		if it.Section != last {
			if last >= 0 {
				fmt.Fprintln(w)
			}
			last = it.Section
			fmt.Fprintln(w, heading(it.Section))
		}
		label := fmt.Sprintf("  %-8s ", it.State)
		if it.State == Done {
			write(w, label, fmt.Sprintf("%s: %s [%s]", it.Name, it.Seen, strings.Join(it.Rows, " ")))
			continue
		}
		write(w, label, fmt.Sprintf("%s [%s]: %s", it.Name, strings.Join(it.Rows, " "), it.Want))
		pad := strings.Repeat(" ", len(label))
		write(w, pad+"seen: ", it.Seen)
		for _, c := range it.Changes {
			write(w, pad+"will: ", c.Text())
			fmt.Fprintln(w, pad+"  by: "+c.Command()) // whole, to be pasted
		}
		if it.Way != "" {
			write(w, pad+"way:  ", it.Way)
		}
	}
}

func heading(s Section) string { return s.String() + " (guide, " + sections[s].rows + ")" }

// write breaks text at blanks behind a label.
func write(w io.Writer, label, text string) {
	line, pad := label, strings.Repeat(" ", utf8.RuneCountInString(label))
	empty := true
	for word := range strings.FieldsSeq(text) {
		if !empty && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width {
			fmt.Fprintln(w, strings.TrimRight(line, " "))
			line, empty = pad, true
		}
		if !empty {
			line += " "
		}
		line, empty = line+word, false
	}
	fmt.Fprintln(w, strings.TrimRight(line, " "))
}

// Summary counts the items by state.
func Summary(items []Item) string {
	var parts []string
	for _, s := range []State{Done, ToDo, ByHand, Blocked, Unknown} {
		if n := Count(items, s); n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, s))
		}
	}
	return strings.Join(parts, ", ")
}

// itemJSON is the documented shape. Fields are added, never renamed.
type itemJSON struct {
	Name    string       `json:"name"`
	Rows    []string     `json:"rows"`
	Section string       `json:"section"`
	Group   string       `json:"group,omitempty"`
	Want    string       `json:"want"`
	Seen    string       `json:"seen"`
	State   string       `json:"state"`
	Way     string       `json:"way_out,omitempty"`
	Changes []changeJSON `json:"changes,omitempty"`
}

type changeJSON struct {
	Text    string `json:"text"`
	Command string `json:"command"`
}

// MarshalJSON gives the documented shape.
func (it Item) MarshalJSON() ([]byte, error) {
	out := itemJSON{
		Name: it.Name, Rows: it.Rows, Section: it.Section.String(), Group: it.Group, Want: it.Want, Seen: it.Seen,
		State: strings.ReplaceAll(string(it.State), " ", "-"), Way: it.Way,
	}
	for _, c := range it.Changes {
		out.Changes = append(out.Changes, changeJSON{c.Text(), c.Command()})
	}
	return json.Marshal(out)
}
