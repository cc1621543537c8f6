package reconcile

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"understudy/config"
)

// TestChangePlans runs testdata/change/*.txtar: a file, a changed one, and the plans
// that follow on every node when it is taken over, from the cluster at rest.
func TestChangePlans(t *testing.T) {
	files, err := filepath.Glob("testdata/change/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, path := range files {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			ar := txtar.Parse(data)
			old, next, after := changeFiles(t, ar)
			var out bytes.Buffer
			for _, f := range config.Fixed(old, next, "after", []byte(after)) {
				fmt.Fprintln(&out, f)
			}
			for i, st := range ChangePlans(old, next, Steady(old, noon).View("beta")) {
				if i > 0 {
					fmt.Fprintln(&out)
				}
				st.Plan.Text(&out)
			}
			if *update {
				setSection(ar, "plans", out.Bytes())
				if err := os.WriteFile(path, txtar.Format(ar), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if d := cmp.Diff(string(section(ar, "plans")), out.String()); d != "" {
				t.Errorf("plans (-want +got):\n%s", d)
			}
		})
	}
}

// changeFiles are the two files of a case: base.toml, and the same with lines replaced,
// "- old" by "+ new", a block for each place.
func changeFiles(t *testing.T, ar *txtar.Archive) (old, next *config.Config, after string) {
	t.Helper()
	base, err := os.ReadFile("testdata/change/base.toml")
	if err != nil {
		t.Fatal(err)
	}
	after = string(base)
	for block := range strings.SplitSeq(string(section(ar, "edit")), "\n\n") {
		var from, to []string
		for line := range strings.Lines(block) {
			line = strings.TrimSuffix(line, "\n")
			switch {
			case strings.HasPrefix(line, "- "):
				from = append(from, line[2:])
			case strings.HasPrefix(line, "+ "):
				to = append(to, line[2:])
			case line == "+":
				to = append(to, "")
			case line == "-":
				from = append(from, "")
			}
		}
		if was := strings.Join(from, "\n"); !strings.Contains(after, was) {
			t.Fatalf("not in the file: %s", was)
		} else {
			after = strings.Replace(after, was, strings.Join(to, "\n"), 1)
		}
	}
	old, err = config.Parse("before", base)
	if err != nil {
		t.Fatal(err)
	}
	if next, err = config.Parse("after", []byte(after)); err != nil {
		t.Fatal(err)
	}
	return old, next, after
}
