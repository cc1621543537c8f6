package prepare

import (
	"bytes"
	"fmt"
	"path"
	"strings"
)

// cellPrefix begins the global name of every cell.
const cellPrefix = "/.../"

// cellFile reports whether a path is DCE's own record of what is configured.
func cellFile(p string) bool { return path.Base(p) == "dce_cf.db" }

// ParseCell reads the cell's name, without /.../, from a dce_cf.db: text with lines
// "cellname /.../CELL" and "hostname hosts/NAME" (OSF DCE 1.2.2, config).
func ParseCell(text []byte) (string, error) {
	for line := range bytes.Lines(text) {
		f := strings.Fields(string(line))
		if len(f) != 2 || f[0] != "cellname" {
			continue
		}
		return CleanCell(f[1])
	}
	return "", fmt.Errorf("cannot find a line with cellname in it")
}

// parseHost reads the name under which a host was configured, "" if it does not say.
func parseHost(text []byte) string {
	for line := range bytes.Lines(text) {
		if f := strings.Fields(string(line)); len(f) == 2 && f[0] == "hostname" {
			return strings.TrimPrefix(f[1], "hosts/")
		}
	}
	return ""
}

// sameHost compares host names of which either may have a domain.
func sameHost(a, b string) bool {
	if strings.Contains(a, ".") != strings.Contains(b, ".") {
		a, _, _ = strings.Cut(a, ".")
		b, _, _ = strings.Cut(b, ".")
	}
	return strings.EqualFold(a, b)
}

// CleanCell is a cell's name without /.../, if it is one.
func CleanCell(name string) (string, error) {
	cell := strings.TrimPrefix(name, cellPrefix)
	bad := cell == "" || len(cell) > 255 || cell == "cell_name" || path.Clean("/"+cell) != "/"+cell
	for _, r := range cell {
		bad = bad || r <= ' ' || r > '~' || strings.ContainsRune(`'"\$`+"`", r)
	}
	if bad {
		return "", fmt.Errorf("cannot take %q for a cell's name — it is what stands behind /.../ on the owner, e.g. cell1.example.com", name)
	}
	return cell, nil
}
