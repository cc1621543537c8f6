package act

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"understudy/reconcile"
)

// cgroupParent is the directory, below the root of the version 2 hierarchy, that
// holds one cgroup for each application. It lies outside of understudy's own
// unit, so that a restart of understudy leaves the applications alone.
const cgroupParent = "understudy"

// cgroup is a version 2 control group (kernel documentation,
// admin-guide/cgroup-v2.rst). No controller is used: it is there to know every
// process that an application has started, whatever session it moved to.
type cgroup string

// cgroupFor is the cgroup of an application, "" if this host has no version 2
// hierarchy. It need not exist.
func cgroupFor(group, app string) (cgroup, error) {
	table, err := mountTable()
	if err != nil {
		return "", err
	}
	for _, m := range table {
		if m.FSType == "cgroup2" && !readOnly(m) {
			return cgroup(filepath.Join(m.Mountpoint, cgroupParent, group+"."+app)), nil
		}
	}
	return "", nil
}

// open makes the cgroup if need be and opens it for clone3(2).
func (c cgroup) open() (int, error) {
	var err error
	for range 10 { // the end of another application may take the parent away
		if err = os.MkdirAll(string(c), 0o755); err == nil {
			var fd int
			if fd, err = unix.Open(string(c), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err == nil {
				return fd, nil
			}
		}
		if !errors.Is(err, os.ErrNotExist) {
			break
		}
	}
	return -1, err
}

// start starts a command inside the cgroup, which is made if need be.
func (c cgroup) start(cmd *exec.Cmd) error {
	fd, err := c.open()
	if err != nil {
		return fmt.Errorf("cannot make it: %w", err)
	}
	defer unix.Close(fd)
	cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, fd
	return cmd.Start()
}

// dirs lists the cgroup and those an application has made below it, inner ones
// last. One that does not exist has none.
func (c cgroup) dirs() ([]string, error) {
	if c == "" {
		return nil, nil
	}
	var out []string
	err := filepath.WalkDir(string(c), func(path string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, os.ErrNotExist):
			return nil
		case err != nil:
			return err
		case d.IsDir():
			out = append(out, path)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("cannot read cgroup %s: %w", c, err)
	}
	return out, nil
}

// processes lists who is in the cgroup.
func (c cgroup) processes() ([]reconcile.Process, error) {
	dirs, err := c.dirs()
	if err != nil {
		return nil, err
	}
	var out []reconcile.Process
	for _, dir := range dirs {
		b, err := os.ReadFile(dir + "/cgroup.procs")
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.EOPNOTSUPP) {
			continue // removed meanwhile, or a threaded one whose processes its parent shows
		}
		if err != nil {
			return nil, fmt.Errorf("cannot read cgroup %s: %w", dir, err)
		}
		for word := range strings.FieldsSeq(string(b)) {
			pid, err := strconv.Atoi(word)
			if err != nil || pid == 0 { // 0: lives in another pid namespace
				return nil, fmt.Errorf("cannot read cgroup %s: it holds process %q", dir, word)
			}
			if st, err := readStat(pid); err == nil && st.state != 'Z' && st.state != 'X' {
				exe, _ := os.Readlink("/proc/" + word + "/exe")
				out = append(out, reconcile.Process{PID: pid, Start: st.start, Exe: exe})
			}
		}
	}
	return out, nil
}

// populated reports whether a process is left in the cgroup or below it.
func (c cgroup) populated() (bool, error) {
	if c == "" {
		return false, nil
	}
	b, err := os.ReadFile(string(c) + "/cgroup.events")
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ENODEV) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("cannot read cgroup %s: %w", c, err)
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "populated "); ok {
			return v != "0", nil
		}
	}
	return false, fmt.Errorf("cannot read cgroup %s: cgroup.events does not say whether it is populated", c)
}

// kill ends everything in the cgroup: frozen first, so that nothing forks away,
// then by cgroup.kill (Linux 5.14), or one by one where there is none.
func (c cgroup) kill(ctx context.Context) error {
	if on, err := c.populated(); err != nil || !on {
		return err
	}
	freeze := func(v string) error { return os.WriteFile(string(c)+"/cgroup.freeze", []byte(v), 0) }
	if freeze("1") == nil {
		for range 20 { // it is a help, not a condition
			b, err := os.ReadFile(string(c) + "/cgroup.events")
			if err != nil || strings.Contains(string(b), "frozen 1") || !pause(ctx, time.Millisecond) {
				break
			}
		}
		defer func() { _ = freeze("0") }()
	}
	err := os.WriteFile(string(c)+"/cgroup.kill", []byte("1"), 0)
	if err == nil {
		return nil
	}
	ps, perr := c.processes()
	if perr != nil {
		return errors.Join(err, perr)
	}
	for _, p := range ps {
		if err := signal(p, unix.SIGKILL); err != nil {
			return err
		}
	}
	return nil
}

// remove takes the empty cgroup away. One that is not there is fine.
func (c cgroup) remove() error {
	dirs, err := c.dirs()
	if err != nil {
		return err
	}
	for _, dir := range slices.Backward(dirs) {
		if err := os.Remove(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("cannot remove cgroup %s: %w", dir, err)
		}
	}
	if len(dirs) > 0 {
		_ = os.Remove(filepath.Dir(string(c))) // fails while other applications have theirs
	}
	return nil
}
