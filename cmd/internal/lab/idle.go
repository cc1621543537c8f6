//go:build linux

package lab

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Usage is what a host's resident service used while nothing happened. The
// application is not in it.
type Usage struct {
	Host   string  `json:"host"`
	Role   string  `json:"role"`          // active, standby or witness
	CPU    float64 `json:"cpu_s_per_min"` // of the service, and of the programs it ran and waited for
	RSS    float64 `json:"rss_mib"`
	PSS    float64 `json:"pss_mib"` // low in a lab: the hosts share the program's pages
	Missed bool    `json:"missed"`
}

const active = "active" // the role that the target is for

func (u Usage) word() string {
	if u.Role != active {
		return "none"
	}
	text := fmt.Sprintf("%.1f s, %d MiB RSS", idleTargetCPU, idleTargetRSS)
	if u.Missed {
		return text + " MISSED"
	}
	return text + " met"
}

// idle looks at every service twice and asks it nothing in between.
func (m *meter) idle(ctx context.Context, s *stage) ([]Usage, error) {
	owner, err := s.serving(ctx, "")
	if err == nil {
		err = s.ready(ctx, s.other(owner))
	}
	if err == nil {
		err = calm(ctx)
	}
	if err != nil {
		return nil, err
	}
	hosts, err := s.Hosts(ctx)
	if err != nil {
		return nil, err
	}
	type service struct {
		pid    int
		before float64
	}
	seen := make(map[string]service)
	for _, h := range hosts {
		if h.Name == Client {
			continue
		}
		pid, err := servicePID(h.PID)
		if err != nil {
			return nil, fmt.Errorf("host %s: %w", h.Name, err)
		}
		cpu, err := cpuSeconds(pid)
		if err != nil {
			return nil, err
		}
		seen[h.Name] = service{pid, cpu}
	}
	m.progress("idle", "looking for %s", m.Idle)
	began := time.Now()
	select {
	case <-time.After(m.Idle):
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	var all []Usage
	for _, h := range hosts {
		one, ok := seen[h.Name]
		if !ok {
			continue
		}
		u := Usage{Host: h.Name, Role: "standby"}
		switch h.Name {
		case owner:
			u.Role = active
		case Witness:
			u.Role = "witness"
		}
		cpu, err := cpuSeconds(one.pid)
		if err != nil {
			return nil, err
		}
		u.CPU = (cpu - one.before) / time.Since(began).Minutes()
		if u.RSS, u.PSS, err = memory(one.pid); err != nil {
			return nil, err
		}
		all = append(all, u)
	}
	return all, nil
}

// servicePID is the machine's pid of the resident service of a host, given that
// of the host's process 1.
func servicePID(init int) (int, error) {
	all, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, err
	}
	for _, path := range all {
		b, err := os.ReadFile(path)
		if err != nil {
			continue // it ended meanwhile
		}
		f := statFields(b)
		if len(f) < 2 || f[1] != strconv.Itoa(init) {
			continue
		}
		cmd, err := os.ReadFile(filepath.Join(filepath.Dir(path), "cmdline"))
		if err != nil {
			continue
		}
		if args := strings.Split(string(cmd), "\x00"); len(args) > 1 && (args[1] == "run" || args[1] == "witness") {
			return strconv.Atoi(filepath.Base(filepath.Dir(path)))
		}
	}
	return 0, fmt.Errorf("cannot find the resident service below process %d", init)
}

// statFields are the fields of /proc/PID/stat from the third one, the state; the
// second one is a name that may hold anything (proc_pid_stat(5)).
func statFields(b []byte) []string {
	i := bytes.LastIndexByte(b, ')')
	return strings.Fields(string(b[i+1:]))
}

// cpuSeconds is what a process has used, with the children it has waited for:
// fields 14 to 17 of proc_pid_stat(5), in ticks, of which Linux counts 100 a
// second towards programs on every machine that Go knows.
func cpuSeconds(pid int) (float64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, fmt.Errorf("cannot see process %d: it ended — see the log of its host", pid)
	}
	f := statFields(b)
	if len(f) < 15 {
		return 0, fmt.Errorf("cannot read /proc/%d/stat: %q", pid, b)
	}
	ticks := 0
	for _, text := range f[11:15] {
		n, err := strconv.Atoi(text)
		if err != nil {
			return 0, fmt.Errorf("cannot read /proc/%d/stat: %w", pid, err)
		}
		ticks += n
	}
	return float64(ticks) / 100, nil
}

// memory is what a process has resident, and its share of that, in MiB
// (proc_pid_smaps(5)).
func memory(pid int) (rss, pss float64, err error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(b)) {
		name, rest, _ := strings.Cut(line, ":")
		into := map[string]*float64{"Rss": &rss, "Pss": &pss}[name]
		if into == nil {
			continue
		}
		kib, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 64)
		if err != nil {
			return 0, 0, fmt.Errorf("cannot read /proc/%d/smaps_rollup: %w", pid, err)
		}
		*into = kib / 1024
	}
	if rss == 0 {
		return 0, 0, fmt.Errorf("cannot read /proc/%d/smaps_rollup: no Rss in it", pid)
	}
	return rss, pss, nil
}
