//go:build linux || aix

package act

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// searchPath is the PATH of everything that is started here.
const searchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// cleanEnvironment is what a command gets beside its declared environment.
var cleanEnvironment = []string{"PATH=" + searchPath, "HOME=/", "LANG=C", "LC_ALL=C"}

// outputLimit bounds what is kept of a command's output.
const outputLimit = 4 << 20

// limited keeps the first max bytes written to it and swallows the rest. The buffer
// is not embedded: its ReadFrom would be preferred to Write, and know no limit.
type limited struct {
	kept bytes.Buffer
	max  int
}

func (l *limited) Write(p []byte) (int, error) {
	if room := l.max - l.kept.Len(); room > 0 {
		l.kept.Write(p[:min(len(p), room)])
	}
	return len(p), nil
}

// command is a program that does one thing and returns.
type command struct {
	argv  []string
	stdin string
	env   []string // nil: cleanEnvironment
	max   int      // bytes kept of each of stdout and stderr; zero: outputLimit
}

// outcome is how a command ended.
type outcome struct {
	code   int // exit status; -1: killed by a signal
	stdout string
	stderr string
}

// says is the last line of what a command had to say, for an error.
func (o outcome) says() string {
	for _, s := range []string{o.stderr, o.stdout} {
		lines := strings.Split(strings.TrimSpace(s), "\n")
		if last := strings.TrimSpace(lines[len(lines)-1]); last != "" {
			if len(last) > 300 {
				last = last[:300] + "…"
			}
			return last
		}
	}
	return "it printed nothing"
}

// run runs a command in a session of its own and kills the session's first
// process group when ctx ends. An error means that the command did not run to
// its end; a non-zero exit status is not an error here.
func run(ctx context.Context, c command) (outcome, error) {
	path, err := program(c.argv[0])
	if err != nil {
		return outcome{}, err
	}
	if ctx.Err() != nil {
		return outcome{}, fmt.Errorf("cannot run %s: stopped: %w", c.argv[0], context.Cause(ctx))
	}
	if c.max == 0 {
		c.max = outputLimit
	}
	out, errOut := &limited{max: c.max}, &limited{max: c.max}
	cmd := &exec.Cmd{Path: path, Args: c.argv}
	cmd.Env = cleanEnvironment
	if c.env != nil {
		cmd.Env = c.env
	}
	cmd.Dir = "/"
	cmd.Stdin = strings.NewReader(c.stdin)
	cmd.Stdout, cmd.Stderr = out, errOut
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.WaitDelay = 500 * time.Millisecond
	if err := cmd.Start(); err != nil {
		return outcome{}, fmt.Errorf("cannot run %s: %w", c.argv[0], err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err = <-ended:
	case <-ctx.Done():
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		select {
		case <-ended:
			return outcome{}, fmt.Errorf("cannot finish %s: killed: %w", c.argv[0], context.Cause(ctx))
		case <-time.After(2 * time.Second):
			return outcome{}, fmt.Errorf("cannot finish %s: pid %d is still hanging after a kill: %w", c.argv[0], cmd.Process.Pid, context.Cause(ctx))
		}
	}
	o := outcome{code: cmd.ProcessState.ExitCode(), stdout: out.kept.String(), stderr: errOut.kept.String()}
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) && !errors.Is(err, exec.ErrWaitDelay) && !errors.Is(err, syscall.EPIPE) {
		return o, fmt.Errorf("cannot run %s: %w", c.argv[0], err)
	}
	return o, nil
}

// program finds a program and refuses one that somebody else than root could
// have changed.
func program(name string) (string, error) {
	path := name
	if !filepath.IsAbs(name) {
		path = ""
		if !strings.Contains(name, "/") {
			for dir := range strings.SplitSeq(searchPath, ":") {
				p := filepath.Join(dir, name)
				if fi, err := os.Stat(p); err == nil && fi.Mode().IsRegular() && fi.Mode()&0o111 != 0 {
					path = p
					break
				}
			}
		}
		if path == "" {
			return "", fmt.Errorf("cannot find program %s in %s — install it or give its absolute path", name, searchPath)
		}
	}
	fi, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("cannot run %s: %w", name, err)
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok || !fi.Mode().IsRegular() {
		return "", fmt.Errorf("cannot run %s: not a regular file", path)
	}
	if !ownsSystem(st.Uid) && int(st.Uid) != os.Geteuid() || fi.Mode()&0o022 != 0 {
		return "", fmt.Errorf("cannot run %s: others than root may change it (owner %d, mode %v) — chown root %s; chmod go-w %s", path, st.Uid, fi.Mode().Perm(), path, path)
	}
	return path, nil
}
