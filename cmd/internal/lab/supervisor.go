//go:build linux

package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"
)

// charge is what a supervisor is told, on descriptor 3.
type charge struct {
	Name, Dir, Binary string
	Hosts             []Host
	Disks, DiskMiB    int
	StateMiB          int
	Format            []string
	Conf, Key         []byte
	Services          bool
	Files             []File
	LifeLine          bool // the other end of standard input is its reason to live
	Nice              int
}

// record is what a lab's run directory says of it, for [Open] and [Down].
type record struct {
	Charge     charge
	Supervisor int
	Caretaker  int
}

const (
	controlSocket = "control.sock"
	recordFile    = "lab.json"
)

type supervisor struct {
	charge
	run     string
	log     *slog.Logger
	spawn   chan func() // runs on a thread that lives as long as the process
	watch   *watcher
	cast    cast
	filters filters
	hosts   []*host
	enabled atomic.Bool // resident services start at a boot
	disks   sync.Mutex  // one loop device is attached or released at a time
	events  events
	down    chan struct{} // closed when the lab is to end
	once    sync.Once
}

// supervisorMain owns a lab until it is told to end it. Descriptor 4 takes "ok"
// or the reason why there is no lab.
func supervisorMain() int {
	ready := os.NewFile(4, "ready")
	fail := func(err error) int {
		fmt.Fprintf(ready, "%v\n", err)
		return 1
	}
	unix.CloseOnExec(3)
	unix.CloseOnExec(4)
	var c charge
	if err := json.NewDecoder(os.NewFile(3, "charge")).Decode(&c); err != nil {
		return fail(fmt.Errorf("cannot read the lab's charge: %w", err))
	}
	s := &supervisor{charge: c, run: runDir(c.Name), spawn: make(chan func()), down: make(chan struct{}),
		log: slog.New(slog.NewTextHandler(os.Stderr, nil))}
	s.enabled.Store(c.Services)
	s.cast.events = &s.events
	go func() {
		runtime.LockOSThread()
		for f := range s.spawn {
			f()
		}
	}()
	caretaker, err := s.caretaker()
	if err != nil {
		return fail(err)
	}
	if err := s.up(caretaker.Process.Pid); err != nil {
		s.clean()
		caretaker.Process.Kill()
		caretaker.Wait()
		return fail(err)
	}
	fmt.Fprintln(ready, "ok")
	ready.Close()

	if c.LifeLine {
		go func() {
			io.Copy(io.Discard, os.Stdin)
			s.end()
		}()
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, unix.SIGTERM, unix.SIGINT)
	select {
	case <-s.down:
	case <-stop:
	}
	err = s.clean()
	caretaker.Process.Kill()
	caretaker.Wait()
	if err != nil {
		s.log.Error("could not clean up", "err", err)
		return 1
	}
	return 0
}

func (s *supervisor) end() { s.once.Do(func() { close(s.down) }) }

// alone fails when this process is still in the machine's network namespace: it
// must not make a bridge there.
func alone() error {
	here, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		return err
	}
	if there, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", os.Getppid())); err == nil && here == there {
		return errors.New("cannot make a lab: not in a network namespace of its own")
	}
	links, err := net.Interfaces()
	if err != nil {
		return err
	}
	for _, l := range links {
		if l.Flags&net.FlagUp != 0 {
			return fmt.Errorf("cannot make a lab: the switch's network namespace has %s up already", l.Name)
		}
	}
	return nil
}

