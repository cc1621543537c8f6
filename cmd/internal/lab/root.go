//go:build linux

package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// buildRoot gives this process, alone in its mount namespace, a root of its own
// and leaves the machine's behind.
func buildRoot(s *bootSpec) error {
	r := rootBuilder{at: s.Root, binary: s.Binary}
	r.do("make the mount tree private", unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	r.mount("tmpfs", "", "tmpfs", 0, "mode=755")
	r.system()
	r.etc(s)
	r.devices(s)
	for _, d := range []string{"run", "tmp", "var/tmp", "var/lib"} {
		mode := "mode=755"
		if filepath.Base(d) == "tmp" {
			mode = "mode=1777"
		}
		r.mount("tmpfs", d, "tmpfs", unix.MS_NOSUID, mode)
	}
	for _, d := range []string{"root", "srv", "mnt", "var/log", "run/understudy"} {
		r.mkdir(d)
	}
	if s.OwnDisk >= 0 {
		r.mount(fmt.Sprintf("/dev/loop%d", s.OwnDisk), stateInside, "ext4", unix.MS_NOSUID|unix.MS_NODEV, "")
	} else {
		r.bind(s.State, stateInside, false)
	}
	r.bind(s.Sockets, socketsInside, false)
	r.bind(s.Binary, binaryInside, true)
	r.link("understudy", "opt/understudy/bin/fence_lab")
	r.kernel(s)
	r.install(s.Files)
	r.pivot()
	return r.err
}

// rootBuilder keeps the first error of a long row of calls.
type rootBuilder struct {
	at     string
	binary string // the lab's program, outside
	err    error
}

func (r *rootBuilder) do(what string, err error) {
	if r.err == nil && err != nil {
		r.err = fmt.Errorf("cannot %s: %w", what, err)
	}
}

func (r *rootBuilder) in(path string) string { return filepath.Join(r.at, path) }

func (r *rootBuilder) mkdir(path string) {
	if r.err == nil {
		r.do("make directory "+path, os.MkdirAll(r.in(path), 0o755))
	}
}

func (r *rootBuilder) file(path string, content []byte, mode os.FileMode) {
	r.mkdir(filepath.Dir(path))
	if r.err == nil {
		r.do("write "+path, os.WriteFile(r.in(path), content, mode))
	}
}

func (r *rootBuilder) link(to, path string) {
	r.mkdir(filepath.Dir(path))
	if r.err == nil {
		r.do("link "+path, os.Symlink(to, r.in(path)))
	}
}

func (r *rootBuilder) mount(source, path, fstype string, flags uintptr, data string) {
	r.mkdir(path)
	if r.err == nil {
		r.do("mount "+fstype+" at /"+path, unix.Mount(source, r.in(path), fstype, flags, data))
	}
}

// bind shows a directory or file of the machine at a path of the host.
func (r *rootBuilder) bind(from, path string, readonly bool) {
	info, err := os.Stat(from)
	r.do("bind "+from, err)
	if r.err != nil {
		return
	}
	if info.IsDir() {
		r.mkdir(path)
	} else {
		r.file(path, nil, 0o755)
	}
	if r.err != nil {
		return
	}
	r.do("bind "+from, unix.Mount(from, r.in(path), "", unix.MS_BIND, ""))
	if readonly && r.err == nil { // a bind takes its flags only when remounted (mount(2))
		r.do("make "+path+" read-only", unix.Mount("", r.in(path), "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	}
}

// system shows the machine's programs and libraries, read-only.
func (r *rootBuilder) system() {
	for _, dir := range []string{"usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "etc/alternatives"} {
		info, err := os.Lstat("/" + dir)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			r.do("look at /"+dir, err)
		case info.Mode()&fs.ModeSymlink != 0:
			to, err := os.Readlink("/" + dir)
			r.do("read link /"+dir, err)
			r.link(to, dir)
		default:
			r.bind("/"+dir, dir, true)
		}
	}
}

func (r *rootBuilder) etc(s *bootSpec) {
	text := map[string]string{
		"hostname":      s.Name + "\n",
		"hosts":         s.HostsFile,
		"passwd":        "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
		"group":         "root:x:0:\nnogroup:x:65534:\n",
		"nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\nservices: files\nprotocols: files\n",
	}
	for name, content := range text {
		r.file("etc/"+name, []byte(content), 0o644)
	}
	for _, name := range []string{"services", "protocols", "ld.so.cache", "mke2fs.conf", "localtime"} {
		if b, err := os.ReadFile("/etc/" + name); err == nil {
			r.file("etc/"+name, b, 0o644)
		}
	}
	r.link("/proc/self/mounts", "etc/mtab")
	r.file(confInside, s.Conf, 0o644)
	r.file(keyInside, s.Key, 0o600)
}

func (r *rootBuilder) devices(s *bootSpec) {
	r.mount("tmpfs", "dev", "tmpfs", unix.MS_NOSUID, "mode=755")
	node := func(name string, kind, major, minor uint32, mode uint32) {
		if r.err == nil {
			path := r.in("dev/" + name)
			r.do("make /dev/"+name, unix.Mknod(path, kind|mode, int(unix.Mkdev(major, minor))))
			r.do("make /dev/"+name, os.Chmod(path, os.FileMode(mode)))
		}
	}
	// Documentation/admin-guide/devices.txt
	for name, minor := range map[string]uint32{"null": 3, "zero": 5, "full": 7, "random": 8, "urandom": 9} {
		node(name, unix.S_IFCHR, 1, minor, 0o666)
	}
	node("tty", unix.S_IFCHR, 5, 0, 0o666)
	for i, n := range s.Disks {
		node(fmt.Sprintf("shared%d", i), unix.S_IFBLK, loopMajor, uint32(n), 0o600)
		r.link(fmt.Sprintf("shared%d", i), fmt.Sprintf("dev/loop%d", n)) // the kernel's name of it
	}
	r.mount("devpts", "dev/pts", "devpts", unix.MS_NOSUID|unix.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=620")
	r.mount("tmpfs", "dev/shm", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=1777")
	for name, to := range map[string]string{"ptmx": "pts/ptmx", "fd": "/proc/self/fd",
		"stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2"} {
		r.link(to, "dev/"+name)
	}
}

// kernel mounts the kernel's own file systems: proc and sysfs of this host's
// namespaces, its cgroups, a boot id of its own, and in place of the machine's
// sysrq-trigger a pipe that leads to process 1.
func (r *rootBuilder) kernel(s *bootSpec) {
	r.mount("proc", "proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
	r.mount("sysfs", "sys", "sysfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC|unix.MS_RDONLY, "")
	// sysfs shows the block devices of the whole machine; a host has its own only.
	r.mount("tmpfs", "sys/block", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "mode=755")
	for _, n := range s.Disks {
		r.link(fmt.Sprintf("../devices/virtual/block/loop%d", n), fmt.Sprintf("sys/block/loop%d", n))
	}
	if s.Cgroup {
		r.mount("cgroup2", "sys/fs/cgroup", "cgroup2", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
	}
	r.file("dev/.boot_id", []byte(s.BootID+"\n"), 0o444)
	r.bindOver(r.in("dev/.boot_id"), "proc/sys/kernel/random/boot_id")
	if r.err == nil {
		r.do("make the sysrq pipe", unix.Mkfifo(r.in(sysrqPipe), 0o600))
	}
	r.bindOver(r.in(sysrqPipe), "proc/sysrq-trigger")
}

const sysrqPipe = "/dev/.sysrq"

// bindOver binds a file over one that exists, without touching either.
func (r *rootBuilder) bindOver(from, path string) {
	if _, err := os.Lstat(r.in(path)); r.err == nil && err == nil {
		r.do("cover "+path, unix.Mount(from, r.in(path), "", unix.MS_BIND, ""))
	}
}

// pivot makes the new root the root. The old one is detached as pivot_root(2)
// shows under pivot_root(".", "."); this namespace is the only one that loses it.
func (r *rootBuilder) pivot() {
	if r.err != nil {
		return
	}
	r.do("enter the new root", os.Chdir(r.at))
	if r.err == nil {
		r.do("pivot", unix.PivotRoot(".", "."))
	}
	if r.err == nil {
		r.do("leave the old root", unix.Unmount(".", unix.MNT_DETACH))
		r.do("enter the new root", os.Chdir("/"))
	}
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
