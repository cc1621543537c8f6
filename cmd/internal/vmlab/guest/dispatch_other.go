//go:build !linux

package guest

// Dispatch does nothing on this system: guests run Linux.
func Dispatch([]string) (handled bool, code int) { return false, 0 }
