//go:build linux

package lab

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// A log that was kept as it should be, and every way in which it may not be.
func TestLogCheck(t *testing.T) {
	line := func(who string, n int64) string { return lineOf(who, n) }
	a := func(who string, n, at, answered, place int64) sent {
		return sent{line: line(who, n), at: at, answered: answered, place: place}
	}
	lost := func(who string, n, at int64) sent { return sent{line: line(who, n), at: at, place: -1} }
	good := []sent{a("a", 1, 10, 20, 0), lost("a", 2, 30), a("a", 3, 40, 50, 10)}
	for _, c := range []struct {
		name, file string
		writers    [][]sent
		want       string // in what is wrong; "" for nothing
		torn       int
	}{
		{"kept", "a 1.\na 2.\na 3.\n", [][]sent{{good[0], good[1], a("a", 3, 40, 50, 10)}}, "", 0},
		{"an unanswered line that did not happen", "a 1.\na 3.\n", [][]sent{{good[0], good[1], a("a", 3, 40, 50, 5)}}, "", 0},
		{"an unanswered line that came late", "a 1.\na 3.\na 2.\n", [][]sent{{good[0], good[1], a("a", 3, 40, 50, 5)}}, "", 0},
		{"a torn line", "a 1.\na \na 3.\n", [][]sent{{good[0], good[1], a("a", 3, 40, 50, 8)}}, "", 1},
		{"two at the same time", "b 1.\na 1.\n", [][]sent{{a("a", 1, 10, 30, 5)}, {a("b", 1, 12, 25, 0)}}, "", 0},
		{"lost", "a 1.\n", [][]sent{{good[0], a("a", 3, 40, 50, 5)}}, "is lost", 0},
		{"twice", "a 1.\na 1.\n", [][]sent{{good[0]}}, "is there twice", 0},
		{"of nobody", "a 1.\nx 9.\n", [][]sent{{good[0]}}, "nobody sent", 0},
		{"a torn line of one that was answered", "a 1\n", [][]sent{{good[0]}}, "nobody sent", 0},
		{"zeros", "a 1.\n\x00\x00\x00\n", [][]sent{{good[0]}}, "nobody sent", 0},
		{"elsewhere", "a 1.\na 3.\n", [][]sent{{good[0], a("a", 3, 40, 50, 10)}}, "its answer said 10", 0},
		{"in the wrong order", "b 1.\na 1.\n", [][]sent{{a("a", 1, 10, 20, 5)}, {a("b", 1, 30, 40, 0)}}, "is behind it", 0},
		{"an unanswered line before it was sent", "b 1.\na 1.\n", [][]sent{{a("a", 1, 10, 20, 5)}, {lost("b", 1, 30)}}, "is behind it", 0},
		{"in a wrong order that a third one hides", "b 1.\nc 1.\na 1.\n",
			[][]sent{{a("a", 1, 10, 20, 10)}, {a("b", 1, 30, 40, 0)}, {a("c", 1, 15, 60, 5)}}, "is behind it", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := checkLog(c.file, c.writers)
			if got := strings.Join(h.Wrong, "; "); c.want == "" && got != "" || !strings.Contains(got, c.want) || h.Torn != c.torn {
				t.Errorf("%q, %d torn; want %q, %d", got, h.Torn, c.want, c.torn)
			}
		})
	}
}

// The check says what a search over all orders says: few operations, every order of
// them and every choice of those without an answer tried against the definition.
func TestLogCheckIsExact(t *testing.T) {
	good, bad := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 5).Draw(t, "operations")
		var ops []sent
		for i := range n {
			at := rapid.Int64Range(1, 12).Draw(t, "sent")
			one := sent{line: lineOf("w", int64(i)), at: at, place: -1}
			if rapid.IntRange(0, 3).Draw(t, "answered") > 0 {
				one.answered = at + rapid.Int64Range(0, 8).Draw(t, "took")
				one.place = 5 * rapid.Int64Range(0, int64(n)-1).Draw(t, "place")
			}
			ops = append(ops, one)
		}
		// A file that is likely: the lines in the order of some moments.
		var file strings.Builder
		order := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "order"), 0)).Perm(n)
		if rapid.Bool().Draw(t, "in order") {
			slices.SortStableFunc(order, func(a, b int) int { return int(ops[a].at - ops[b].at) })
			place := int64(0)
			for _, i := range order {
				if ops[i].answered != 0 {
					ops[i].place = place
				}
				place += int64(len(ops[i].line))
			}
		}
		for _, i := range order {
			if ops[i].answered != 0 || rapid.Bool().Draw(t, "happened") {
				file.WriteString(ops[i].line)
			}
		}
		want := linearizable(ops, file.String(), "", make([]bool, n))
		if want {
			good++
		} else {
			bad++
		}
		if got := checkLog(file.String(), [][]sent{ops}).Broken == 0; got != want {
			t.Fatalf("checked: %v, searched: %v\n%q\n%+v", got, want, file.String(), ops)
		}
	})
	if good < 10 || bad < 10 {
		t.Errorf("%d right histories and %d wrong ones: too few to say anything", good, bad)
	}
}

