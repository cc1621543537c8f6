//go:build linux

package lab

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Violation is a promise that was broken: one thing on two hosts at once.
type Violation struct {
	What  string // "filesystem shared0" or "address 10.7.0.50"
	Hosts []string
	At    time.Time
	Mono  time.Duration // CLOCK_MONOTONIC at its beginning
	For   time.Duration // how long it was seen; it was that at least
	Ended bool
}

// String is one line for people.
func (v Violation) String() string {
	return fmt.Sprintf("%s on %s at once for %v from %s", v.What, strings.Join(v.Hosts, " and "),
		v.For.Round(time.Microsecond), v.At.Format("15:04:05.000"))
}

// look is how long the watcher waits to be told of a change before it looks all
// the same: nothing tells of a file system that another mount namespace pinned.
// Every 2 ms cost 8 % of a processor, which the measured nodes need.
const look = 5 * time.Millisecond

// watcher looks at what every host has mounted and which addresses it has. One
// thread looks at all, so that what it sees is in one order.
type watcher struct {
	events *events
	stop   chan struct{}
	done   chan struct{}

	mu    sync.Mutex // guards all below, and every look
	hosts []*watched
	open  map[string]int // index into list of the violation that goes on, by What
	list  []Violation
}

// watched is a host between its boot and the proof that it is gone. What it had
// when it was last seen counts until then.
type watched struct {
	name   string
	pid    int
	loops  []*loopDevice
	mounts int                 // mountinfo of process 1, for poll(2)
	dead   bool                // its power is cut; has stays as it was
	links  *nl.NetlinkSocket   // address events of its network namespace
	routes *netlink.Handle     // to list addresses there
	has    map[string]bool     // what it has that only one may have
	disks  []string            // what each of loops is called in has
	table  map[uint64][]string // mount points by device, as last read
	listed time.Time           // when tables and addresses were last read
}

func newWatcher(e *events) *watcher {
	return &watcher{events: e, stop: make(chan struct{}), done: make(chan struct{}), open: make(map[string]int)}
}

// add watches a host from now on.
func (w *watcher) add(name string, pid int, loops []*loopDevice) error {
	h := &watched{name: name, pid: pid, loops: slices.Clone(loops), has: make(map[string]bool), mounts: -1}
	for i := range loops {
		h.disks = append(h.disks, fmt.Sprintf("filesystem shared%d", i))
	}
	fd, err := unix.Open(fmt.Sprintf("/proc/%d/mountinfo", pid), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("cannot watch the mounts of %s: %w", name, err)
	}
	h.mounts = fd
	if err := h.openNetwork(); err != nil {
		h.close()
		return fmt.Errorf("cannot watch the addresses of %s: %w", name, err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hosts = append(w.hosts, h)
	return nil
}

func (h *watched) openNetwork() error {
	// The library enters the namespace on this thread and comes back.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	there, err := netns.GetFromPid(h.pid)
	if err != nil {
		return err
	}
	defer there.Close()
	here, err := netns.Get()
	if err != nil {
		return err
	}
	defer here.Close()
	if h.routes, err = netlink.NewHandleAtFrom(there, here); err != nil {
		return err
	}
	h.links, err = nl.SubscribeAt(there, here, unix.NETLINK_ROUTE, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR)
	return err
}

func (h *watched) close() {
	unix.Close(h.mounts)
	if h.links != nil {
		h.links.Close()
	}
	if h.routes != nil {
		h.routes.Close()
	}
}

// dying lets go of what would keep the host's mounts alive: an open mountinfo
// holds its mount namespace. What the host had is still counted.
func (w *watcher) dying(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, h := range w.hosts {
		if h.name == name {
			h.close()
			h.dead = true
		}
	}
}

// remove forgets a host that is proven gone.
func (w *watcher) remove(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hosts = slices.DeleteFunc(w.hosts, func(h *watched) bool {
		if h.name == name && !h.dead {
			h.close()
		}
		return h.name == name
	})
	w.judge()
}

func (w *watcher) end() {
	close(w.stop)
	<-w.done
}

func (w *watcher) violations() []Violation {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.judge()
	return slices.Clone(w.list)
}

// run looks until the watcher is ended: at once when a mount table or an address
// changed, and after [look].
func (w *watcher) run() {
	defer close(w.done)
	runtime.LockOSThread()
	unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), -10) // best effort: of this thread only
	for {
		select {
		case <-w.stop:
			return
		default:
		}
		fds, of := w.descriptors()
		unix.Poll(fds, int(look/time.Millisecond)) // an error is as good as a time-out: look

		w.mu.Lock()
		for i, h := range of {
			// POLLPRI comes with POLLERR (proc_pid_mounts(5)).
			h.look(fds[2*i].Revents != 0, fds[2*i+1].Revents != 0)
		}
		w.judge()
		w.mu.Unlock()
	}
}

