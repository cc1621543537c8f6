package cmd_test

import (
	"go/build"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// arrows lists, for each package, the packages of this module that it may
// import. A package without a line fails: a new package is a decision. cmd is
// the only place where things are put together.
var arrows = map[string][]string{
	"config":                    {},
	"fsm":                       {},
	"reconcile":                 {"config", "fsm"},
	"reconcile/journal":         {},
	"reconcile/loop":            {"config", "fsm", "reconcile", "reconcile/journal"},
	"reconcile/act":             {"config", "reconcile", "observers/lvm", "observers/scsi", "reconcile/act/aix", "observers/aix"},
	"reconcile/act/watchdog":    {"config", "reconcile"},
	"reconcile/act/aix":         {"config", "reconcile", "observers/aix", "observers/aix/aixtest"},
	"reconcile/act/site":        {"reconcile/prepare", "observers/site"},
	"reconcile/prepare":         {"config", "reconcile"},
	"reconcile/lease":           {"config", "reconcile"},
	"reconcile/lease/leasetest": {"config", "reconcile", "reconcile/lease"},
	"reconcile/lease/etcd":      {"config", "reconcile", "reconcile/lease"},
	"reconcile/sim":             {},
	"reconcile/lease/disk":      {"reconcile", "reconcile/lease"},
	"observers":                 {"config", "reconcile", "observers/*"},
	"observers/addrs":           {"config", "reconcile", "observers/*"},
	"observers/aix":             {"reconcile"},
	"observers/aix/aixtest":     {"observers/aix"},
	"observers/daemons":         {"config", "reconcile", "observers/*"},
	"observers/files":           {"config", "reconcile", "observers/*"},
	"observers/lvm":             {"config", "reconcile"},
	"observers/mounts":          {"config", "reconcile", "observers/*"},
	"observers/peers":           {"config", "reconcile", "observers/*"},
	"observers/scsi":            {"reconcile"},
	"observers/site":            {"config", "reconcile", "reconcile/prepare"},
	"observers/trigger":         {},
	"cmd":                       {},
	"cmd/understudy":            {"*"},
	"cmd/internal/api":          {"config", "fsm", "reconcile", "reconcile/journal"},
	"cmd/internal/vmlab":        {"cmd/internal/vmlab/*", "packaging"},
	"cmd/internal/vmlab/guest":  {"cmd/internal/vmlab/wire"},
	"cmd/internal/vmlab/wire":   {},
	"cmd/internal/lab":          {"config", "reconcile", "reconcile/journal", "cmd/internal/api", "cmd/internal/lab/standin"},
	"cmd/internal/lab/chaos":    {},
	"cmd/internal/lab/standin":  {},
}

// pure packages do no I/O, read no clock and log nothing (design, section 3).
var pure = []string{"config", "fsm", "reconcile", "reconcile/prepare"}

var impure = []string{"os", "io/ioutil", "net", "net/http", "log", "log/slog", "os/exec", "os/signal", "syscall", "runtime", "sync", "math/rand", "math/rand/v2", "golang.org/x/sys/unix"}

func TestArrows(t *testing.T) {
	for dir, imports := range packages(t) {
		may, ok := arrows[dir]
		if !ok {
			t.Errorf("package %s has no line in arrows: say what it may import", dir)
			continue
		}
		for _, imp := range imports {
			if ours, ok := strings.CutPrefix(imp, "understudy/"); ok && !slices.ContainsFunc(may, func(m string) bool {
				prefix, wild := strings.CutSuffix(m, "*")
				return m == ours || wild && strings.HasPrefix(ours, prefix)
			}) {
				t.Errorf("%s imports %s: the arrow does not point that way", dir, ours)
			}
		}
	}
}

func TestPureCore(t *testing.T) {
	all := packages(t)
	for _, dir := range pure {
		for _, imp := range all[dir] {
			if slices.Contains(impure, imp) {
				t.Errorf("%s imports %s: it is pure", dir, imp)
			}
		}
	}
}

// packages maps each folder with Go files to the imports of its non-test files,
// for Linux and for AIX.
func packages(t *testing.T) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	root := ".."
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		if name := d.Name(); path != root && (strings.HasPrefix(name, ".") || name == "testdata" || name == "docs" || name == "packaging") {
			return filepath.SkipDir
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		for _, goos := range []string{"linux", "aix"} {
			ctx := build.Default
			ctx.GOOS, ctx.CgoEnabled = goos, false
			p, err := ctx.ImportDir(path, 0)
			if err != nil {
				continue // no Go files for that system
			}
			if _, ok := out[rel]; !ok {
				out[rel] = []string{}
			}
			for _, imp := range p.Imports {
				if !slices.Contains(out[rel], imp) {
					out[rel] = append(out[rel], imp)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
