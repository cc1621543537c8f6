//go:build linux

package vmlab

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"understudy/cmd/internal/vmlab/guest"
	"understudy/cmd/internal/vmlab/wire"
)

// node is one guest: its qemu, the monitor of that, and the agent in the guest.
type node struct {
	lab   *Lab
	name  string
	index int

	mu     sync.Mutex // guards the process
	proc   *os.Process
	reaped chan struct{} // closed when it was waited for
	since  time.Time
	frozen bool
	on     bool // it is to have power

	qmp monitor

	agentMu sync.Mutex // guards all following fields
	agent   *wire.Writer
	session string        // "" while no agent has said hello
	bootID  string        // of that session
	lost    chan struct{} // closed when the session ends
	next    uint32
	streams map[uint32]chan wire.Frame
	bmc     BMC
}

func (n *node) file(kind string) string { return n.lab.file(n.name + "." + kind) }

// listen makes the sockets to which this guest's qemu connects.
func (n *node) listen() error {
	if err := n.lab.serve(n.file("qmp"), n.serveMonitor); err != nil {
		return err
	}
	if err := n.lab.serve(n.file("agent"), n.serveAgent); err != nil {
		return err
	}
	for i, f := range n.lab.fabrics {
		if err := n.lab.serve(n.file(fmt.Sprintf("net%d", i)), func(c net.Conn) { f.attach(n.name, c) }); err != nil {
			return err
		}
	}
	return nil
}

// arguments are those of qemu. Software emulation needs no KVM and shows the same
// on every machine. Shared disks bypass this machine's cache (cache=none): what one
// guest has flushed, the others read.
func (n *node) arguments() []string {
	o := n.lab.opts
	kernel := append([]string{
		"console=ttyS0", "quiet", "loglevel=4", fmt.Sprintf("panic=%d", o.Panic), "mitigations=off", "audit=0", "tsc=reliable", "nokaslr",
		"no_timer_check", "cryptomgr.notests", "net.ifnames=0", "rdinit=/understudy",
		"vmlab.name=" + n.name, fmt.Sprintf("vmlab.idx=%d", n.index), "vmlab.hosts=" + n.lab.names(), fmt.Sprintf("vmlab.disks=%d", o.Disks),
	}, o.Kernel...)
	if o.Systemd {
		kernel = append(kernel, guest.SystemdParameters...)
	}
	kernel = append(append(kernel, "--"), guest.InitArguments...)
	reboot := ""
	if o.Systemd {
		reboot = ",reboot=shutdown" // and a new qemu: see again
	}
	a := []string{
		"-name", n.name, "-M", "q35", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "1", "-m", fmt.Sprint(o.MemoryMB),
		"-nodefaults", "-display", "none", "-no-user-config",
		"-kernel", filepath.Join(o.Cache, "kernel", "vmlinux"), "-initrd", n.lab.file("initrd"), "-append", strings.Join(kernel, " "),
		"-chardev", "file,id=con,path=" + n.file("console") + ",append=on", "-serial", "chardev:con",
		"-chardev", "socket,id=qmp,path=" + n.file("qmp") + ",server=off", "-mon", "chardev=qmp,mode=control",
		"-device", "virtio-serial-pci", "-chardev", "socket,id=agent,path=" + n.file("agent") + ",server=off", "-device", "virtserialport,chardev=agent,name=vmlab",
		"-object", "rng-random,id=rng,filename=/dev/urandom", "-device", "virtio-rng-pci,rng=rng",
		"-drive", "if=none,id=base,file=" + filepath.Join(o.Cache, "root.img") + ",format=raw,read-only=on,file.locking=off", "-device", "virtio-blk-pci,drive=base,serial=base",
		"-device", "i6300esb", "-action", "watchdog=reset,panic=none" + reboot,
		"-device", "virtio-scsi-pci,id=scsi0",
	}
	for i := range n.lab.fabrics {
		a = append(a, "-netdev", fmt.Sprintf("stream,id=net%d,server=off,addr.type=unix,addr.path=%s", i, n.file(fmt.Sprintf("net%d", i))),
			"-device", fmt.Sprintf("virtio-net-pci,netdev=net%d,id=nic%d,mac=52:54:00:77:%02x:%02x,romfile=", i, i, i, n.index))
	}
	for i := range o.Disks {
		a = append(a, "-drive", fmt.Sprintf("if=none,id=shared%d,file=%s,format=raw,cache=none,discard=unmap", i, n.lab.file(fmt.Sprintf("shared%d", i))),
			"-device", fmt.Sprintf("scsi-hd,drive=shared%d,bus=scsi0.0,scsi-id=%d,share-rw=on,serial=shared%d,wwn=0x5000c5007700000%d", i, i, i, i))
	}
	if o.LocalMB > 0 {
		// Its flushes are left out: what qemu has taken is this machine's, and outlives
		// the power cut of the guest.
		a = append(a, "-drive", "if=none,id=local,file="+n.file("local")+",format=raw,cache=unsafe,discard=unmap", "-device", "virtio-blk-pci,drive=local,serial=local")
	}
	return a
}

// start switches the guest on, if it is off.
func (n *node) start() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.on = true
	return n.boot()
}

// again starts a qemu anew that has ended because its guest has reset the machine, unless
// its power was cut meanwhile. A machine that resets is another process then, as after a
// power cut.
func (n *node) again(reaped <-chan struct{}) {
	<-reaped
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.on && !n.lab.isClosed() {
		if err := n.boot(); err != nil {
			n.lab.event(n.name, "power-on-failed", err.Error())
		}
	}
}

// boot starts a qemu, if there is none. The caller holds n.mu.
func (n *node) boot() error {
	if n.proc != nil {
		return nil
	}
	if n.lab.isClosed() {
		return errors.New("the lab is closed")
	}
	log, err := os.OpenFile(n.file("qemu.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command("qemu-system-x86_64", n.arguments()...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL} // of its own: Linux shares processors out by session (sched(7), autogroup)
	n.qmp.forget()
	if err := n.lab.spawn(cmd); err != nil {
		return err
	}
	reaped := make(chan struct{})
	n.proc, n.since, n.frozen, n.reaped = cmd.Process, time.Now(), false, reaped
	n.lab.event(n.name, "power-on", fmt.Sprintf("pid %d", cmd.Process.Pid))
	n.lab.serving.Go(func() {
		err := cmd.Wait()
		n.mu.Lock()
		n.proc = nil
		n.mu.Unlock()
		n.drop("its qemu ended")
		n.lab.event(n.name, "power-off", fmt.Sprint(err))
		close(reaped)
	})
	return nil
}

// cut is the power cut. It returns when the process was waited for: no write of the
// old machine can reach a shared disk after that.
func (n *node) cut() {
	n.mu.Lock()
	p, reaped := n.proc, n.reaped
	n.on = false
	n.mu.Unlock()
	if p != nil {
		_ = p.Kill()
		<-reaped
	}
}

func (n *node) running() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.proc != nil
}

var errOff = errors.New("its power is off")

// freeze stops the machine from outside: its clocks jump when it is thawed.
func (n *node) freeze(on bool) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.proc == nil {
		return errOff
	}
	signal, event := syscall.SIGCONT, "thawed"
	if on {
		signal, event = syscall.SIGSTOP, "frozen"
	}
	if err := n.proc.Signal(signal); err != nil {
		return err
	}
	n.frozen = on
	n.lab.event(n.name, event, "")
	return nil
}
