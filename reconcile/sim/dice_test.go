package sim

import (
	"encoding/binary"
	"hash/fnv"
	"time"
)

// dice gives every chance of a run. A throw depends on the seed, on what it is for and
// on the moment, and on nothing else: not on what was thrown before, nor on which
// goroutine ran first. What is left to the scheduler is the order of two things that
// happen at one moment; moment_test.go keeps them apart.
type dice struct {
	seed  uint64
	began time.Time
}

func (d *dice) throw(what string) uint64 {
	h := fnv.New64a()
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:8], d.seed)
	binary.LittleEndian.PutUint64(b[8:], uint64(time.Since(d.began)))
	h.Write(b[:])
	h.Write([]byte(what))
	x := h.Sum64() // FNV leaves the high bits poor: finish as splitmix64 does
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}

// chance is true in one of n throws.
func (d *dice) chance(what string, n uint64) bool { return n > 0 && d.throw(what)%n == 0 }

// pick is a number from 0 to n−1.
func (d *dice) pick(what string, n int) int { return int(d.throw(what) % uint64(n)) }

// between is a time from low to high. Nanoseconds are thrown too, so that no two
// things happen at the same moment.
func (d *dice) between(what string, low, high time.Duration) time.Duration {
	return low + time.Duration(d.throw(what)%uint64(high-low))
}
