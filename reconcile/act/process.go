//go:build linux || aix

package act

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"understudy/reconcile"
)

// procStat is what is used of a process's state.
type procStat struct {
	state   byte
	ppid    int
	session int
	start   uint64 // see reconcile.Process
}

// allPIDs lists the processes that are visible here.
func allPIDs() ([]int, error) {
	d, err := os.Open("/proc")
	if err != nil {
		return nil, fmt.Errorf("cannot list processes: %w", err)
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("cannot list processes: %w", err)
	}
	var pids []int
	for _, n := range names {
		if pid, err := strconv.Atoi(n); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// ended reports whether err came about because the process is gone or a zombie.
func ended(pid int, err error) bool {
	if errors.Is(err, unix.ESRCH) {
		return true
	}
	st, serr := readStat(pid)
	if serr != nil {
		return errors.Is(serr, os.ErrNotExist) || errors.Is(serr, unix.ESRCH)
	}
	return st.state == 'Z' || st.state == 'X'
}

// alive reports whether a process still runs; a zombie does not.
func alive(p reconcile.Process) bool {
	st, err := readStat(p.PID)
	if err != nil {
		return !errors.Is(err, os.ErrNotExist) && !errors.Is(err, unix.ESRCH)
	}
	return st.start == p.Start && st.state != 'Z' && st.state != 'X'
}

// ancestors are this process, its parents up to process 1, and 0.
func ancestors() map[int]bool {
	out := map[int]bool{0: true, 1: true, os.Getpid(): true}
	for pid := os.Getppid(); pid > 1 && !out[pid]; {
		out[pid] = true
		st, err := readStat(pid)
		if err != nil {
			break
		}
		pid = st.ppid
	}
	return out
}

// awaitEnd waits until none of the processes runs, or ctx ends, and returns
// those that still do.
func awaitEnd(ctx context.Context, ps []reconcile.Process) []reconcile.Process {
	for step := time.Millisecond; ; step = min(2*step, 50*time.Millisecond) {
		var left []reconcile.Process
		for _, p := range ps {
			if alive(p) {
				left = append(left, p)
			}
		}
		if len(left) == 0 || !pause(ctx, step) {
			return left
		}
		ps = left
	}
}
