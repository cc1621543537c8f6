package peers

import (
	"time"

	"golang.org/x/sys/unix"
)

// sinceBoot reads CLOCK_BOOTTIME, which is monotonic and goes on while the host
// is suspended (clock_gettime(2)); the clock of package time stands still then.
func sinceBoot() time.Duration {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts) != nil {
		return time.Since(began)
	}
	return time.Duration(ts.Nano())
}

var began = time.Now()
