package act

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"understudy/config"
)

// boundPorts names what of the ports is bound on one of the addresses or on all.
// netstat does not tell by whom.
func boundPorts(ports []config.Port, addrs []netip.Addr) ([]string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), commandLimit)
	defer cancel()
	sockets, err := system.Sockets(ctx)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, s := range sockets {
		if slices.Contains(ports, config.Port{Protocol: s.Protocol, Number: s.Port}) && (!s.Addr.IsValid() || slices.Contains(addrs, s.Addr)) {
			out = append(out, fmt.Sprintf("%s (rmsock or lsof may tell by whom)", s))
		}
	}
	return out, nil
}
