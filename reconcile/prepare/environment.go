package prepare

import (
	"bytes"
	"fmt"
	"strings"
)

// Variables reads a file of the form of /etc/environment: lines KEY=VALUE, perhaps
// after "export", perhaps quoted; a "#" begins a comment (pam_env(8)). What is no
// assignment is skipped. The values of a key that stands several times are in the
// order of the file.
func Variables(text []byte) map[string][]string {
	out := map[string][]string{}
	for line := range bytes.Lines(text) {
		if key, value, ok := variable(string(line)); ok {
			out[key] = append(out[key], value)
		}
	}
	return out
}

func variable(line string) (key, value string, ok bool) {
	line = strings.TrimSpace(line)
	if rest, found := strings.CutPrefix(line, "export"); found && rest != "" && (rest[0] == ' ' || rest[0] == '\t') {
		line = strings.TrimSpace(rest)
	}
	key, value, ok = strings.Cut(line, "=")
	if !ok || !isKey(key) {
		return "", "", false
	}
	if n := len(value); n >= 2 && (value[0] == '"' || value[0] == '\'') && value[n-1] == value[0] {
		value = value[1 : n-1]
	}
	return key, value, true
}

func isKey(s string) bool {
	for i, r := range s {
		if r != '_' && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return s != ""
}

// PutVariable gives the text with exactly one line KEY=VALUE: in the place of the
// first line of that key, or at the end. All other bytes stay as they are. An empty
// value takes every line of the key out.
func PutVariable(text []byte, key, value string) ([]byte, error) {
	if !isKey(key) || strings.ContainsAny(value, "\n\r\x00") {
		return nil, fmt.Errorf("cannot write %q=%q as one line", key, value)
	}
	var out bytes.Buffer
	put := value == ""
	for line := range bytes.Lines(text) {
		if k, _, ok := variable(string(line)); !ok || k != key {
			out.Write(line)
			continue
		}
		if !put {
			fmt.Fprintf(&out, "%s=%s\n", key, value)
			put = true
		}
	}
	if !put {
		endLine(&out)
		fmt.Fprintf(&out, "%s=%s\n", key, value)
	}
	return out.Bytes(), nil
}

// endLine ends a last line that has no end.
func endLine(b *bytes.Buffer) {
	if t := b.Bytes(); len(t) > 0 && t[len(t)-1] != '\n' {
		b.WriteByte('\n')
	}
}
