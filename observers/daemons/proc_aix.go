package daemons

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"understudy/observers/aix"
)

const (
	commandLimit = 2 * time.Second        // of ps
	listKept     = 500 * time.Millisecond // how long a list of command lines is believed
)

// proc reads psinfo files, and command lines through ps. It is not safe for
// concurrent use.
type proc struct {
	commands map[int]string // by pid, of the last list
	listed   time.Time      // when it was made
}

var system = aix.New(nil)

// stat returns errGone if there is no such process. The start is in nanoseconds
// since 1970.
func (p *proc) stat(pid int) (stat, error) {
	i, err := system.Process(pid)
	if errors.Is(err, fs.ErrNotExist) {
		return stat{}, errGone
	}
	if err != nil {
		return stat{}, fmt.Errorf("cannot read the state of process %d: %w", pid, err)
	}
	s := stat{state: 'A', threads: 1, start: uint64(i.Start.UnixNano())}
	if i.Zombie {
		s.state = 'Z'
	}
	return s, nil
}

// uid returns the effective user of a process, errGone if there is none.
func (p *proc) uid(pid int) (uint32, error) {
	i, err := system.Process(pid)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, errGone
	}
	if err != nil {
		return 0, fmt.Errorf("cannot read the user of process %d: %w", pid, err)
	}
	return i.User, nil
}

func (p *proc) began(start uint64) (time.Time, error) { return time.Unix(0, int64(start)), nil }

// exe is the program as the process calls it, for people. errNoProgram if there is
// no such process.
func (p *proc) exe(pid int) (string, error) {
	i, err := system.Process(pid)
	if errors.Is(err, fs.ErrNotExist) || err == nil && i.Zombie {
		return "", errNoProgram
	}
	if err != nil {
		return "", fmt.Errorf("cannot read the program of process %d: %w", pid, err)
	}
	return i.Program(), nil
}

// runs reports whether the process runs one of the programs; see
// [aix.Psinfo.Runs] for how sure that is.
func (s *subject) runs(paths ...string) (bool, error) {
	i, err := system.Process(s.pid)
	if errors.Is(err, fs.ErrNotExist) || err == nil && i.Zombie {
		return false, errNoProgram
	}
	if err != nil {
		return false, fmt.Errorf("cannot read the program of process %d: %w", s.pid, err)
	}
	return i.Runs(paths...)
}

// command returns the arguments joined by blanks. errGone if there is no such
// process.
func (p *proc) command(pid int) (string, error) {
	if text, ok := p.commands[pid]; ok && time.Since(p.listed) < listKept {
		return text, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), commandLimit)
	defer cancel()
	text, err := system.Command(ctx, pid)
	if err == nil && text == "" {
		return "", errGone
	}
	return text, err
}

// pids lists every process.
func (p *proc) pids(list []int) ([]int, error) {
	ctx, cancel := context.WithTimeout(context.Background(), commandLimit)
	defer cancel()
	now := time.Now()
	commands, err := system.Commands(ctx)
	if err != nil {
		return nil, err
	}
	if p.commands, p.listed = commands, now; commands[1] == "" {
		return nil, errors.New("cannot list processes: ps does not show process 1")
	}
	for pid := range commands {
		list = append(list, pid)
	}
	return list, nil
}
