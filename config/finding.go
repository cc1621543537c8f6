package config

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// Severity says whether a finding forbids the file.
type Severity string

// The severities.
const (
	Error   Severity = "error"   // the file is refused
	Warning Severity = "warning" // the file is accepted, and a person should know
)

// Finding is one thing that a rule has to say about the file.
type Finding struct {
	Rule     string   `json:"rule"` // id of the rule; it never changes its meaning
	Severity Severity `json:"severity"`
	File     string   `json:"file"`
	Line     int      `json:"line"` // 1-based
	Message  string   `json:"message"`
	WayOut   string   `json:"way_out"`
}

// String is the finding on one line, as a compiler prints it.
func (f Finding) String() string {
	s := fmt.Sprintf("%s:%d: %s [%s]", f.File, f.Line, f.Message, f.Rule)
	if f.WayOut != "" {
		s += " — " + f.WayOut
	}
	return s
}

// Findings is the error of a refused file: every error found, by line.
type Findings []Finding

// Error is one finding a line.
func (fs Findings) Error() string {
	lines := make([]string, len(fs))
	for i, f := range fs {
		lines[i] = f.String()
	}
	return strings.Join(lines, "\n")
}

// errors returns the findings that forbid the file.
func (fs Findings) errors() Findings {
	var out Findings
	for _, f := range fs {
		if f.Severity == Error {
			out = append(out, f)
		}
	}
	return out
}

// report collects findings. The zero value with a file name is ready for use.
type report struct {
	file     string
	findings Findings
}

// add notes a finding of a rule. The message must say what and where, the way
// out what to do about it.
func (r *report) add(id string, line int, wayOut, format string, args ...any) {
	r.findings = append(r.findings, Finding{
		Rule: id, Severity: severity(id), File: r.file, Line: max(line, 1),
		Message: printable(fmt.Sprintf(format, args...)), WayOut: printable(wayOut),
	})
}

// printable escapes what would break a line or speak to a terminal: names and
// the decoder's messages repeat bytes of the file.
func printable(s string) string {
	if !strings.ContainsFunc(s, unprintable) {
		return s
	}
	var out strings.Builder
	for _, r := range s {
		if unprintable(r) {
			out.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		} else {
			out.WriteRune(r)
		}
	}
	return out.String()
}

func unprintable(r rune) bool { return r != ' ' && !unicode.IsGraphic(r) }

// sorted returns the findings by line, then rule, then message; those of the file
// itself before those of profiles.
func (r *report) sorted() Findings {
	other := func(f Finding) string { return strings.TrimPrefix(f.File, r.file) }
	slices.SortFunc(r.findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(other(a), other(b)), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Message, b.Message))
	})
	return slices.Compact(r.findings)
}
