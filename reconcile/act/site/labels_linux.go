package site

import (
	"strings"

	"golang.org/x/sys/unix"
)

// copyLabels gives a new file the extended attributes of the old one: access lists and
// the labels of a security module. A file system that has none, or a label that may not
// be set, is no reason to fail: the mode is kept anyway.
func copyLabels(from, to string) {
	names := make([]byte, 64<<10)
	n, err := unix.Llistxattr(from, names)
	if err != nil {
		return
	}
	for name := range strings.SplitSeq(strings.TrimRight(string(names[:n]), "\x00"), "\x00") {
		value := make([]byte, 64<<10)
		if n, err := unix.Lgetxattr(from, name, value); err == nil && name != "" {
			_ = unix.Lsetxattr(to, name, value[:n], 0)
		}
	}
}
