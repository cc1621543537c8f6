package sim

import "time"

// counts is the clock of the keeper. A boot clock that is slow or right counts for
// nothing beside the other; here it is a little fast, so that two timers that were set
// for one deadline at two moments do not end at one.
func (p *process) counts() time.Duration {
	return time.Duration(float64(time.Since(p.h.w.began))*max(p.h.rate, 1.0001)) + time.Duration(p.h.slept.Load())
}

// clock is the host's boot clock: it counts what the other one sleeps through.
func (p *process) clock() time.Duration {
	return time.Duration(float64(time.Since(p.h.w.began))*p.h.rate) + time.Duration(p.h.slept.Load())
}

// sleep is a sleep of a thread, which may be longer.
func (p *process) sleep(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		p.awake("dog")
	case <-p.gone:
	}
}

// apart is that of the world, for as long as the process is not dead.
func (p *process) apart(who string) {
	t := time.NewTimer(p.h.w.between("apart/"+who+"/"+p.h.name, time.Microsecond, 50*time.Microsecond))
	defer t.Stop()
	select {
	case <-t.C:
	case <-p.gone:
	}
}

// sleepless lets what sleeps go on at once: whoever waits for it holds a mutex, and
// time stands still while somebody waits for that.
func (p *process) sleepless() { p.once.Do(func() { close(p.gone) }) }

// awake waits until the host runs, and reports whether this process still does. Who
// has waited goes on at a moment of its own.
func (p *process) awake(who string) bool {
	for {
		p.h.w.mu.Lock()
		frozen, thaw, dead := p.h.frozen, p.h.thaw, p.dead
		p.h.w.mu.Unlock()
		if dead || !frozen {
			return !dead
		}
		<-thaw
		p.apart(who)
	}
}

func (p *process) poke() { p.changes.poke() }
