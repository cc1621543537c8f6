package act

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"understudy/config"
)

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
