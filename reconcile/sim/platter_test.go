package sim

import (
	"errors"
	"time"

	"understudy/reconcile/lease/disk"
)

const sector = 512

var errIO = errors.New("input/output error")

// opening is one opening of the store's disk by a process.
type opening struct {
	d *ondisk
	p *process
}

// open opens the disk. As the kernel's lock does, it keeps a process out while a
// write of an earlier one of this boot is under way.
func (d *ondisk) open(p *process) (disk.Device, error) {
	w := d.w
	w.mu.Lock()
	defer w.mu.Unlock()
	switch h := p.h; {
	case h.boot != p.boot || p.dead:
		return nil, errors.New("this process has ended")
	case h.pathless:
		return nil, errIO
	case h.writing != nil && h.writing != p:
		return nil, errors.New("another process of this host has it")
	}
	return &opening{d: d, p: p}, nil
}

// wait lets a call take its time, and waits while the host is frozen. It reports
// whether the host still runs that began it.
func (o *opening) wait(key string) bool {
	w, h := o.d.w, o.p.h
	t := w.mishaps()
	took := w.between(key, 50*time.Microsecond, 3*time.Millisecond)
	if w.chance(key+"/slow", t.slowDisk) {
		took += w.between(key+"/slow by", 0, 4*time.Second)
		w.count("calls to the disk that were slow")
	}
	time.Sleep(took)
	for {
		w.mu.Lock()
		frozen, thaw, on := h.frozen, h.thaw, h.up && h.boot == o.p.boot
		hangs := h.pathless && h.pathHangs && on
		w.mu.Unlock()
		switch {
		case !on:
			return false
		case frozen:
			<-thaw
			w.apart(key)
		case hangs: // until the driver gives up
			time.Sleep(w.between(key+"/hangs", 5*time.Second, 20*time.Second))
			return true
		default:
			return true
		}
	}
}

// ReadAt implements disk.Device.
func (o *opening) ReadAt(p []byte, off int64) (int, error) {
	w, h := o.d.w, o.p.h
	key := "disk/" + h.name + "/read"
	on := o.wait(key)
	fails := w.chance(key+"/fails", w.mishaps().diskFails)
	w.mu.Lock()
	defer w.mu.Unlock()
	if !on || h.pathless || fails {
		w.countIf(fails, "reads of the disk that failed")
		return 0, errIO
	}
	return copy(p, o.d.data[off:]), nil
}

// WriteAt implements disk.Device. The sectors of a write arrive in two lots and in no
// order; what has arrived is seen by everybody. A power cut in the middle leaves the
// first lot, or lets the rest arrive a little later, as what is under way in a switch.
// A host that freezes in the middle finishes at once, or when it wakes.
func (o *opening) WriteAt(p []byte, off int64) (int, error) {
	w, h := o.d.w, o.p.h
	key := "disk/" + h.name + "/write"
	t := w.mishaps()
	w.mu.Lock()
	h.writing = o.p
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if h.writing == o.p {
			h.writing = nil
		}
	}()
	if !o.wait(key) {
		return 0, errIO
	}
	lot := w.throw(key + "/lot")
	fails, torn := w.chance(key+"/fails", t.diskFails), w.chance(key+"/torn", 2)
	within, waits := w.between(key+"/within", 0, 2*time.Millisecond), w.chance(key+"/queued", 2)
	w.mu.Lock()
	if h.pathless || fails && !torn {
		w.countIf(fails, "writes of the disk that failed")
		w.mu.Unlock()
		return 0, errIO
	}
	o.land(p, off, lot)
	w.mu.Unlock()
	if fails { // half of it is there
		w.count("writes of the disk that were torn")
		return 0, errIO
	}
	time.Sleep(within)
	for waits { // the rest is still in this host's memory
		w.mu.Lock()
		frozen, thaw := h.frozen, h.thaw
		w.mu.Unlock()
		if !frozen {
			break
		}
		<-thaw
		w.apart(key + "/rest")
		w.count("writes that arrived after a host had woken")
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch gone := !h.up || h.boot != o.p.boot; {
	case gone && torn:
		w.count("writes that a power cut has torn")
		return 0, errIO
	case gone:
		w.count("writes that arrived after a power cut")
		rest, when := append([]byte(nil), p...), w.between(key+"/later", 0, 1500*time.Millisecond)
		time.AfterFunc(when, func() { w.mu.Lock(); defer w.mu.Unlock(); o.land(rest, off, ^lot) })
		return 0, errIO
	case h.pathless:
		w.count("writes that a lost path has torn")
		return 0, errIO
	}
	o.land(p, off, ^lot)
	if torn && w.chance(key+"/unsaid", t.diskFails) { // all of it is there, and an error all the same
		return 0, errIO
	}
	return len(p), nil
}

// land writes the sectors of a lot. The mutex is held.
func (o *opening) land(p []byte, off int64, lot uint64) {
	for i := 0; i*sector < len(p); i++ {
		if lot>>(i%64)&1 == 1 {
			copy(o.d.data[off+int64(i*sector):], p[i*sector:min(len(p), (i+1)*sector)])
		}
	}
}

// Close implements disk.Device.
func (o *opening) Close() error { return nil }
