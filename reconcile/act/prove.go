//go:build linux || aix

package act

import (
	"context"
	"fmt"

	"understudy/config"
	"understudy/reconcile"
)

// appsLeft names what still runs of a group's applications.
func (h *Host) appsLeft(ctx context.Context, g config.Group) []string {
	left := h.dirtyLeft(g.Name)
	for _, app := range g.Applications {
		name, err := appName(g.Name, app.Name)
		if err != nil {
			left = append(left, err.Error())
			continue
		}
		cg, err := cgroupFor(g.Name, app.Name)
		if err != nil {
			left = append(left, err.Error())
			continue
		}
		d := &stopping{h, reconcile.Stop{Group: g.Name, App: app}, name, cg}
		ps, err := d.left(ctx)
		if len(ps) > 0 {
			left = append(left, fmt.Sprintf("application %s still runs (%s)", app.Name, nameProcesses(ps)))
		}
		if err != nil {
			left = append(left, fmt.Sprintf("what runs of application %s is unknown (%v)", app.Name, err))
		}
	}
	return left
}
