//go:build unix

package lvm

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// programs is where the programs of LVM are looked for, in this order.
var programs = []string{"/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin"}

// drain is how long the end of a killed program is waited for.
const drain = time.Second

// most bounds what is kept of a program's output, in bytes.
const most = 4 << 20

// Exec returns a Run that starts programs on this host. While one that was killed
// has not ended, as it hangs in the kernel, it starts no other.
func Exec() Run {
	var mu sync.Mutex
	var hanging <-chan struct{} // of the last one that did not end
	var since time.Time
	return func(ctx context.Context, argv ...string) (Output, error) {
		mu.Lock()
		defer mu.Unlock()
		if hanging != nil {
			select {
			case <-hanging:
				hanging = nil
			default:
				return Output{}, fmt.Errorf("cannot run %s: an earlier command of LVM hangs in the kernel, since %s — look at the paths to the storage",
					argv[0], time.Since(since).Round(time.Second))
			}
		}
		o, ended, err := execute(ctx, argv)
		if ended != nil {
			hanging, since = ended, time.Now()
		}
		return o, err
	}
}

// execute runs a program in a process group of its own. ended is not nil if the
// program was killed and has not ended; it is closed when it has.
func execute(ctx context.Context, argv []string) (o Output, ended <-chan struct{}, err error) {
	path := ""
	for _, dir := range programs {
		if p, err := exec.LookPath(filepath.Join(dir, argv[0])); err == nil {
			path = p
			break
		}
	}
	if path == "" {
		return Output{}, nil, fmt.Errorf("cannot find program %s — install lvm2", argv[0])
	}
	out, errOut := new(beginning), new(beginning)
	cmd := &exec.Cmd{Path: path, Args: argv, Dir: "/", Stdout: out, Stderr: errOut}
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "HOME=/"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = drain
	if err := cmd.Start(); err != nil {
		return Output{}, nil, fmt.Errorf("cannot run %s: %w", argv[0], err)
	}
	gone := make(chan struct{})
	var waited error
	go func() {
		waited = cmd.Wait()
		close(gone)
	}()
	select {
	case <-gone:
	case <-ctx.Done():
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		late := time.NewTimer(2 * drain)
		defer late.Stop()
		select {
		case <-gone:
			return Output{}, nil, fmt.Errorf("cannot finish %s: killed: %w", argv[0], context.Cause(ctx))
		case <-late.C:
			return Output{}, gone, fmt.Errorf("cannot finish %s: it hangs in the kernel after a kill: %w", argv[0], context.Cause(ctx))
		}
	}
	if exit := (*exec.ExitError)(nil); waited != nil && !errors.As(waited, &exit) && !errors.Is(waited, exec.ErrWaitDelay) {
		return Output{}, nil, fmt.Errorf("cannot run %s: %w", argv[0], waited)
	}
	return Output{cmd.ProcessState.ExitCode(), string(out.text), string(errOut.text)}, nil, nil
}

// beginning keeps the first bytes written to it.
type beginning struct{ text []byte }

func (b *beginning) Write(p []byte) (int, error) {
	b.text = append(b.text, p[:min(len(p), most-len(b.text))]...)
	return len(p), nil
}
