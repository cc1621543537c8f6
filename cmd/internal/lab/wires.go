//go:build linux

package lab

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// The supervisor's own network namespace is the switch: one bridge for each
// network, one port for each cable. A host's port is named HOST.N, N the number
// of the network.

func port(host, network string) string {
	return fmt.Sprintf("%s.%d", host, slices.Index(adapters, network))
}

// makeSwitch makes the bridges. It runs in the switch's namespace.
func makeSwitch() error {
	// The switch itself speaks no IPv6: its ports would announce themselves.
	for _, what := range []string{"all", "default"} {
		path := "/proc/sys/net/ipv6/conf/" + what + "/disable_ipv6"
		if err := os.WriteFile(path, []byte("1"), 0); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("cannot make the switch: %w", err)
		}
	}
	for _, n := range networks {
		no := false
		br := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: n}, MulticastSnooping: &no}
		err := netlink.LinkAdd(br)
		if err == nil {
			err = netlink.LinkSetUp(br)
		}
		if err != nil {
			return fmt.Errorf("cannot make bridge %s: %w", n, err)
		}
	}
	return nil
}

// plug lays a cable from the switch to process pid's namespace. The hardware
// address belongs to the host's card and stays the same over its boots.
func plug(lab, host, network string, pid int, attached, up bool) error {
	sum := sha256.Sum256([]byte(lab + "/" + host + "/" + network))
	mac := net.HardwareAddr{0x02, sum[0], sum[1], sum[2], sum[3], sum[4]}
	v := &netlink.Veth{
		LinkAttrs:        netlink.LinkAttrs{Name: port(host, network)},
		PeerName:         network,
		PeerHardwareAddr: mac,
		PeerNamespace:    netlink.NsPid(pid),
	}
	err := netlink.LinkAdd(v)
	if err == nil && attached {
		err = setAttached(host, network, true)
	}
	if err == nil && up {
		err = setLink(host, network, true)
	}
	if err != nil {
		return fmt.Errorf("cannot cable %s to %s: %w", host, network, err)
	}
	return nil
}

// unplug removes the cable; it may be gone with its host already.
func unplug(host, network string) error {
	l, err := netlink.LinkByName(port(host, network))
	if err == nil {
		err = netlink.LinkDel(l)
	}
	if errors.As(err, new(netlink.LinkNotFoundError)) || errors.Is(err, unix.ENODEV) {
		return nil
	}
	return err
}

// setAttached puts the port into its bridge or takes it out. The host's carrier
// does not change.
func setAttached(host, network string, in bool) error {
	l, err := netlink.LinkByName(port(host, network))
	if err != nil {
		return err
	}
	if !in {
		return netlink.LinkSetNoMaster(l)
	}
	br, err := netlink.LinkByName(networkOf(network))
	if err != nil {
		return err
	}
	return netlink.LinkSetMaster(l, br)
}

// setLink sets the port up or down. The host's carrier follows: down is a cable
// that was pulled.
func setLink(host, network string, up bool) error {
	l, err := netlink.LinkByName(port(host, network))
	if err != nil {
		return err
	}
	if up {
		return netlink.LinkSetUp(l)
	}
	return netlink.LinkSetDown(l)
}
