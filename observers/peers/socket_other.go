//go:build !linux

package peers

import (
	"net"
	"sync/atomic"
	"syscall"
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
