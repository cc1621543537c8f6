//go:build linux

package standin

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// startLimit is how long a daemon may take until it answers, stopLimit how long
// it may take to end. They are far above what is needed: a loaded machine is no
// fault of a daemon's.
const (
	startLimit = 20 * time.Second
	stopLimit  = 2 * time.Second
)

// running lists the processes of one of the daemons.
func running(name string) []int {
	links, err := filepath.Glob("/proc/[0-9]*/exe")
	if err != nil {
		return nil
	}
	var pids []int
	for _, link := range links {
		if to, err := os.Readlink(link); err != nil || to != binDir+"/"+name {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(link))); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// launch starts a daemon in a session of its own and returns when it says that it
// serves.
func (s *site) launch(name string, args ...string) error {
	if pids := running(name); len(pids) > 0 {
		s.log("%s runs already, pid %v", name, pids)
		return nil
	}
	ready, theirs, err := os.Pipe()
	if err != nil {
		return err
	}
	defer ready.Close()
	cmd := exec.Command(binDir+"/"+name, args...)
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = cmd.Start()
	theirs.Close()
	if err != nil {
		return err
	}
	ready.SetReadDeadline(time.Now().Add(startLimit))
	line, err := bufio.NewReader(ready).ReadString('\n')
	if line = strings.TrimSpace(line); line != "ok" {
		return fmt.Errorf("%s does not come up: %q (%v)", name, line, err)
	}
	return cmd.Process.Release()
}

// ready tells the program that started a daemon how it went.
func ready(err error) {
	word := "ok"
	if err != nil {
		word = err.Error()
	}
	f := os.NewFile(3, "ready")
	fmt.Fprintln(f, word)
	f.Close()
}

// stop asks the processes of a daemon to end and waits for it. A daemon that does
// not is left alone, and the error says so.
func stop(name string) error {
	for _, pid := range running(name) {
		fd, err := unix.PidfdOpen(pid, 0)
		if errors.Is(err, unix.ESRCH) {
			continue
		}
		if err != nil {
			return err
		}
		err = end(fd)
		unix.Close(fd)
		if err != nil {
			return fmt.Errorf("%s, pid %d: %w", name, pid, err)
		}
	}
	return nil
}

func end(pidfd int) error {
	if err := unix.PidfdSendSignal(pidfd, unix.SIGTERM, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return err
	}
	for until := time.Now().Add(stopLimit); ; {
		left := time.Until(until)
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, int(max(left, 0).Milliseconds()))
		switch {
		case n > 0:
			return nil
		case err != nil && !errors.Is(err, unix.EINTR):
			return err
		case left <= 0:
			return errors.New("it does not end")
		}
	}
}
