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
// host has at this moment, less those that RPC_UNSUPPORTED_NETADDRS names.
func supported() ([]net.IP, error) {
	links, err := supportedLinks(false)
	if err != nil {
		return nil, err
	}
	not := words(netAddrs)
	var all []net.IP
	for _, l := range links {
		addrs, err := l.Addrs()
		if err != nil {
			return nil, err
		}
		for _, a := range addrs {
			ip, _, err := net.ParseCIDR(a.String())
			if err != nil || ip.To4() == nil || slices.Contains(not, ip.String()) {
				continue
			}
			all = append(all, ip)
		}
	}
	return all, nil
}

// supportedLinks are the host's links. dced keeps off those that
// RPC_UNSUPPORTED_NETIFCS or _NETIFS name, and ignores RPC_UNSUPPORTED_NETADDRS
// (guide, "Planning Considerations for DCE").
func supportedLinks(dced bool) ([]net.Interface, error) {
	links, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	not := append(words("RPC_UNSUPPORTED_NETIFCS"), words("RPC_UNSUPPORTED_NETIFS")...)
	return slices.DeleteFunc(links, func(l net.Interface) bool {
		return l.Flags&net.FlagLoopback != 0 || l.Flags&net.FlagUp == 0 || dced && slices.Contains(not, l.Name)
	}), nil
}

func words(variable string) []string {
	return strings.FieldsFunc(os.Getenv(variable), func(r rune) bool { return r == ':' })
}
