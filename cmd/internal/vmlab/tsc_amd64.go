//go:build linux

package vmlab

import (
	"fmt"
	"time"
)

// rdtsc reads this machine's time stamp counter.
func rdtsc() uint64

// clockParameter tells a guest's kernel how fast its time stamp counter runs: an
// emulated one is this machine's own. A guest that had to find out by itself while this
// machine was busy had a clock that was fifty times too fast.
func clockParameter() []string {
	began := time.Now()
	t0, c0 := stamp(began)
	time.Sleep(100 * time.Millisecond)
	t1, c1 := stamp(began)
	return []string{fmt.Sprintf("tsc_early_khz=%d", (c1-c0)*uint64(time.Millisecond)/uint64(t1-t0))}
}

// stamp reads clock and counter at one moment: the closest pair of many. The clock
// counts from began.
func stamp(began time.Time) (at time.Duration, counter uint64) {
	best := time.Hour
	for range 200 {
		from := time.Since(began)
		c := rdtsc()
		if to := time.Since(began); to-from < best {
			at, counter, best = from+(to-from)/2, c, to-from
		}
	}
	return at, counter
}
