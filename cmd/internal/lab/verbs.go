//go:build linux

package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Crash cuts a host's power and returns when it is off: its ports cut, its
// processes gone, its disks released, nothing written that was not forced to the
// disk before. Crashing a host that is off does nothing.
func (l *Lab) Crash(ctx context.Context, host string) error {
	return l.ask(ctx, request{Op: "crash", Host: host}, nil)
}

// Start boots a host, with a new boot id. Starting a host that is on does
// nothing.
func (l *Lab) Start(ctx context.Context, host string) error {
	return l.ask(ctx, request{Op: "start", Host: host}, nil)
}

// Freeze stops every process of a host. Its network and its clocks go on.
func (l *Lab) Freeze(ctx context.Context, host string) error {
	return l.ask(ctx, request{Op: "freeze", Host: host}, nil)
}

// Thaw continues a frozen host.
func (l *Lab) Thaw(ctx context.Context, host string) error {
	return l.ask(ctx, request{Op: "thaw", Host: host}, nil)
}

// Cut takes a host's port out of the bridge of some networks, all if none is
// named. The host keeps its carrier and cannot notice but by silence.
func (l *Lab) Cut(ctx context.Context, host string, networks ...string) error {
	return l.ask(ctx, request{Op: "cut", Host: host, Networks: networks}, nil)
}

// Heal undoes Cut.
func (l *Lab) Heal(ctx context.Context, host string, networks ...string) error {
	return l.ask(ctx, request{Op: "heal", Host: host, Networks: networks}, nil)
}

// LinkDown pulls a host's cable of some networks, all if none is named: it loses
// its carrier.
func (l *Lab) LinkDown(ctx context.Context, host string, networks ...string) error {
	return l.ask(ctx, request{Op: "link-down", Host: host, Networks: networks}, nil)
}

// LinkUp undoes LinkDown.
func (l *Lab) LinkUp(ctx context.Context, host string, networks ...string) error {
	return l.ask(ctx, request{Op: "link-up", Host: host, Networks: networks}, nil)
}

// SetPower sets how the power controller treats requests about a host: ok, fail,
// hang, lie, or slow: and a duration.
func (l *Lab) SetPower(ctx context.Context, host, mode string) error {
	return l.ask(ctx, request{Op: "power", Host: host, Mode: mode}, nil)
}

// Hosts is the state of every host.
func (l *Lab) Hosts(ctx context.Context) ([]HostState, error) {
	var all []HostState
	err := l.ask(ctx, request{Op: "hosts"}, &all)
	return all, err
}

// Host is the state of one host.
func (l *Lab) Host(ctx context.Context, name string) (HostState, error) {
	all, err := l.Hosts(ctx)
	if err != nil {
		return HostState{}, err
	}
	for _, h := range all {
		if h.Name == name {
			return h, nil
		}
	}
	return HostState{}, fmt.Errorf("cannot find host %q in lab %s", name, l.Name)
}

// Violations lists what was on two hosts at once since the lab came up.
func (l *Lab) Violations(ctx context.Context) ([]Violation, error) {
	var all []Violation
	err := l.ask(ctx, request{Op: "violations"}, &all)
	return all, err
}

// Events lists what was done to the lab, and what its power controller was asked
// for, in order.
func (l *Lab) Events(ctx context.Context) ([]Event, error) {
	var all []Event
	err := l.ask(ctx, request{Op: "events"}, &all)
	return all, err
}

// Log is what a host's services have written, over all its boots.
func (l *Lab) Log(host string) (string, error) {
	b, err := os.ReadFile(filepath.Join(l.rec.Charge.Dir, host+".log"))
	return string(b), err
}

// Dir is where the lab's disks and logs lie. They go with the lab.
func (l *Lab) Dir() string { return l.rec.Charge.Dir }

// Processes lists the machine's pids of the lab's own two processes.
func (l *Lab) Processes() (supervisor, caretaker int) { return l.rec.Supervisor, l.rec.Caretaker }

// StartService starts a host's resident service.
func (l *Lab) StartService(ctx context.Context, host string) error {
	for _, h := range l.rec.Charge.Hosts {
		if h.Name == host && len(h.Service) > 0 {
			return l.Spawn(ctx, host, serviceName, h.Service...)
		}
	}
	return fmt.Errorf("cannot start the service of %q: it has none", host)
}

