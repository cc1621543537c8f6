package lvm

import (
	"fmt"
	"strings"
)

// setting is one value of LVM's configuration in force (lvm.conf(5)).
type setting struct {
	set  bool // in a file, or by default
	list []string
}

// first is the only value of a setting that is no list.
func (s setting) first() string {
	if len(s.list) == 0 {
		return ""
	}
	return s.list[0]
}

// parseSettings reads what `lvmconfig --typeconfig full SECTION/NAME…` prints: one
// name=value a line, without the section; strings in quotes, lists in brackets.
// What has no value and no default is not printed.
func parseSettings(text string) (map[string]setting, error) {
	out := map[string]setting{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if !ok {
			return nil, fmt.Errorf("cannot read LVM's settings: %q is no name=value", clip(line))
		}
		list, err := parseValue(value)
		if err != nil {
			return nil, fmt.Errorf("cannot read LVM's setting %s: %w", clip(name), err)
		}
		out[strings.TrimSpace(name)] = setting{true, list}
	}
	return out, nil
}

// parseValue reads a number, a string or a list of them.
func parseValue(s string) ([]string, error) {
	s = strings.TrimSpace(s)
	inner, isList := strings.CutPrefix(s, "[")
	if !isList {
		v, rest, err := parseWord(s)
		if err == nil && strings.TrimSpace(rest) != "" {
			err = fmt.Errorf("%q follows its value", clip(rest))
		}
		return []string{v}, err
	}
	out := []string{}
	for {
		inner = strings.TrimSpace(inner)
		if rest, end := strings.CutPrefix(inner, "]"); end {
			if strings.TrimSpace(rest) != "" {
				return nil, fmt.Errorf("%q follows its list", clip(rest))
			}
			return out, nil
		}
		v, rest, err := parseWord(inner)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
		rest = strings.TrimSpace(rest)
		if after, comma := strings.CutPrefix(rest, ","); comma {
			rest = after
		} else if !strings.HasPrefix(rest, "]") {
			return nil, fmt.Errorf("its list does not end")
		}
		inner = rest
	}
}

// parseWord reads one string in quotes, or what stands up to a comma or bracket.
func parseWord(s string) (word, rest string, err error) {
	if !strings.HasPrefix(s, `"`) {
		end := strings.IndexAny(s, ",]")
		if end < 0 {
			end = len(s)
		}
		return strings.TrimSpace(s[:end]), s[end:], nil
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			if i++; i < len(s) {
				b.WriteByte(s[i])
			}
		case '"':
			return b.String(), s[i+1:], nil
		default:
			b.WriteByte(s[i])
		}
	}
	return "", "", fmt.Errorf("its string does not end")
}
