//go:build linux

package lab

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// host is one machine as its supervisor holds it.
type host struct {
	Host
	s *supervisor

	cut, pulled map[string]bool // faults of the network; the switch's, they outlive a boot
	power       *powerPort      // its own line to the power controller
	board       *board          // its watchdog

	op     sync.Mutex // held by whoever changes the host
	mu     sync.Mutex // guards the rest
	on     bool
	frozen bool
	bootID string
	pid    int // of its process 1
	exited chan struct{}
	status syscall.WaitStatus // after exited
	loops  []*loopDevice
	cgroup string
	held   []*os.File // what its kernel does not let go of, see [host.hold]
	hung   []*os.File // mount points of the file systems that hang, see [host.hang]
}

func newHost(s *supervisor, spec Host) *host {
	h := &host{Host: spec, s: s, cut: make(map[string]bool), pulled: make(map[string]bool)}
	h.board = &board{h: h}
	return h
}

func (h *host) dir() string { return filepath.Join(h.s.run, h.Name) }

// start boots the host. A host that is on stays as it is.
func (h *host) start(ctx context.Context) error {
	h.op.Lock()
	defer h.op.Unlock()
	if h.on {
		return nil
	}
	h.s.events.add(h.Name, "power on")
	if err := h.startLocked(ctx); err != nil {
		h.endLocked(ctx)
		return fmt.Errorf("cannot start %s: %w", h.Name, err)
	}
	h.s.events.add(h.Name, "up, boot %s", h.bootID)
	return nil
}

