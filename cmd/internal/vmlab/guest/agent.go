//go:build linux

package guest

import (
	"bufio"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"understudy/cmd/internal/vmlab/wire"
)

// socket is where programs of the guest ask the lab's power controller.
const socket = "/run/vmlab.sock"

// agentOf is the agent of one boot.
type agentOf struct {
	w       *wire.Writer
	session string

	mu      sync.Mutex // guards all following fields
	streams map[uint32]*stream
	asks    map[uint32]chan wire.Result
	asked   uint32

	welcome chan struct{}
	greeted sync.Once
}

// stream is one command or file under way.
type stream struct {
	in     chan []byte   // nil: the end
	cancel chan struct{} // closed when nobody waits any more
	once   sync.Once
}

func (s *stream) end() { s.once.Do(func() { close(s.cancel) }) }

// agent serves the lab until the port fails, and returns an exit code.
func agent() int {
	dev, err := port()
	if err != nil {
		say("%v", err)
		return 1
	}
	f, err := os.OpenFile(dev, os.O_RDWR, 0)
	if err != nil {
		say("%v", err)
		return 1
	}
	defer f.Close()
	a := &agentOf{
		w: wire.NewWriter(f), session: rand.Text(), streams: map[uint32]*stream{},
		asks: map[uint32]chan wire.Result{}, welcome: make(chan struct{}),
	}
	go a.greet()
	go a.listen()
	for r := wire.NewReader(f); ; {
		fr, err := r.Next()
		switch {
		case err == nil:
			a.handle(fr)
		case errors.Is(err, io.EOF): // the lab is not there, or not yet
			time.Sleep(50 * time.Millisecond)
		default:
			say("port: %v", err)
			return 1
		}
	}
}

