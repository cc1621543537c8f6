package sim

import (
	"errors"
	"time"

	"understudy/reconcile/act/watchdog"
)

// dog is the watchdog of a host. It counts whatever the host does, also while that is
// frozen, and resets it at zero; the real code feeds it. The world's mutex guards it.
type dog struct {
	h       *host
	on      bool
	timeout time.Duration
	fed     time.Time
	timer   *time.Timer
	late    float64 // how much slower than the others it counts
	owner   *process
}

// count begins to count anew. The mutex is held.
func (d *dog) count() {
	d.fed = time.Now()
	if d.timer != nil {
		d.timer.Stop()
	}
	fed := d.fed
	d.timer = time.AfterFunc(time.Duration(float64(d.timeout)*d.late), func() {
		d.h.w.mu.Lock()
		defer d.h.w.mu.Unlock()
		if d.on && d.h.up && d.fed.Equal(fed) && !d.h.w.over {
			d.fires()
		}
	})
}

// fires resets the host. The mutex is held.
func (d *dog) fires() {
	w, h := d.h.w, d.h
	if w.shape.lies && !w.mended.Load() && w.chance("dog/"+h.name+"/lies", 2) {
		w.lie(h, "its watchdog does not fire")
		return
	}
	w.count("resets by a watchdog")
	h.off("its watchdog resets it")
	w.after(w.between("dog/"+h.name+"/boot", 2*time.Second, 20*time.Second), h.on)
}

// leash is a watchdog as one process has opened it. Once that is dead nothing that is
// done to it has an effect.
type leash struct {
	d *dog
	p *process
}

func (p *process) openDog(string) (watchdog.Device, error) {
	p.h.w.mu.Lock()
	defer p.h.w.mu.Unlock()
	d := &p.h.dog
	if p.dead || p.h.boot != p.boot {
		return nil, errors.New("this process has ended")
	}
	d.owner = p
	if !d.on {
		d.on, d.timeout = true, 3*time.Second
	}
	d.count() // opening feeds
	return &leash{d: d, p: p}, nil
}

// alive locks the world and reports whether the process lives.
func (l *leash) alive() bool {
	l.d.h.w.mu.Lock()
	return !l.p.dead && l.d.h.boot == l.p.boot && l.d.h.up
}

func (l *leash) unlock() { l.d.h.w.mu.Unlock() }

// Support implements watchdog.Device, as all that follow.
func (l *leash) Support() (watchdog.Support, error) {
	return watchdog.Support{Identity: "sim", SetTimeout: true, MagicClose: true}, nil
}

func (l *leash) SetTimeout(t time.Duration) error {
	defer l.unlock()
	if l.alive() {
		l.d.timeout = t
		l.d.count()
	}
	return nil
}

func (l *leash) Timeout() (time.Duration, error) {
	defer l.unlock()
	l.alive()
	return l.d.timeout, nil
}

func (l *leash) SetPretimeout(time.Duration) error { return watchdog.ErrNotSupported }

func (l *leash) Left() (time.Duration, error) {
	defer l.unlock()
	l.alive()
	return (l.d.timeout - time.Since(l.d.fed)).Truncate(time.Second), nil
}

func (l *leash) Feed() watchdog.Errno {
	defer l.unlock()
	if l.alive() && !l.d.h.frozen {
		l.d.count()
	}
	return 0
}

func (l *leash) Close(disarm bool) error {
	defer l.unlock()
	if l.alive() && disarm {
		l.d.on = false
	}
	return nil
}
