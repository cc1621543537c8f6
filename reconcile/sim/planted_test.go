package sim

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// edit replaces one text of a source file, which must stand there exactly once.
type edit struct{ file, old, new string }

// TestPlanted builds the search once for each planted bug and runs it until the bug
// is found. One of them is planted with every test; all take some minutes.
func TestPlanted(t *testing.T) {
	for _, p := range plants {
		if *plant != "all" && !strings.Contains(p.name, *plant) {
			continue
		}
		t.Run(p.name, func(t *testing.T) {
			dir := t.TempDir()
			began := time.Now()
			bin := filepath.Join(dir, "planted.test")
			build := exec.Command("go", "test", "-c", "-overlay", overlay(t, dir, p.edit), "-o", bin, ".")
			if out, err := build.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			run := exec.Command(bin, "-test.run", "TestSimulation", "-until", p.say, "-seeds", "200", "-kind", p.kind)
			out, err := run.CombinedOutput()
			if err == nil {
				t.Fatalf("200 runs did not find it:\n%s", tail(out))
			}
			line := ""
			for l := range strings.Lines(string(out)) {
				if strings.Contains(l, "VIOLATION") && strings.Contains(l, p.say) {
					line = strings.TrimSpace(l)
					break
				}
			}
			if line == "" {
				t.Fatalf("it failed for another reason:\n%s", tail(out))
			}
			t.Logf("found after %s, the compiler's time among it: %s", time.Since(began).Round(100*time.Millisecond), line)
		})
	}
}

// overlay writes the edited sources and the compiler's list of them.
func overlay(t *testing.T, dir string, edits []edit) string {
	t.Helper()
	texts := map[string]string{}
	for _, e := range edits {
		path, err := filepath.Abs(e.file)
		if err != nil {
			t.Fatal(err)
		}
		if texts[path] == "" {
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			texts[path] = string(b)
		}
		if n := strings.Count(texts[path], e.old); n != 1 {
			t.Fatalf("%s has %d times %q: the plant no longer fits the source", e.file, n, e.old)
		}
		texts[path] = strings.Replace(texts[path], e.old, e.new, 1)
	}
	replace := map[string]string{}
	for path, text := range texts {
		f, err := os.CreateTemp(dir, "*.go")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString(text); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		replace[path] = f.Name()
	}
	b, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	list := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(list, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return list
}

func tail(out []byte) []byte { return out[max(0, len(out)-3000):] }
