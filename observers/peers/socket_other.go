//go:build !linux

package peers

import (
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"
)

// freebind is not known on this system: a socket is opened when its address is there.
func freebind(_, _ string, _ syscall.RawConn) error { return nil }

// receive gives every packet to take until the socket's read deadline passes or
// it fails.
func receive(conn *net.UDPConn, busy *atomic.Bool, take func([]byte)) error {
	buf := make([]byte, maxPacket+1)
	for {
		n, _, err := conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			return err
		}
		busy.Store(true)
		take(buf[:n])
		busy.Store(false)
	}
}

// waiting cannot be asked here.
func waiting(*net.UDPConn) bool { return false }

type destination = netip.AddrPort

func newDestination(a netip.AddrPort) destination { return a }

// transmit sends one packet, or fails if the socket has no room for a moment.
func transmit(conn *net.UDPConn, b []byte, to destination) error {
	_ = conn.SetWriteDeadline(time.Now().Add(time.Millisecond))
	_, err := conn.WriteToUDPAddrPort(b, to)
	return err
}

// stick is not known on this system: the routes decide over which link packets go.
func stick(*net.UDPConn, int) error { return nil }

// keepApart is not known on this system.
func keepApart(net.Interface, netip.Addr) error { return nil }
