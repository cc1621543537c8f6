package watchdog

import (
	"math"
	"runtime"
	"sync/atomic"
	"time"
)

// never is the deadline of a host that holds nothing.
const never = time.Duration(math.MaxInt64)

// How far a feeder has come.
const (
	proving int32 = iota // the device is open, counts, and is looked at
	proven               // it counts down, and feeding starts it anew
	broken               // it does not count, and is fed all the same
)

// feeder feeds a device from a thread of its own. What it shares with others are
// single words. Between start and end its loop allocates nothing, takes no lock and
// waits for nobody.
type feeder struct {
	dev     Device       // nil with a fallback
	reset   func() Errno // the fallback, nil with a device
	timeout time.Duration
	every   time.Duration // at most this between two feedings
	clock   func() time.Duration
	sleep   func(time.Duration)
	plain   bool // its thread is as any other

	deadline *atomic.Int64 // on clock: fed while it lies ahead; another sets it

	state  atomic.Int32
	fed    atomic.Int64 // on clock: when it was fed last
	errno  atomic.Uint64
	late   atomic.Uint32 // feedings that came behind the deadline, and were made good
	raised atomic.Pointer[error]
	stop   atomic.Bool
	ended  chan struct{}
}

// start begins to feed and returns. What it knows of the priority that it got is
// known by then.
func (f *feeder) start() {
	f.ended = make(chan struct{})
	up := make(chan struct{})
	go func() {
		defer close(f.ended)
		var err error
		if !f.plain {
			runtime.LockOSThread() // and never unlocked: the thread ends here, and its priority with it
			err = raise()
		}
		f.raised.Store(&err)
		f.feed()
		close(up)
		for !f.stop.Load() {
			if f.state.Load() == proving {
				f.prove()
			}
			f.sleep(f.every)
			f.feed()
		}
	}()
	<-up
}

// feed feeds once if the deadline lies ahead. A feeding that was held up on its way
// and came too late has given the host another timeout: that is taken back.
func (f *feeder) feed() {
	now := f.clock()
	if int64(now) >= f.deadline.Load() {
		if f.reset != nil {
			f.errno.Store(uint64(f.reset()))
		}
		return
	}
	if f.dev == nil {
		f.fed.Store(int64(now))
		return
	}
	e := f.dev.Feed()
	f.errno.Store(uint64(e))
	if e != 0 {
		return
	}
	f.fed.Store(int64(now)) // it may have been later, never earlier
	if int64(f.clock()) >= f.deadline.Load() {
		f.late.Add(1)
		f.takeBack()
	}
}

// takeBack starts the shortest count that the device has. config.WatchdogBound has a
// second for it.
func (f *feeder) takeBack() {
	for d := time.Second; d < f.timeout && f.dev.SetTimeout(d) != nil; d += time.Second {
	}
}

// prove looks whether the time left goes down and is made good by feeding. A device
// that does not tell is taken at its word that it has the timeout that was set.
func (f *feeder) prove() {
	if f.dev == nil {
		f.state.Store(proven)
		return
	}
	first, err := f.dev.Left()
	if err != nil {
		f.state.Store(proven)
		return
	}
	const look = 50 * time.Millisecond
	limit := min(f.timeout/2, 2500*time.Millisecond)
	for waited := time.Duration(0); waited < limit && !f.stop.Load(); waited += look {
		f.sleep(look)
		left, err := f.dev.Left()
		if err != nil || left >= first {
			continue
		}
		f.feed()
		if again, err := f.dev.Left(); err == nil && again > left {
			f.state.Store(proven)
			return
		}
		break
	}
	if int64(f.clock()) < f.deadline.Load() {
		f.state.Store(broken) // else it was not fed, and showed nothing
	}
}

// end stops feeding and waits for the thread.
func (f *feeder) end() {
	f.stop.Store(true)
	<-f.ended
}
