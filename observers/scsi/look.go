package scsi

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"understudy/reconcile"
)

// Ask is a device or a volume group of the file whose disks are looked at.
type Ask struct {
	Object  string   // as in the file
	Devices []string // block devices of it: itself, or its physical volumes
	Why     string   // why the devices are not known; "": they are
}

// patience is how long one look waits for disks. A reading that takes longer goes on,
// and is unknown until it has ended.
const patience = 1500 * time.Millisecond

// Observer reads reservations. Its methods may be called from any goroutine. The zero
// value is ready for use.
type Observer struct {
	sys  System
	read func(System, Ask) []reconcile.Reservation // nil: readAll

	mu     sync.Mutex
	flying map[string]time.Time // by object: since when a reading has been under way
}

// Look reads the reservations below all objects at once, at least one for each. A disk
// that does not answer leaves its object unknown and hinders no other; no second
// command is sent to it before the first has ended.
func (o *Observer) Look(ctx context.Context, asks []Ask) []reconcile.Reservation {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	waits := make([]func() []reconcile.Reservation, len(asks))
	for i, a := range asks {
		waits[i] = o.begin(ctx, a)
	}
	out := []reconcile.Reservation{}
	for _, wait := range waits {
		out = append(out, wait()...)
	}
	return out
}

func (o *Observer) begin(ctx context.Context, a Ask) func() []reconcile.Reservation {
	unknown := func(why string) []reconcile.Reservation {
		return []reconcile.Reservation{{Object: a.Object, Why: why}}
	}
	if a.Why != "" {
		return func() []reconcile.Reservation { return unknown(a.Why) }
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if since, ok := o.flying[a.Object]; ok {
		return func() []reconcile.Reservation {
			return unknown(fmt.Sprintf("no answer for %s — look at the path to the storage", time.Since(since).Round(time.Second)))
		}
	}
	if o.flying == nil {
		o.flying = map[string]time.Time{}
	}
	began := time.Now()
	o.flying[a.Object] = began
	done := make(chan []reconcile.Reservation, 1)
	go func() {
		read := o.read
		if read == nil {
			read = readAll
		}
		r := read(o.sys, a)
		o.mu.Lock()
		delete(o.flying, a.Object)
		o.mu.Unlock()
		done <- r
	}()
	return func() []reconcile.Reservation {
		select {
		case r := <-done:
			return r
		case <-ctx.Done():
		}
		select { // it may have ended while another was waited for
		case r := <-done:
			return r
		default:
			return unknown(fmt.Sprintf("no answer within %s", time.Since(began).Round(time.Millisecond)))
		}
	}
}

// readAll reads what all disks below an object say, each by the first of its paths that
// answers.
func readAll(sys System, a Ask) []reconcile.Reservation {
	units, err := Below(sys, a.Devices...)
	if err != nil {
		return []reconcile.Reservation{{Object: a.Object, Why: err.Error()}}
	}
	var out []reconcile.Reservation
	for _, u := range units {
		r := readUnit(u, func(path string) (reader, error) { return Open(path) })
		r.Object = a.Object
		out = append(out, r)
	}
	return out
}

// reader is a path that is read from.
type reader interface {
	Keys() (Keys, error)
	Reservation() (Held, error)
	Close() error
}

// readUnit reads what one disk says by the first of its paths that answers. Where it
// knows fewer registrations than paths that work as far as the kernel knows, each is
// asked: one that does not answer cannot be registered, and is not counted as Up.
func readUnit(u Unit, open func(string) (reader, error)) reconcile.Reservation {
	r := reconcile.Reservation{Disk: u.Name(), Paths: len(u.Paths), Up: len(u.Up)}
	for _, path := range u.Up {
		err := reading(path, open, &r)
		if r.Why = ""; err == nil {
			break
		}
		r.Why = u.Name() + ": " + err.Error()
	}
	if r.Why != "" || len(r.Keys) == 0 || len(r.Keys) >= r.Up {
		return r
	}
	answering := 0
	for _, path := range u.Up {
		if d, err := open(path); err == nil {
			if _, err := d.Keys(); err == nil {
				answering++
			}
			d.Close()
		}
	}
	r.Up = max(answering, 1) // one has answered above
	return r
}

// reading reads keys and reservation by one path. They are read twice around each other: what
// changed in between is no state that the disk was in.
func reading(path string, open func(string) (reader, error), r *reconcile.Reservation) error {
	d, err := open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	for range attempts {
		before, err := d.Keys()
		if err != nil {
			return err
		}
		held, err := d.Reservation()
		if err != nil {
			return err
		}
		after, err := d.Keys()
		if err != nil {
			return err
		}
		if before.Generation == after.Generation {
			r.Keys, r.Holder, r.Type = after.Keys, held.Key, held.Type
			return nil
		}
	}
	return errors.New("its registrations change all the time")
}
