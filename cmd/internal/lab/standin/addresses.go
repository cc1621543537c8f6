//go:build linux

package standin

import (
	"net"
	"os"
	"slices"
	"strings"
)

const netAddrs = "RPC_UNSUPPORTED_NETADDRS"

// supported are the addresses that a server offers: every IPv4 address that the
// host has at this moment, less those that RPC_UNSUPPORTED_NETADDRS names, and
// less those of the links that RPC_UNSUPPORTED_NETIFCS or _NETIFS name. dced
// ignores the first (guide, "Planning Considerations for DCE").
func supported(dced bool) ([]net.IP, error) {
	links, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	not := words(netAddrs)
	notOn := append(words("RPC_UNSUPPORTED_NETIFCS"), words("RPC_UNSUPPORTED_NETIFS")...)
	var all []net.IP
	for _, l := range links {
		if l.Flags&net.FlagLoopback != 0 || l.Flags&net.FlagUp == 0 || slices.Contains(notOn, l.Name) {
			continue
		}
		addrs, err := l.Addrs()
		if err != nil {
			return nil, err
		}
		for _, a := range addrs {
			ip, _, err := net.ParseCIDR(a.String())
			if err != nil || ip.To4() == nil || !dced && slices.Contains(not, ip.String()) {
				continue
			}
			all = append(all, ip)
		}
	}
	return all, nil
}

func words(variable string) []string {
	return strings.FieldsFunc(os.Getenv(variable), func(r rune) bool { return r == ':' })
}
