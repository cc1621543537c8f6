package daemons

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"

	"understudy/config"
)

// rule is one daemon's declaration, ready to be held against a process.
type rule struct {
	name    string
	record  string // path of the record of an application with Run; excludes the rest
	exe     string
	real    string // exe with symbolic links resolved, or exe
	pidFile string
	match   *regexp.Regexp

	optional bool // passed on to the state
}

// scanned reports whether the processes have to be searched for.
func (r *rule) scanned() bool { return r.record == "" && r.pidFile == "" }

func newRule(d config.Daemon) (rule, error) {
	r := rule{name: d.Name, exe: d.Exe, real: d.Exe, pidFile: d.PIDFile, optional: d.Optional}
	if d.Match != "" {
		re, err := regexp.Compile(d.Match)
		if err != nil {
			return r, fmt.Errorf("cannot recognise daemon %s: %w", d.Name, err)
		}
		r.match = re
	}
	return r, nil
}

// resolve follows the symbolic links of exe, because the kernel names a program
// by its real path. A path on shared storage is taken as it stands: looking it
// up could wait for a disk that does not answer.
func (r *rule) resolve(shared []string) {
	if r.exe == "" || below(r.exe, shared) {
		return
	}
	if real, err := filepath.EvalSymlinks(r.exe); err == nil {
		r.real = real
	} else {
		r.real = r.exe
	}
}

// below reports whether path lies on one of the mount points or beneath it.
func below(path string, points []string) bool {
	for _, p := range points {
		if path == p || strings.HasPrefix(path, strings.TrimSuffix(p, "/")+"/") {
			return true
		}
	}
	return false
}

// subject is a process under judgement. Each thing is read once, when a rule
// asks for it.
type subject struct {
	proc             *proc
	pid              int
	exePath, argv    string
	exeErr, argvErr  error
	exeRead, argRead bool
}

func (s *subject) exe() (string, error) {
	if !s.exeRead {
		s.exePath, s.exeErr = s.proc.exe(s.pid)
		s.exeRead = true
	}
	return s.exePath, s.exeErr
}

func (s *subject) command() (string, error) {
	if !s.argRead {
		s.argv, s.argvErr = s.proc.command(s.pid)
		s.argRead = true
	}
	return s.argv, s.argvErr
}

// holds reports whether program and command line are as declared. All that are
// declared must hold, so one that does not hold decides even where the other
// could not be read.
func (r *rule) holds(s *subject) (bool, error) {
	var unknown error
	if r.exe != "" {
		runs, err := s.runs(r.exe, r.real)
		switch {
		case errors.Is(err, errNoProgram):
			return false, nil
		case err != nil:
			unknown = err
		case !runs:
			return false, nil
		}
	}
	if r.match != nil {
		argv, err := s.command()
		switch {
		case errors.Is(err, errGone):
			return false, nil
		case err != nil:
			return false, err
		case !r.match.MatchString(argv):
			return false, nil
		}
	}
	return unknown == nil, unknown
}
