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

// A node whose file is not the one that counts takes nothing over, unless its file says
// that it only warns.
func TestSkew(t *testing.T) {
	c, _, _ := changeFiles(t, &txtar.Archive{})
	w := Steady(c, noon)
	w.Store.Claims[FileKey] = Claim{Group: FileKey, Holder: "alpha", Epoch: 2, Released: true, File: &FileRecord{Hash: c.Hash}}
	w.Down["alpha"] = true
	w.Store.Fenced["alpha"] = FenceRecord{Node: "alpha", BootID: w.Host("alpha").BootID, By: "beta"}
	group := c.Group("db")
	if d := Decide(c, group, w.View("beta")); d.Goal != Hold {
		t.Fatalf("goal with the file that counts: %s, %+v", d.Goal, d.Status)
	}
	other := *c
	other.Hash = "0123456789abcdef"
	if d := Decide(&other, group, w.View("beta")); d.Goal == Hold || d.Status.Ready || !strings.Contains(d.Status.Reason, "is not the one that counts") {
		t.Errorf("goal with another file: %s, %+v", d.Goal, d.Status)
	}
	web := c.Group("web") // beta holds it: it keeps what it has
	if d := Decide(&other, web, w.View("beta")); d.Goal != Hold || !d.Plan.Empty() {
		t.Errorf("what it has: %s, %d steps", d.Goal, len(d.Plan.Steps))
	}
	other.Skew = config.SkewWarn
	if d := Decide(&other, group, w.View("beta")); d.Goal != Hold {
		t.Errorf("goal with skew = warn: %s", d.Goal)
	}
}

// What is spoken is what the oldest program of the nodes knows, and one that was never
// heard counts as the oldest there is.
func TestSpoken(t *testing.T) {
	c, _, _ := changeFiles(t, &txtar.Archive{})
	s := &Snapshot{Node: "alpha"}
	for _, tc := range []struct {
		peer NodeStatus
		want int
	}{{NodeStatus{Speaks: Protocol + 5}, Protocol}, {NodeStatus{Speaks: Protocol}, Protocol}, {NodeStatus{}, 1}} {
		s.Peers = []Peer{{Name: "beta", State: PeerHeard, Status: tc.peer}, {Name: "witness", State: PeerHeard}}
		if got := Spoken(c, s); got != tc.want {
			t.Errorf("beta speaks %d: spoken is %d, want %d", tc.peer.Speaks, got, tc.want)
		}
	}
	s.Peers = nil
	if got := Spoken(c, s); got != 1 {
		t.Errorf("beta was never heard: %d", got)
	}
}
