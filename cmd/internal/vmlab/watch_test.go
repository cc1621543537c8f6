//go:build linux

package vmlab

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

func watchOf(t *testing.T) *watch {
	t.Helper()
	return &watch{looks: map[string][]look{}, counts: map[string]count{}}
}

func secs(n float64) time.Duration { return time.Duration(n * float64(time.Second)) }

// What was certainly on two guests at once is found, however few looks there were, and
// what may have come one after the other is not.
func TestTwice(t *testing.T) {
	const m, n = "mount /srv/data id 40", "mount /srv/data id 52"
	for _, tc := range []struct {
		name   string
		n1, n2 []look
		bad    int
	}{
		{"one after the other", []look{{secs(1), secs(1.1), []string{m}}, {secs(2), secs(2.1), []string{m}}, {secs(3), secs(3.1), nil}},
			[]look{{secs(2), secs(2.1), nil}, {secs(3), secs(3.1), []string{n}}}, 0},
		{"between two looks", []look{{secs(1), secs(1.1), []string{m}}, {secs(9), secs(9.1), []string{m}}},
			[]look{{secs(4), secs(4.1), []string{n}}}, 1},
		{"a machine that stood still answers late", []look{{secs(1), secs(1.1), []string{m}}, {secs(2), secs(60), []string{m}}, {secs(61), secs(61.1), []string{m}}},
			[]look{{secs(20), secs(20.1), []string{n}}, {secs(30), secs(30.1), []string{n}}}, 1},
		{"mounted again", []look{{secs(1), secs(1.1), []string{m}}, {secs(9), secs(9.1), []string{n}}},
			[]look{{secs(4), secs(4.1), []string{n}}}, 0},
		{"the address", []look{{secs(1), secs(1.1), []string{"address a"}}, {secs(3), secs(3.1), []string{"address a"}}},
			[]look{{secs(2), secs(2.1), []string{"address a"}}}, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := watchOf(t)
			w.looks["n1"], w.looks["n2"] = tc.n1, tc.n2
			if bad := w.twice(); len(bad) != tc.bad {
				t.Errorf("%q", bad)
			}
		})
	}
}

// Who wrote, one after the other, across power cuts: a new machine counts anew.
func TestReigns(t *testing.T) {
	w := watchOf(t)
	for i, c := range []struct {
		node string
		count
	}{{"n1", count{1, 5}}, {"n2", count{2, 0}}, {"n1", count{1, 9}}, {"n2", count{2, 0}}, {"n2", count{2, 3}}, {"n1", count{7, 0}}, {"n1", count{7, 2}}} {
		w.wrote(c.node, c.count, secs(float64(i)))
	}
	order, story, _ := w.story()
	if want := []string{"n1", "n2", "n1"}; !slices.Equal(order, want) || !strings.Contains(story, "n1 from 2 to 2 s (4 writes)") {
		t.Errorf("%q %s", order, story)
	}
	for _, tc := range []struct {
		wrote, may string
		want       bool
	}{{"", "n1", true}, {"n1 n2", "n1 n2", true}, {"n1 n2", "n1 n2 n1 n2", true}, {"n2", "n1 n2", true}, {"n1 n2 n1", "n1 n2", false}, {"n2 n1", "n1 n2", false}} {
		if got := follows(strings.Fields(tc.wrote), strings.Fields(tc.may)); got != tc.want {
			t.Errorf("%s by %s: %v", tc.wrote, tc.may, got)
		}
	}
}

func TestReadings(t *testing.T) {
	const mountinfo = `22 1 0:20 / / rw,relatime - overlay overlay rw
40 22 8:0 / /srv/data rw,relatime shared:1 - ext4 /dev/sda rw
41 22 8:16 / /srv/other ro,relatime shared:2 - ext4 /dev/sdb rw
`
	if got := mountsBelow(mountinfo, "/srv/"); !slices.Equal(got, []string{"mount /srv/data id 40"}) {
		t.Errorf("%q", got)
	}
	const trie = `Main:
  +-- 10.77.0.0/24 2 0 2
     |-- 10.77.0.0
        /24 link UNICAST
     |-- 10.77.0.100
        /32 host LOCAL
     |-- 10.77.0.1
        /32 host LOCAL
`
	if !isLocal(trie, "10.77.0.100") || !isLocal(trie, "10.77.0.1") || isLocal(trie, "10.77.0.0") || isLocal(trie, "10.77.0.10") {
		t.Error("the addresses of a host are not told from what it can reach")
	}
}

// A run goes on after a failure, says how many failed, and tells what it did not begin.
func TestVerdict(t *testing.T) {
	var out strings.Builder
	bad := errors.New("two: after 1 things shown: not seen\nin time: " + strings.Repeat("n1 stands by ", 20))
	results := []result{{"one", 3, secs(2), nil}, {"two", 1, secs(4), bad}}
	three := []Scenario{{Name: "one"}, {Name: "two"}, {Name: "three"}}
	table(&out, three, results, secs(6))
	for _, want := range []string{
		"one             3        2  all shown\n", "two             1        4  failed: after 1 things shown: not seen in time: n1 ",
		"three           0        0  not begun\n", "all             4        6  1 of 3 scenarios\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
	for line := range strings.Lines(out.String()) {
		if len(line) > 80 {
			t.Errorf("%d columns: %s", len(line), line)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := verdict(ctx, three, results)
	if err == nil || !strings.Contains(err.Error(), "1 of 3 scenarios failed") || !strings.Contains(err.Error(), "1 of 3 scenarios were not begun") {
		t.Error(err)
	}
	if err := verdict(t.Context(), three[:1], results[1:]); err != bad {
		t.Error(err)
	}
	if err := verdict(t.Context(), three[:2], results[:1:1]); err == nil {
		t.Error("one that was not begun is not a success")
	}
}

// A scenario with a mistake fails, and the run goes on.
func TestPanickingScenarioFails(t *testing.T) {
	err := attempt(t.Context(), Scenario{Name: "bad", Run: func(_ context.Context, s *Stage) error {
		s.play.turn = 1
		return nil
	}}, &Stage{})
	if err == nil || !strings.Contains(err.Error(), "nil pointer") || !strings.Contains(err.Error(), "watch_test.go") {
		t.Error(err)
	}
}
