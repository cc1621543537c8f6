package api

import (
	"fmt"
	"net"
	"os"
	"os/user"
	"strconv"

	"golang.org/x/sys/unix"
)

// mayOrder reports whether the process at the other end is root's, or of the user
// that serves (SO_PEERCRED, unix(7)). One that cannot be told may not.
func mayOrder(c net.Conn) bool {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return false
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return false
	}
	may := false
	err = raw.Control(func(fd uintptr) {
		cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
		may = err == nil && (cred.Uid == 0 || int(cred.Uid) == os.Geteuid())
	})
	return err == nil && may
}

// Share lets the members of a group of the system ask on the socket at path; with ""
// it is root's alone again.
func Share(path, group string) error {
	gid, mode := 0, os.FileMode(0o600)
	if group != "" {
		g, err := user.LookupGroup(group)
		if err != nil {
			return fmt.Errorf("cannot give the socket %s to a group: %w — groupadd %s, or take socket_group out of the file", path, err, group)
		}
		if gid, err = strconv.Atoi(g.Gid); err != nil {
			return fmt.Errorf("cannot give the socket %s to a group: %w", path, err)
		}
		mode = 0o660
	}
	if err := os.Chown(path, -1, gid); err != nil {
		return fmt.Errorf("cannot give the socket to a group: %w", err)
	}
	if err := os.Chmod(path, mode); err != nil {
		return fmt.Errorf("cannot give the socket to a group: %w", err)
	}
	return nil
}
