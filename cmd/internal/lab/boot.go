//go:build linux

package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// bootSpec is what process 1 of a host is told, on its standard input.
type bootSpec struct {
	Lab, Name string
	BootID    string
	Binary    string // outside
	Root      string // outside: where the host's root is mounted, in its own namespace only
	State     string // outside: becomes stateInside
	Sockets   string // outside: becomes socketsInside
	Conf, Key []byte
	HostsFile string
	Disks     []int // numbers of its loop devices, in the order of the disks
	OwnDisk   int   // number of the loop device of its own disk, for State; -1: it has none
	Addresses map[string]netip.Prefix
	Service   []string
	Files     []File
	Cgroup    bool // it is in a cgroup of its own
}

const (
	socketsInside = "/run/lab"
	initSocket    = "init.sock"
	powerSocket   = "power.sock"
	clientSocket  = "client.sock"
	confInside    = "/etc/understudy/understudy.toml"
	keyInside     = "/etc/understudy/cluster.key"
	pathInside    = "PATH=/opt/understudy/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
)

// initMain is process 1 of a host. Its standard input carries the bootSpec, its
// standard output is the host's log, and descriptor 3 takes "ok" or the reason
// why the host did not come up.
func initMain(args []string) int {
	ready := os.NewFile(3, "ready")
	fail := func(err error) int {
		fmt.Fprintf(ready, "%v\n", err)
		return 1
	}
	if os.Getpid() != 1 {
		return fail(errors.New("cannot boot a lab's host: not process 1 of a pid namespace"))
	}
	if len(args) == 2 && args[0] == "cgroup-namespace" {
		// A cgroup namespace is rooted where its maker is now, and belongs to a
		// thread: take it, then become the program anew.
		runtime.LockOSThread()
		if err := unix.Unshare(unix.CLONE_NEWCGROUP); err != nil {
			return fail(fmt.Errorf("cannot make a cgroup namespace: %w", err))
		}
		return fail(syscall.Exec(args[1], []string{args[1], "lab-init"}, os.Environ()))
	}
	unix.CloseOnExec(3)
	var spec bootSpec
	if err := json.NewDecoder(os.Stdin).Decode(&spec); err != nil {
		return fail(fmt.Errorf("cannot read the boot record: %w", err))
	}
	if err := boot(&spec); err != nil {
		return fail(fmt.Errorf("cannot boot %s: %w", spec.Name, err))
	}
	k := newKeeper()
	l, err := listen(socketsInside + "/" + initSocket)
	if err != nil {
		return fail(err)
	}
	go k.reap()
	go watchSysrq()
	if len(spec.Service) > 0 {
		if _, err := k.start(serviceName, spec.Service, nil); err != nil {
			return fail(err)
		}
	}
	fmt.Fprintln(ready, "ok")
	ready.Close()
	if err := serve(l, k.handle); err != nil {
		fmt.Fprintln(os.Stderr, "lab-init:", err)
	}
	return 1
}

func boot(s *bootSpec) error {
	unix.Umask(0o022)
	if err := buildRoot(s); err != nil {
		return err
	}
	if err := unix.Sethostname([]byte(s.Name)); err != nil {
		return fmt.Errorf("host name: %w", err)
	}
	lo, err := netlink.LinkByName("lo")
	if err == nil {
		err = netlink.LinkSetUp(lo)
	}
	if err != nil {
		return fmt.Errorf("loopback: %w", err)
	}
	if _, several := s.Addresses[StandbyLink]; several {
		// As prepare would have it from the boot on (ip-sysctl).
		for name, value := range map[string]string{"arp_ignore": "1", "arp_announce": "2"} {
			if err := os.WriteFile("/proc/sys/net/ipv4/conf/all/"+name, []byte(value), 0); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	for network, prefix := range s.Addresses {
		l, err := netlink.LinkByName(network)
		if err == nil {
			err = netlink.AddrAdd(l, &netlink.Addr{IPNet: ipNet(prefix)})
		}
		if err == nil {
			err = netlink.LinkSetUp(l)
		}
		if err != nil {
			return fmt.Errorf("interface %s: %w", network, err)
		}
	}
	return nil
}
