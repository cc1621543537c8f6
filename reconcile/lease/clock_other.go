//go:build !linux

package lease

import "time"

// bootClock stands still: the monotonic clock decides alone.
func bootClock() time.Duration { return 0 }
