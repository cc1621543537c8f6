package config_test

import (
	"os"
	"reflect"
	"testing"

	"understudy/config"
)

// bare clears what depends on how a file is written and not on what it says.
func bare(c *config.Config) *config.Config {
	c.Hash = ""
	for i := range c.Nodes {
		c.Nodes[i].Line = 0
		for k := range c.Nodes[i].Fences {
			c.Nodes[i].Fences[k].Line = 0
		}
	}
	for i := range c.Groups {
		g := &c.Groups[i]
		g.Line = 0
		for j := range g.Addresses {
			g.Addresses[j].Line = 0
		}
		for j := range g.Filesystems {
			g.Filesystems[j].Line = 0
		}
		for j := range g.Aggregates {
			g.Aggregates[j].Line = 0
		}
		for j := range g.Applications {
			g.Applications[j].Line = 0
		}
	}
	for i := range c.Services {
		c.Services[i].Line = 0
	}
	for i := range c.Hooks {
		c.Hooks[i].Line = 0
	}
	return c
}

// again explains a Config and parses that.
func again(t interface {
	Helper()
	Fatalf(string, ...any)
}, c *config.Config) *config.Config {
	t.Helper()
	text := config.Explain(c)
	back, err := config.Parse("explained.toml", text)
	if err != nil {
		t.Fatalf("%s\n%v", text, err)
	}
	return back
}

// same fails unless two Configs say the same.
func same(t interface {
	Helper()
	Fatalf(string, ...any)
}, got, want *config.Config) {
	t.Helper()
	if got, want = bare(got), bare(want); !reflect.DeepEqual(got, want) {
		t.Fatalf("explained and parsed again:\n%s\nwas:\n%s", config.Explain(got), config.Explain(want))
	}
}

// TestExplain is a golden of the smallest file, whose every default shows.
func TestExplain(t *testing.T) {
	c, err := config.Parse("base.toml", []byte(read(t, "testdata/base.toml")))
	if err != nil {
		t.Fatal(err)
	}
	got := string(config.Explain(c))
	if *update {
		if err := os.WriteFile("testdata/base.explained.toml", []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want := read(t, "testdata/base.explained.toml"); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	same(t, again(t, c), c)
}
