package config

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// place is where a key, a table or an element of an array stands in the file.
// Places form a tree of the same shape as the decoded document, so that two keys
// that merely print alike can never be mistaken for each other.
type place struct {
	line     int  // 1-based; of the key for a value, of the header for a table
	explicit bool // it has a key or a header of its own, and is not only implied by a deeper one

	order []string // of keys, by first mention
	keys  map[string]*place
	items []*place // elements of an array, or tables of an array of tables
}

// key returns the place below p, or a place with p's own line if the index does
// not know it: a finding then points at the table instead of nowhere.
func (p *place) key(name string) *place {
	if k := p.keys[name]; k != nil {
		return k
	}
	return &place{line: p.line}
}

// item is key for an element of an array.
func (p *place) item(i int) *place {
	if i < len(p.items) {
		return p.items[i]
	}
	return &place{line: p.line}
}

func (p *place) child(name string, line int) *place {
	k := p.keys[name]
	if k == nil {
		if p.keys == nil {
			p.keys = make(map[string]*place)
		}
		k = &place{line: line}
		p.keys[name] = k
		p.order = append(p.order, name)
	}
	return k
}

// define notes that this place has a key or header of its own at a line.
func (p *place) define(line int) {
	if !p.explicit {
		p.line, p.explicit = line, true
	}
}

// maxDepth bounds the nesting of arrays and inline tables, and the parts of a
// dotted key. The file needs five levels.
const maxDepth = 32

// index finds the line of every key of a TOML document (toml.io, v1.0.0, and the
// relaxed inline tables of v1.1.0). It expects a document that the decoder has
// accepted; of any other it indexes what it understands. It never fails. deep is
// the line where maxDepth is first exceeded, zero if nowhere; up to the first
// error of a document the index and the decoder see the same nesting.
func index(data []byte) (root *place, deep int) {
	s := string(data)
	switch {
	case strings.HasPrefix(s, "\xef\xbb\xbf"):
		s = s[3:]
	case strings.HasPrefix(s, "\xff\xfe"), strings.HasPrefix(s, "\xfe\xff"):
		s = s[2:] // the decoder skips these two as well
	}
	root = &place{line: 1, explicit: true}
	x := &indexer{s: s, line: 1}
	table := root
	for x.skip(); x.i < len(x.s) && x.deep == 0; x.skip() {
		before := x.i
		if x.s[x.i] == '[' {
			table = x.header(root)
		} else {
			x.pair(table, 0)
		}
		if x.i == before { // nothing understood: give up this byte and go on
			x.i++
		}
	}
	return root, x.deep
}

type indexer struct {
	s    string
	i    int // next byte
	line int // of that byte
	deep int // line where maxDepth was exceeded
}

// peek is the next byte, zero at the end.
func (x *indexer) peek() byte {
	if x.i < len(x.s) {
		return x.s[x.i]
	}
	return 0
}

// next moves over one byte and counts lines.
func (x *indexer) next() {
	if x.s[x.i] == '\n' {
		x.line++
	}
	x.i++
}

func (x *indexer) blanks() {
	for x.peek() == ' ' || x.peek() == '\t' {
		x.i++
	}
}

// skip moves over white space, line ends and comments.
func (x *indexer) skip() {
	for x.i < len(x.s) {
		switch x.s[x.i] {
		case ' ', '\t', '\r', '\n':
			x.next()
		case '#':
			for x.i < len(x.s) && x.s[x.i] != '\n' {
				x.i++
			}
		default:
			return
		}
	}
}

// header reads [a.b] or [[a.b]] and returns the table that follows.
func (x *indexer) header(root *place) *place {
	line := x.line
	x.i++
	array := x.peek() == '['
	if array {
		x.i++
	}
	path := x.path()
	for x.peek() == ']' {
		x.i++
	}
	at := root
	for n, name := range path {
		at = at.child(name, line)
		if n == len(path)-1 {
			break
		}
		if len(at.items) > 0 { // a header below an array of tables means its last table
			at = at.items[len(at.items)-1]
		}
	}
	at.define(line)
	if array {
		item := &place{line: line, explicit: true}
		at.items = append(at.items, item)
		return item
	}
	return at
}

// pair reads one key = value into a table.
func (x *indexer) pair(table *place, depth int) {
	line := x.line
	path := x.path()
	if x.peek() != '=' {
		return
	}
	x.i++
	at := table
	for _, name := range path {
		at = at.child(name, line)
	}
	at.define(line)
	x.blanks()
	x.value(at, depth)
}

