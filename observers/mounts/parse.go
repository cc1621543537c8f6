package mounts

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"understudy/reconcile"
)

// Parse reads the text of a mountinfo file (proc_pid_mountinfo(5)). A line that
// is not of that form is an error, for an unknown mount must not look like no
// mount. A mount whose super block or whose mount is read-only is ReadOnly.
//
// It is not moby/sys/mountinfo because that takes a malformed number for zero
// and refuses a table with a line of more than 64 KiB, which an overlay of many
// layers can have.
func Parse(text []byte) ([]reconcile.Mount, error) {
	table := make([]reconcile.Mount, 0, bytes.Count(text, []byte{'\n'}))
	for n := 1; len(text) > 0; n++ {
		line, rest, ended := bytes.Cut(text, []byte{'\n'})
		if !ended {
			return nil, fmt.Errorf("cannot read the mount table: line %d is cut off", n)
		}
		m, err := parseLine(string(line))
		if err != nil {
			return nil, fmt.Errorf("cannot read the mount table: line %d: %w", n, err)
		}
		table, text = append(table, m), rest
	}
	return table, nil
}

// parseLine takes one line. Fields are separated by single blanks, and a mount
// source may be empty, so blanks must not be collapsed. From field 7 on there
// are optional fields, ended by a single "-".
func parseLine(line string) (reconcile.Mount, error) {
	var m reconcile.Mount
	f := strings.Split(line, " ")
	if len(f) < 7 {
		return m, fmt.Errorf("%d fields, at least 10 wanted", len(f))
	}
	end := 6
	for end < len(f) && f[end] != "-" {
		end++
	}
	if end+3 >= len(f) {
		return m, fmt.Errorf("no file system type, source and options after the separator %q", "-")
	}
	id, err := strconv.ParseInt(f[0], 10, 32)
	if err != nil || id < 0 {
		return m, fmt.Errorf("mount id %q is not a number", f[0])
	}
	major, minor, ok := strings.Cut(f[2], ":")
	maj, err1 := strconv.ParseUint(major, 10, 32)
	mnr, err2 := strconv.ParseUint(minor, 10, 32)
	if !ok || err1 != nil || err2 != nil {
		return m, fmt.Errorf("device %q is not major:minor", f[2])
	}
	m = reconcile.Mount{
		ID:     int(id),
		Major:  uint32(maj),
		Minor:  uint32(mnr),
		Root:   unescape(f[3]),
		Point:  unescape(f[4]),
		FSType: unescape(f[end+1]),
		Source: unescape(f[end+2]),
	}
	if m.Point == "" {
		return m, fmt.Errorf("mount point is empty")
	}
	// A super option may hold a blank on old kernels, so the options are all the rest.
	m.ReadOnly = hasOption(f[5], "ro") || hasOption(strings.Join(f[end+3:], " "), "ro")
	return m, nil
}

func hasOption(list, want string) bool {
	for o := range strings.SplitSeq(list, ",") {
		if o == want {
			return true
		}
	}
	return false
}

// unescape undoes the kernel's mangling: a backslash and three octal digits stand
// for one byte.
func unescape(s string) string {
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