// EnableServices starts the resident services of every host, and lets them start
// at every boot from now on.
func (l *Lab) EnableServices(ctx context.Context) error {
	if err := l.ask(ctx, request{Op: "enable"}, nil); err != nil {
		return err
	}
	for _, h := range l.rec.Charge.Hosts {
		if len(h.Service) > 0 {
			if err := l.StartService(ctx, h.Name); err != nil {
				return err
			}
		}
	}
	return nil
}

// Spawn starts a named process that stays, its output in the host's log.
func (l *Lab) Spawn(ctx context.Context, host, name string, argv ...string) error {
	return l.inside(ctx, host, request{Op: "start", Name: name, Argv: argv}, nil)
}

// SignalService sends a signal to a host's resident service.
func (l *Lab) SignalService(ctx context.Context, host string, sig syscall.Signal) error {
	return l.Signal(ctx, host, serviceName, sig)
}

// Signal sends a signal to a process that [Lab.Spawn] started.
func (l *Lab) Signal(ctx context.Context, host, name string, sig syscall.Signal) error {
	return l.inside(ctx, host, request{Op: "signal", Name: name, Signal: int(sig)}, nil)
}

// Ended is how a named process of a host ended.
type Ended struct {
	PID    int // as the host counts
	Code   int // exit status, -1 when a signal ended it
	Signal syscall.Signal
}

// StopService sends SIGTERM to a host's resident service and waits for its end.
func (l *Lab) StopService(ctx context.Context, host string) (Ended, error) {
	if err := l.SignalService(ctx, host, syscall.SIGTERM); err != nil {
		return Ended{}, err
	}
	return l.WaitEnd(ctx, host, serviceName)
}

// WaitEnd waits for the end of a process that [Lab.Spawn] started.
func (l *Lab) WaitEnd(ctx context.Context, host, name string) (Ended, error) {
	var e exited
	err := l.inside(ctx, host, request{Op: "wait", Name: name}, &e)
	return Ended{PID: e.PID, Code: e.Code, Signal: syscall.Signal(e.Signal)}, err
}

// Running reports whether a named process runs on a host.
func (l *Lab) Running(ctx context.Context, host, name string) (bool, error) {
	var e exited
	err := l.inside(ctx, host, request{Op: "service", Name: name}, &e)
	return e.Running, err
}

func (l *Lab) inside(ctx context.Context, host string, req request, into any) error {
	if err := call(ctx, filepath.Join(l.run, host, "lab", initSocket), req, into); err != nil {
		return fmt.Errorf("host %s: %w", host, err)
	}
	return nil
}

// Status runs `understudy status --json` on a host and decodes what it prints.
func (l *Lab) Status(ctx context.Context, host string) (map[string]any, error) {
	out, errs, code, err := l.Exec(ctx, host, binaryInside, "status", "--json")
	if err != nil {
		return nil, err
	}
	var v map[string]any
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		return nil, fmt.Errorf("cannot read the status of %s: exit %d, %q %q", host, code, out, errs)
	}
	return v, nil
}

// Wait asks cond again and again until it holds. A cond that fails is asked
// again too; its last error tells why the wait was in vain.
func (l *Lab) Wait(ctx context.Context, what string, cond func(context.Context) (bool, error)) error {
	for {
		ok, err := cond(ctx)
		if ok && err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("cannot see %s in time: %w", what, errors.Join(context.Cause(ctx), err))
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// Verify reads the application's file on a host that has it mounted and compares
// it with what was acknowledged.
func (l *Lab) Verify(ctx context.Context, host string, acked []int64) (Verdict, error) {
	out, errs, code, err := l.Exec(ctx, host, "cat", AnswersFile)
	if err != nil {
		return Verdict{}, err
	}
	if code != 0 {
		return Verdict{}, fmt.Errorf("cannot read %s on %s: %s", AnswersFile, host, strings.TrimSpace(errs))
	}
	return compare(out, acked), nil
}

// Verdict compares a file with what a client was told about it.
type Verdict struct {
	Acked  int     // numbers that were acknowledged
	Found  int     // lines of the file that are numbers
	Lost   []int64 // acknowledged, and not in the file
	Broken int     // lines that are no number: writes that a crash cut short
}

func compare(file string, acked []int64) Verdict {
	v := Verdict{Acked: len(acked)}
	have := make(map[int64]bool)
	for line := range strings.Lines(file) {
		n, err := strconv.ParseInt(strings.TrimSuffix(line, "\n"), 10, 64)
		if err != nil || !strings.HasSuffix(line, "\n") {
			v.Broken++
			continue
		}
		v.Found++
		have[n] = true
	}
	for _, n := range acked {
		if !have[n] {
			v.Lost = append(v.Lost, n)
		}
	}
	return v
}
