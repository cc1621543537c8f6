//go:build linux

package standin

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// epmapPort is the endpoint mapper's (services(5): epmap).
const epmapPort = 135

// endpointMap is what dced keeps: which interface is served where. Entries are
// taken from the file at the start, whoever left them there, and given to clients
// until somebody removes them.
type endpointMap struct {
	mu      sync.Mutex
	f       *os.File
	entries []endpoint
}

// endpoint is a line of the map.
type endpoint struct {
	iface, address, port string
}

func (e endpoint) String() string {
	return fmt.Sprintf("%s ncacn_ip_tcp:%s[%s]", e.iface, e.address, e.port)
}

// openMap reads the file and keeps it open: deleting it beneath a running dced
// changes nothing until the next start.
func openMap(path string) (*endpointMap, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	m := &endpointMap{f: f}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if w := strings.Fields(lines.Text()); len(w) == 3 {
			m.entries = append(m.entries, endpoint{w[0], w[1], w[2]})
		}
	}
	return m, nil
}

func (m *endpointMap) add(e endpoint) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, err := fmt.Fprintln(m.f, e.iface, e.address, e.port); err != nil {
		return err
	}
	m.entries = append(m.entries, e)
	return m.f.Sync()
}

// remove forgets what an interface serves.
func (m *endpointMap) remove(iface string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var kept []endpoint
	var text strings.Builder
	for _, e := range m.entries {
		if e.iface != iface {
			kept = append(kept, e)
			fmt.Fprintln(&text, e.iface, e.address, e.port)
		}
	}
	m.entries = kept
	if err := m.f.Truncate(0); err != nil {
		return err
	}
	_, err := io.WriteString(m.f, text.String())
	return errors.Join(err, m.f.Sync())
}

func (m *endpointMap) show(w io.Writer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range m.entries {
		fmt.Fprintln(w, e)
	}
}

// mapSocket is where the host's own servers register.
const mapSocket = rpcDir + "/dced"

// runDCED is the endpoint mapper of a host.
func runDCED(s *site, _ []string) error {
	m, listeners, err := serveMap(s)
	ready(err)
	if err != nil {
		return err
	}
	s.log("up, endpoints from %s: %d", mapFile, len(m.entries))
	untilTerm(false)
	for _, l := range listeners {
		l.Close()
	}
	return nil
}

func serveMap(s *site) (*endpointMap, []io.Closer, error) {
	m, err := openMap(mapFile)
	if err != nil {
		return nil, nil, err
	}
	if err := os.Remove(mapSocket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, nil, err
	}
	var all []io.Closer
	local, err := net.Listen("unix", mapSocket)
	if err != nil {
		return nil, nil, err
	}
	all = append(all, local)
	go accept(local, m, true)
	links, err := supportedLinks(true)
	if err != nil {
		return nil, nil, err
	}
	for _, link := range links {
		l, u, err := listenOn(link.Name)
		if err != nil {
			return nil, nil, err
		}
		go accept(l, m, false)
		all = append(all, l, u)
	}
	return m, all, nil
}

// listenOn binds the mapper's port on one link, whatever its addresses are now and
// later.
func listenOn(link string) (net.Listener, net.PacketConn, error) {
	bound := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		if e := c.Control(func(fd uintptr) { err = unix.BindToDevice(int(fd), link) }); e != nil {
			return e
		}
		return err
	}}
	address := fmt.Sprintf("0.0.0.0:%d", epmapPort)
	l, err := bound.Listen(context.Background(), "tcp4", address)
	if err != nil {
		return nil, nil, err
	}
	u, err := bound.ListenPacket(context.Background(), "udp4", address)
	return l, u, err
}

func accept(l net.Listener, m *endpointMap, local bool) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			c.SetDeadline(time.Now().Add(startLimit))
			line, err := bufio.NewReader(io.LimitReader(c, 1024)).ReadString('\n')
			if err != nil {
				return
			}
			switch w := strings.Fields(line); {
			case len(w) == 1 && w[0] == "show":
				m.show(c)
			case len(w) == 4 && w[0] == "register" && local:
				err = m.add(endpoint{w[1], w[2], w[3]})
			case len(w) == 2 && w[0] == "unregister" && local:
				err = m.remove(w[1])
			default:
				err = errors.New("cannot do that")
			}
			if err != nil {
				fmt.Fprintln(c, "error", err)
			}
		}()
	}
}

// untilTerm waits for the signal to end.
func untilTerm(ignore bool) {
	term := make(chan os.Signal, 1)
	signal.Notify(term, unix.SIGTERM)
	for range term {
		if !ignore {
			return
		}
	}
}

// askMap asks an endpoint mapper one thing and returns what it says.
func askMap(network, address, request string) (string, error) {
	c, err := net.DialTimeout(network, address, startLimit)
	if err != nil {
		return "", err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(startLimit))
	if _, err := fmt.Fprintln(c, request); err != nil {
		return "", err
	}
	b, err := io.ReadAll(c)
	if rest, bad := strings.CutPrefix(string(b), "error "); bad {
		err = errors.New(strings.TrimSpace(rest))
	}
	return string(b), err
}
