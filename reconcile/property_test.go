package reconcile

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"understudy/config"
	"understudy/fsm"
)

// each offers every decision of a world that nobody has acted on yet.
func each(w *World, f func(h, s *Snapshot, g *config.Group, d Decision)) {
	for _, h := range w.Hosts {
		for i := range w.Config.Groups {
			g := &w.Config.Groups[i]
			s := w.look(h)
			f(h, s, g, Decide(w.Config, g, s))
		}
	}
}

// TestPlansAreSafe holds every plan of a damaged cluster against what no plan
// may do.
func TestPlansAreSafe(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t, true)
		each(w, func(_, s *Snapshot, g *config.Group, d Decision) { safe(t, w.Config, g, s, d) })
	})
}

// TestUnknownIsLeftAlone: a holder that must let go, and a standby that might
// take over, plan nothing about a part that they could not read.
func TestUnknownIsLeftAlone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := Steady(drawConfig(t), noon)
		for _, h := range w.Hosts {
			unread(t, h, true)
		}
		for i := range w.Config.Groups {
			perturbStore(t, w, drawHost(t, w), &w.Config.Groups[i])
		}
		h := drawHost(t, w)
		switch rapid.IntRange(0, 2).Draw(t, "and") {
		case 0:
			w.NoLease = with(w.NoLease, h.Node)
		case 1:
			h.Stopping = "shutdown"
		}
		each(w, func(_, s *Snapshot, g *config.Group, d Decision) { safe(t, w.Config, g, s, d) })
	})
}

// failer is what both tests and properties are.
type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

func safe(t failer, c *config.Config, g *config.Group, s *Snapshot, d Decision) {
	t.Helper()
	for i, p := range d.Plan.Steps {
		if p.N != i+1 {
			t.Fatalf("step %d has number %d", i+1, p.N)
		}
		if p.Why == "" {
			t.Fatalf("step %d has no reason: %+v", p.N, p.Step)
		}
		declared(t, c, g, s, p.Step)
		unknownLeftAlone(t, s, p.Step)
	}
	dirtySafe(t, g, s, d)
	reservedFirst(t, c, g, s, d)
	hooksInPlace(t, d)
	switch d.Goal {
	case Leave:
		if !d.Plan.Empty() {
			t.Fatalf("steps though nothing is to be touched:\n%s", text(d.Plan))
		}
	case Hold:
		proven(t, s, d)
	case Clean:
		mine := s.Store.OK() && ours(s.Store.Value.Claims[g.Name], s)
		for i, p := range d.Plan.Steps {
			if _, ok := p.Step.(SignOff); ok && (!mine || i != len(d.Plan.Steps)-1 || !provedBefore(d.Plan.Steps[:i])) {
				t.Fatalf("signed off what is not ours, or without proof just before:\n%s", text(d.Plan))
			}
			if p.Step.Spec().Storage {
				t.Fatalf("takes something up while it lets go:\n%s", text(d.Plan))
			}
		}
	}
	if d.Transition.To.Holds() && d.Goal == Clean {
		t.Fatalf("role %s and goal clean", d.Transition.To)
	}
}

func isA[T Step](s Step) bool { _, ok := s.(T); return ok }

func text(p Plan) string {
	var b strings.Builder
	p.Text(&b)
	return b.String()
}

// takesKeysOff reports that a plan is only of keys that a host left on disks, as a
// reboot leaves them there for the next boot.
func takesKeysOff(p Plan) bool {
	return !slices.ContainsFunc(p.Steps, func(s Planned) bool { return !isA[Unreserve](s.Step) })
}

// TestPlanReachesItsGoal: when a plan has been carried out there is nothing left
// to do for that goal.
func TestPlanReachesItsGoal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t, false)
		h := drawHost(t, w)
		for i := range w.Config.Groups {
			g := &w.Config.Groups[i]
			s := w.look(h)
			d := Decide(w.Config, g, s)
			if len(d.Plan.Blocked) > 0 || d.Plan.Empty() {
				continue
			}
			m := h.Memory[g.Name]
			m.Role = d.Transition.To
			h.Memory[g.Name] = d.Stays(g, s, m)
			for _, p := range d.Plan.Steps {
				w.apply(h, g, p.Step)
			}
			m = h.Memory[g.Name]
			m.Error, m.ErrorVerb, m.Retry = "", "", time.Time{} // as the loop does when a plan is done
			h.Memory[g.Name] = m
			if again := Decide(w.Config, g, w.look(h)); again.Goal == d.Goal && !again.Plan.Empty() && !(slices.ContainsFunc(d.Plan.Steps, func(p Planned) bool { return isA[Reboot](p.Step) }) && takesKeysOff(again.Plan)) {
				t.Fatalf("after\n%s\nthere is still\n%s", text(d.Plan), text(again.Plan))
			}
		}
	})
}

