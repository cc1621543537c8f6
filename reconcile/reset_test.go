package reconcile

import (
	"slices"
	"testing"

	"understudy/config"
	"understudy/fsm"
)

// TestResetEndsWithTheBoot: a host is reset for what it has beside the holder of the
// claim only if the next boot is without it. What the host itself brings at its boot,
// and a record that no boot makes readable, would reset it for ever.
func TestResetEndsWithTheBoot(t *testing.T) {
	for _, tt := range []struct {
		name  string
		set   func(g *config.Group, s *Snapshot)
		reset bool
	}{
		{"started by understudy", func(g *config.Group, s *Snapshot) { set(s, g, Memory{Dirty: s.BootID}) }, true},
		{"started at its boot", func(g *config.Group, s *Snapshot) {
			for _, a := range g.Applications {
				s.run(g.Name, a)
			}
		}, false},
		{"was seen to run", func(g *config.Group, s *Snapshot) { set(s, g, Memory{Ran: s.BootID}) }, false},
		{"record unreadable", func(g *config.Group, s *Snapshot) { set(s, g, Memory{DirtyErr: "cannot read it"}) }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := externalCluster(t, "dfs-cascading")
			g := &c.Groups[0]
			g.Reboot, g.OnReleaseFailure = config.RebootByUnderstudy, config.RebootOnReleaseFailure
			w := Steady(c, noon)
			w.Hosts[1] = w.boot("beta", noon)
			beta := w.Hosts[1]
			beta.mount(g.Filesystems[0]) // fstab did it
			tt.set(g, beta)
			d := Decide(c, g, w.View("beta"))
			got := slices.ContainsFunc(d.Plan.Steps, func(p Planned) bool { _, is := p.Step.(Reboot); return is })
			if got != tt.reset {
				t.Errorf("reset %v, want %v:\n%s", got, tt.reset, text(d.Plan))
			}
			if d.Transition.Event != fsm.HeldElsewhere || !got && len(d.Plan.Blocked) == 0 {
				t.Errorf("%s, blocked %v", d.Transition.Event, d.Plan.Blocked)
			}
		})
	}
}

func set(s *Snapshot, g *config.Group, m Memory) { s.Memory[g.Name] = m }
