package act

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	look "understudy/observers/aix"
	"understudy/reconcile"
	"understudy/reconcile/act/aix"
)

// system is the host this program runs on.
var system = look.New(blockDevice)

// blockDevice is the number of the block device at path.
func blockDevice(path string) (major, minor uint32, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, 0, err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || info.Mode()&fs.ModeDevice == 0 || info.Mode()&fs.ModeCharDevice != 0 {
		return 0, 0, fmt.Errorf("%s is not a block device", path)
	}
	return unix.Major(uint64(st.Rdev)), unix.Minor(uint64(st.Rdev)), nil
}

// readStat reads /proc/PID/psinfo. The start is in nanoseconds since 1970.
func readStat(pid int) (procStat, error) {
	p, err := system.Process(pid)
	if err != nil {
		return procStat{}, err
	}
	st := procStat{state: 'A', ppid: p.PPID, session: p.Session, start: aix.StartOf(p)}
	if p.Zombie {
		st.state = 'Z'
	}
	return st, nil
}

// commandOf is the name of a process, "?" if it cannot be read.
func commandOf(pid int) string {
	p, err := system.Process(pid)
	if err != nil || p.Name == "" {
		return "?"
	}
	return p.Name
}

// signal sends a signal to this process if its number and start are those of p. AIX
// has no handle of a process: between the comparison and the signal it could end and
// its number be given to another, which AIX avoids for as long as it can but does not
// promise. One that has ended is no error.
func signal(p reconcile.Process, sig unix.Signal) error {
	if p.PID <= 1 || p.PID == os.Getpid() {
		return fmt.Errorf("cannot signal pid %d: it is not to be signalled", p.PID)
	}
	if !alive(p) {
		return nil
	}
	if err := unix.Kill(p.PID, sig); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("cannot signal pid %d (%s): %w", p.PID, commandOf(p.PID), err)
	}
	return nil
}

// commandLimit bounds commands that only read or set a name.
const commandLimit = 5 * time.Second

// known is the id of this boot, once it was read: it cannot change while this
// process runs.
var known struct {
	sync.Mutex
	bootID string
}

// bootID is this boot's id; see [look.System.BootID].
func bootID() (string, error) {
	known.Lock()
	defer known.Unlock()
	if known.bootID != "" {
		return known.bootID, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), commandLimit)
	defer cancel()
	id, err := system.BootID(ctx)
	if err == nil {
		known.bootID = id
	}
	return id, err
}

// hostname is the present host name.
func hostname() (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), commandLimit)
	defer cancel()
	return system.Hostname(ctx)
}

// sethostname sets the host name of the running kernel.
func sethostname(name string) error {
	ctx, cancel := context.WithTimeout(context.Background(), commandLimit)
	defer cancel()
	return (&aix.Host{See: system}).SetHostname(ctx, name)
}

// ordinary takes from a started program what only this one needs: its raised
// priority.
func (h *Host) ordinary(pid int) {
	if err := unix.Setpriority(unix.PRIO_PROCESS, pid, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		h.log.Warn("priority of a started program was not reset", "pid", pid, "err", err)
	}
}

// writesTo cannot be told on AIX, whose /proc does not name the files that are open.
func writesTo(int, string) bool { return false }

// ownsSystem reports whether programs of a user are as good as root's. AIX installs
// /usr and what is in it as user 2, bin, whom nobody can log in as.
func ownsSystem(uid uint32) bool { return uid == 0 || uid == 2 }