func (h *host) startLocked(ctx context.Context) error {
	state := filepath.Join(h.s.Dir, h.Name)
	root := filepath.Join(h.dir(), "root")
	sockets := filepath.Join(h.dir(), "lab")
	for _, d := range []string{state, root, sockets} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return err
		}
	}
	if h.power == nil {
		p, err := listenPower(h, filepath.Join(sockets, powerSocket))
		if err != nil {
			return err
		}
		if err := h.s.cast.listen(h.Name, sockets); err != nil {
			return err
		}
		h.power = p
	}
	numbers, err := h.attach()
	if err != nil {
		return err
	}
	own, err := h.attachOwn(ctx)
	if err != nil {
		return err
	}
	log, err := os.OpenFile(filepath.Join(h.s.Dir, h.Name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	readyR, readyW, err := os.Pipe()
	if err != nil {
		return err
	}
	defer readyR.Close()
	stdin, cmd, err := h.launch(log, readyW)
	readyW.Close()
	if err != nil {
		return err
	}
	defer stdin.Close()
	for _, network := range h.cables() {
		if err := plug(h.s.Name, h.Name, network, cmd.Process.Pid, !h.cut[network], !h.pulled[network]); err != nil {
			return err
		}
	}
	spec := bootSpec{
		Lab: h.s.Name, Name: h.Name, BootID: newBootID(), Binary: h.s.Binary, Root: root, State: state, Sockets: sockets,
		OwnDisk: own, Conf: h.s.Conf, Key: h.s.Key, HostsFile: h.s.hostsFile(), Disks: numbers, Addresses: h.Addresses, Cgroup: h.cgroup != "",
	}
	for _, f := range h.s.Files {
		if f.on(h.Host) {
			spec.Files = append(spec.Files, f)
		}
	}
	if h.s.enabled.Load() {
		spec.Service = h.Service
	}
	if err := json.NewEncoder(stdin).Encode(spec); err != nil {
		return fmt.Errorf("process 1: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { readyR.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	line, err := bufio.NewReader(readyR).ReadString('\n')
	if line = strings.TrimSpace(line); line != "ok" {
		return fmt.Errorf("process 1 says %q (%v)", line, err)
	}
	h.mu.Lock()
	h.bootID = spec.BootID
	h.mu.Unlock()
	return h.s.watch.add(h.Name, h.pid, h.loops[:len(numbers)])
}

// cables are the networks that the host is on, in fixed order: its interfaces are
// numbered alike at every boot.
func (h *host) cables() []string {
	var on []string
	for _, n := range adapters {
		if _, ok := h.Addresses[n]; ok {
			on = append(on, n)
		}
	}
	return on
}

// attach gives the host a loop device of its own for each shared disk.
func (h *host) attach() ([]int, error) {
	if !h.Disks {
		return nil, nil
	}
	h.s.disks.Lock()
	defer h.s.disks.Unlock()
	var numbers []int
	for i := range h.s.Disks {
		d, err := attachLoop(h.s.disk(i))
		if err != nil {
			return nil, err
		}
		h.loops = append(h.loops, d)
		numbers = append(numbers, d.number)
	}
	return numbers, nil
}

// attachOwn gives the host its own disk for its state and returns the number of its
// loop device, -1 if it has none. The disk is made at the first boot. Of its loop
// devices it is the last.
func (h *host) attachOwn(ctx context.Context) (int, error) {
	if h.s.StateMiB == 0 || len(h.Service) == 0 {
		return -1, nil
	}
	path := filepath.Join(h.s.Dir, h.Name+".img")
	if _, err := os.Lstat(path); errors.Is(err, os.ErrNotExist) {
		if err := makeDisk(ctx, path, h.s.StateMiB, smallExt4); err != nil {
			return -1, err
		}
	}
	h.s.disks.Lock()
	defer h.s.disks.Unlock()
	d, err := attachLoop(path)
	if err != nil {
		return -1, err
	}
	h.loops = append(h.loops, d)
	return d.number, nil
}

// launch starts process 1 in namespaces of its own. It dies with this process.
func (h *host) launch(log, ready *os.File) (*os.File, *exec.Cmd, error) {
	stdinR, stdinW, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	defer stdinR.Close()
	args := []string{"lab-init"}
	attr := &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC,
		Pdeathsig:  syscall.SIGKILL,
		Setsid:     true,
	}
	if cg := labCgroup(h.s.Name); cg != "" {
		h.cgroup = filepath.Join(cg, h.Name)
		if err := os.MkdirAll(h.cgroup, 0o755); err != nil {
			return nil, nil, fmt.Errorf("cgroup: %w", err)
		}
		dir, err := os.Open(h.cgroup)
		if err != nil {
			return nil, nil, fmt.Errorf("cgroup: %w", err)
		}
		defer dir.Close()
		attr.UseCgroupFD, attr.CgroupFD = true, int(dir.Fd())
		args = append(args, "cgroup-namespace", h.s.Binary)
	}
	cmd := exec.Command(h.s.Binary, args...)
	cmd.SysProcAttr = attr
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdinR, log, log
	cmd.ExtraFiles = []*os.File{ready}
	started := make(chan error)
	// PR_SET_PDEATHSIG fires when the thread that forked ends (prctl(2)): this one never does.
	h.s.spawn <- func() { started <- cmd.Start() }
	if err := <-started; err != nil {
		stdinW.Close()
		return nil, nil, fmt.Errorf("process 1: %w", err)
	}
	h.mu.Lock()
	h.on, h.frozen, h.pid, h.exited = true, false, cmd.Process.Pid, make(chan struct{})
	exited := h.exited
	h.mu.Unlock()
	go func() {
		cmd.Wait()
		h.mu.Lock()
		h.status = cmd.ProcessState.Sys().(syscall.WaitStatus)
		h.mu.Unlock()
		close(exited)
		h.endedByItself(exited)
	}()
	return stdinW, cmd, nil
}

// endedByItself notices a host that went down without being told: reboot(2)
// inside a pid namespace ends its process 1 with SIGHUP for a restart and SIGINT
// for a halt.
func (h *host) endedByItself(exited chan struct{}) {
	h.op.Lock()
	defer h.op.Unlock()
	h.mu.Lock()
	same := h.on && h.exited == exited
	restart := h.status.Signaled() && h.status.Signal() == syscall.SIGHUP
	h.mu.Unlock()
	if !same {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), crashLimit)
	defer cancel()
	h.s.events.add(h.Name, "went down by itself")
	if err := h.endLocked(ctx); err != nil {
		h.s.log.Error("could not end a host", "host", h.Name, "err", err)
		return
	}
	if restart {
		if err := h.startLocked(ctx); err != nil {
			h.s.log.Error("could not restart a host", "host", h.Name, "err", errors.Join(err, h.endLocked(ctx)))
		}
	}
}

// crash is a power cut: ports out of the switch, processes halted, shared file
// systems dead without a flush of their logs, every process killed and reaped,
// and the disks proven released. It returns only then. A host that is off stays
// off.
func (h *host) crash(ctx context.Context, why string) error {
	h.op.Lock()
	defer h.op.Unlock()
	if !h.on {
		return nil
	}
	h.s.events.add(h.Name, "power cut: %s", why)
	if err := h.endLocked(ctx); err != nil {
		return fmt.Errorf("cannot take the power of %s: %w", h.Name, err)
	}
	h.s.events.add(h.Name, "off")
	return nil
}

// endLocked is crash for a host in any state, also one that came up half.
func (h *host) endLocked(ctx context.Context) error {
	h.mu.Lock()
	on := h.on
	h.mu.Unlock()
	var errs []error
	if on {
		for network := range h.Addresses {
			// Out of the bridge, not down: a host that loses its power has no time to
			// see its carrier go.
			if err := setAttached(h.Name, network, false); err != nil && !h.isGone() {
				errs = append(errs, fmt.Errorf("port of %s: %w", network, err))
			}
		}
		if h.s.watch != nil {
			h.s.watch.dying(h.Name)
		}
		h.halt(ctx)
		h.board.off()
		errs = append(errs, h.shutdownDisks(), h.unhang(true))
		if err := syscall.Kill(h.pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			errs = append(errs, err)
		}
		select {
		case <-h.exited:
		case <-ctx.Done():
			return errors.Join(append(errs, fmt.Errorf("process 1 does not end: %w", ctx.Err()))...)
		}
	}
	errs = append(errs, h.drop(), h.release(ctx))
	if h.s.watch != nil {
		h.s.watch.remove(h.Name)
	}
	for network := range h.Addresses {
		errs = append(errs, unplug(h.Name, network))
	}
	errs = append(errs, removeCgroup(ctx, h.cgroup))
	h.mu.Lock()
	h.on, h.frozen, h.pid = false, false, 0
	h.mu.Unlock()
	return errors.Join(errs...)
}

func (h *host) release(ctx context.Context) error {
	h.s.disks.Lock()
	defer h.s.disks.Unlock()
	for len(h.loops) > 0 {
		if err := releaseLoop(ctx, h.loops[0]); err != nil {
			return err
		}
		h.loops = h.loops[1:]
	}
	return nil
}

func (h *host) isGone() bool {
	select {
	case <-h.exited:
		return true
	default:
		return false
	}
}
