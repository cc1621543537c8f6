//go:build linux

package lab

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Lab is a lab that is up, as its maker or a later command holds it.
type Lab struct {
	Name string
	rec  record
	run  string

	life *os.File   // closed: the lab ends
	wait *sync.Once // reaps the supervisor that this process started
	cmd  *exec.Cmd
}

// ErrNoLab says that there is no lab of that name.
var ErrNoLab = errors.New("no such lab")

// Up makes a lab and returns when every host is up. A lab of the same name that
// is there already is an error; what a dead one left behind is removed.
func Up(ctx context.Context, o Options) (*Lab, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := vacant(o.Name); err != nil {
		return nil, err
	}
	if err := Down(ctx, o.Name); err != nil {
		return nil, err
	}
	c := charge{Name: o.Name, Dir: o.Dir, Binary: o.Binary, Hosts: o.Hosts, Disks: o.Disks, DiskMiB: o.DiskMiB, StateMiB: o.StateMiB,
		Format: o.Format, Conf: []byte(o.Config(o) + o.Extra), Key: newKey(), Services: o.Services && o.Profile == "", Files: o.Files,
		LifeLine: o.LifeLine, Nice: o.Nice}
	run := runDir(o.Name)
	if err := os.MkdirAll(filepath.Dir(run), 0o700); err != nil {
		return nil, fmt.Errorf("cannot make lab %s: %w", o.Name, err)
	}
	if err := os.Mkdir(run, 0o700); err != nil { // one maker wins
		return nil, fmt.Errorf("cannot make lab %s: %w", o.Name, err)
	}
	if _, err := os.Lstat(o.Dir); err == nil {
		os.Remove(run)
		return nil, fmt.Errorf("cannot make lab %s: %s is there already — remove it or choose another directory", o.Name, o.Dir)
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		os.Remove(run)
		return nil, fmt.Errorf("cannot make lab %s: %w", o.Name, err)
	}
	l := &Lab{Name: o.Name, run: run, wait: new(sync.Once)}
	if err := l.launch(ctx, c); err != nil {
		limit, cancel := within(context.WithoutCancel(ctx), downLimit)
		defer cancel()
		return nil, errors.Join(fmt.Errorf("cannot make lab %s: %w", o.Name, err), removeLab(limit, o.Name, run, o.Dir))
	}
	if o.Profile == ProfileDCE {
		if err := l.prepareDCE(ctx, o.Services); err != nil {
			limit, cancel := within(context.WithoutCancel(ctx), downLimit)
			defer cancel()
			return nil, errors.Join(fmt.Errorf("cannot make lab %s: %w", o.Name, err), l.Down(limit))
		}
	}
	return l, nil
}

// vacant fails when a lab of that name cannot be made here.
func vacant(name string) error {
	if os.Geteuid() != 0 {
		return errors.New("cannot make a lab: namespaces and loop devices need root — run it as root")
	}
	if l, err := Open(name); err == nil {
		return fmt.Errorf("cannot make lab %s: it is up already, pid %d — understudy lab down --name %s",
			l.Name, l.rec.Supervisor, l.Name)
	}
	return nil
}

