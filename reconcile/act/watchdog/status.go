package watchdog

import "time"

// Status is how it stands with the watchdog, for people.
type Status struct {
	Mode     string
	Device   string // "" while none is armed, and with a fallback
	Identity string
	Fallback string // the weaker way in use, "" if none is
	Timeout  time.Duration
	Armed    bool // it is fed
	Ready    bool // a step on shared storage may begin
	NoWayOut bool // it cannot be switched off
	Held     bool // something is held here
	// Until is the time for which it will be fed if nothing changes; negative: for
	// good, as nothing is held. Left is the time to the reset if it is not fed again.
	Until, Left time.Duration
	Late        uint32 // feedings that came too late
	Reset       bool   // the boot before this one was ended by it
	Why         string // why it does not protect
}

// Status is how it stands now. It asks no device.
func (w *Watchdog) Status() Status {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := Status{Mode: string(w.opt.Config.Mode), Held: w.held, NoWayOut: w.nowayout, Reset: w.support.Reset, Until: -1}
	now := w.opt.Clock()
	if d := time.Duration(w.deadline.Load()); d != never {
		s.Until = max(d-now, 0)
	}
	if err := w.readyLocked(); err != nil {
		s.Why = err.Error()
	}
	f := w.feeder
	if f == nil {
		return s
	}
	s.Armed, s.Ready, s.Timeout, s.Late = true, s.Why == "", f.timeout, f.late.Load()
	if f.dev == nil {
		s.Fallback = string(w.opt.Config.Fallback)
		s.Left = s.Until
		return s
	}
	s.Device, s.Identity = w.path, w.support.Identity
	s.Left = max(time.Duration(f.fed.Load())+f.timeout-now, 0)
	return s
}
