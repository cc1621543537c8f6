//go:build linux

package lab

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// castSocket is where an application tells that it is there.
const castSocket = "cast.sock"

// cast knows on which hosts an application runs. Each keeps a connection open as
// long as its process lives, frozen or not; the kernel ends it with the process.
// So when a second one appears, whether the first is still there is what the
// kernel says at that moment, however late this process runs.
type cast struct {
	events *events

	mu    sync.Mutex
	there map[string][]*player // by application
	list  []Violation
}

type player struct {
	host string
	conn *net.UnixConn
}

// listen serves one host's socket, which lives through its crashes.
func (c *cast) listen(host, sockets string) error {
	l, err := listen(filepath.Join(sockets, castSocket))
	if err != nil {
		return fmt.Errorf("cannot listen for applications of %s: %w", host, err)
	}
	go func() {
		for {
			conn, err := l.AcceptUnix()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil {
				go c.play(host, conn)
			}
		}
	}()
	return nil
}

// play is the life of one application.
func (c *cast) play(host string, conn *net.UnixConn) {
	defer conn.Close()
	name, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return
	}
	name = strings.TrimSpace(name)
	p := &player{host: host, conn: conn}
	c.enter(name, p)
	defer c.leave(name, p)
	if _, err := io.WriteString(conn, "ok\n"); err == nil {
		io.Copy(io.Discard, conn)
	}
}

func (c *cast) enter(name string, p *player) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, other := range c.there[name] {
		if other.host == p.host || !other.alive() {
			continue
		}
		hosts := []string{other.host, p.host}
		slices.Sort(hosts)
		c.list = append(c.list, Violation{What: "application " + name, Hosts: hosts, At: time.Now(), Mono: time.Duration(monotonic())})
		c.events.add(p.host, "VIOLATION: application %s also on %s", name, other.host)
	}
	if c.there == nil {
		c.there = make(map[string][]*player)
	}
	c.there[name] = append(c.there[name], p)
}

func (c *cast) leave(name string, p *player) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.there[name] = slices.DeleteFunc(c.there[name], func(o *player) bool { return o == p })
}

func (c *cast) violations() []Violation {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.list)
}

// alive asks the kernel whether the other end is open: recv(2) of nothing is its
// end of file.
func (p *player) alive() bool {
	raw, err := p.conn.SyscallConn()
	if err != nil {
		return false
	}
	open := true
	err = raw.Control(func(fd uintptr) {
		var one [1]byte
		n, _, err := unix.Recvfrom(int(fd), one[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		open = n > 0 || errors.Is(err, unix.EAGAIN)
	})
	return open && err == nil
}
