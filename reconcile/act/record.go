//go:build linux || aix

package act

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"understudy/reconcile"
)

// record identifies a program that was started here, across a restart of
// understudy and not across one of the host.
type record struct {
	PID    int    `json:"pid"`
	Start  uint64 `json:"start"` // clock ticks after boot, field 22 of proc_pid_stat(5)
	BootID string `json:"boot_id"`
}

// appName is the name of an application's files and cgroup.
func appName(group, app string) (string, error) {
	name := group + "." + app
	if group == "" || app == "" || strings.ContainsAny(name, "/\x00\n") || name[0] == '.' || len(name) > 200 {
		return "", fmt.Errorf("application %q of group %q has no name that a file could bear", app, group)
	}
	return name, nil
}

// recordPath is where the record of a program is that runs in the foreground.
func (h *Host) recordPath(name string) string {
	return filepath.Join(h.opts.StateDir, "apps", name+".json")
}

// sessionPath is where the session of a start command is recorded on hosts
// without cgroups of version 2.
func (h *Host) sessionPath(name string) string {
	return filepath.Join(h.opts.StateDir, "apps", name+".session")
}

// logPath is where an application's output goes.
func (h *Host) logPath(name string) string {
	return filepath.Join(h.opts.StateDir, "log", name+".log")
}

// writeRecord records a process. A record is good for one boot only, so nobody
// waits for the disk, with the service down.
func writeRecord(path string, p reconcile.Process) error {
	boot, err := bootID()
	if err != nil {
		return err
	}
	b, err := json.Marshal(record{p.PID, p.Start, boot})
	if err != nil {
		return err
	}
	return writeWhole(path, append(b, '\n'))
}

// readRecord returns the recorded process, the zero Process if there is no
// record or it is of another boot. The process need not run any more.
func readRecord(path string) (reconcile.Process, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return reconcile.Process{}, nil
	}
	if err != nil {
		return reconcile.Process{}, fmt.Errorf("cannot read the record of a started program: %w", err)
	}
	boot, err := bootID()
	if err != nil {
		return reconcile.Process{}, err
	}
	// Nothing, or zeroes, is what a power cut leaves of a record that had not reached
	// the disk: it was of an earlier boot.
	if len(bytes.Trim(b, "\x00")) == 0 {
		return reconcile.Process{}, nil
	}
	r, err := parseRecord(b)
	if err != nil {
		return reconcile.Process{}, fmt.Errorf("cannot read %s: %w — remove it if nothing of the application runs", path, err)
	}
	if r.BootID != boot {
		return reconcile.Process{}, nil
	}
	return reconcile.Process{PID: r.PID, Start: r.Start}, nil
}

func parseRecord(b []byte) (record, error) {
	var r record
	if err := json.Unmarshal(b, &r); err != nil {
		return record{}, err
	}
	if r.PID <= 1 || r.Start == 0 || r.BootID == "" {
		return record{}, errors.New("it does not name a process")
	}
	return r, nil
}

// sessionMembers lists what is left of a recorded session on hosts without
// cgroups of version 2. A process is surely of it if the session's first process
// still runs, or if it writes to the application's log; ours holds those, doubt
// the others.
func sessionMembers(leader reconcile.Process, log string) (ours, doubt []reconcile.Process, err error) {
	if leader.PID == 0 {
		return nil, nil, nil
	}
	st, serr := readStat(leader.PID)
	if serr == nil && st.start != leader.Start {
		return nil, nil, nil // the number is another's now, so the session had ended
	}
	led := serr == nil
	pids, err := allPIDs()
	if err != nil {
		return nil, nil, err
	}
	for _, pid := range pids {
		st, err := readStat(pid)
		if err != nil || st.session != leader.PID || st.start < leader.Start || st.state == 'Z' || st.state == 'X' {
			continue
		}
		p := reconcile.Process{PID: pid, Start: st.start}
		if led || writesTo(pid, log) {
			ours = append(ours, p)
		} else {
			doubt = append(doubt, p)
		}
	}
	return ours, doubt, nil
}
