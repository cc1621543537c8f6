package cmd_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// coverage is the page that says what of the guide is covered, and by what.
const coverage = "../docs/guide-coverage.md"

// plans is where a scenario named without a folder lies.
const plans = "../reconcile/testdata/plans"

var (
	quoted  = regexp.MustCompile("`([^`]+)`")
	row     = regexp.MustCompile(`^\| S(\d+) \|`)
	bare    = regexp.MustCompile(`\b[a-z0-9-]+\.txtar\b`)
	states  = []string{"covered", "partly", "not yet", "the operator's own"}
	demands = 135 // the rows of the guide
)

// TestGuideCoverage holds the page to what is there: every demand once, every
// file and every test that it names exists, and nothing counts as covered
// without a test.
func TestGuideCoverage(t *testing.T) {
	data, err := os.ReadFile(coverage)
	if err != nil {
		t.Fatal(err)
	}
	tests := testsByPackage(t)
	seen, count := map[string]bool{}, map[string]int{}
	for n, line := range strings.Split(string(data), "\n") {
		m := row.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		bad := func(format string, args ...any) {
			t.Helper()
			t.Errorf("%s:%d: S%s: %s", filepath.Base(coverage), n+1, m[1], fmt.Sprintf(format, args...))
		}
		if seen[m[1]] {
			bad("is there twice")
		}
		seen[m[1]] = true
		cells := strings.Split(strings.Trim(line, "|"), "|")
		if len(cells) != 7 {
			bad("has %d cells, want 7", len(cells))
			continue
		}
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		section, demand, state, where, shown, missing := cells[1], cells[2], cells[3], cells[4], cells[5], cells[6]
		if section == "" || demand == "" {
			bad("says nothing")
		}
		if !slices.Contains(states, state) {
			bad("%q is none of %q", state, states)
		}
		count[state]++
		if state == "covered" && (where == "" || shown == "" || missing != "") {
			bad("covered needs a place and a test, and nothing missing")
		}
		if state == "partly" && missing == "" {
			bad("partly, and it does not say what is missing")
		}
		for _, q := range quoted.FindAllStringSubmatch(where, -1) {
			if _, err := os.Stat(filepath.Join("..", q[1])); err != nil {
				bad("%v", err)
			}
		}
		for _, q := range quoted.FindAllStringSubmatch(shown, -1) {
			if err := exists(q[1], tests); err != nil {
				bad("%v", err)
			}
		}
		for _, name := range bare.FindAllString(missing, -1) {
			if err := exists(name, tests); err != nil {
				bad("%v", err)
			}
		}
	}
	for i := 1; i <= demands; i++ {
		if !seen[fmt.Sprint(i)] {
			t.Errorf("S%d is missing", i)
		}
	}
	if len(seen) != demands {
		t.Errorf("%d demands, want %d", len(seen), demands)
	}
	sum := fmt.Sprintf("%d covered, %d partly, %d not yet, %d the operator's own", count[states[0]], count[states[1]], count[states[2]], count[states[3]])
	if !strings.Contains(string(data), sum) {
		t.Errorf("the page does not say: %s", sum)
	}
}

// exists looks for a test by the name the page uses: NAME.txtar, PATH.txtar,
// PATH.txtar#CASE or package.Test.
func exists(name string, tests map[string]bool) error {
	path, section, _ := strings.Cut(name, "#")
	if !strings.HasSuffix(path, ".txtar") {
		if !tests[name] {
			return fmt.Errorf("there is no test %s", name)
		}
		return nil
	}
	full := filepath.Join("..", path)
	if !strings.Contains(path, "/") {
		full = filepath.Join(plans, path)
	}
	data, err := os.ReadFile(full)
	if err != nil {
		return err
	}
	if section != "" && !strings.Contains(string(data), "\n-- "+section+".") && !strings.HasPrefix(string(data), "-- "+section+".") {
		return fmt.Errorf("%s has no case %s", path, section)
	}
	return nil
}

// testsByPackage are all test functions and fuzz targets as package.Test, where package is the
// name of the folder.
func testsByPackage(t *testing.T) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	err := filepath.WalkDir("..", func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			if d.IsDir() && (d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") && len(d.Name()) > 2) {
				return filepath.SkipDir
			}
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		dir, err := filepath.Abs(filepath.Dir(path))
		if err != nil {
			return err
		}
		for _, decl := range f.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok && fn.Recv == nil && (strings.HasPrefix(fn.Name.Name, "Test") || strings.HasPrefix(fn.Name.Name, "Fuzz")) && fn.Name.Name != "TestMain" {
				found[filepath.Base(dir)+"."+fn.Name.Name] = true
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
