package reconcile

import (
	"testing"

	"pgregory.net/rapid"

	"understudy/config"
)

// dirtySafe: a host that only a reboot makes clean gives nothing back by itself,
// and none becomes so without a record before the start.
func dirtySafe(t failer, g *config.Group, s *Snapshot, d Decision) {
	t.Helper()
	marked := s.Memory[g.Name].Dirty == s.BootID
	for i, p := range d.Plan.Steps {
		switch st := p.Step.(type) {
		case Unmount, Deactivate, ProveRelease, SignOff:
			if d.Dirty != "" {
				t.Fatalf("%T on a host that only a reboot makes clean:\n%s", st, text(d.Plan))
			}
		case MarkDirty:
			marked = true
		case Start:
			if st.App.RebootToRelease && (!marked || s.Memory[g.Name].DirtyErr != "") {
				t.Fatalf("starts %s without a record:\n%s", st.App.Name, text(d.Plan))
			}
		case Reboot:
			if i != len(d.Plan.Steps)-1 || d.Dirty == "" || st.AtOnce && i > 0 {
				t.Fatalf("reboots out of turn:\n%s", text(d.Plan))
			}
			if !st.AtOnce && !ours(s.Store.Value.Claims[g.Name], s) {
				t.Fatalf("reboots a host that does not hold the group:\n%s", text(d.Plan))
			}
		}
	}
	if d.Dirty != "" && (d.Facts.Clean || d.Status.Ready || !d.Status.Dirty) {
		t.Fatalf("clean %v, ready %v, says dirty %v, and %s has run", d.Facts.Clean, d.Status.Ready, d.Status.Dirty, d.Dirty)
	}
	if d.AtBarrier && d.Phase == Waiting && len(d.Plan.Waits) == 0 && d.Plan.Empty() {
		t.Fatalf("stands at the barrier and does not say what for")
	}
}

// TestDirtyHolderKeepsItsClaim: whatever happens to a cluster, the claim of a boot
// that holds the disks is neither signed off nor replaced while that boot is heard.
func TestDirtyHolderKeepsItsClaim(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t, true)
		each(w, func(h, s *Snapshot, g *config.Group, d Decision) {
			claim := w.Store.Claims[g.Name]
			holder := w.Host(claim.Holder)
			if holder == nil || holder.BootID != claim.BootID || w.Down[holder.Node] || claim.Released || holder.Memory[g.Name].Dirty != claim.BootID {
				return
			}
			for _, p := range d.Plan.Steps {
				switch st := p.Step.(type) {
				case SignOff:
					t.Fatalf("%s signs off what only a reboot ends", h.Node)
				case TakeClaim:
					if st.Evidence.Kind != EvidenceOwn {
						t.Fatalf("%s takes the claim of %s on %q, whose boot is heard", h.Node, holder.Node, st.Evidence.Kind)
					}
				}
			}
		})
	})
}
