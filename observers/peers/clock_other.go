//go:build !linux

package peers

import "time"

// sinceBoot is the monotonic clock of package time.
func sinceBoot() time.Duration { return time.Since(began) }

var began = time.Now()
