package site

import (
	"os"
	"syscall"
)

// changed is when the inode last changed, zero if that is not known.
func changed(info os.FileInfo) syscall.Timespec {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Ctim
	}
	return syscall.Timespec{}
}