// launch starts the supervisor in a session and a network namespace of its own
// and waits for its word.
func (l *Lab) launch(ctx context.Context, c charge) (err error) {
	b, err := json.Marshal(c)
	if err != nil {
		return err
	}
	var ends []*os.File
	pipe := func() (r, w *os.File) {
		if err == nil {
			r, w, err = os.Pipe()
			ends = append(ends, r, w)
		}
		return r, w
	}
	chargeR, chargeW := pipe()
	readyR, readyW := pipe()
	lifeR, lifeW := pipe()
	defer func() {
		for _, f := range ends {
			if f != l.life {
				f.Close()
			}
		}
	}()
	if err != nil {
		return err
	}
	log, err := os.OpenFile(filepath.Join(c.Dir, "supervisor.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	ends = append(ends, log)
	cmd := exec.Command(c.Binary, "lab-supervisor")
	cmd.Stdout, cmd.Stderr = log, log
	if c.LifeLine {
		cmd.Stdin = lifeR
	}
	cmd.Dir = "/"
	cmd.ExtraFiles = []*os.File{chargeR, readyW}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Cloneflags: unix.CLONE_NEWNET}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("supervisor: %w", err)
	}
	l.cmd = cmd
	chargeR.Close()
	readyW.Close()
	lifeR.Close()
	go func() {
		chargeW.Write(b) // the supervisor says so when it cannot read it
		chargeW.Close()
	}()
	stop := context.AfterFunc(ctx, func() { readyR.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	line, err := bufio.NewReader(readyR).ReadString(0) // until its end of file
	if line = strings.TrimSpace(line); line != "ok" {
		cmd.Process.Kill()
		l.reap()
		if errors.Is(err, io.EOF) {
			err = nil
		}
		tail, _ := os.ReadFile(log.Name())
		return errors.Join(fmt.Errorf("supervisor: %s%s", line, tail), err, context.Cause(ctx))
	}
	if c.LifeLine {
		l.life = lifeW
	}
	again, err := Open(c.Name)
	if err != nil {
		return err
	}
	l.rec = again.rec
	return nil
}

func (l *Lab) reap() { l.wait.Do(func() { l.cmd.Wait() }) }

// Open finds a lab that is up.
func Open(name string) (*Lab, error) {
	if name == "" {
		name = "demo"
	}
	l := &Lab{Name: name, run: runDir(name)}
	rec, err := readRecord(l.run)
	if err != nil {
		return nil, fmt.Errorf("cannot find lab %s: %w — understudy lab up", name, ErrNoLab)
	}
	l.rec = rec
	ctx, cancel := within(context.Background(), 5*time.Second)
	defer cancel()
	if err := l.ask(ctx, request{Op: "ping"}, nil); err != nil {
		return nil, fmt.Errorf("cannot reach lab %s: %w (%v)", name, ErrNoLab, err)
	}
	return l, nil
}

func readRecord(run string) (record, error) {
	var rec record
	b, err := os.ReadFile(filepath.Join(run, recordFile))
	if err == nil {
		err = json.Unmarshal(b, &rec)
	}
	return rec, err
}

// Down ends the lab and returns when nothing of it is left.
func (l *Lab) Down(ctx context.Context) error {
	if l.life != nil {
		l.life.Close()
		l.life = nil
	}
	if l.cmd != nil {
		go l.reap()
	}
	return Down(ctx, l.Name)
}

// Down ends the lab of that name and returns when nothing of it is left. It is
// done at once when there is none, and removes what a dead one left behind.
func Down(ctx context.Context, name string) error {
	if name == "" {
		name = "demo"
	}
	ctx, cancel := within(ctx, downLimit)
	defer cancel()
	run := runDir(name)
	rec, err := readRecord(run)
	if errors.Is(err, os.ErrNotExist) {
		if _, err := os.Lstat(run); errors.Is(err, os.ErrNotExist) {
			return nil
		}
		rec = record{Charge: charge{Dir: filepath.Join("/var/lib/understudy-lab", name)}}
	} else if err != nil {
		return fmt.Errorf("cannot end lab %s: %w", name, err)
	}
	// Handles first: a pid that a handle was opened for is not used again.
	supervisor, caretaker := handle(rec.Supervisor, "lab-supervisor"), handle(rec.Caretaker, "lab-caretaker")
	defer supervisor.Close()
	defer caretaker.Close()
	l := &Lab{Name: name, run: run}
	if err := l.ask(ctx, request{Op: "down"}, nil); err != nil && !errors.Is(err, errLost) && ctx.Err() != nil {
		return fmt.Errorf("cannot end lab %s: %w", name, err)
	}
	if err := errors.Join(ended(ctx, supervisor), ended(ctx, caretaker)); err != nil {
		return fmt.Errorf("cannot end lab %s: %w — see %s/supervisor.log", name, err, rec.Charge.Dir)
	}
	if err := removeLab(ctx, name, run, rec.Charge.Dir); err != nil {
		return fmt.Errorf("cannot end lab %s: %w", name, err)
	}
	return nil
}

// handle opens a process of a lab, nil if it is not there any more.
func handle(pid int, verb string) *os.File {
	if pid <= 0 {
		return nil
	}
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if err != nil {
		return nil
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if args := strings.Split(string(b), "\x00"); err != nil || len(args) < 2 || args[1] != verb {
		unix.Close(fd)
		return nil
	}
	return os.NewFile(uintptr(fd), verb)
}

// ended waits for the end of a process.
func ended(ctx context.Context, p *os.File) error {
	if p == nil {
		return nil
	}
	for {
		fds := []unix.PollFd{{Fd: int32(p.Fd()), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, 50)
		if n > 0 {
			return nil
		}
		if err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%s does not end: %w", p.Name(), context.Cause(ctx))
		}
	}
}

func (l *Lab) ask(ctx context.Context, req request, into any) error {
	return call(ctx, filepath.Join(l.run, controlSocket), req, into)
}
