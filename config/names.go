package config

import (
	"fmt"
	"path"
	"regexp"
	"strings"
	"unicode"
)

var (
	nameSyntax  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)
	hostSyntax  = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*$`) // RFC 1123, 2.1
	envSyntax   = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	wordSyntax  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+-]*$`)
	agentSyntax = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._+-]*$`)
)

// name checks a name that becomes part of store keys, cgroup and file names.
func (b *builder) name(name string, line int, what string) bool {
	if len(name) <= maxName && nameSyntax.MatchString(name) {
		return true
	}
	b.add(ruleName, line, fmt.Sprintf("use 1 to %d of A-Z a-z 0-9 . _ - and begin with a letter or digit", maxName),
		"%s %s is not a name", what, quote(name))
	return false
}

// titled is "group db: daemon x", or without x where it has no name.
func titled(what, kind, name string) string {
	if name == "" {
		return what + ": " + kind
	}
	return what + ": " + kind + " " + name
}

// cleanPath checks a path of the file.
func (b *builder) cleanPath(p string, line int, what string) bool {
	switch {
	case strings.ContainsFunc(p, unicode.IsControl):
		b.add(rulePath, line, "write it without control characters", "%s %s has control characters", what, quote(p))
	case !strings.HasPrefix(p, "/"):
		b.add(rulePath, line, "begin with /", "%s %s is not absolute", what, quote(p))
	case path.Clean(p) != p:
		b.add(rulePath, line, "write "+path.Clean(p), "%s %s is not clean", what, quote(p))
	default:
		return true
	}
	return false
}

// command checks an argument vector.
func (b *builder) command(v *val[[]element], what string) []string {
	if !v.ok() {
		return nil
	}
	if len(v.v) == 0 {
		b.add(ruleCommand, v.line, "leave the key out, or name a program", "%s is empty", what)
		v.bad = true
		return nil
	}
	first := v.v[0]
	if !strings.HasPrefix(first.text, "/") || path.Clean(first.text) != first.text {
		b.add(ruleCommand, first.line, "write the absolute path of the program; there is no shell and no PATH",
			"%s begins with %s", what, quote(first.text))
		v.bad = true
	}
	for _, e := range v.v {
		if strings.ContainsRune(e.text, 0) {
			b.add(ruleCommand, e.line, "take it out", "%s has a NUL in an argument", what)
			v.bad = true
		}
	}
	return stringsOf(v.v)
}

// below reports whether p lies strictly below dir. Both are clean.
func below(p, dir string) bool {
	return p != dir && (dir == "/" || strings.HasPrefix(p, dir+"/"))
}

// quote writes a TOML basic string (toml.io, "String").
func quote(s string) string {
	var out strings.Builder
	out.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			out.WriteByte('\\')
			out.WriteRune(r)
		case r == '\n':
			out.WriteString(`\n`)
		case r == '\t':
			out.WriteString(`\t`)
		case unicode.IsControl(r):
			fmt.Fprintf(&out, `\u%04X`, r)
		default:
			out.WriteRune(r)
		}
	}
	out.WriteByte('"')
	return out.String()
}
