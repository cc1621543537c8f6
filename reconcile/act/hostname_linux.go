package act

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// hostname is the present host name.
func hostname() (string, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "", fmt.Errorf("cannot read the host name: %w", err)
	}
	return unix.ByteSliceToString(u.Nodename[:]), nil
}

// sethostname sets the host name of the running kernel.
func sethostname(name string) error { return unix.Sethostname([]byte(name)) }
