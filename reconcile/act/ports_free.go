//go:build linux || aix

package act

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"understudy/config"
)

// portsLimit bounds the wait for ports that a daemon had bound: a socket that was
// handed to a child goes with the child.
const portsLimit = 5 * time.Second

// awaitPortsFree waits until nobody has bound the ports of an application that
// was stopped, on the group's addresses or on all (guide, "DCE Reintegration
// Actions": the next start elsewhere relies on the end of this one).
func (h *Host) awaitPortsFree(ctx context.Context, group string, app config.Application) error {
	if len(app.Ports) == 0 {
		return nil
	}
	ctx, cancel := share(ctx, 1, 2, portsLimit)
	defer cancel()
	for step := 2 * time.Millisecond; ; step = min(2*step, 100*time.Millisecond) {
		bound, err := boundPorts(app.Ports, h.serviceAddresses(group))
		if err == nil && len(bound) == 0 {
			return nil
		}
		if !pause(ctx, step) {
			if err != nil {
				return fmt.Errorf("whether its ports are free is unknown: %w", err)
			}
			return fmt.Errorf("its processes are gone, and still bound: %s — stop who holds them", strings.Join(bound, "; "))
		}
	}
}

// serviceAddresses are those of a group of the file in force; none for services of
// the node.
func (h *Host) serviceAddresses(group string) []netip.Addr {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []netip.Addr
	if h.config != nil {
		if g := h.config.Group(group); g != nil {
			for _, a := range g.Addresses {
				out = append(out, a.Prefix.Addr())
			}
		}
	}
	return out
}