// TestSettleComesToRest: no cluster goes on for ever.
func TestSettleComesToRest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t, false)
		w.Settle()
		for _, st := range w.Settle() {
			if len(st.Plan.Blocked) == 0 {
				t.Fatalf("not at rest:\n%s", text(st.Plan))
			}
		}
	})
}

// TestLettingGoMirrorsTakingUp compares the objects of both, without what has no
// counterpart.
func TestLettingGoMirrorsTakingUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := drawConfig(t)
		c.Services = nil // a taking up may wait for a client
		w := Steady(c, noon)
		for i := range w.Config.Groups {
			g := &w.Config.Groups[i]
			if rebootToRelease(g) {
				continue // it lets go of nothing
			}
			holder, _ := w.holder(g.Name)
			holder.Stopping = "shutdown"
			down := Decide(w.Config, g, w.look(holder)).Plan
			holder.Stopping = ""
			claim := w.Store.Claims[g.Name]
			w.Store.Claims[g.Name] = Claim{Group: g.Name, Holder: claim.Holder, Epoch: claim.Epoch, Released: true}
			fresh := w.boot(g.Nodes[0], noon)
			up := Decide(w.Config, g, w.look(fresh)).Plan
			mirror := objects(down)
			slices.Reverse(mirror)
			if got := objects(up); !slices.Equal(got, mirror) {
				t.Fatalf("taking up %v\nletting go, reversed, %v", got, mirror)
			}
			if got := len(up.Steps); got == 0 {
				t.Fatalf("nothing is taken up: %s", text(up))
			}
		}
	})
}

func objects(p Plan) []string {
	var out []string
	for _, s := range p.Steps {
		switch st := s.Step.(type) {
		case Activate:
			out = append(out, "device "+st.Device+st.Volume.Name)
		case Deactivate:
			out = append(out, "device "+st.Device+st.Volume.Name)
		case MountFS:
			out = append(out, "mount "+st.FS.Mount)
		case Unmount:
			out = append(out, "mount "+st.Point)
		case AddAddress:
			out = append(out, "address "+st.Address.Label)
		case DropAddress:
			out = append(out, "address "+st.Address.Label)
		case Start:
			out = append(out, "application "+st.App.Name)
		case Stop:
			out = append(out, "application "+st.App.Name)
		case SetHostname, RestoreHostname:
			out = append(out, "host name")
		}
	}
	return out
}

// TestFingerprint: equal for equal plans, another when a step is another, is
// missing or has another place; words do not count.
func TestFingerprint(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t, true)
		each(w, func(_, s *Snapshot, g *config.Group, d Decision) {
			print := d.Plan.Fingerprint()
			if again := Decide(w.Config, g, s).Plan.Fingerprint(); again != print {
				t.Fatalf("%s and %s for the same snapshot", print, again)
			}
			n := len(d.Plan.Steps)
			if n == 0 {
				return
			}
			other := d.Plan
			other.Why = "other words"
			if other.Fingerprint() != print {
				t.Fatalf("the fingerprint depends on words")
			}
			i := rapid.IntRange(0, n-1).Draw(t, "step")
			changed := map[string][]Planned{
				"without":  slices.Delete(slices.Clone(d.Plan.Steps), i, i+1),
				"twice":    slices.Insert(slices.Clone(d.Plan.Steps), i, d.Plan.Steps[i]),
				"replaced": slices.Replace(slices.Clone(d.Plan.Steps), i, i+1, Planned{Step: SetHostname{Name: "other"}}),
			}
			for how, steps := range changed {
				if other.Steps = steps; other.Fingerprint() == print {
					t.Fatalf("the same fingerprint with step %d %s", i+1, how)
				}
			}
			other.Steps, other.Node = d.Plan.Steps, "elsewhere"
			if other.Fingerprint() == print {
				t.Fatalf("the same fingerprint on another node")
			}
		})
	})
}

// TestDecideLeavesTheSnapshotAlone compares all of it before and after.
func TestDecideLeavesTheSnapshotAlone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t, true)
		each(w, func(_, s *Snapshot, g *config.Group, _ Decision) {
			before := fmt.Sprintf("%+v %+v", *s, w.Config)
			Decide(w.Config, g, s)
			if after := fmt.Sprintf("%+v %+v", *s, w.Config); after != before {
				t.Fatalf("before %s\nafter  %s", before, after)
			}
		})
	})
}

// TestWantFollowsTheRole: only who may hold is told to hold.
func TestWantFollowsTheRole(t *testing.T) {
	for _, r := range fsm.Roles {
		for _, e := range fsm.Events {
			for _, may := range []bool{false, true} {
				got := Want(r, e, may)
				if e == fsm.Unsure && got != Leave {
					t.Errorf("%s on %s: %s", r, e, got)
				}
				if got == Hold && !r.Holds() && (r != fsm.Standby || !may) {
					t.Errorf("%s on %s may %v: %s", r, e, may, got)
				}
			}
		}
	}
}
