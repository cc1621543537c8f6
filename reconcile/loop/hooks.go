package loop

import (
	"slices"

	"understudy/fsm"
	"understudy/reconcile"
)

// dawdles reports that a letting go in order is at a hook that runs before something
// is let go. There is time for that only as long as the lease lasts and nobody else
// has the group.
func (f *flight) dawdles() bool {
	n := int(f.step.Load())
	if f.plan.Goal != reconcile.Clean || f.plan.Event != fsm.Yield || n == 0 {
		return false
	}
	if _, ok := f.plan.Steps[n-1].Step.(reconcile.RunHook); !ok {
		return false
	}
	return slices.ContainsFunc(f.plan.Steps[n:], func(p reconcile.Planned) bool {
		switch p.Step.(type) {
		case reconcile.Stop, reconcile.DropAddress, reconcile.Unmount, reconcile.Deactivate:
			return true
		}
		return false
	})
}
