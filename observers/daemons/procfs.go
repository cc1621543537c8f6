//go:build !aix

package daemons

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// proc reads the proc(5) file system of this pid namespace. It is not safe for
// concurrent use.
type proc struct{ buf []byte }

func (p *proc) read(path string) ([]byte, error) {
	fd, err := open(path)
	if err != nil {
		return nil, err
	}
	defer syscall.Close(fd)
	if p.buf == nil {
		p.buf = make([]byte, 4096)
	}
	n := 0
	for {
		if n == len(p.buf) {
			p.buf = append(p.buf, make([]byte, len(p.buf))...)
		}
		m, err := syscall.Read(fd, p.buf[n:])
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return nil, err
		}
		if m == 0 {
			return p.buf[:n], nil
		}
		n += m
	}
}

// open goes past package os, which would offer every file to the poller.
func open(path string) (int, error) {
	for {
		fd, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
		if err != syscall.EINTR {
			return fd, err
		}
	}
}

func ended(err error) bool {
	return errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ESRCH)
}

func file(pid int, name string) string { return "/proc/" + strconv.Itoa(pid) + "/" + name }

// stat returns errGone if there is no such process.
func (p *proc) stat(pid int) (stat, error) {
	text, err := p.read(file(pid, "stat"))
	if ended(err) {
		return stat{}, errGone
	}
	if err != nil {
		return stat{}, fmt.Errorf("cannot read the state of process %d: %w", pid, err)
	}
	s, err := parseStat(text)
	if err != nil {
		return stat{}, fmt.Errorf("cannot read the state of process %d: %w", pid, err)
	}
	return s, nil
}

// uid returns the effective user of a process, errGone if there is none. The owner
// of its directory will not do: it is root for one that has changed its user.
func (p *proc) uid(pid int) (uint32, error) {
	text, err := p.read(file(pid, "status"))
	if ended(err) {
		return 0, errGone
	}
	if err != nil {
		return 0, fmt.Errorf("cannot read the user of process %d: %w", pid, err)
	}
	return parseUID(text)
}

// parseUID finds the effective user in /proc/PID/status (proc_pid_status(5)): the
// second number behind "Uid:".
func parseUID(text []byte) (uint32, error) {
	for line := range bytes.Lines(text) {
		if rest, ok := bytes.CutPrefix(line, []byte("Uid:")); ok {
			if words := bytes.Fields(rest); len(words) == 4 {
				uid, err := strconv.ParseUint(string(words[1]), 10, 32)
				return uint32(uid), err
			}
		}
	}
	return 0, errors.New("cannot read the user of a process: no line Uid in its status")
}

// exe returns the path of the program, without the kernel's mark that the file
// has been deleted or replaced since. errNoProgram if there is none.
func (p *proc) exe(pid int) (string, error) {
	path, err := os.Readlink(file(pid, "exe"))
	if ended(err) {
		return "", errNoProgram
	}
	if err != nil {
		return "", fmt.Errorf("cannot read the program of process %d: %w", pid, err)
	}
	return strings.TrimSuffix(path, " (deleted)"), nil
}

// command returns the arguments joined by blanks, "" for a kernel thread.
// errGone if there is no such process.
func (p *proc) command(pid int) (string, error) {
	text, err := p.read(file(pid, "cmdline"))
	if ended(err) {
		return "", errGone
	}
	if err != nil {
		return "", fmt.Errorf("cannot read the command line of process %d: %w", pid, err)
	}
	text = bytes.TrimRight(text, "\x00")
	return string(bytes.ReplaceAll(text, []byte{0}, []byte{' '})), nil
}

// pids lists every process. It refuses a /proc that cannot show them all: one of
// another pid namespace, or one mounted with hidepid.
func (p *proc) pids(list []int) ([]int, error) {
	self, err := os.Readlink("/proc/self")
	if err != nil {
		return nil, fmt.Errorf("cannot list processes: %w", err)
	}
	if self != strconv.Itoa(os.Getpid()) {
		return nil, fmt.Errorf("cannot list processes: /proc belongs to another pid namespace (it calls this process %s, its pid is %d) — mount proc in this one", self, os.Getpid())
	}
	dir, err := os.Open("/proc")
	if err != nil {
		return nil, fmt.Errorf("cannot list processes: %w", err)
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("cannot list processes: %w", err)
	}
	one := false
	for _, n := range names {
		if n[0] < '1' || n[0] > '9' {
			continue
		}
		pid, err := strconv.Atoi(n)
		if err != nil {
			continue
		}
		one = one || pid == 1
		list = append(list, pid)
	}
	if !one {
		return nil, errors.New("cannot list processes: /proc does not show process 1 — run as root, or mount proc without hidepid")
	}
	return list, nil
}

// hertz is USER_HZ, the unit of the start time in proc_pid_stat(5), which is 100 on
// every architecture that Go runs on.
const hertz = 100

// began is when a process with this start began, by the wall clock.
func (p *proc) began(start uint64) (time.Time, error) {
	text, err := p.read("/proc/uptime")
	if err != nil {
		return time.Time{}, fmt.Errorf("cannot read the time since boot: %w", err)
	}
	word, _, _ := strings.Cut(string(text), " ")
	up, err := strconv.ParseFloat(word, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("cannot read the time since boot: %w", err)
	}
	age := time.Duration(up*float64(time.Second)) - time.Duration(start)*(time.Second/hertz)
	return time.Now().Add(-age), nil
}

// runs reports whether the process runs one of the programs.
func (s *subject) runs(paths ...string) (bool, error) {
	exe, err := s.exe()
	return err == nil && slices.Contains(paths, exe), err
}
