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

// GroupID is the number of the group that a socket can be given to, 0 for "".
func GroupID(group string) (int, error) {
	if group == "" {
		return 0, nil
	}
	g, err := user.LookupGroup(group)
	if err != nil {
		return 0, fmt.Errorf("cannot give the socket to a group: %w — groupadd %s, or take socket_group out of the file", err, group)
	}
	gid, err := strconv.Atoi(g.Gid)
	if err != nil {
		return 0, fmt.Errorf("cannot give the socket to a group: %w", err)
	}
	return gid, nil
}

// Share lets the members of a group of the system ask on the socket at path; with ""
// it is root's alone again.
func Share(path, group string) error {
	gid, err := GroupID(group)
	if err != nil {
		return err
	}
	mode := os.FileMode(0o600)
	if group != "" {
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