func (s *supervisor) up(caretaker int) error {
	if err := alone(); err != nil {
		return err
	}
	if s.Nice != 0 {
		// Of the process group: every thread and, by inheritance, every host.
		if err := unix.Setpriority(unix.PRIO_PGRP, 0, s.Nice); err != nil {
			return fmt.Errorf("cannot set the lab's niceness to %d: %w", s.Nice, err)
		}
	}
	if err := makeSwitch(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), bootLimit)
	defer cancel()
	for i := range s.Disks {
		if err := makeDisk(ctx, s.disk(i), s.DiskMiB, s.Format); err != nil {
			return err
		}
	}
	s.watch = newWatcher(&s.events)
	go s.watch.run()
	for _, h := range s.Hosts {
		s.hosts = append(s.hosts, newHost(s, h))
	}
	errs := make(chan error, len(s.hosts))
	for _, h := range s.hosts {
		go func() { errs <- h.start(ctx) }()
	}
	var all error
	for range s.hosts {
		all = errors.Join(all, <-errs)
	}
	if all != nil {
		return all
	}
	b, err := json.Marshal(record{Charge: s.charge, Supervisor: os.Getpid(), Caretaker: caretaker})
	if err == nil {
		err = os.WriteFile(filepath.Join(s.run, recordFile), b, 0o600)
	}
	if err != nil {
		return fmt.Errorf("cannot record the lab: %w", err)
	}
	l, err := listen(filepath.Join(s.run, controlSocket))
	if err != nil {
		return fmt.Errorf("cannot listen for commands: %w", err)
	}
	go serve(l, s.handle)
	return nil
}

func (s *supervisor) disk(i int) string { return filepath.Join(s.Dir, fmt.Sprintf("shared%d.img", i)) }

// clean takes all power and removes every file. It is safe to call for a lab that
// came up half.
func (s *supervisor) clean() error {
	var wg sync.WaitGroup
	ctx, cancel := context.WithTimeout(context.Background(), crashLimit)
	defer cancel()
	errs := make([]error, len(s.hosts))
	for i, h := range s.hosts {
		wg.Go(func() { errs[i] = h.crash(ctx, "the lab ends") })
	}
	wg.Wait()
	if s.watch != nil {
		s.watch.end()
	}
	return errors.Join(errors.Join(errs...), removeLab(ctx, s.Name, s.run, s.Dir))
}

// removeLab removes what outlives a lab's processes: cgroups and files.
func removeLab(ctx context.Context, name, run, dir string) error {
	cg := labCgroup(name)
	err := errors.Join(removeCgroup(ctx, cg), os.RemoveAll(dir), os.RemoveAll(run))
	// The parents are shared by all labs: they go with the last one.
	for _, parent := range []string{filepath.Dir(run), "/var/lib/understudy-lab", filepath.Dir(cg)} {
		if parent != "." {
			unix.Rmdir(parent)
		}
	}
	return err
}

// caretaker starts the process that removes the lab's files when this one cannot
// do so any more. It knows that by the end of file of a pipe.
func (s *supervisor) caretaker() (*exec.Cmd, error) {
	cmd := exec.Command(s.Binary, "lab-caretaker", s.Name, s.run, s.Dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if _, err := cmd.StdinPipe(); err != nil { // never closed: it ends with this process
		return nil, err
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("cannot start the caretaker: %w", err)
	}
	return cmd, nil
}

// caretakerMain waits for the supervisor's end, then for its hosts' end, and
// removes what is left. It removes only the directories it was started for.
func caretakerMain(args []string) int {
	if len(args) != 3 {
		return 2
	}
	name, run, dir := args[0], args[1], args[2]
	before, err := inode(run)
	if err != nil {
		return 1
	}
	io.Copy(io.Discard, os.Stdin)
	if now, err := inode(run); err != nil || now != before {
		return 0 // gone, or the name is taken by another lab
	}
	ctx, cancel := context.WithTimeout(context.Background(), downLimit)
	defer cancel()
	if removeLab(ctx, name, run, dir) != nil {
		return 1
	}
	return 0
}

func inode(path string) (uint64, error) {
	var st unix.Stat_t
	err := unix.Stat(path, &st)
	return st.Ino, err
}

func newBootID() string { return uuid.NewString() }

// Event is something that was done to a lab, or that its power controller was
// asked for.
type Event struct {
	At   time.Time     // wall clock
	Mono time.Duration // CLOCK_MONOTONIC, as the client's times
	Host string
	What string
}

type events struct {
	mu   sync.Mutex
	all  []Event
	viol []Violation
}

func (e *events) add(host, format string, args ...any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, Event{At: time.Now(), Mono: time.Duration(monotonic()), Host: host, What: fmt.Sprintf(format, args...)})
}
