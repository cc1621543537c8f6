//go:build linux || aix

package act

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"understudy/config"
	"understudy/reconcile"
)

// logLimit is the size at which an application's log is put aside, at the next
// start of one of its commands.
const logLimit = 4 << 20

// launched is a command of an application that was started. It belongs to nobody
// but itself: it lives on when this program ends.
type launched struct {
	reconcile.Process
	cgroup cgroup // "" on hosts without version 2
	done   chan struct{}
	state  *os.ProcessState // how it ended; valid after done is closed

	log    string
	offset int64 // where its output begins in the log
}

// launch starts a command of an application in a session of its own and in the
// application's cgroup, with a clean environment, its output in the log file and
// no pipe to this program. A goroutine reaps it; nobody has to wait for that one.
func (h *Host) launch(group string, app config.Application, argv []string, env []config.Option) (*launched, error) {
	name, err := appName(group, app.Name)
	if err != nil {
		return nil, err
	}
	cg, err := cgroupFor(group, app.Name)
	if err != nil {
		return nil, err
	}
	return h.launchAs(name, cg, argv, environment(app.Environment, env))
}

// launchAs is launch with the name of the log, the cgroup and the whole environment.
func (h *Host) launchAs(name string, cg cgroup, argv, env []string) (*launched, error) {
	path, err := program(argv[0])
	if err != nil {
		return nil, err
	}
	l := &launched{log: h.logPath(name), done: make(chan struct{})}
	out, err := openLog(l.log)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	if l.offset, err = out.Seek(0, io.SeekEnd); err != nil {
		return nil, err
	}
	command := func() *exec.Cmd {
		cmd := &exec.Cmd{Path: path, Args: argv}
		cmd.Env = env
		cmd.Dir = "/"
		cmd.Stdout, cmd.Stderr = out, out
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		return cmd
	}
	cmd := command()
	if cg != "" {
		if err = cg.start(cmd); err == nil {
			l.cgroup = cg
		} else {
			h.log.Warn("the command runs without a cgroup", "cgroup", string(cg), "err", err)
		}
	}
	if l.cgroup == "" {
		cmd = command()
		err = cmd.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("cannot run %s: %w", argv[0], err)
	}
	l.PID, l.Exe = cmd.Process.Pid, path
	h.ordinary(l.PID)
	st, err := readStat(l.PID) // it is not reaped yet, so it is there
	if err == nil {
		l.Start = st.start
	}
	go func() {
		_ = cmd.Wait()
		l.state = cmd.ProcessState
		close(l.done)
	}()
	if err != nil {
		_ = unix.Kill(-l.PID, unix.SIGKILL)
		return nil, fmt.Errorf("cannot identify %s after its start: %w", argv[0], err)
	}
	return l, nil
}

// environment is a clean environment and what the application and the step add;
// the last of a name counts.
func environment(lists ...[]config.Option) []string {
	out := []string{"PATH=" + searchPath, "HOME=/", "LANG=C"}
	for _, list := range lists {
		for _, o := range list {
			out = append(out, o.Key+"="+o.Value)
		}
	}
	return out
}

// openLog opens an application's log for appending, and puts it aside when it
// has grown too long. One former log is kept.
func openLog(path string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	if fi, err := os.Stat(path); err == nil && fi.Size() >= logLimit {
		if err := os.Rename(path, path+".1"); err != nil {
			return nil, err
		}
	}
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
}

// output is what has been written to the log since the command was started, at
// most the last 64 KiB of it.
func (l *launched) output() []string {
	f, err := os.Open(l.log)
	if err != nil {
		return nil
	}
	defer f.Close()
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil
	}
	from := max(l.offset, end-64<<10)
	b := make([]byte, max(0, end-from))
	n, err := f.ReadAt(b, from)
	if err != nil && err != io.EOF {
		return nil
	}
	b = bytes.TrimRight(b[:n], "\n")
	if len(b) == 0 {
		return nil
	}
	return strings.Split(string(b), "\n")
}

// lastWords is the end of a command's output, for an error.
func (l *launched) lastWords() string {
	lines := l.output()
	if len(lines) == 0 {
		return "it printed nothing"
	}
	if len(lines) > 5 {
		lines = lines[len(lines)-5:]
	}
	s := strings.ToValidUTF8(strings.Join(lines, " / "), "?")
	if len(s) > 600 {
		s = "…" + s[len(s)-600:]
	}
	return fmt.Sprintf("%s (more in %s)", s, l.log)
}

// finish waits for a command that returns when its work is done. When ctx ends
// first, the command's session is stopped, save the processes in spare.
func (h *Host) finish(ctx context.Context, l *launched, group, app string, spare func() map[int]bool) error {
	if h.opts.OnOutput != nil {
		defer func() {
			for _, line := range l.output() {
				h.opts.OnOutput(group, app, line)
			}
		}()
	}
	select {
	case <-l.done:
	case <-ctx.Done():
		spared := map[int]bool{}
		if spare != nil {
			spared = spare()
		}
		endSession(l, spared)
		return fmt.Errorf("it had not ended in time and was killed: %w; %s", context.Cause(ctx), l.lastWords())
	}
	switch code := l.state.ExitCode(); {
	case code == 0:
		return nil
	case code > 0:
		return fmt.Errorf("exit status %d: %s", code, l.lastWords())
	}
	return fmt.Errorf("%s: %s", l.state, l.lastWords())
}

// endSession ends the processes of a command's session: SIGTERM, and half a
// second later SIGKILL. What has left the session is found by its cgroup when
// the application is stopped.
func endSession(l *launched, spared map[int]bool) {
	members := func() []reconcile.Process {
		ps, _, _ := sessionMembers(l.Process, l.log)
		var out []reconcile.Process
		for _, p := range ps {
			if !spared[p.PID] {
				out = append(out, p)
			}
		}
		return out
	}
	for _, sig := range []unix.Signal{unix.SIGTERM, unix.SIGKILL} {
		ps := members()
		var failed error
		for _, p := range ps {
			failed = errors.Join(failed, signal(p, sig))
		}
		ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
		left := awaitEnd(ctx, ps)
		cancel()
		if len(left) == 0 && failed == nil {
			return
		}
	}
}
