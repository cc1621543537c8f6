package peers

import (
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// freebind lets a socket be bound to an address that is not on the host yet
// (ip(7), IP_FREEBIND).
func freebind(network, _ string, c syscall.RawConn) error {
	var err error
	control := c.Control(func(fd uintptr) {
		if network == "udp6" {
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_FREEBIND, 1)
		} else {
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_FREEBIND, 1)
		}
	})
	if control != nil {
		return control
	}
	return err
}

// receive gives every packet to take until the socket's read deadline passes or
// it fails. busy is set before a packet is taken out of the socket, and cleared
// when all have been judged.
func receive(conn *net.UDPConn, busy *atomic.Bool, take func([]byte)) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	buf := make([]byte, maxPacket+1)
	err = raw.Read(func(fd uintptr) bool {
		busy.Store(true)
		defer busy.Store(false)
		for {
			n, err := unix.Read(int(fd), buf)
			switch err {
			case nil:
				take(buf[:n])
			case unix.EINTR:
			case unix.EAGAIN:
				return false
			default:
				failed = err
				return true
			}
		}
	})
	if failed != nil {
		return failed
	}
	return err
}

// waiting reports whether a packet lies in the socket.
func waiting(conn *net.UDPConn) bool {
	raw, err := conn.SyscallConn()
	if err != nil {
		return false
	}
	n := 0
	if raw.Control(func(fd uintptr) { n, err = unix.IoctlGetInt(int(fd), unix.SIOCINQ) }) != nil || err != nil {
		return false
	}
	return n > 0
}

// destination is an address as sendto(2) wants it.
type destination = unix.Sockaddr

func newDestination(a netip.AddrPort) destination {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}

// transmit sends one packet, or fails if the socket has no room. It goes past
// package net because a write deadline for every round would be a timer, and a
// wake-up, for every round.
func transmit(conn *net.UDPConn, b []byte, to destination) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	if done := raw.Write(func(fd uintptr) bool {
		err = unix.Sendto(int(fd), b, unix.MSG_DONTWAIT, to)
		return true
	}); done != nil {
		return done
	}
	return err
}

// stick keeps a socket to one link, for what it sends and what it takes (socket(7),
// SO_BINDTODEVICE; by index since Linux 5.0).
func stick(conn *net.UDPConn, index int) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	if control := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_BINDTOIFINDEX, index) }); control != nil {
		return control
	}
	return err
}

// apart are settings of a link that make it answer for its own addresses only, ask in
// its own name only, and take what comes over it although the way back is another
// (ip-sysctl). By default the kernel answers for every address of the host on every
// link, so that two adapters on one wire cannot be told apart.
var apart = []struct {
	name  string
	least int
}{{"arp_ignore", 1}, {"arp_announce", 2}, {"rp_filter", 2}}

// keepApart makes these settings, where the link or the host has not more of them
// already: the larger of the two counts. A source that is checked by nobody, rp_filter
// 0, stays so. Neighbours that have learned the address of another adapter by then are
// told the right one, or they would keep the wrong one for a minute.
func keepApart(link net.Interface, ip netip.Addr) error {
	if ip.Is6() {
		return nil
	}
	const dir = "/proc/sys/net/ipv4/conf/"
	changed := false
	for _, s := range apart {
		most := 0
		for _, of := range []string{"all", link.Name} {
			b, err := os.ReadFile(dir + of + "/" + s.name)
			if err != nil {
				return err
			}
			n, err := strconv.Atoi(strings.TrimSpace(string(b)))
			if err != nil {
				return err
			}
			most = max(most, n)
		}
		if most >= s.least || s.name == "rp_filter" && most == 0 {
			continue
		}
		if err := os.WriteFile(dir+link.Name+"/"+s.name, []byte(strconv.Itoa(s.least)), 0); err != nil {
			return err
		}
		changed = true
	}
	if changed && len(link.HardwareAddr) == 6 {
		return tellNeighbours(link, ip)
	}
	return nil
}

// tellNeighbours announces an address of a link by gratuitous ARP (RFC 5227, 3).
func tellNeighbours(link net.Interface, ip netip.Addr) error {
	arp := binary.NativeEndian.Uint16([]byte{0x08, 0x06})                        // ETH_P_ARP in network order, packet(7)
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0) // it receives nothing
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	to := &unix.SockaddrLinklayer{Protocol: arp, Ifindex: link.Index, Halen: 6, Addr: [8]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}}
	b := []byte{0, 1, 0x08, 0, 6, 4, 0, 1} // Ethernet, IPv4, request
	b = append(append(b, link.HardwareAddr...), ip.AsSlice()...)
	b = append(append(b, make([]byte, 6)...), ip.AsSlice()...)
	return unix.Sendto(fd, b, unix.MSG_DONTWAIT, to)
}
