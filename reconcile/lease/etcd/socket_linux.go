package etcd

import (
	"net"
	"os"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// silence is how long a peer's kernel may leave sent data unacknowledged before
// the network counts as dead (TCP_USER_TIMEOUT, RFC 5482). The count begins with
// the first repetition, 200 ms or more after the data. Heartbeats go every tick,
// so that the whole stays below an election timeout of ten ticks from 100 ms on.
// It is the kernel that acknowledges: a process that waits for a CPU on a loaded
// machine keeps its connections.
func silence(tick time.Duration) time.Duration { return max(3*tick, 300*time.Millisecond) }

// hasten makes a connection to a peer notice that its network is dead. One that
// has nothing to send learns it from a keep-alive, within two to three seconds
// (tcp(7): seconds are its unit).
func (r *relay) hasten(c *net.TCPConn) error {
	if err := c.SetNoDelay(true); err != nil {
		return err
	}
	if err := c.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: time.Second, Interval: time.Second, Count: 2}); err != nil {
		return err
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	return with(raw, func(fd int) error {
		return unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(r.limit.Milliseconds()))
	})
}

// own reports whether the other end of a connection on the loopback device is
// this user's, as etcd's is (sock_diag(7)). Other users of the host must not use
// up a peer's connections. Where the kernel does not say, it counts as own: TLS
// decides who may speak.
func own(c *net.TCPConn) bool {
	s, err := netlink.SocketGet(c.RemoteAddr(), c.LocalAddr())
	return err != nil || s.UID == uint32(os.Geteuid())
}

type control = func(network, address string, raw syscall.RawConn) error

// shared lets the members of several machines on one host listen on the same
// stable address: each of them carries to the same place.
func shared(_, _ string, raw syscall.RawConn) error {
	return with(raw, func(fd int) error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) })
}

// early lets a listener have an address that is not there yet (ip(7)).
func early(network, _ string, raw syscall.RawConn) error {
	return with(raw, func(fd int) error {
		if network == "tcp6" {
			return unix.SetsockoptInt(fd, unix.SOL_IPV6, unix.IPV6_FREEBIND, 1)
		}
		return unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_FREEBIND, 1)
	})
}

func with(raw syscall.RawConn, f func(fd int) error) error {
	var err error
	if e := raw.Control(func(fd uintptr) { err = f(int(fd)) }); e != nil {
		return e
	}
	return err
}
