//go:build linux

package vmlab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"understudy/cmd/internal/vmlab/wire"
)

// Options say what a lab is made of.
type Options struct {
	Guests   int      // n1, n2, …; 1 to 9
	MemoryMB int      // of each; zero: 320
	Disks    int      // that all guests share: /dev/disk/by-id/shared0, …
	DiskMB   int      // of each, sparse; zero: 512
	LocalMB  int      // of a disk of each guest's own, /dev/vdb, which outlives its reboots; zero: none
	Panic    int      // guests reboot so many seconds after a panic; zero: they hang
	Systemd  bool     // guests run systemd, and all of their files are on their own disk: LocalMB is needed
	Kernel   []string // more parameters of the kernel
	Program  string   // this program, a static binary: the guests' process 1
	Cache    string   // where the kernel and the guests' root are, see Build
	Dir      string   // of this lab: sockets, disks, consoles
	Trace    io.Writer
}

// Lab is a running lab. Its methods may be called from any goroutine.
type Lab struct {
	opts    Options
	began   time.Time
	nodes   []*node
	fabrics []*fabric
	spawn   func(*exec.Cmd) error
	close   []func()
	serving sync.WaitGroup

	mu     sync.Mutex // guards all following fields
	closed bool
	events []Event
	news   chan struct{} // closed and replaced with each event
}

// Event is something that happened to a guest.
type Event struct {
	At   time.Duration // since the lab began
	Node string
	Name string // power-on, ready, power-off, reset, watchdog, agent-lost, stop, resume, frozen, thawed, …
	Note string
}

// networks is how many every guest is on: 10.77.0.N and 10.77.1.N.
const networks = 2

// Up makes a lab and switches its guests on. The caller closes it.
func Up(opts Options) (*Lab, error) {
	opts.MemoryMB, opts.DiskMB = orElse(opts.MemoryMB, 320), orElse(opts.DiskMB, 512)
	if opts.Guests < 1 || opts.Guests > 9 {
		return nil, fmt.Errorf("cannot make a lab of %d guests: 1 to 9 are possible", opts.Guests)
	}
	if n := len(opts.Dir); n > 70 {
		return nil, fmt.Errorf("cannot make a lab in %s: %d bytes are too long for the sockets in it", opts.Dir, n)
	}
	l := &Lab{opts: opts, began: time.Now(), news: make(chan struct{})}
	if err := l.up(); err != nil {
		l.Close()
		return nil, fmt.Errorf("cannot make a lab: %w", err)
	}
	return l, nil
}

func orElse(n, otherwise int) int {
	if n == 0 {
		return otherwise
	}
	return n
}

func (l *Lab) up() error {
	if err := initialRAMDisk(l.opts.Cache, l.opts.Program, l.file("initrd")); err != nil {
		return err
	}
	l.opts.Kernel = append(slices.Clip(l.opts.Kernel), clockParameter()...)
	for i := range l.opts.Disks {
		if err := sparse(l.file(fmt.Sprintf("shared%d", i)), l.opts.DiskMB); err != nil {
			return err
		}
	}
	for range networks {
		l.fabrics = append(l.fabrics, newFabric())
	}
	spawn, end := spawner()
	l.spawn, l.close = spawn, append(l.close, end)
	for i := range l.opts.Guests {
		n := &node{lab: l, name: fmt.Sprintf("n%d", i+1), index: i + 1, streams: map[uint32]chan wire.Frame{}}
		l.nodes = append(l.nodes, n)
		if l.opts.LocalMB > 0 {
			if err := sparse(n.file("local"), l.opts.LocalMB); err != nil {
				return err
			}
			if l.opts.Systemd {
				if out, err := exec.Command("mkfs.ext4", "-q", "-F", n.file("local")).CombinedOutput(); err != nil {
					return fmt.Errorf("mkfs.ext4: %w: %s", err, out)
				}
			}
		}
		if err := n.listen(); err != nil {
			return err
		}
	}
	for _, n := range l.nodes {
		if err := n.start(); err != nil {
			return err
		}
	}
	return nil
}

func (l *Lab) file(name string) string { return filepath.Join(l.opts.Dir, name) }

func sparse(path string, mb int) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(f.Truncate(int64(mb)<<20), f.Close())
}

// Close cuts the power of all guests and waits for all that the lab started.
func (l *Lab) Close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	for _, n := range l.nodes {
		n.cut()
	}
	for _, f := range slices.Backward(l.close) {
		f()
	}
	l.serving.Wait()
}

// serve takes connections of a guest's qemu on a socket until the lab is closed.
func (l *Lab) serve(path string, each func(net.Conn)) error {
	s, err := net.Listen("unix", path)
	if err != nil {
		return err
	}
	var mu sync.Mutex
	open := map[net.Conn]bool{}
	l.close = append(l.close, func() {
		_ = s.Close()
		mu.Lock()
		defer mu.Unlock()
		for c := range open {
			_ = c.Close()
		}
	})
	l.serving.Go(func() {
		for {
			c, err := s.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open[c] = true
			mu.Unlock()
			l.serving.Go(func() {
				each(c)
				_ = c.Close()
				mu.Lock()
				delete(open, c)
				mu.Unlock()
			})
		}
	})
	return nil
}

func (l *Lab) names() string {
	var names []string
	for i := range l.opts.Guests {
		names = append(names, fmt.Sprintf("n%d", i+1))
	}
	return strings.Join(names, ",")
}

func (l *Lab) node(name string) (*node, error) {
	for _, n := range l.nodes {
		if n.name == name {
			return n, nil
		}
	}
	return nil, fmt.Errorf("cannot find guest %q: the lab has %s", name, l.names())
}

func (l *Lab) event(node, name, note string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := Event{time.Since(l.began), node, name, note}
	l.events = append(l.events, e)
	close(l.news)
	l.news = make(chan struct{})
	if l.opts.Trace != nil {
		fmt.Fprintf(l.opts.Trace, "%7.1f %s %s %s\n", e.At.Seconds(), node, name, note)
	}
}

func (l *Lab) isClosed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closed
}

// Mark is the place in the lab's events at which a Wait may begin.
func (l *Lab) Mark() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.events)
}

// eventsAfter are those after a mark, until now.
func (l *Lab) eventsAfter(mark int) []Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.events[mark:])
}

// Wait waits for an event of a guest after a mark.
func (l *Lab) Wait(ctx context.Context, after int, node, name string) (Event, error) {
	for {
		l.mu.Lock()
		news := l.news
		for ; after < len(l.events); after++ {
			if e := l.events[after]; e.Node == node && e.Name == name {
				l.mu.Unlock()
				return e, nil
			}
		}
		l.mu.Unlock()
		select {
		case <-news:
		case <-ctx.Done():
			return Event{}, fmt.Errorf("cannot see %s of %s: %w — its console: %s", name, node, context.Cause(ctx), l.file(node+".console"))
		}
	}
}

// spawner starts children from one thread that lives until end is called: the
// signal that a child gets at its parent's death comes with the death of a thread.
func spawner() (start func(*exec.Cmd) error, end func()) {
	type job struct {
		cmd  *exec.Cmd
		done chan error
	}
	jobs := make(chan job)
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		runtime.LockOSThread() // and never unlocked: the thread ends with this goroutine
		for j := range jobs {
			j.done <- j.cmd.Start()
		}
	}()
	start = func(c *exec.Cmd) error {
		j := job{c, make(chan error)}
		jobs <- j
		return <-j.done
	}
	return start, func() { close(jobs); <-gone }
}
