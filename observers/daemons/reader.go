package daemons

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"understudy/config"
	"understudy/reconcile"
)

// How long the answer of a search may be relied on.
const (
	fullEvery  = 10 * time.Second // while every daemon runs
	fullAtMost = time.Second      // while one is missing: not more often than this
	// costShare bounds what searching for a missing daemon may cost: the next full
	// search waits this many times as long as the last one took.
	costShare = 200
	// settled is how long a process may still become another program before only
	// the full search looks at it again.
	settled = 30 * time.Second
	// slack is how much later than its pid file a process may seem to have begun:
	// clock ticks, coarse file times and small steps of the clock.
	slack = 2 * time.Second
)

// Reader finds the processes of every daemon of a file. It keeps what it found,
// so that most looks only verify it. It is not safe for concurrent use.
type Reader struct {
	bootID string
	shared []string // mount points of the file
	apps   []application
	proc   proc

	seen     map[int]time.Time // process that matches nothing -> when it was first seen
	lastFull time.Time
	cost     time.Duration // of the last full search
	list     []int
}

// application is one application and what was found of it.
type application struct {
	group, name string
	rules       []rule
	found       [][]reconcile.Process // one for each rule
}

// NewReader prepares the search for every application of a file, in file order,
// and then for the services of one node in the order of their starts. stateDir
// holds the records of applications with Run; bootID is of this boot.
func NewReader(cfg *config.Config, node, stateDir, bootID string) (*Reader, error) {
	r := &Reader{bootID: bootID, seen: make(map[int]time.Time)}
	for _, g := range cfg.Groups {
		for _, fs := range g.Filesystems {
			r.shared = append(r.shared, fs.Mount)
		}
	}
	for _, g := range cfg.Groups {
		for _, a := range g.Applications {
			if err := r.add(g.Name, a, stateDir); err != nil {
				return nil, fmt.Errorf("group %s: %w", g.Name, err)
			}
		}
	}
	for _, sv := range reconcile.ServicesOn(cfg, node) {
		if err := r.add(reconcile.NodeGroup, sv.Application, stateDir); err != nil {
			return nil, fmt.Errorf("service %s: %w", sv.Name, err)
		}
	}
	return r, nil
}

func (r *Reader) add(group string, a config.Application, stateDir string) error {
	app := application{group: group, name: a.Name}
	for _, d := range a.Daemons {
		rule, err := newRule(d)
		if err != nil {
			return err
		}
		if d.Exe == "" && d.PIDFile == "" && d.Match == "" {
			if len(a.Run) == 0 {
				return fmt.Errorf("cannot recognise daemon %s of %s: nothing is declared — set exe, pidfile or match", d.Name, a.Name)
			}
			rule.record = filepath.Join(stateDir, "apps", group+"."+a.Name+".json")
		}
		app.rules = append(app.rules, rule)
	}
	app.found = make([][]reconcile.Process, len(app.rules))
	r.apps = append(r.apps, app)
	return nil
}

// LocalPIDFiles lists the pid files that do not lie on a file system of a group.
func (r *Reader) LocalPIDFiles() []string {
	var out []string
	for _, a := range r.apps {
		for _, rule := range a.rules {
			if rule.pidFile != "" && !below(rule.pidFile, r.shared) {
				out = append(out, rule.pidFile)
			}
		}
	}
	return out
}

// Look returns every application in the order of [NewReader], with the processes
// of each of its daemons by pid. Something that could not be read makes the
// whole look an error, for a daemon must not be called absent on half a search.
func (r *Reader) Look(ctx context.Context, now time.Time) ([]reconcile.AppState, error) {
	missing, changed, err := r.verify(ctx)
	if err == nil {
		err = r.search(ctx, now, missing, changed)
	}
	if err != nil {
		r.lastFull = time.Time{} // what is kept may be half of an answer
		return nil, err
	}
	out := make([]reconcile.AppState, 0, len(r.apps))
	for i := range r.apps {
		a := &r.apps[i]
		s := reconcile.AppState{Group: a.group, App: a.name, Daemons: make([]reconcile.DaemonState, len(a.rules))}
		for j := range a.rules {
			s.Daemons[j] = reconcile.DaemonState{Name: a.rules[j].name, Optional: a.rules[j].optional, Processes: slices.Clone(a.found[j])}
		}
		out = append(out, s)
	}
	return out, nil
}

