package fsm

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

// allFacts is every value of Facts.
func allFacts() []Facts {
	var out []Facts
	for i := range 8 {
		out = append(out, Facts{Home: i&1 != 0, Rotating: i&2 != 0, Clean: i&4 != 0})
	}
	return out
}

func TestTableIsTotalAndUnambiguous(t *testing.T) {
	for _, r := range Roles {
		for _, e := range Events {
			for _, f := range allFacts() {
				var enabled []rule
				for _, row := range rules {
					if row.from == r && row.on == e && row.when.holds(f) {
						enabled = append(enabled, row)
					}
				}
				if len(enabled) != 1 {
					t.Errorf("%s on %s with %+v: %d rows apply, want exactly one", r, e, f, len(enabled))
					continue
				}
				got, err := Next(r, e, f)
				want := Transition{From: r, Event: e, To: enabled[0].to, Why: enabled[0].why}
				if err != nil || got != want {
					t.Errorf("Next(%s, %s, %+v) = %+v, %v; the table says %+v", r, e, f, got, err, want)
				}
			}
		}
	}
}

// TestNext says the same as the table in the words of its design, so that a slip
// in one of the two is found.
func TestNext(t *testing.T) {
	belongs := func(f Facts) Role {
		if f.Home || f.Rotating {
			return Owner
		}
		return Takeover
	}
	standsBy := func(f Facts) Role {
		if f.Clean {
			return Standby
		}
		return Rejoining
	}
	for _, r := range Roles {
		for _, e := range Events {
			for _, f := range allFacts() {
				var want Role
				switch e {
				case LeaseLost, Stray, Yield:
					want = Rejoining
				case Unsure:
					want = r
				case Broken, Held:
					want = belongs(f)
				case HeldElsewhere, Free:
					want = standsBy(f)
					if r.Holds() {
						want = Rejoining
					}
				}
				if got, err := Next(r, e, f); err != nil || got.To != want {
					t.Errorf("Next(%s, %s, %+v) = %s, %v; want %s", r, e, f, got.To, err, want)
				}
			}
		}
	}
}

func TestGuardsExcludeEachOther(t *testing.T) {
	for _, pair := range [][2]guard{{clean, notClean}, {atHome, away}} {
		for _, f := range allFacts() {
			if pair[0].holds(f) == pair[1].holds(f) {
				t.Errorf("%q and %q are both %v for %+v", pair[0].name, pair[1].name, pair[0].holds(f), f)
			}
		}
	}
}

func TestEveryRoleIsReachableAndLeavable(t *testing.T) {
	reached := map[Role]bool{Rejoining: true}
	for range Roles {
		for _, e := range edges() {
			if reached[e.from] {
				reached[e.to] = true
			}
		}
	}
	for _, r := range Roles {
		if !reached[r] {
			t.Errorf("no way leads from rejoining to %s", r)
		}
		left := false
		for _, e := range edges() {
			left = left || e.from == r && e.to != r
		}
		if !left {
			t.Errorf("no way leads out of %s", r)
		}
	}
}

func TestEveryRowHasItsSentence(t *testing.T) {
	for _, r := range Rules() {
		switch {
		case r.Why == "":
			t.Errorf("%s on %s %s: no reason", r.From, r.Event, r.Guard)
		case strings.HasSuffix(r.Why, "."), strings.ToLower(r.Why[:1]) != r.Why[:1]:
			t.Errorf("%q: a reason is a clause without capital and full stop", r.Why)
		case len(r.Why) > 110:
			t.Errorf("%q: %d characters are too long for one line of a log", r.Why, len(r.Why))
		}
	}
	if n := len(Rules()); n != len(rules) {
		t.Errorf("Rules has %d rows, the table %d", n, len(rules))
	}
	Rules()[0].Why = "changed by a caller"
	if rules[0].why == "changed by a caller" {
		t.Error("Rules hands out the table itself")
	}
}

func TestNextRefusesWhatIsNoRoleOrEvent(t *testing.T) {
	for _, c := range []struct {
		r Role
		e Event
	}{{Role(4), Held}, {Role(-1), Held}, {Owner, Event(8)}, {Owner, Event(-1)}} {
		got, err := Next(c.r, c.e, Facts{Home: true, Clean: true})
		refused, ok := errors.AsType[*RefusedError](err)
		if !ok || refused.Role != c.r || refused.Event != c.e {
			t.Errorf("Next(%d, %d) = %v, want a RefusedError that names both", c.r, c.e, err)
		}
		if got.To != c.r {
			t.Errorf("Next(%d, %d) went to %s although it refused", c.r, c.e, got.To)
		}
		if err != nil && !strings.Contains(err.Error(), "invalid") {
			t.Errorf("%q does not say what is invalid", err)
		}
	}
}

// TestRandomWalk follows events at random from a start. After one that takes the
// right to hold away, the node never holds.
func TestRandomWalk(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		role := Rejoining
		var last Event
		started := false
		t.Repeat(map[string]func(*rapid.T){
			"event": func(t *rapid.T) {
				e := rapid.SampledFrom(Events).Draw(t, "event")
				f := rapid.SampledFrom(allFacts()).Draw(t, "facts")
				tr, err := Next(role, e, f)
				if err != nil {
					t.Fatalf("%s on %s with %+v: %v", role, e, f, err)
				}
				if tr.From != role || tr.Event != e || tr.Why == "" {
					t.Fatalf("%s on %s with %+v gave %+v", role, e, f, tr)
				}
				// With the same snapshot the machine comes to rest: a node that lets go
				// although it is clean stands by one pass later, and that is all.
				second, err2 := Next(tr.To, e, f)
				third, err3 := Next(second.To, e, f)
				if err2 != nil || err3 != nil || third.To != second.To {
					t.Fatalf("%s on %s with %+v does not rest: then %s, then %s", role, e, f, second.To, third.To)
				}
				role, last, started = tr.To, e, true
			},
			"": func(t *rapid.T) {
				if !started {
					return
				}
				switch last {
				case LeaseLost, HeldElsewhere, Free, Stray, Yield:
					if role.Holds() {
						t.Fatalf("%s right after %s", role, last)
					}
				case Unsure, Broken, Held:
				}
				if role == Standby && (last == LeaseLost || last == Stray) {
					t.Fatalf("standby right after %s", last)
				}
			},
		})
	})
}

func TestNextFromManyGoroutines(t *testing.T) {
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 200 {
				for _, r := range Roles {
					tr, err := Next(r, Held, Facts{Home: true})
					if err != nil || tr.To != Owner {
						t.Errorf("Next(%s, held) at home = %v, %v", r, tr, err)
						return
					}
				}
			}
		})
	}
	wg.Wait()
}

func TestTransitionString(t *testing.T) {
	up, _ := Next(Standby, Broken, Facts{Clean: true})
	stay, _ := Next(Owner, Unsure, Facts{Home: true})
	for _, c := range []struct {
		tr   Transition
		want string
	}{
		{up, "standby → takeover on broken: the claim is ours and the home is gone, so the group is brought up here"},
		{stay, "owner stays on unsure: something that decides could not be read and the lease is good, so the service is left alone"},
	} {
		if got := c.tr.String(); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
}

func BenchmarkNext(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Next(Owner, Held, Facts{Home: true}); err != nil {
			b.Fatal(err)
		}
	}
}
