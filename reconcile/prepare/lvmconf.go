package prepare

import (
	"bytes"
	"strings"
)

// ActivationList reads activation/auto_activation_volume_list of an lvm.conf(5): a
// string or a list of strings, perhaps over several lines. ok is false if it is not
// set; an empty list is set, and lets nothing be activated at boot.
func ActivationList(text []byte) (list []string, ok bool) {
	const key = "auto_activation_volume_list"
	var clean bytes.Buffer
	for line := range bytes.Lines(text) {
		clean.WriteString(uncommented(string(line)))
		clean.WriteByte('\n')
	}
	s := clean.String()
	for {
		i := strings.Index(s, key)
		if i < 0 {
			return list, ok
		}
		before, after := s[:i], strings.TrimLeft(s[i+len(key):], " \t")
		s = s[i+len(key):]
		// Not in the middle of another word; "activation/KEY" is one form of it.
		if n := len(before); n > 0 && (before[n-1] == '_' || 'a' <= before[n-1] && before[n-1] <= 'z') || !strings.HasPrefix(after, "=") {
			continue
		}
		value := strings.TrimSpace(after[1:])
		if strings.HasPrefix(value, "[") {
			end := strings.IndexByte(value, ']')
			if end < 0 {
				continue
			}
			value = value[1:end]
		} else {
			value, _, _ = strings.Cut(value, "\n")
		}
		list, ok = []string{}, true
		for e := range strings.SplitSeq(value, ",") {
			if e = strings.Trim(strings.TrimSpace(e), `"`); e != "" {
				list = append(list, e)
			}
		}
	}
}

// uncommented cuts off a comment, but not a "#" within a string.
func uncommented(line string) string {
	in := false
	for i, r := range line {
		switch {
		case r == '"':
			in = !in
		case r == '#' && !in:
			return line[:i]
		}
	}
	return strings.TrimRight(line, "\r\n")
}
