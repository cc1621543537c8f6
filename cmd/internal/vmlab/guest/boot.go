//go:build linux

package guest

import (
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

// say writes to the kernel's log, which ends on the console of the guest.
func say(format string, args ...any) {
	k, err := os.OpenFile("/dev/kmsg", os.O_WRONLY, 0)
	if err != nil {
		fmt.Printf("guest: "+format+"\n", args...)
		return
	}
	defer k.Close()
	fmt.Fprintf(k, "<4>guest: "+format+"\n", args...)
}

func try(what string, err error) {
	if err != nil {
		say("%s: %v", what, err)
	}
}

// must switches the guest off when it cannot be put together.
func must(what string, err error) {
	if err != nil {
		say("cannot boot: %s: %v", what, err)
		time.Sleep(time.Second)
		_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
	}
}

func mount(source, at, kind string, flags uintptr, data string) error {
	_ = os.MkdirAll(at, 0o755)
	return unix.Mount(source, at, kind, flags, data)
}

// parameters are the kernel's, from its command line.
func parameters() map[string]string {
	b, _ := os.ReadFile("/proc/cmdline")
	out := map[string]string{}
	for f := range strings.FieldsSeq(string(b)) {
		k, v, _ := strings.Cut(f, "=")
		out[k] = v
	}
	return out
}

// boot is process 1: it mounts the root that all guests share, read-only and below
// an overlay in memory, makes the guest's identity and networks, and then keeps an
// agent running and reaps what it inherits.
func boot() {
	for k, v := range map[string]string{"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8"} {
		_ = os.Setenv(k, v)
	}
	must("devtmpfs", mount("dev", "/dev", "devtmpfs", 0, ""))
	must("proc", mount("proc", "/proc", "proc", 0, ""))
	must("sys", mount("sys", "/sys", "sysfs", 0, ""))
	if f, err := os.OpenFile("/dev/console", os.O_RDWR, 0); err == nil {
		for fd := range 3 {
			_ = unix.Dup2(int(f.Fd()), fd)
		}
	}
	modules()
	p := parameters()
	if p["vmlab.init"] == "systemd" {
		root(onDisk)
		identity(p)
		systemd(p)
	}
	root(inMemory)
	kernelFiles()
	identity(p)
	try("networks", networks(p["vmlab.idx"]))
	disks(p)
	keepAgent()
}

// modules loads those of the initial RAM disk, in the order of its list.
func modules() {
	order, err := os.ReadFile("/modules.list")
	must("modules.list", err)
	for m := range strings.FieldsSeq(string(order)) {
		f, err := os.Open("/mod/" + m)
		if err == nil {
			if err = unix.FinitModule(int(f.Fd()), "", 0); err == unix.EEXIST {
				err = nil
			}
			_ = f.Close()
		}
		try("module "+m, err)
	}
}

// inMemory and onDisk mount what takes the changes to the root of a guest: memory, which
// is lost with its power, or the guest's own disk.
func inMemory() error { return mount("tmpfs", "/over", "tmpfs", 0, "mode=0755,size=75%") }

func onDisk() error { return mount("/dev/vdb", "/over", "ext4", 0, "") }

// root makes the shared image with an overlay the root.
func root(over func() error) {
	const device = "/dev/vda"
	for range 400 {
		if _, err := os.Stat(device); err == nil {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	must("image", mount(device, "/base", "ext4", unix.MS_RDONLY, "noload"))
	must("overlay's own", over())
	for _, d := range []string{"/over/up", "/over/work"} {
		must(d, os.MkdirAll(d, 0o755))
	}
	must("overlay", mount("overlay", "/new", "overlay", 0, "lowerdir=/base,upperdir=/over/up,workdir=/over/work"))
	must("program folder", os.MkdirAll("/new"+filepath.Dir(Program), 0o755))
	self, err := os.ReadFile("/understudy")
	must("program", err)
	if now, err := os.Stat("/new" + Program); err != nil || now.Size() != int64(len(self)) {
		must("program", os.WriteFile("/new"+Program, self, 0o755))
	}
	if err := os.Symlink(filepath.Base(Program), "/new"+filepath.Dir(Program)+"/"+fenceName); err != nil && !os.IsExist(err) {
		say("fence agent: %v", err)
	}
	for _, d := range []string{"/dev", "/proc", "/sys"} {
		must(d, unix.Mount(d, "/new"+d, "", unix.MS_MOVE, ""))
	}
	_ = os.RemoveAll("/mod") // memory
	_ = os.Remove("/understudy")
	must("new root", unix.Chdir("/new"))
	must("new root", unix.Mount(".", "/", "", unix.MS_MOVE, ""))
	must("new root", unix.Chroot("."))
	must("new root", unix.Chdir("/"))
}

// kernelFiles mounts what else a running system has: systemd does that itself.
func kernelFiles() {
	try("run", mount("run", "/run", "tmpfs", 0, "mode=0755"))
	try("tmp", mount("tmp", "/tmp", "tmpfs", 0, "mode=1777"))
	try("pts", mount("pts", "/dev/pts", "devpts", 0, "ptmxmode=0666"))
	try("configfs", mount("configfs", "/sys/kernel/config", "configfs", 0, ""))
	try("cgroup2", mount("cgroup2", "/sys/fs/cgroup", "cgroup2", 0, ""))
	for at, to := range map[string]string{"/dev/fd": "/proc/self/fd", "/dev/stdin": "/proc/self/fd/0", "/dev/stdout": "/proc/self/fd/1", "/dev/stderr": "/proc/self/fd/2"} {
		_ = os.Symlink(to, at)
	}
	for _, d := range []string{"/run/lvm", "/run/lock/lvm"} {
		try(d, os.MkdirAll(d, 0o755))
	}
	try("sysrq", os.WriteFile("/proc/sys/kernel/sysrq", []byte("1"), 0))
}

// identity gives the guest its name, and tells it those of the others.
func identity(p map[string]string) {
	name := p["vmlab.name"]
	try("host name", unix.Sethostname([]byte(name)))
	try("hostname", os.WriteFile("/etc/hostname", []byte(name+"\n"), 0o644))
	id := fmt.Sprintf("%x", fmt.Sprintf("%-16.16s", name+"-understudy-lab"))
	try("machine-id", os.WriteFile("/etc/machine-id", []byte(id+"\n"), 0o644))
	hosts := "127.0.0.1 localhost\n"
	for i, h := range strings.Split(p["vmlab.hosts"], ",") {
		hosts += fmt.Sprintf("10.77.0.%d %s\n10.77.1.%d %s-b\n", i+1, h, i+1, h)
	}
	try("hosts", os.WriteFile("/etc/hosts", []byte(hosts), 0o644))
}

// networks gives eth0 and eth1 the addresses 10.77.0.N and 10.77.1.N.
func networks(index string) error {
	batch := "link set lo up\n"
	for n := range 2 {
		batch += fmt.Sprintf("link set eth%d up\naddr add 10.77.%d.%s/24 brd + dev eth%d\n", n, n, index, n)
	}
	ip := exec.Command("ip", "-batch", "-")
	ip.Stdin = strings.NewReader(batch)
	if out, err := ip.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// disks waits for the disks. There is no udevd in a guest: LVM must not wait for
// one, and the links to shared disks are made here.
func disks(p map[string]string) {
	const local = "activation { udev_sync=0 udev_rules=0 }\ndevices { obtain_device_list_from_udev=0 external_device_info_source=\"none\" }\n"
	try("lvmlocal.conf", os.WriteFile("/etc/lvm/lvmlocal.conf", []byte(local), 0o644))
	want, _ := strconv.Atoi(p["vmlab.disks"])
	for i := 0; i < 6000 && links() < want; i++ { // the scan is asynchronous, and slow under emulation
		time.Sleep(10 * time.Millisecond)
	}
}

// links makes /dev/disk/by-id/SERIAL and counts the disks.
func links() (found int) {
	_ = os.MkdirAll("/dev/disk/by-id", 0o755)
	devices, _ := filepath.Glob("/sys/block/sd*")
	for _, d := range devices {
		page, err := os.ReadFile(filepath.Join(d, "device", "vpd_pg80"))
		if err != nil || len(page) < 5 {
			continue
		}
		serial := strings.TrimSpace(strings.Trim(string(page[4:]), "\x00"))
		if _, err := os.Stat("/dev/" + filepath.Base(d)); err == nil {
			_ = os.Symlink("../../"+filepath.Base(d), "/dev/disk/by-id/"+serial)
			found++
		}
	}
	return found
}

// keepAgent runs the agent as a child, so that process 1 takes no end of a child
// from it, and never returns.
func keepAgent() {
	agent := 0
	for {
		if agent == 0 {
			pid, err := syscall.ForkExec(Program, append([]string{Program}, agentArguments...), &syscall.ProcAttr{
				Dir: "/root", Env: os.Environ(), Files: []uintptr{0, 1, 2}, Sys: &syscall.SysProcAttr{Setsid: true},
			})
			if err != nil {
				say("agent: %v", err)
				time.Sleep(time.Second)
				continue
			}
			agent = pid
		}
		var status syscall.WaitStatus
		if pid, err := syscall.Wait4(-1, &status, 0, nil); err == nil && pid == agent {
			say("agent ended: %v", status)
			agent = 0
			time.Sleep(200 * time.Millisecond)
		}
	}
}
