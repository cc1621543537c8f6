package fsm

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// Run with -update to write docs/states.md and docs/states.svg; read the
// difference before committing it.
var update = flag.Bool("update", false, "write the generated pages")

func TestTextFitsATerminal(t *testing.T) {
	var b bytes.Buffer
	if err := Text(&b); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(b.String()) {
		line = strings.TrimSuffix(line, "\n")
		if n := utf8.RuneCountInString(line); n > textWidth {
			t.Errorf("%d columns: %s", n, line)
		}
		if strings.TrimRight(line, " ") != line {
			t.Errorf("blanks at the end of %q", line)
		}
	}
	// Every sentence is there, however it was broken.
	flat := strings.Join(strings.Fields(b.String()), " ")
	for _, r := range rules {
		if first := strings.Join(strings.Fields(r.why)[:3], " "); !strings.Contains(flat, first) {
			t.Errorf("%q is missing", r.why)
		}
	}
}

func TestWrap(t *testing.T) {
	for _, c := range []struct {
		in   string
		want []string
	}{
		{"", []string{""}},
		{"one two three", []string{"one two", "three"}},
		{"averyveryverylongword x", []string{"averyveryverylongword", "x"}},
		{"ä ö ü ä ö", []string{"ä ö ü ä", "ö"}},
	} {
		if got := wrap(c.in, 7); !slices.Equal(got, c.want) {
			t.Errorf("wrap(%q) = %q, want %q", c.in, got, c.want)
		}
	}
}

// pairs is a set of "from -> to", sorted.
func pairs(m map[string]bool) []string {
	var out []string
	for p := range m {
		out = append(out, p)
	}
	slices.Sort(out)
	return out
}

// TestDrawingsAgree compares the edges of our drawings with those that the
// library draws from the compiled machine.
func TestDrawingsAgree(t *testing.T) {
	found := func(re, text string) []string {
		set := map[string]bool{}
		for _, m := range regexp.MustCompile(re).FindAllStringSubmatch(text, -1) {
			set[m[1]+" -> "+m[2]] = true
		}
		delete(set, "init -> rejoining")
		return pairs(set)
	}
	var dot, svg bytes.Buffer
	if err := errors.Join(DOT(&dot), SVG(&svg, nil)); err != nil {
		t.Fatal(err)
	}
	library := found(`(?m)^\t(\w+) -> (\w+) \[`, machine.ToGraph())
	if len(library) != 14 { // ten between two roles, and each role's own
		t.Errorf("the library draws %d edges: %v", len(library), library)
	}
	if diff := cmp.Diff(library, found(`"(\w+)" -> "(\w+)"`, dot.String())); diff != "" {
		t.Errorf("DOT (+) differs from the machine (-):\n%s", diff)
	}
	if diff := cmp.Diff(library, found(`data-from="(\w+)" data-to="(\w+)"`, svg.String())); diff != "" {
		t.Errorf("SVG (+) differs from the machine (-):\n%s", diff)
	}
}

// TestLabelsAgree compares events and destinations with the library's labels.
func TestLabelsAgree(t *testing.T) {
	ours, theirs := map[string]bool{}, map[string]bool{}
	for _, e := range edges() {
		for _, r := range e.rules {
			ours[e.from.String()+" "+r.on.String()+" "+e.to.String()] = true
		}
	}
	line := regexp.MustCompile(`(?m)^\t(\w+) -> (\w+) \[label=(.*)\];$`)
	cell := regexp.MustCompile(`<TD ALIGN="LEFT">([a-z-]+)`)
	for _, l := range line.FindAllStringSubmatch(machine.ToGraph(), -1) {
		for _, c := range cell.FindAllStringSubmatch(l[3], -1) {
			theirs[l[1]+" "+c[1]+" "+l[2]] = true
		}
	}
	if diff := cmp.Diff(pairs(theirs), pairs(ours)); diff != "" {
		t.Errorf("our labels (+) differ from the machine (-):\n%s", diff)
	}
}

func TestEveryEdgeHasAnArrow(t *testing.T) {
	n := 0
	for _, e := range edges() {
		if e.from == e.to {
			continue
		}
		n++
		if _, ok := arrows[[2]Role{e.from, e.to}]; !ok {
			t.Errorf("no arrow is laid out for %s to %s", e.from, e.to)
		}
	}
	if n != len(arrows) {
		t.Errorf("%d arrows are laid out for %d edges", len(arrows), n)
	}
}

func TestSVGIsWellFormedAndShowsNow(t *testing.T) {
	render := func(current *Role) string {
		var b bytes.Buffer
		if err := SVG(&b, current); err != nil {
			t.Fatal(err)
		}
		d := xml.NewDecoder(bytes.NewReader(b.Bytes()))
		for {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("not well formed: %v", err)
			}
		}
		return b.String()
	}
	if strings.Contains(render(nil), ">now<") {
		t.Error("without a current role one is marked")
	}
	for _, r := range Roles {
		s := render(&r)
		if strings.Count(s, ">now<") != 1 || !strings.Contains(s, `class="node now" data-role="`+r.String()+`"`) {
			t.Errorf("%s is not the one that is marked", r)
		}
	}
}

type brokenWriter struct{}

var errBroken = errors.New("broken")

func (brokenWriter) Write([]byte) (int, error) { return 0, errBroken }

func TestPrintersPassErrorsOn(t *testing.T) {
	for name, print := range map[string]func(io.Writer) error{
		"Text": Text, "Markdown": Markdown, "DOT": DOT,
		"SVG": func(w io.Writer) error { return SVG(w, nil) },
	} {
		if err := print(brokenWriter{}); !errors.Is(err, errBroken) {
			t.Errorf("%s on a writer that fails: %v", name, err)
		}
	}
}

func TestPages(t *testing.T) {
	var page, picture bytes.Buffer
	page.WriteString(`# The roles, and what moves a node between them

This page is written by ` + "`go test ./fsm -update`" + ` from the table the program runs. ` + "`understudy fsm`" + ` prints the same.

A node has one role for each group. On every pass it looks at its host, its peers, its lease and the claim, finds the
first event in the list below that is true now, and takes the next role from the table. The table has a row for every
role and every event; a role that stays is a row too.

![The four roles and the events that lead from one to another](states.svg)

`)
	if err := errors.Join(Markdown(&page), SVG(&picture, nil)); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]byte{"states.md": page.Bytes(), "states.svg": picture.Bytes()} {
		path := filepath.Join("..", "docs", name)
		if *update {
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, want, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatalf("%v — run go test ./fsm -update", err)
		}
		if diff := cmp.Diff(string(got), string(want)); diff != "" {
			t.Errorf("%s is not what the table says (+); run go test ./fsm -update:\n%s", path, diff)
		}
	}
}
