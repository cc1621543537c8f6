package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
	"pgregory.net/rapid"
)

// TestLines walks a document in which every comment names the path whose line it
// stands on.
func TestLines(t *testing.T) {
	const doc = "\xef\xbb\xbf" + `# [not.a.table]
a = 1 #: a
b.c = 2 #: b.c
b . "d e" = 3 #: b.d e
"x.y" = 'z' #: x.y
'lit"eral' = "]" #: lit"eral
"quo\"te\u00e9" = "#" #: quo"teé
text = """ #: text
[a]
c = 1
\""" still "" inside """""
after = 1 #: after
raw = ''' #: raw
\'''
after_raw = 1 #: after_raw
list = [ #: list
  "a]", #: list/0
  # ] [
  [1, #: list/1
   2], #: list/1/1
  { k = [ #: list/2 list/2.k
     1 ] }, #: list/2.k/0
]
inline = { p = "}", q.r = 1, s = { t = 1 } } #: inline inline.p inline.q.r inline.s.t
time = 1979-05-27 07:32:00 #: time

[table] #: table
k = 1 #: table.k
[table.sub."q.q"] #: table.sub table.sub.q.q
k = 1 #: table.sub.q.q.k
[[many]] #: many many/0
k = 1 #: many/0.k
[[many]] #: many/1
k = 1 #: many/1.k
[many.below] #: many/1.below
k = 1 #: many/1.below.k
[[many.deep]] #: many/1.deep many/1.deep/0
[[many.deep]] #: many/1.deep/1
k = 1 #: many/1.deep/1.k
[late.inner] #: late.inner
[late] #: late
k = 1 #: late.k
`
	root, deep := index([]byte(doc))
	if deep != 0 {
		t.Fatalf("too deep at line %d", deep)
	}
	if _, err := toml.Decode(doc, &map[string]any{}); err != nil {
		t.Fatal(err)
	}
	got := make(map[string]int)
	flatten(root, "", got)
	for n, line := range strings.Split(doc, "\n") {
		_, paths, marked := strings.Cut(line, "#: ")
		if !marked {
			continue
		}
		var words []string
		if _, whole := got[paths]; whole {
			words = []string{paths} // a key with blanks
		} else {
			words = strings.Fields(paths)
		}
		for _, p := range words {
			if got[p] != n+1 {
				t.Errorf("%q is at line %d, not %d", p, n+1, got[p])
			}
		}
	}
}

func flatten(p *place, path string, into map[string]int) {
	for name, k := range p.keys {
		full := strings.TrimPrefix(path+"."+name, ".")
		into[full] = k.line
		flatten(k, full, into)
	}
	for i, e := range p.items {
		full := fmt.Sprintf("%s/%d", path, i)
		into[full] = e.line
		flatten(e, full, into)
	}
}

// writer writes a random document and notes the line of everything in it.
type writer struct {
	t    *rapid.T
	out  strings.Builder
	line int
	want map[string]int
}

func (w *writer) put(s string) {
	w.out.WriteString(s)
	w.line += strings.Count(s, "\n")
}

func (w *writer) pick(choices ...string) string {
	return rapid.SampledFrom(choices).Draw(w.t, "choice")
}

func (w *writer) note(path string) { w.want[strings.TrimPrefix(path, ".")] = w.line }

// key writes a key in one of its forms.
func (w *writer) key(name string) {
	w.put(w.pick(name, `"`+name+`"`, `'`+name+`'`, fmt.Sprintf(`"\u%04x%s"`, name[0], name[1:])))
}

func (w *writer) gap() {
	w.put(w.pick("", "\n", "\r\n", " # ] } ''' \"\"\" [x]\n", "\n\t\n"))
}

func (w *writer) value(path string, depth int) {
	kind := 0
	if depth < 4 {
		kind = rapid.IntRange(0, 2).Draw(w.t, "kind")
	}
	switch kind {
	case 0:
		w.put(w.pick("1", "-1.5e3", "true", "1979-05-27 07:32:00", `"a # \" ] }"`, `'\ # ] '`, `"\\"`,
			"\"\"\"\n[x]\ny = 1\n\\\"\"\" \"\" \"\"\"\"\"", "'''\n\\''\n[[z]]\n'''", `""`, `""""""`, "''''''"))
	case 1:
		w.put("[")
		for i := range rapid.IntRange(0, 3).Draw(w.t, "items") {
			w.gap()
			p := fmt.Sprintf("%s/%d", path, i)
			w.note(p)
			w.value(p, depth+1)
			w.gap()
			w.put(",")
		}
		w.gap()
		w.put("]")
	case 2:
		w.put("{")
		n := rapid.IntRange(0, 3).Draw(w.t, "keys")
		for i := range n {
			name := fmt.Sprintf("i%d", i)
			p := path + "." + name
			w.put(" ")
			w.note(p)
			w.key(name)
			w.put(w.pick("=", " = "))
			w.value(p, depth+1)
			if i < n-1 {
				w.put(w.pick(",", " , "))
			}
		}
		w.put(" }")
	}
}

