//go:build !linux

package disk

import (
	"errors"
	"fmt"
	"runtime"
)

// aligned makes a buffer of n bytes.
func aligned(n int) []byte { return make([]byte, n) }

// OpenDevice fails: only Linux is known to be told to write past its page cache.
func OpenDevice(path string) (Device, error) {
	return nil, fmt.Errorf("cannot open the disk %s on %s: %w", path, runtime.GOOS, errors.ErrUnsupported)
}

// Format fails, as [OpenDevice] does.
func Format(path string, h Header, key []byte, force bool) error {
	_, err := OpenDevice(path)
	return err
}
