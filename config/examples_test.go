package config_test

import (
	"path/filepath"
	"strings"
	"testing"

	"understudy/config"
)

// TestExamples: each of the four examples is named after what it states and amounts
// to, and nothing is to be said about it.
func TestExamples(t *testing.T) {
	files, err := filepath.Glob("../docs/examples/*.toml")
	if err != nil || len(files) != 4 {
		t.Fatalf("%d examples: %v", len(files), err)
	}
	for _, name := range files {
		c, findings := config.Check(name, []byte(read(t, name)))
		if len(findings) > 0 {
			t.Errorf("%s: %v", name, findings)
			continue
		}
		want := config.Configuration(strings.TrimSuffix(filepath.Base(name), ".toml"))
		if c.Configuration != want {
			t.Errorf("%s states %q", name, c.Configuration)
		}
		for _, g := range c.Groups {
			if g.Configuration != want {
				t.Errorf("%s: group %s amounts to %q", name, g.Name, g.Configuration)
			}
		}
		same(t, again(t, c), c)
	}
}
