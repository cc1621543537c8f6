package lease

import "time"

// Clock is the time since this host booted, with the time it was suspended.
type Clock func() time.Duration

// moment is a point in time on both clocks. Go's own monotonic clock stands
// still while a Linux host is suspended (clock_gettime(2), CLOCK_MONOTONIC); a
// lease does not.
type moment struct {
	boot time.Duration
	mono time.Time
}

// now reads the boot clock first: whatever delays the second reading can only
// make the time since this moment look longer.
func (k *Keeper) now() moment {
	b := k.clock()
	return moment{boot: b, mono: time.Now()}
}

// since is the time since m, by the clock that says more.
func (k *Keeper) since(m moment) time.Duration {
	mono := time.Since(m.mono)
	return max(mono, k.clock()-m.boot)
}
