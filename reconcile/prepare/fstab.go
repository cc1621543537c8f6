package prepare

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Fstab is one line of fstab(5).
type Fstab struct {
	Line    int    // from 1
	Text    string // the whole line without its end
	Spec    string // what is mounted, first field
	Point   string // where, second field
	Type    string
	Options []string
}

// ParseFstab reads a file of the form of fstab(5). Comments and lines with fewer than
// three fields are skipped, as mount(8) skips them.
func ParseFstab(text []byte) []Fstab {
	var out []Fstab
	n := 0
	for line := range bytes.Lines(text) {
		n++
		whole := strings.TrimRight(string(line), "\r\n")
		f := strings.FieldsFunc(whole, func(r rune) bool { return r == ' ' || r == '\t' })
		if len(f) < 3 || strings.HasPrefix(f[0], "#") {
			continue
		}
		l := Fstab{Line: n, Text: whole, Spec: octal(f[0]), Point: octal(f[1]), Type: f[2]}
		if len(f) > 3 {
			l.Options = strings.Split(f[3], ",")
		}
		if p := strings.TrimRight(l.Point, "/"); p != "" {
			l.Point = p
		}
		out = append(out, l)
	}
	return out
}

// octal undoes the mangling of blanks: a backslash and three octal digits.
func octal(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if b, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				out = append(out, byte(b))
				i += 3
				continue
			}
		}
		out = append(out, s[i])
	}
	return string(out)
}

// automatic are options that mount something without being asked for it.
func automatic(o string) bool {
	return o == "auto" || o == "x-systemd.automount" || o == "comment=systemd.automount" || strings.HasPrefix(o, "x-systemd.wanted-by=") || strings.HasPrefix(o, "x-systemd.required-by=")
}

// AtBoot reports whether the system mounts it by itself.
func (l Fstab) AtBoot() bool {
	return !slices.Contains(l.Options, "noauto") || slices.ContainsFunc(l.Options, func(o string) bool { return o != "auto" && automatic(o) })
}

// ByHandOnly is the line with options that let nothing mount it by itself; all else
// stays as it is, blanks too.
func (l Fstab) ByHandOnly() string {
	keep := slices.DeleteFunc(slices.Clone(l.Options), automatic)
	if !slices.Contains(keep, "noauto") {
		keep = append(keep, "noauto")
	}
	at := 0
	for range 3 { // behind the third field
		at += len(l.Text[at:]) - len(strings.TrimLeft(l.Text[at:], " \t"))
		if i := strings.IndexAny(l.Text[at:], " \t"); i >= 0 {
			at += i
		} else {
			at = len(l.Text)
		}
	}
	rest := l.Text[at:]
	blank := len(rest) - len(strings.TrimLeft(rest, " \t"))
	if blank == len(rest) {
		return l.Text[:at] + " " + strings.Join(keep, ",")
	}
	tail := ""
	if i := strings.IndexAny(rest[blank:], " \t"); i >= 0 {
		tail = rest[blank+i:]
	}
	return l.Text[:at] + rest[:blank] + strings.Join(keep, ",") + tail
}

// PutLine gives the text with one line replaced. It is refused if the line is not what
// it was any more.
func PutLine(text []byte, n int, was, now string) ([]byte, error) {
	var out bytes.Buffer
	at, done := 0, false
	for line := range bytes.Lines(text) {
		at++
		body := strings.TrimRight(string(line), "\r\n")
		if at != n {
			out.Write(line)
			continue
		}
		switch body {
		case now:
		case was:
			line = append([]byte(now), line[len(body):]...)
		default:
			return nil, fmt.Errorf("line %d has changed since it was looked at", n)
		}
		done = true
		out.Write(line)
	}
	if !done {
		return nil, fmt.Errorf("there is no line %d any more", n)
	}
	return out.Bytes(), nil
}
