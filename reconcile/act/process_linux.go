package act

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"understudy/reconcile"
)

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

// stat is what is used of proc_pid_stat(5).
type procStat struct {
	state   byte
	ppid    int
	session int
	start   uint64 // clock ticks after boot
}

// readStat reads /proc/PID/stat. The command in it may hold blanks and brackets,
// so fields are counted from the last ")".
func readStat(pid int) (procStat, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return procStat{}, err
	}
	return parseStat(string(b))
}

func parseStat(s string) (procStat, error) {
	i := strings.LastIndexByte(s, ')')
	if i < 0 {
		return procStat{}, fmt.Errorf("cannot read process status %.40q", s)
	}
	f := strings.Fields(s[i+1:]) // f[0] is field 3
	if len(f) < 20 || len(f[0]) != 1 {
		return procStat{}, fmt.Errorf("cannot read process status %.40q", s)
	}
	ppid, err1 := strconv.Atoi(f[1])
	session, err2 := strconv.Atoi(f[3])
	start, err3 := strconv.ParseUint(f[19], 10, 64)
	if err := errors.Join(err1, err2, err3); err != nil {
		return procStat{}, fmt.Errorf("cannot read process status: %w", err)
	}
	return procStat{f[0][0], ppid, session, start}, nil
}

// commandOf is the name of a process, "?" if it cannot be read.
func commandOf(pid int) string {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/comm")
	if err != nil {
		return "?"
	}
	return strings.TrimSpace(string(b))
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

// signal sends a signal to exactly this process: by a pidfd that is opened
// before pid and start time are compared (pidfd_open(2)). One that has ended is
// no error.
func signal(p reconcile.Process, sig unix.Signal) error {
	if p.PID <= 1 || p.PID == os.Getpid() {
		return fmt.Errorf("cannot signal pid %d: it is not to be signalled", p.PID)
	}
	fd, err := unix.PidfdOpen(p.PID, 0)
	if err != nil {
		if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EINVAL) && !alive(p) {
			return nil
		}
		return fmt.Errorf("cannot signal pid %d: %w", p.PID, err)
	}
	defer unix.Close(fd)
	if !alive(p) {
		return nil
	}
	if err := unix.PidfdSendSignal(fd, sig, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("cannot signal pid %d (%s): %w", p.PID, commandOf(p.PID), err)
	}
	return nil
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

// bootID is this boot's id.
func bootID() (string, error) {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("cannot read the boot id: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}
