package aix

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Mount is one line of what mount prints without arguments.
type Mount struct {
	Node    string // the server of a file system that is mounted over the network
	Device  string
	Point   string
	VFS     string
	Options []string
}

var (
	monthName = regexp.MustCompile(`^(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)$`)
	dayNumber = regexp.MustCompile(`^[0-9]{1,2}$`)
	clock     = regexp.MustCompile(`^[0-9]{1,2}:[0-9]{2}$`)
)

// ParseMounts reads what mount prints (reference of mount, "displays
// information about mounted file systems"). The columns move with long names, so
// that a line is read around its date: node (nothing for a local file system),
// device, point and type stand before it, the options behind. A line that cannot
// be read in exactly one way, such as one with a blank in a name, is an error.
func ParseMounts(text string) ([]Mount, error) {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	if len(lines) < 2 || !strings.Contains(lines[0], "mounted over") || !strings.HasPrefix(strings.TrimSpace(lines[1]), "---") {
		return nil, errors.New("cannot read the mount table: its heading is not that of mount")
	}
	out := []Mount{}
	for n, line := range lines[2:] {
		if strings.TrimSpace(line) == "" {
			continue
		}
		m, err := parseMount(line)
		if err != nil {
			return nil, fmt.Errorf("cannot read the mount table: line %d: %w", n+3, err)
		}
		out = append(out, m)
	}
	return out, nil
}

func parseMount(line string) (Mount, error) {
	f := strings.Fields(line)
	before := 3 // device, point, type
	if line[0] != ' ' && line[0] != '\t' {
		before = 4
	}
	if len(f) < before+3 || !monthName.MatchString(f[before]) || !dayNumber.MatchString(f[before+1]) || !clock.MatchString(f[before+2]) {
		return Mount{}, fmt.Errorf("%.120q has no date behind node, device, point and type", line)
	}
	var m Mount
	if before == 4 {
		m.Node = f[0]
	}
	m.Device, m.Point, m.VFS = f[before-3], f[before-2], f[before-1]
	if !strings.HasPrefix(m.Point, "/") {
		return Mount{}, fmt.Errorf("the point %.80q is not an absolute path", m.Point)
	}
	if rest := f[before+3:]; len(rest) > 0 {
		m.Options = strings.FieldsFunc(strings.Join(rest, ","), func(r rune) bool { return r == ',' })
	}
	return m, nil
}

// ReadOnly reports whether nothing can be written there.
func (m Mount) ReadOnly() bool { return slices.Contains(m.Options, "ro") }

// Source is the device, with its server as df writes it.
func (m Mount) Source() string {
	if m.Node != "" {
		return m.Node + ":" + m.Device
	}
	return m.Device
}

// Stanza is the entry of one file system in /etc/filesystems.
type Stanza struct {
	Point string
	Keys  map[string]string // dev, vfs, log, mount, options, …
}

// ParseFilesystems reads /etc/filesystems (reference, "filesystems File"): a
// stanza is a point that ends with a colon, and lines "key = value" below it. A
// star begins a comment, and a value may stand in double quotes.
func ParseFilesystems(text string) ([]Stanza, error) {
	out := []Stanza{}
	for n, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		switch key, value, ok := strings.Cut(line, "="); {
		case line == "" || line[0] == '*':
		case ok && len(out) > 0:
			out[len(out)-1].Keys[strings.TrimSpace(key)] = strings.Trim(strings.TrimSpace(value), `"`)
		case !ok && strings.HasSuffix(line, ":"):
			out = append(out, Stanza{Point: strings.TrimSuffix(line, ":"), Keys: map[string]string{}})
		default:
			return nil, fmt.Errorf("cannot read /etc/filesystems: line %d: %.80q is neither a stanza nor one of its keys", n+1, line)
		}
	}
	return out, nil
}