// descriptors are what poll(2) waits for: two for each host that lives.
func (w *watcher) descriptors() (fds []unix.PollFd, of []*watched) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, h := range w.hosts {
		if !h.dead {
			of = append(of, h)
			fds = append(fds, unix.PollFd{Fd: int32(h.mounts), Events: unix.POLLPRI},
				unix.PollFd{Fd: int32(h.links.GetFd()), Events: unix.POLLIN})
		}
	}
	return fds, of
}

// relist is how often the tables are read although nothing told of a change.
const relist = 100 * time.Millisecond

// look reads what the host has: of its tables, what has changed; of its disks,
// whether they are live, each time. What cannot be read because its process 1
// has ended stays as it was: a dying host has it still.
func (h *watched) look(mounts, addrs bool) {
	if h.dead {
		return
	}
	late := time.Since(h.listed) > relist
	if mounts || late {
		if table, err := readMounts(h.pid); err == nil {
			h.table = table
		}
	}
	for i, d := range h.loops {
		h.has[h.disks[i]] = len(h.table[d.device()]) > 0 || d.live()
	}
	if addrs {
		addrs = h.drained()
	}
	if addrs || late {
		h.list()
	}
}

// drained reads away what the kernel told of changed addresses, and reports
// whether there was anything. An overflow counts.
func (h *watched) drained() bool {
	var buf [8192]byte
	some := false
	for {
		_, _, err := unix.Recvfrom(h.links.GetFd(), buf[:], unix.MSG_DONTWAIT)
		if err == unix.EAGAIN || err == unix.EBADF {
			return some
		}
		some = true
		if err != nil && err != unix.ENOBUFS && err != unix.EINTR {
			return true
		}
	}
}

func (h *watched) list() {
	if h.dead {
		return
	}
	addrs, err := h.routes.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return
	}
	h.listed = time.Now()
	for what := range h.has {
		if strings.HasPrefix(what, "address ") {
			h.has[what] = false
		}
	}
	for _, a := range addrs {
		if !a.IP.IsLoopback() && !a.IP.IsLinkLocalUnicast() {
			h.has["address "+a.IP.String()] = true
		}
	}
}

// judge compares the hosts. Two hosts were looked at one after the other, so a
// double is believed only when it is still there on the first one after it was
// seen on the second.
func (w *watcher) judge() {
	holders := w.holders()
	suspect := false
	for what, names := range holders {
		_, known := w.open[what]
		suspect = suspect || len(names) > 1 && !known
	}
	if suspect {
		for _, h := range w.hosts {
			h.look(true, true)
			h.list()
		}
		for what, names := range w.holders() {
			if len(names) < 2 || len(holders[what]) < 2 {
				continue
			}
			if _, known := w.open[what]; !known {
				w.open[what] = len(w.list)
				w.list = append(w.list, Violation{What: what, Hosts: names, At: time.Now(), Mono: time.Duration(monotonic())})
				w.events.add(names[0], "VIOLATION: %s also on %s", what, strings.Join(names[1:], ", "))
			}
		}
	}
	for what, i := range w.open {
		w.list[i].For = time.Since(w.list[i].At)
		if len(holders[what]) < 2 {
			w.list[i].Ended = true
			delete(w.open, what)
		}
	}
}

func (w *watcher) holders() map[string][]string {
	m := make(map[string][]string)
	for _, h := range w.hosts {
		for what, yes := range h.has {
			if yes {
				m[what] = append(m[what], h.name)
			}
		}
	}
	for _, names := range m {
		slices.Sort(names)
	}
	return m
}

// readMounts reads a process's mount table (proc_pid_mountinfo(5)): the mount
// points of each device of the loop driver.
func readMounts(pid int) (map[uint64][]string, error) {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "mountinfo"))
	if err != nil {
		return nil, err
	}
	if len(b) == 0 {
		return nil, unix.ESRCH // of a process that has ended
	}
	return parseMounts(b), nil
}

func parseMounts(b []byte) map[uint64][]string {
	var m map[uint64][]string
	for line := range bytes.Lines(b) {
		f := bytes.Split(line, []byte{' '})
		if len(f) < 6 {
			continue
		}
		minor, ok := bytes.CutPrefix(f[2], []byte(strconv.Itoa(loopMajor)+":"))
		n, err := strconv.ParseUint(string(minor), 10, 32)
		if !ok || err != nil {
			continue
		}
		if m == nil {
			m = make(map[uint64][]string)
		}
		dev := unix.Mkdev(loopMajor, uint32(n))
		m[dev] = append(m[dev], unescape(string(f[4])))
	}
	return m
}

// unescape undoes the octal escapes of blank, tab, newline and backslash.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}
