package watchdog

import (
	"errors"
	"time"
)

// ErrNotSupported is a question that a device does not answer.
var ErrNotSupported = errors.New("the device does not support it")

// Support is what a device can do (WDIOC_GETSUPPORT).
type Support struct {
	Identity   string // the driver's name for it
	SetTimeout bool
	Pretimeout bool
	MagicClose bool // V before the close switches it off
	// Reset says that the last boot was ended by a watchdog (WDIOF_CARDRESET).
	Reset bool
}

// Device is an open watchdog: it counts down, and resets the host at zero. Times are
// whole seconds (Linux, watchdog-api). It is not safe for use by two goroutines.
type Device interface {
	Support() (Support, error)
	// SetTimeout asks for a timeout; the device may take another.
	SetTimeout(d time.Duration) error
	Timeout() (time.Duration, error)
	SetPretimeout(d time.Duration) error
	// Left is the time to the reset; ErrNotSupported if it does not say.
	Left() (time.Duration, error)
	// Feed starts the count anew. It allocates nothing. Zero: done.
	Feed() Errno
	// Close gives the device back, switched off or counting on.
	Close(disarm bool) error
}

// Errno is a number of errno(3), as it is kept without an allocation.
type Errno uintptr
