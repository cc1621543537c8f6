package act

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"understudy/reconcile"
)

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

// bootID is this boot's id.
func bootID() (string, error) {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("cannot read the boot id: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}

// ordinary takes from a started program what only this one needs: its raised
// priority and its protection from the out-of-memory killer.
func (h *Host) ordinary(pid int) {
	if err := unix.Setpriority(unix.PRIO_PROCESS, pid, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		h.log.Warn("priority of a started program was not reset", "pid", pid, "err", err)
	}
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", pid), []byte("0"), 0); err != nil && !errors.Is(err, os.ErrNotExist) {
		h.log.Warn("out-of-memory score of a started program was not reset", "pid", pid, "err", err)
	}
}

// writesTo reports whether a process has a file as its output.
func writesTo(pid int, log string) bool {
	for _, fd := range []string{"1", "2"} {
		if to, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", pid, fd)); err == nil && to == log {
			return true
		}
	}
	return false
}

// ownsSystem reports whether programs of a user are as good as root's.
func ownsSystem(uid uint32) bool { return uid == 0 }
