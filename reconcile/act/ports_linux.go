package act

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
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

// boundPorts names what of the ports is bound on one of the addresses or on all.
func boundPorts(ports []config.Port, addrs []netip.Addr) ([]string, error) {
	var bound []socket
	for _, name := range []string{"tcp", "tcp6", "udp", "udp6"} {
		text, err := os.ReadFile("/proc/thread-self/net/" + name)
		if errors.Is(err, os.ErrNotExist) && strings.HasSuffix(name, "6") {
			continue // a kernel without IPv6
		}
		if err != nil {
			return nil, err
		}
		sockets, err := parseSockets(strings.TrimSuffix(name, "6"), string(text))
		if err != nil {
			return nil, err
		}
		bound = append(bound, slices.DeleteFunc(sockets, func(s socket) bool {
			return !slices.Contains(ports, config.Port{Protocol: s.protocol, Number: s.local.Port()}) ||
				!s.local.Addr().IsUnspecified() && !slices.Contains(addrs, s.local.Addr())
		})...)
	}
	var out []string
	for _, s := range bound {
		out = append(out, fmt.Sprintf("%s/%s by %s", s.local, s.protocol, ownerOf(s.inode)))
	}
	return out, nil
}

// ownerOf names the process that has a socket open, for an error.
func ownerOf(inode uint64) string {
	pids, err := allPIDs()
	if err != nil {
		return "an unknown process"
	}
	want := fmt.Sprintf("socket:[%d]", inode)
	for _, pid := range pids {
		dir := "/proc/" + strconv.Itoa(pid) + "/fd/"
		fds, err := os.ReadDir(dir)
		if err != nil {
			continue // it has ended
		}
		for _, fd := range fds {
			if to, err := os.Readlink(dir + fd.Name()); err == nil && to == want {
				return fmt.Sprintf("%s %d", commandOf(pid), pid)
			}
		}
	}
	return "no process that is visible here"
}