// path reads a key, dotted or not, and the blanks after it.
func (x *indexer) path() []string {
	var path []string
	for {
		x.blanks()
		switch x.peek() {
		case '"', '\'':
			path = append(path, x.quoted())
		default:
			start := x.i
			for x.i < len(x.s) && strings.IndexByte(" \t\r\n.=[]{},#\"'", x.s[x.i]) < 0 {
				x.i++
			}
			path = append(path, x.s[start:x.i])
		}
		x.blanks()
		if x.peek() != '.' {
			return path
		}
		if len(path) > maxDepth {
			x.deep = x.line
			return path
		}
		x.i++
	}
}

// quoted reads a one-line string and returns what it means. At an unclosed one it
// stops before the end of the line.
func (x *indexer) quoted() string {
	quote := x.s[x.i]
	x.i++
	start, escaped := x.i, false
	for x.i < len(x.s) && x.s[x.i] != quote && x.s[x.i] != '\n' {
		if quote == '"' && x.s[x.i] == '\\' && x.i+1 < len(x.s) && x.s[x.i+1] != '\n' {
			escaped = true
			x.i++
		}
		x.i++
	}
	raw := x.s[start:x.i]
	if x.peek() == quote {
		x.i++
	}
	if escaped {
		return unescape(raw)
	}
	return raw
}

// value moves over a value and notes what lies in it.
func (x *indexer) value(at *place, depth int) {
	rest := x.s[x.i:]
	switch {
	case strings.HasPrefix(rest, `"""`), strings.HasPrefix(rest, "'''"):
		x.multiline(rest[:3])
	case x.peek() == '"', x.peek() == '\'':
		x.quoted()
	case depth > maxDepth:
		x.deep = x.line
	case x.peek() == '[':
		x.array(at, depth+1)
	case x.peek() == '{':
		x.inline(at, depth+1)
	default: // number, boolean or time
		for x.i < len(x.s) && strings.IndexByte("\r\n,]}#", x.s[x.i]) < 0 {
			x.i++
		}
	}
}

// multiline moves over a string between triple quotes. Up to two more quotes may
// stand right before the closing three (toml.io, "String").
func (x *indexer) multiline(quotes string) {
	x.i += 3
	for x.i < len(x.s) {
		switch {
		case strings.HasPrefix(x.s[x.i:], quotes):
			x.i += 3
			for n := 0; n < 2 && x.peek() == quotes[0]; n++ {
				x.i++
			}
			return
		case x.s[x.i] == '\\' && quotes[0] == '"':
			x.i++
			if x.i < len(x.s) {
				x.next()
			}
		default:
			x.next()
		}
	}
}

func (x *indexer) array(at *place, depth int) {
	x.i++
	for x.skip(); x.i < len(x.s) && x.s[x.i] != ']' && x.deep == 0; x.skip() {
		before := x.i
		item := &place{line: x.line, explicit: true}
		x.value(item, depth)
		if x.i > before {
			at.items = append(at.items, item)
		}
		x.skip()
		if x.peek() == ',' {
			x.i++
		} else if x.peek() != ']' {
			return // not TOML
		}
	}
	if x.i < len(x.s) {
		x.i++
	}
}

func (x *indexer) inline(at *place, depth int) {
	x.i++
	for x.skip(); x.i < len(x.s) && x.s[x.i] != '}' && x.deep == 0; x.skip() {
		x.pair(at, depth)
		x.skip()
		if x.peek() == ',' {
			x.i++
		} else if x.peek() != '}' {
			return // not TOML
		}
	}
	if x.i < len(x.s) {
		x.i++
	}
}

// unescape replaces the escapes of a basic string; an unknown one stays as it is.
func unescape(raw string) string {
	var b strings.Builder
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' || i+1 == len(raw) {
			b.WriteByte(raw[i])
			continue
		}
		i++
		if at := strings.IndexByte(`btnfre"\`, raw[i]); at >= 0 {
			b.WriteByte("\b\t\n\f\r\x1b\"\\"[at])
			continue
		}
		digits := map[byte]int{'x': 2, 'u': 4, 'U': 8}[raw[i]]
		if digits == 0 || i+digits >= len(raw) {
			b.WriteString(raw[i-1 : i+1])
			continue
		}
		r, err := strconv.ParseUint(raw[i+1:i+1+digits], 16, 32)
		if err != nil || r > utf8.MaxRune {
			b.WriteString(raw[i-1 : i+1])
			continue
		}
		b.WriteRune(rune(r))
		i += digits
	}
	return b.String()
}
