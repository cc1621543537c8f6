package aix

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

// Run runs one command and returns what it wrote to its standard output. An exit
// status other than 0 is an [*ExitError], with the output all the same. A command
// is the name of a program of the system and its arguments, never a shell line.
type Run func(ctx context.Context, argv ...string) (string, error)

// ExitError says that a command ran to its end and failed.
type ExitError struct {
	Argv   []string
	Code   int    // exit status; -1: ended by a signal
	Stderr string // what it wrote there, cut to its last lines
}

func (e *ExitError) Error() string {
	text := fmt.Sprintf("%s ended with exit status %d", strings.Join(e.Argv, " "), e.Code)
	if e.Stderr != "" {
		text += ": " + e.Stderr
	}
	return text
}

// searchPath is where the system has its own commands; nothing of it is anybody's
// but root's.
const searchPath = "/usr/bin:/usr/sbin:/sbin:/bin"

// environment of every command: messages and dates in the C locale and in UTC,
// so that neither a caller's language nor the end of summer time changes what is
// read, and lines that ps does not cut (COLUMNS, reference of ps).
var environment = []string{
	"PATH=" + searchPath, "HOME=/", "LANG=C", "LC_ALL=C", "TZ=UTC0", "COLUMNS=4096", "ODMDIR=/etc/objrepos",
}

const (
	outputLimit = 4 << 20 // bytes kept of a command's output
	drain       = 500 * time.Millisecond
)

// Exec runs a command in a session of its own and kills the session's first
// process group when ctx ends. It is the [Run] of a real host.
func Exec(ctx context.Context, argv ...string) (string, error) {
	path, err := find(argv[0])
	if err != nil {
		return "", err
	}
	out, errOut := &limited{max: outputLimit}, &limited{max: 64 << 10}
	cmd := exec.CommandContext(ctx, path, argv[1:]...)
	cmd.Env, cmd.Dir = environment, "/"
	cmd.Stdout, cmd.Stderr = out, errOut
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = drain
	err = cmd.Run()
	exit := (*exec.ExitError)(nil)
	switch {
	case ctx.Err() != nil:
		return "", fmt.Errorf("cannot finish %s: %w", strings.Join(argv, " "), context.Cause(ctx))
	case out.over:
		return "", fmt.Errorf("cannot use what %s printed: more than %d bytes", argv[0], outputLimit)
	case errors.As(err, &exit):
		return out.kept.String(), &ExitError{Argv: argv, Code: exit.ExitCode(), Stderr: lastLines(errOut.kept.String())}
	case err != nil && !errors.Is(err, exec.ErrWaitDelay):
		return "", fmt.Errorf("cannot run %s: %w", argv[0], err)
	}
	return out.kept.String(), nil
}

// find looks a program of the system up.
func find(name string) (string, error) {
	for dir := range strings.SplitSeq(searchPath, ":") {
		path := filepath.Join(dir, name)
		if fi, err := os.Stat(path); err == nil && fi.Mode().IsRegular() && fi.Mode()&0o111 != 0 && filepath.Base(name) == name {
			return path, nil
		}
	}
	return "", fmt.Errorf("cannot find program %q in %s", name, searchPath)
}

// limited keeps the first max bytes written to it. The buffer is not embedded: its
// ReadFrom would be preferred to Write, and know no limit.
type limited struct {
	kept bytes.Buffer
	max  int
	over bool // more was written
}

func (l *limited) Write(p []byte) (int, error) {
	room := max(l.max-l.kept.Len(), 0)
	l.over = l.over || room < len(p)
	l.kept.Write(p[:min(len(p), room)])
	return len(p), nil
}

// lastLines is the end of what a command said, on one line.
func lastLines(s string) string {
	s = strings.Join(strings.Fields(strings.ToValidUTF8(s, "?")), " ")
	const most = 300
	if len(s) > most {
		s = "…" + strings.ToValidUTF8(s[len(s)-most:], "")
	}
	return s
}