// port finds the serial port that the lab named.
func port() (string, error) {
	for range 500 {
		names, _ := filepath.Glob("/sys/class/virtio-ports/*/name")
		for _, n := range names {
			if b, _ := os.ReadFile(n); strings.TrimSpace(string(b)) == "vmlab" {
				return "/dev/" + filepath.Base(filepath.Dir(n)), nil
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	return "", errors.New("cannot find the lab's serial port")
}

func (a *agentOf) greet() {
	text := func(path string) string {
		b, _ := os.ReadFile(path)
		return strings.TrimSpace(string(b))
	}
	for {
		g := wire.Greeting{Session: a.session, BootID: text("/proc/sys/kernel/random/boot_id"), Kernel: text("/proc/sys/kernel/osrelease")}
		_, _ = fmt.Sscan(text("/proc/uptime"), &g.Uptime)
		_ = a.w.Break()
		_ = a.w.SendJSON(wire.Hello, 0, g)
		select {
		case <-a.welcome:
			return
		case <-time.After(500 * time.Millisecond):
		}
	}
}

func (a *agentOf) handle(f wire.Frame) {
	switch f.Type {
	case wire.Welcome:
		if string(f.Data) == a.session {
			a.greeted.Do(func() { close(a.welcome) })
		}
	case wire.Open:
		var q wire.Request
		if f.JSON(&q) != nil || q.Session != a.session {
			return
		}
		s := &stream{in: make(chan []byte, 4096), cancel: make(chan struct{})}
		a.mu.Lock()
		a.streams[f.Stream] = s
		a.mu.Unlock()
		go a.serve(f.Stream, s, q)
	case wire.In, wire.InEnd, wire.Cancel:
		a.mu.Lock()
		s := a.streams[f.Stream]
		a.mu.Unlock()
		if s == nil {
			return
		}
		if f.Type == wire.Cancel {
			s.end()
			return
		}
		if f.Type == wire.InEnd {
			f.Data = nil
		}
		select {
		case s.in <- f.Data:
		case <-s.cancel:
		}
	case wire.Answer:
		a.mu.Lock()
		c := a.asks[f.Stream]
		delete(a.asks, f.Stream)
		a.mu.Unlock()
		var r wire.Result
		if c != nil && f.JSON(&r) == nil {
			c <- r
		}
	}
}

func (a *agentOf) serve(id uint32, s *stream, q wire.Request) {
	r := wire.Fail(125, "unknown operation %q", q.Op)
	switch {
	case len(q.Args) == 0:
	case q.Op == "exec" && q.Detached:
		r = detach(q.Args[0])
	case q.Op == "exec":
		r = a.exec(id, s, q.Args[0])
	case q.Op == "put":
		r = put(s, q.Args[0], os.FileMode(q.Mode))
	case q.Op == "get":
		r = a.get(id, q.Args[0])
	}
	a.mu.Lock()
	delete(a.streams, id)
	a.mu.Unlock()
	s.end()
	_ = a.w.SendJSON(wire.Exit, id, r)
}

func shell(line string) *exec.Cmd {
	c := exec.Command("/bin/sh", "-c", line)
	c.Dir = "/root"
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return c
}

// detach starts a command that runs on, with its output in a file below /var/log.
func detach(line string) wire.Result {
	if err := os.MkdirAll("/var/log/vmlab", 0o755); err != nil {
		return wire.Fail(125, "%v", err)
	}
	log, err := os.CreateTemp("/var/log/vmlab", "exec-*.log")
	if err != nil {
		return wire.Fail(125, "%v", err)
	}
	defer log.Close()
	c := shell(line)
	c.Stdout, c.Stderr = log, log
	if err := c.Start(); err != nil {
		return wire.Fail(125, "%v", err)
	}
	go func() { _ = c.Wait() }()
	return wire.Result{Out: log.Name()}
}

func (a *agentOf) exec(id uint32, s *stream, line string) wire.Result {
	c := shell(line)
	c.Stdout, c.Stderr = a.w.Stream(wire.Out, id), a.w.Stream(wire.Err, id)
	c.WaitDelay = 300 * time.Millisecond // a child that was left behind may hold the pipes
	if err := c.Start(); err != nil {
		return wire.Fail(125, "%v", err)
	}
	done := make(chan struct{})
	go func() {
		select {
		case <-s.cancel:
			_ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL)
		case <-done:
		}
	}()
	err := c.Wait()
	close(done)
	if c.ProcessState == nil {
		return wire.Fail(125, "%v", err)
	}
	if ws, ok := c.ProcessState.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return wire.Result{Code: 128 + int(ws.Signal())}
	}
	return wire.Result{Code: c.ProcessState.ExitCode()}
}

func put(s *stream, path string, mode os.FileMode) wire.Result {
	fail := func(err error) wire.Result { return wire.Fail(1, "%v", err) }
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fail(err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".put-*")
	if err != nil {
		return fail(err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	for {
		select {
		case b := <-s.in:
			if b != nil {
				if _, err := f.Write(b); err != nil {
					return fail(err)
				}
				continue
			}
			if err := errors.Join(f.Chmod(mode), f.Close(), os.Rename(f.Name(), path)); err != nil {
				return fail(err)
			}
			return wire.Result{}
		case <-s.cancel:
			return wire.Fail(125, "cancelled")
		}
	}
}

func (a *agentOf) get(id uint32, path string) wire.Result {
	f, err := os.Open(path)
	if err == nil {
		defer f.Close()
		_, err = io.Copy(a.w.Stream(wire.Out, id), struct{ io.Reader }{f})
	}
	if err != nil {
		return wire.Fail(1, "%v", err)
	}
	return wire.Result{}
}

// listen passes requests of the guest's programs to the power controller, beside
// the guest's networks. One that is never answered hangs; the asker has a limit.
func (a *agentOf) listen() {
	_ = os.Remove(socket)
	l, err := net.Listen("unix", socket)
	if err != nil {
		say("power controller: %v", err)
		return
	}
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			line, err := bufio.NewReader(c).ReadBytes('\n')
			if err != nil {
				return
			}
			got := make(chan wire.Result, 1)
			a.mu.Lock()
			a.asked++
			id := a.asked
			a.asks[id] = got
			a.mu.Unlock()
			_ = a.w.Send(wire.Ask, id, line)
			_ = json.NewEncoder(c).Encode(<-got)
		}()
	}
}

// ask asks the power controller through the agent.
func ask(q wire.Request) wire.Result {
	c, err := net.Dial("unix", socket)
	if err != nil {
		return wire.Fail(1, "%v", err)
	}
	defer c.Close()
	var r wire.Result
	if err := errors.Join(json.NewEncoder(c).Encode(q), json.NewDecoder(c).Decode(&r)); err != nil {
		return wire.Fail(1, "%v", err)
	}
	return r
}
