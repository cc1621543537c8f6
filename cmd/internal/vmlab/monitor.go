//go:build linux

package vmlab

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"
)

// monitor is the connection to qemu's monitor (QEMU Machine Protocol).
type monitor struct {
	mu      sync.Mutex // held for one command and its answer
	conn    net.Conn   // nil: not connected
	answers chan json.RawMessage
}

func (m *monitor) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.conn = nil
}

// shown are the monitor's events that become events of the lab.
var shown = []string{"RESET", "WATCHDOG", "SHUTDOWN", "STOP", "RESUME", "GUEST_PANICKED", "BLOCK_IO_ERROR"}

func (n *node) serveMonitor(c net.Conn) {
	answers := make(chan json.RawMessage, 16)
	defer close(answers)
	fmt.Fprintln(c, `{"execute":"qmp_capabilities"}`)
	ready := false
	for r := bufio.NewReader(c); ; {
		line, err := r.ReadBytes('\n')
		if err != nil {
			return
		}
		var m struct {
			Event         string
			Return, Error json.RawMessage
		}
		if json.Unmarshal(line, &m) != nil {
			continue
		}
		switch {
		case m.Event != "":
			if m.Event == "RESET" {
				n.drop("the guest was reset")
			}
			for _, s := range shown {
				if s == m.Event {
					n.lab.event(n.name, strings.ToLower(m.Event), "")
				}
			}
		case m.Return == nil && m.Error == nil:
		case !ready:
			ready = true
			n.qmp.mu.Lock()
			n.qmp.conn, n.qmp.answers = c, answers
			n.qmp.mu.Unlock()
		default:
			select {
			case answers <- line:
			default:
			}
		}
	}
}

// command gives the monitor one command and waits for its answer.
func (n *node) command(name string, arguments any) error {
	q := map[string]any{"execute": name}
	if arguments != nil {
		q["arguments"] = arguments
	}
	b, err := json.Marshal(q)
	if err != nil {
		return err
	}
	for range 250 { // one that was just started connects soon
		n.qmp.mu.Lock()
		connected := n.qmp.conn != nil
		n.qmp.mu.Unlock()
		if connected || !n.running() {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	n.qmp.mu.Lock()
	defer n.qmp.mu.Unlock()
	if n.qmp.conn == nil || !n.running() {
		return errOff
	}
	if err := n.qmp.conn.SetWriteDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return err
	}
	if _, err := n.qmp.conn.Write(append(b, '\n')); err != nil {
		return err
	}
	select {
	case line, ok := <-n.qmp.answers:
		if !ok {
			return errOff
		}
		var m struct{ Error *struct{ Desc string } }
		if err := json.Unmarshal(line, &m); err != nil {
			return err
		}
		if m.Error != nil {
			return errors.New(m.Error.Desc)
		}
		return nil
	case <-time.After(20 * time.Second):
		return errors.New("the monitor does not answer")
	}
}