// linearizable searches as Wing and Gong do: of the operations that are not done,
// one that was sent before the earliest answer that is still due may be next. The
// log so far says what its answer must be; at the end it must be the file. An
// operation without an answer may be left out.
func linearizable(ops []sent, file, log string, done []bool) bool {
	due := int64(1 << 62)
	left := false
	for i, o := range ops {
		if !done[i] && o.answered != 0 {
			left = true
			due = min(due, o.answered)
		}
	}
	if !left && log == file {
		return true
	}
	for i, o := range ops {
		if done[i] || o.at > due || o.answered != 0 && o.place != int64(len(log)) || !strings.HasPrefix(file, log+o.line) {
			continue
		}
		done[i] = true
		if linearizable(ops, file, log+o.line, done) {
			return true
		}
		done[i] = false
	}
	return false
}

func TestWriterRecords(t *testing.T) {
	got, err := readWrites("w", strings.NewReader("s 1 10\na 1 20 0\ns 2 30\ns 4 50\na 4 60 11\ns 5 70\na 5 8"))
	want := []sent{{line: "w 1.\n", at: 10, answered: 20}, {line: "w 2.\n", at: 30, place: -1}, {line: "w 4.\n", at: 50, answered: 60, place: 11}, {line: "w 5.\n", at: 70, place: -1}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	for _, bad := range []string{"a 1 2 3\n", "s 1\n", "s x 1\n", "s 1 2\na 2 3 4\n", "q 1 2\n"} {
		if _, err := readWrites("w", strings.NewReader(bad)); err == nil {
			t.Errorf("%q is a record", bad)
		}
	}
}

// The seed decides all of the schedule.
func TestChaosPlanIsTheSeeds(t *testing.T) {
	plan := func(seed uint64) string {
		s := newStint(&chaosRun{ChaosOptions: ChaosOptions{Seed: seed, Store: "embedded"}}, 0, 4)
		var b strings.Builder
		for round := range 40 {
			for _, f := range planRound(rand.New(rand.NewPCG(seed, uint64(round))), s) {
				if f.hold < f.kind.least || f.hold > f.kind.most || f.at < 0 {
					t.Errorf("%s holds %s at %s", f.kind.name, f.hold, f.at)
				}
				fmt.Fprintln(&b, f.at, f.hold, f.kind.name, f.host, f.other, f.group.name, f.network, f.n)
			}
		}
		return b.String()
	}
	if plan(1) != plan(1) || plan(1) == plan(2) {
		t.Error("two schedules of one seed differ, or those of two do not")
	}
	all := plan(1) + plan(2) + plan(3) + plan(4) + plan(5)
	for _, k := range faultKinds {
		if !strings.Contains(all, k.name) {
			t.Errorf("%s is in none of 200 rounds", k.name)
		}
	}
}

func TestChaosOptions(t *testing.T) {
	for _, hosts := range []string{"1", "5", "4..2", "x", "2..", "2..9", "2 3"} {
		if _, err := (ChaosOptions{Hosts: hosts}).withDefaults(); err == nil {
			t.Errorf("%q nodes are taken", hosts)
		}
	}
	c, err := ChaosOptions{Hosts: "3"}.withDefaults()
	if err != nil || c.low != 3 || c.high != 3 || c.Seed == 0 || c.Store != "embedded" {
		t.Errorf("%+v, %v", c, err)
	}
	if _, err := (ChaosOptions{Store: "paper"}).withDefaults(); err == nil {
		t.Error("store paper is taken")
	}
}
