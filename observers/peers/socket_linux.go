package peers

import (
	"net"
	"net/netip"
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
