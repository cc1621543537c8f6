package cmd_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"understudy/config"
)

var (
	tomlBlock = regexp.MustCompile("(?ms)^```toml\n(.*?)^```$")
	link      = regexp.MustCompile(`\]\(([^)#:]+)(?:#[^)]*)?\)`)
)

// TestPagesShowFilesThatAreFine checks every file in a page as `understudy check`
// does. A block that names no cluster is a part, and belongs to the first example.
func TestPagesShowFilesThatAreFine(t *testing.T) {
	example, err := os.ReadFile("../docs/examples/hot-standby-cascading.toml")
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range pages(t) {
		for i, m := range tomlBlock.FindAllStringSubmatch(read(t, page), -1) {
			file := m[1]
			if !strings.Contains("\n"+file, "\ncluster") {
				file = string(example) + "\n" + file
			}
			if _, findings := config.Check(fmt.Sprintf("%s, file %d", page, i+1), []byte(file)); len(findings) > 0 {
				t.Errorf("%v", findings)
			}
		}
	}
}

// TestPagesLinkToWhatIsThere follows every link of a page that leads to a file.
func TestPagesLinkToWhatIsThere(t *testing.T) {
	for _, page := range pages(t) {
		for _, m := range link.FindAllStringSubmatch(read(t, page), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(page), m[1])); err != nil {
				t.Errorf("%s: %v", page, err)
			}
		}
	}
}

func pages(t *testing.T) []string {
	t.Helper()
	found, err := filepath.Glob("../docs/*.md")
	if err != nil || len(found) == 0 {
		t.Fatalf("no pages: %v", err)
	}
	return append(found, "../README.md")
}

func read(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
