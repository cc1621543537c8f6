package daemons

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"time"
	"unicode"

	"understudy/config"
	"understudy/reconcile"
)

const (
	// drain is how long a probe's output is waited for after its end or after it
	// was killed; a child that left its process group may hold it open.
	drain = time.Second
	// tail is how much of a probe's output is kept, the last of it, in bytes.
	tail = 4096
	// sentence bounds what is told of a bad probe, in bytes.
	sentence = 300
)

// verdict is what a probe said.
type verdict struct {
	probe reconcile.Probe
	why   string // when it is bad
	doubt string // when too few probes were bad; see reconcile.AppState
}

// run asks every probe of an application in turn, up to the first that is bad;
// that one's name stands before what it said. ok is false if ctx ended first: that
// says nothing. A probe that outlives its own kill, since the disk it waits for hangs,
// is waited for; late is told meanwhile, from another goroutine, that it is bad.
func run(ctx context.Context, app *config.Application, late func(verdict)) (v verdict, ok bool) {
	for _, p := range app.Probes {
		named := func(v verdict) verdict {
			if p.Name != "" {
				v.why = p.Name + ": " + v.why
			}
			return v
		}
		overdue := time.AfterFunc(app.ProbeLimit+2*drain, func() {
			late(named(verdict{probe: reconcile.ProbeBad, why: fmt.Sprintf("no answer within %v, and the kernel does not end it: it waits for a disk, perhaps", app.ProbeLimit)}))
		})
		v, ok = ask(ctx, app, p.Command)
		overdue.Stop()
		if !ok {
			return v, false
		}
		if v.probe != reconcile.ProbeGood {
			return named(v), true
		}
	}
	return v, ok
}

// ask runs one probe in a process group of its own and waits for it. A probe
// that cannot run, or does not end within its limit, is bad; in the second case
// its whole group is killed. ok is false if ctx ended first.
func ask(ctx context.Context, app *config.Application, argv []string) (v verdict, ok bool) {
	limited, cancel := context.WithTimeout(ctx, app.ProbeLimit)
	defer cancel()
	cmd := exec.CommandContext(limited, argv[0], argv[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = drain
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	for _, o := range app.Environment {
		cmd.Env = append(cmd.Env, o.Key+"="+o.Value)
	}
	out := new(ending)
	cmd.Stdout, cmd.Stderr = out, out
	err := cmd.Run()
	switch {
	case ctx.Err() != nil:
		return verdict{}, false
	case limited.Err() != nil:
		return verdict{probe: reconcile.ProbeBad, why: fmt.Sprintf("no answer within %v", app.ProbeLimit)}, true
	case err == nil, errors.Is(err, exec.ErrWaitDelay) && cmd.ProcessState.Success():
		return verdict{probe: reconcile.ProbeGood}, true
	}
	why := err.Error()
	if line := out.last(); line != "" {
		why += ": " + line
	}
	return verdict{probe: reconcile.ProbeBad, why: why[:min(len(why), sentence)]}, true
}

// ending keeps the last bytes written to it.
type ending struct{ text []byte }

func (e *ending) Write(p []byte) (int, error) {
	e.text = append(e.text, p[max(0, len(p)-tail):]...)
	if over := len(e.text) - tail; over > 0 {
		e.text = append(e.text[:0], e.text[over:]...)
	}
	return len(p), nil
}

// last is the last line that is not empty, without control characters.
func (e *ending) last() string {
	text := bytes.TrimSpace(e.text)
	line := string(text[bytes.LastIndexByte(text, '\n')+1:])
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(line, "?")))
}
