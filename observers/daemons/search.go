package daemons

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"understudy/reconcile"
)

// search looks through the processes of this pid namespace for daemons that
// neither a record nor a pid file names.
//
// A full search judges every process. It is made when a process has ended, at
// least every [fullEvery], and while a daemon is missing as often as its cost
// allows. In between, while a daemon is missing, only processes are judged that
// are new or young enough to be about to become another program.
func (r *Reader) search(ctx context.Context, now time.Time, missing, changed bool) error {
	if !slices.ContainsFunc(r.apps, func(a application) bool {
		return slices.ContainsFunc(a.rules, func(x rule) bool { return x.scanned() })
	}) {
		return nil
	}
	every := fullEvery
	if missing {
		every = min(max(costShare*r.cost, fullAtMost), fullEvery)
	}
	full := changed || r.lastFull.IsZero() || now.Sub(r.lastFull) >= every
	if !full && !missing {
		return nil
	}
	began := time.Now()
	var err error
	if r.list, err = r.proc.pids(r.list[:0]); err != nil {
		return err
	}
	if full {
		r.forget()
	}
	for _, pid := range r.list {
		if pid == self || pid == 1 {
			continue // neither this process nor init is an application's daemon
		}
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("cannot search for daemons: at process %d: %w", pid, err)
		}
		if first, ok := r.seen[pid]; ok && !full && now.Sub(first) > settled {
			continue
		}
		matched, err := r.judge(pid)
		if err != nil {
			return err
		}
		if _, ok := r.seen[pid]; !ok && !matched {
			r.seen[pid] = now
		}
	}
	if full {
		r.lastFull, r.cost = now, time.Since(began)
	}
	return nil
}

// forget drops what earlier searches found, and processes that are gone.
func (r *Reader) forget() {
	for i := range r.apps {
		for j := range r.apps[i].rules {
			if rule := &r.apps[i].rules[j]; rule.scanned() {
				rule.resolve(r.shared)
				r.apps[i].found[j] = nil
			}
		}
	}
	for pid := range r.seen {
		if !slices.Contains(r.list, pid) {
			delete(r.seen, pid)
		}
	}
}

// judge adds a process to every daemon whose declaration it meets.
func (r *Reader) judge(pid int) (bool, error) {
	subject := &subject{proc: &r.proc, pid: pid}
	var one stat
	matched := false
	for i := range r.apps {
		a := &r.apps[i]
		for j := range a.rules {
			rule := &a.rules[j]
			if !rule.scanned() {
				continue
			}
			ok, err := rule.holds(subject)
			if err != nil {
				return false, fmt.Errorf("cannot look for daemon %s: %w", rule.name, err)
			}
			if !ok {
				continue
			}
			if !matched {
				if one, err = r.proc.stat(pid); errors.Is(err, errGone) {
					return false, nil
				}
				if err != nil {
					return false, err
				}
				if !one.alive() || one.flags&kernelThread != 0 {
					return false, nil
				}
			}
			matched = true
			exe, _ := subject.exe() // for people only; "" where it could not be read
			a.found[j] = add(a.found[j], reconcile.Process{PID: pid, Start: one.start, Exe: exe})
		}
	}
	return matched, nil
}

// add keeps the list by pid, each pid once.
func add(list []reconcile.Process, p reconcile.Process) []reconcile.Process {
	i, ok := slices.BinarySearchFunc(list, p.PID, func(q reconcile.Process, pid int) int { return q.PID - pid })
	if ok {
		list[i] = p
		return list
	}
	return slices.Insert(list, i, p)
}
