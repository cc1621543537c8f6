//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// shutdownDisks ends every file system of the host that lies on a shared disk, in
// whichever of its mount namespaces it is seen.
func (h *host) shutdownDisks() error {
	failed := make(map[uint64]error)
	for _, pid := range h.processes() {
		mounts, err := readMounts(pid)
		if err != nil {
			continue // it ended meanwhile
		}
		for _, d := range h.loops {
			for _, point := range mounts[d.device()] {
				if err, tried := failed[d.device()]; tried && err == nil {
					break
				}
				err := shutdownFilesystem(fmt.Sprintf("/proc/%d/root%s", pid, point))
				if errors.Is(err, unix.EIO) {
					err = nil // it is dead already
				}
				failed[d.device()] = err
			}
		}
	}
	if h.isGone() {
		return nil
	}
	var errs []error
	for dev, err := range failed {
		if err != nil {
			errs = append(errs, fmt.Errorf("file system on loop%d: %w", unix.Minor(dev), err))
		}
	}
	return errors.Join(errs...)
}

// processes lists one process of each mount namespace of the host, process 1
// first.
func (h *host) processes() []int {
	all := []int{h.pid}
	seen := make(map[string]bool)
	if ns, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/mnt", h.pid)); err == nil {
		seen[ns] = true
	}
	for _, pid := range h.members() {
		ns, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/mnt", pid))
		if err == nil && !seen[ns] {
			seen[ns] = true
			all = append(all, pid)
		}
	}
	return all
}

// members lists the processes of the host's pid namespace, whichever cgroup they
// are in.
func (h *host) members() []int {
	want, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", h.pid))
	if err != nil {
		return nil
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var pids []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if ns, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", pid)); err == nil && ns == want {
			pids = append(pids, pid)
		}
	}
	return pids
}

// setFrozen stops or continues every process of the host, process 1 included,
// and returns when it is so. The host's clocks run on.
func (h *host) setFrozen(ctx context.Context, frozen bool) error {
	h.op.Lock()
	defer h.op.Unlock()
	if !h.on {
		return fmt.Errorf("cannot freeze or thaw %s: it is off", h.Name)
	}
	var err error
	if h.cgroup != "" {
		err = freezeCgroup(ctx, h.cgroup, frozen)
	} else {
		err = h.signalAll(frozen)
	}
	if err != nil {
		return fmt.Errorf("cannot freeze or thaw %s: %w", h.Name, err)
	}
	h.mu.Lock()
	h.frozen = frozen
	h.mu.Unlock()
	h.s.events.add(h.Name, "%s", map[bool]string{true: "frozen", false: "thawed"}[frozen])
	return nil
}

// halt stops the host's processes at the beginning of a power cut, so that none
// sees its disks die. Otherwise an fsync that meets the end of its file system
// could still return, and what it did be told to a client on the same host: the
// kernel takes a transaction that it does not find any more for committed
// (jbd2_complete_transaction). What is inside a call when the order comes does not
// get out of it, so one that takes long need not be waited for.
func (h *host) halt(ctx context.Context) {
	if h.cgroup == "" {
		h.signalAll(true)
		return
	}
	ctx, cancel := within(ctx, 10*time.Millisecond)
	defer cancel()
	freezeCgroup(ctx, h.cgroup, true)
}

// freezeCgroup uses the freezer of version 2 (Documentation/admin-guide/cgroup-v2.rst,
// cgroup.freeze) and waits for its word that all have stopped.
func freezeCgroup(ctx context.Context, dir string, frozen bool) error {
	want := map[bool]string{true: "1", false: "0"}[frozen]
	if err := os.WriteFile(filepath.Join(dir, "cgroup.freeze"), []byte(want), 0); err != nil {
		return err
	}
	for {
		b, err := os.ReadFile(filepath.Join(dir, "cgroup.events"))
		if err != nil {
			return err
		}
		if strings.Contains(string(b), "frozen "+want) {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Millisecond):
		}
	}
}

// signalAll stops every process, again until there is none that is new.
func (h *host) signalAll(frozen bool) error {
	sig := syscall.SIGCONT
	if frozen {
		sig = syscall.SIGSTOP
	}
	done := make(map[int]bool)
	for fresh := true; fresh; {
		fresh = false
		for _, pid := range h.members() {
			if done[pid] {
				continue
			}
			done[pid], fresh = true, true
			if err := syscall.Kill(pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
				return err
			}
		}
	}
	return nil
}

// hostsFile names every host on the first network it is on, on every host the
// same, and the service address.
func (s *supervisor) hostsFile() string {
	var b strings.Builder
	b.WriteString("127.0.0.1 localhost\n")
	for _, h := range s.Hosts {
		for _, n := range adapters {
			if p, ok := h.Addresses[n]; ok {
				name := h.Name
				if n != PublicNet {
					name += "-" + n
				}
				fmt.Fprintf(&b, "%s %s\n", p.Addr(), name)
			}
		}
	}
	fmt.Fprintf(&b, "%s svc\n", net.IP(ServiceAddress.Addr().AsSlice()))
	return b.String()
}
