package addrs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Watch calls fire when it has begun to watch and after every change of a link
// or an address, until ctx ends. Several changes may be one call.
//
// It is a plain rtnetlink(7) socket whose messages are thrown away unread: the
// subscriptions of the netlink library parse every message and end for good
// when the kernel's buffer overflows. Here an overflow (ENOBUFS) is one more
// reason to look, and the socket goes on.
func Watch(ctx context.Context, fire func()) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("cannot watch addresses: %w", err)
	}
	f := os.NewFile(uintptr(fd), "rtnetlink")
	defer f.Close()
	groups := uint32(unix.RTMGRP_LINK | unix.RTMGRP_IPV4_IFADDR | unix.RTMGRP_IPV6_IFADDR)
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups}); err != nil {
		return fmt.Errorf("cannot watch addresses: %w", err)
	}
	conn, err := f.SyscallConn()
	if err != nil {
		return fmt.Errorf("cannot watch addresses: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = f.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	fire()
	var buf [1]byte // a datagram is cut to it; its content does not matter
	for {
		var read error
		err := conn.Read(func(fd uintptr) bool {
			some := false
			for {
				_, _, read = unix.Recvfrom(int(fd), buf[:], unix.MSG_TRUNC)
				switch {
				case read == nil || errors.Is(read, unix.ENOBUFS):
					some = true
				case errors.Is(read, unix.EINTR):
				case errors.Is(read, unix.EAGAIN):
					read = nil
					return some
				default:
					return true
				}
			}
		})
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err = errors.Join(err, read); err != nil {
			return fmt.Errorf("cannot wait for a change of addresses: %w", err)
		}
		fire()
	}
}