// TestLinesOfRandomDocuments compares the index with the lines at which a random
// document was written.
func TestLinesOfRandomDocuments(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &writer{t: t, line: 1, want: make(map[string]int)}
		pairs := func(path string) {
			for i := range rapid.IntRange(0, 3).Draw(t, "pairs") {
				w.put(w.pick("", "\n", "# [no]\n", "  "))
				name, p := fmt.Sprintf("k%d", i), fmt.Sprintf("%s.k%d", path, i)
				w.note(p)
				w.key(name)
				if rapid.Bool().Draw(t, "dotted") {
					w.put(w.pick(".", " . "))
					w.key("d")
					p += ".d"
					w.note(p)
				}
				w.put(w.pick("=", " = ", "\t=\t"))
				w.value(p, 0)
				w.put(w.pick("\n", " # x = [\n", "\r\n"))
			}
		}
		pairs("")
		for i := range rapid.IntRange(0, 3).Draw(t, "tables") {
			name := fmt.Sprintf("t%d", i)
			if rapid.Bool().Draw(t, "array") {
				w.note(name)
				for j := range rapid.IntRange(1, 3).Draw(t, "elements") {
					p := fmt.Sprintf("%s/%d", name, j)
					w.note(p)
					w.put("[[")
					w.key(name)
					w.put("]]\n")
					pairs(p)
					w.note(p + ".sub")
					w.put("[" + name + ".sub]\n")
					pairs(p + ".sub")
				}
				continue
			}
			w.note(name)
			w.put("[")
			w.key(name)
			w.put("]\n")
			pairs(name)
		}
		doc := w.out.String()
		if _, err := toml.Decode(doc, &map[string]any{}); err != nil {
			t.Fatalf("the generator wrote no TOML: %v\n%s", err, doc)
		}
		root, _ := index([]byte(doc))
		got := make(map[string]int)
		flatten(root, "", got)
		for p, line := range w.want {
			if got[p] != line {
				t.Errorf("%s is at line %d, not %d:\n%s", p, line, got[p], doc)
			}
		}
		if len(got) != len(w.want) {
			t.Errorf("%d places are indexed, %d were written:\n%s\n%v", len(got), len(w.want), doc, got)
		}
	})
}

// FuzzLines holds the index of any bytes against the decoder: it never panics,
// and of a document that the decoder accepts it knows every key and no other.
func FuzzLines(f *testing.F) {
	for _, glob := range []string{"*.toml", "profiles/*.toml", "testdata/*"} {
		names, _ := filepath.Glob(glob)
		for _, name := range names {
			if data, err := os.ReadFile(name); err == nil {
				f.Add(data)
			}
		}
	}
	for _, s := range []string{"a.b=1\na.c=2", "[[a]]\n[a.b]\n[[a]]", "a=[[{b=1}],[]]", `"\u00e9"=1`, "a='''\n'''''", "[", "a={", "\"\\", "a=\"\"\"\\"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		root, deep := index(data)
		lines := strings.Count(string(data), "\n") + 1
		got := make(map[string]int)
		flatten(root, "", got)
		for p, line := range got {
			if line < 1 || line > lines {
				t.Fatalf("%q is at line %d of %d", p, line, lines)
			}
		}
		if deep > 0 {
			return
		}
		var doc map[string]any
		if err := unmarshal(data, &doc); err == nil {
			compare(t, doc, root, "")
		}
	})
}

// compare fails unless the index has the shape of the decoded value.
func compare(t *testing.T, data any, at *place, path string) {
	t.Helper()
	switch data := data.(type) {
	case map[string]any:
		if len(at.keys) != len(data) || len(at.order) != len(data) {
			t.Fatalf("%q has %d keys, the index %d: %v", path, len(data), len(at.keys), at.order)
		}
		for name, v := range data {
			if at.keys[name] == nil {
				t.Fatalf("the index does not know %q of %q", name, path)
			}
			compare(t, v, at.keys[name], path+"."+name)
		}
	case []map[string]any:
		if len(at.items) != len(data) {
			t.Fatalf("%q has %d tables, the index %d", path, len(data), len(at.items))
		}
		for i, v := range data {
			compare(t, v, at.items[i], fmt.Sprintf("%s/%d", path, i))
		}
	case []any:
		if len(at.items) != len(data) {
			t.Fatalf("%q has %d elements, the index %d", path, len(data), len(at.items))
		}
		for i, v := range data {
			compare(t, v, at.items[i], fmt.Sprintf("%s/%d", path, i))
		}
	default:
		if len(at.keys)+len(at.items) > 0 {
			t.Fatalf("%q is a single value, the index has more: %v", path, at)
		}
	}
}