// verify reads afresh what a record or a pid file names, and checks that every
// process found by a search is still the same and alive. missing: a daemon that
// is searched for has no process; changed: one of its processes has ended.
func (r *Reader) verify(ctx context.Context) (missing, changed bool, err error) {
	for i := range r.apps {
		a := &r.apps[i]
		for j := range a.rules {
			if err := ctx.Err(); err != nil {
				return false, false, fmt.Errorf("cannot look for daemon %s: %w", a.rules[j].name, err)
			}
			rule := &a.rules[j]
			if !rule.scanned() {
				if a.found[j], err = r.named(rule); err != nil {
					return false, false, fmt.Errorf("cannot look for daemon %s: %w", rule.name, err)
				}
				continue
			}
			before := len(a.found[j])
			a.found[j] = slices.DeleteFunc(a.found[j], func(p reconcile.Process) bool {
				s, e := r.proc.stat(p.PID)
				if e != nil && !errors.Is(e, errGone) {
					err = e
					return false
				}
				return e != nil || s.start != p.Start || !s.alive()
			})
			if err != nil {
				return false, false, err
			}
			changed = changed || len(a.found[j]) < before
			missing = missing || len(a.found[j]) == 0
		}
	}
	return missing, changed, nil
}

// named finds the process that a record or a pid file names; none if there is no
// such file or no such process any more.
func (r *Reader) named(rule *rule) ([]reconcile.Process, error) {
	path := cmp.Or(rule.record, rule.pidFile)
	text, wrote, err := readSmall(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var want record
	if rule.record != "" {
		if lostPower(text) {
			return nil, nil
		}
		if want, err = parseRecord(text); err != nil {
			return nil, fmt.Errorf("%s: %w — see whether the application runs, then correct or delete the file", path, err)
		}
		if want.BootID != r.bootID {
			return nil, nil
		}
	} else if want.PID, err = parsePID(text); err != nil {
		return nil, fmt.Errorf("%s: %w — see whether the daemon runs, then correct or delete the file", path, err)
	}
	if want.PID == 0 {
		return nil, nil
	}
	s, err := r.proc.stat(want.PID)
	switch {
	case errors.Is(err, errGone):
		return nil, nil
	case err != nil:
		return nil, err
	case !s.alive() || s.flags&kernelThread != 0:
		return nil, nil
	case rule.record != "" && s.start != want.Start:
		return nil, nil
	}
	subject := &subject{proc: &r.proc, pid: want.PID}
	if rule.record == "" {
		if rule.exe != "" && !subjectIs(subject, rule.exe) {
			rule.resolve(r.shared)
		}
		if ok, err := rule.holds(subject); err != nil || !ok {
			return nil, err
		}
		if rule.exe == "" && rule.match == nil {
			if err := r.mayName(wrote.uid, want.PID); err != nil {
				return nil, fmt.Errorf("%s: %w", path, err)
			}
			if stale, err := r.stale(s.start, wrote.at); err != nil || stale {
				return nil, err
			}
		}
	}
	exe, _ := subject.exe() // for people only; "" where it could not be read
	return []reconcile.Process{{PID: want.PID, Start: s.start, Exe: exe}}, nil
}

func subjectIs(s *subject, exe string) bool {
	runs, err := s.runs(exe)
	return err == nil && runs
}

// mayName refuses a pid file by which a user who is not root points at a process of
// somebody else: what it names is ended by root. It is asked only where nothing else
// is declared.
func (r *Reader) mayName(owner uint32, pid int) error {
	if owner == 0 {
		return nil
	}
	uid, err := r.proc.uid(pid)
	switch {
	case errors.Is(err, errGone):
		return nil
	case err != nil:
		return err
	case uid != owner:
		return fmt.Errorf("it is of uid %d and names process %d, which is of uid %d — declare exe or match as well, or let root write the file", owner, pid, uid)
	}
	return nil
}

// stale reports whether a process began after the pid file was written that
// names it, so that it only has the pid of the one that wrote it. It is asked
// only where nothing else is declared, because a wall clock that was stepped
// forward since makes a true pid file look stale.
func (r *Reader) stale(start uint64, written time.Time) (bool, error) {
	began, err := r.proc.began(start)
	return err == nil && began.After(written.Add(slack)), err
}

// self is never a daemon, whatever a declaration says.
var self = os.Getpid()
