//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// serviceName is the resident service of a host.
const serviceName = "understudy"

// keeper runs the processes of a host on behalf of its process 1, and reaps every
// orphan.
type keeper struct {
	chld chan os.Signal

	mu       sync.Mutex // held while forking and while reaping: no child is reaped unknown
	children map[int]*child
	services map[string]*child // the latest of each name
}

type child struct {
	pid   int
	done  chan struct{}
	state syscall.WaitStatus // after done
}

func newKeeper() *keeper {
	k := &keeper{chld: make(chan os.Signal, 1), children: make(map[int]*child), services: make(map[string]*child)}
	signal.Notify(k.chld, unix.SIGCHLD)
	return k
}

// reap collects every process that ends. It never returns: process 1 does not.
func (k *keeper) reap() {
	for range k.chld {
		k.mu.Lock()
		for {
			var ws syscall.WaitStatus
			pid, err := syscall.Wait4(-1, &ws, syscall.WNOHANG, nil)
			if errors.Is(err, syscall.EINTR) {
				continue
			}
			if err != nil || pid <= 0 {
				break
			}
			if c := k.children[pid]; c != nil {
				delete(k.children, pid)
				c.state = ws
				close(c.done)
			}
		}
		k.mu.Unlock()
	}
}

// exited is how a process ended.
type exited struct {
	PID     int  `json:"pid"`
	Running bool `json:"running"`
	Code    int  `json:"code"`   // exit status; -1 when a signal ended it
	Signal  int  `json:"signal"` // 0 when it ended by itself
}

func (c *child) exited() exited {
	select {
	case <-c.done:
	default:
		return exited{PID: c.pid, Running: true}
	}
	e := exited{PID: c.pid, Code: c.state.ExitStatus()}
	if c.state.Signaled() {
		e.Signal = int(c.state.Signal())
	}
	return e
}

func (k *keeper) handle(ctx context.Context, req request, files []*os.File) (any, error) {
	switch req.Op {
	case "exec":
		return k.exec(ctx, req, files)
	case "start":
		c, err := k.start(req.Name, req.Argv, req.Env)
		if err != nil {
			return nil, err
		}
		return c.exited(), nil
	}
	k.mu.Lock()
	c := k.services[req.Name]
	k.mu.Unlock()
	switch req.Op {
	case "signal":
		if c == nil || !c.exited().Running {
			return nil, fmt.Errorf("cannot signal %s: it does not run", req.Name)
		}
		return nil, syscall.Kill(c.pid, syscall.Signal(req.Signal))
	case "service":
		if c == nil {
			return exited{}, nil
		}
		return c.exited(), nil
	case "wait":
		if c == nil {
			return exited{}, nil
		}
		select {
		case <-c.done:
			return c.exited(), nil
		case <-ctx.Done():
			return nil, errSilent
		}
	}
	return nil, fmt.Errorf("cannot do %q in a host", req.Op)
}

// exec runs a command with the caller's own descriptors and returns how it
// ended. A caller that hangs up kills the command's session.
func (k *keeper) exec(ctx context.Context, req request, files []*os.File) (any, error) {
	if len(files) != 3 {
		return nil, fmt.Errorf("cannot run %q: want 3 descriptors, got %d", req.Argv, len(files))
	}
	fds := []uintptr{files[0].Fd(), files[1].Fd(), files[2].Fd()}
	c, err := k.fork(req.Argv, req.Env, req.Dir, fds)
	for _, f := range files {
		f.Close() // the command has its own
	}
	if err != nil {
		return nil, err
	}
	select {
	case <-c.done:
	case <-ctx.Done():
		syscall.Kill(-c.pid, syscall.SIGKILL)
		<-c.done
	}
	return c.exited(), nil
}

// start starts a named process that stays; its output goes to the host's log.
func (k *keeper) start(name string, argv, env []string) (*child, error) {
	k.mu.Lock()
	old := k.services[name]
	k.mu.Unlock()
	if old != nil && old.exited().Running {
		return nil, fmt.Errorf("cannot start %s: it runs already, pid %d", name, old.pid)
	}
	null, err := os.OpenFile("/dev/null", os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	c, err := k.fork(argv, env, "/", []uintptr{null.Fd(), 1, 2})
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	k.services[name] = c
	k.mu.Unlock()
	return c, nil
}

func (k *keeper) fork(argv, env []string, dir string, fds []uintptr) (*child, error) {
	if len(argv) == 0 {
		return nil, errors.New("cannot run nothing")
	}
	path, err := lookPath(argv[0])
	if err != nil {
		return nil, err
	}
	if dir == "" {
		dir = "/root"
	}
	base := []string{pathInside, "HOME=/root", "LANG=C.UTF-8", "TERM=dumb"}
	for _, name := range []string{"GOCOVERDIR", "GODEBUG", "GOMAXPROCS", "GORACE", "GOTRACEBACK"} { // of Go's own run time
		if v, ok := os.LookupEnv(name); ok {
			base = append(base, name+"="+v)
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	pid, err := syscall.ForkExec(path, argv, &syscall.ProcAttr{
		Dir: dir, Env: slices.Concat(base, env), Files: fds, Sys: &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return nil, fmt.Errorf("cannot run %q: %w", argv, err)
	}
	c := &child{pid: pid, done: make(chan struct{})}
	k.children[pid] = c
	return c, nil
}

// lookPath finds a program on the hosts' PATH; process 1 itself has none.
func lookPath(name string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	for dir := range strings.SplitSeq(strings.TrimPrefix(pathInside, "PATH="), ":") {
		if path := dir + "/" + name; unix.Access(path, unix.X_OK) == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("cannot run %q: not found in the host", name)
}

// watchSysrq stands in for the machine's sysrq-trigger, which a host must not
// reach: a 'b' or 'o' written there ends this host's life, as power loss does.
func watchSysrq() {
	// Opened for both directions: it never sees the end of file of a writer.
	f, err := os.OpenFile(sysrqPipe, os.O_RDWR, 0)
	if err != nil {
		return
	}
	for {
		var one [1]byte
		if _, err := f.Read(one[:]); err != nil {
			return
		}
		op := map[byte]string{'b': "reset", 'o': "power-off"}[one[0]]
		if op == "" {
			continue
		}
		call(context.Background(), socketsInside+"/"+powerSocket, request{Op: op}, nil)
	}
}
