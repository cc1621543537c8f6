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
	mu      sync.Mutex // held for one command and its answer; guards all following fields
	conn    net.Conn   // nil: not connected
	answers chan json.RawMessage
	asked   int // commands, which is the last one's id
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
			Data          struct{ Reason string }
		}
		if json.Unmarshal(line, &m) != nil {
			continue
		}
		switch {
		case m.Event != "":
			if m.Event == "RESET" {
				n.drop("the guest was reset")
			}
			if m.Event == "SHUTDOWN" && m.Data.Reason == "guest-reset" {
				m.Event = "RESET"
				n.mu.Lock()
				reaped := n.reaped
				n.mu.Unlock()
				n.lab.serving.Go(func() { n.again(reaped) })
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
	_, err := n.query(name, arguments)
	return err
}

// query is command, and returns what the monitor answered.
func (n *node) query(name string, arguments any) (json.RawMessage, error) {
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
		return nil, errOff
	}
	n.qmp.asked++
	q := map[string]any{"execute": name, "id": n.qmp.asked}
	if arguments != nil {
		q["arguments"] = arguments
	}
	b, err := json.Marshal(q)
	if err != nil {
		return nil, err
	}
	if err := n.qmp.conn.SetWriteDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return nil, err
	}
	if _, err := n.qmp.conn.Write(append(b, '\n')); err != nil {
		return nil, err
	}
	limit := time.After(20 * time.Second)
	for {
		select {
		case line, ok := <-n.qmp.answers:
			if !ok {
				return nil, errOff
			}
			var m struct {
				ID     int
				Return json.RawMessage
				Error  *struct{ Desc string }
			}
			if err := json.Unmarshal(line, &m); err != nil {
				return nil, err
			}
			if m.ID != n.qmp.asked {
				continue // to a command whose limit was over: the guest was frozen
			}
			if m.Error != nil {
				return nil, errors.New(m.Error.Desc)
			}
			return m.Return, nil
		case <-limit:
			return nil, errors.New("the monitor does not answer")
		}
	}
}

// written is how many writes to the first shared disk this qemu has seen of its guest.
func (n *node) written() (machine int, writes int64, err error) {
	n.mu.Lock()
	p, frozen := n.proc, n.frozen
	n.mu.Unlock()
	if p == nil || frozen {
		return 0, 0, errOff
	}
	answer, err := n.query("query-blockstats", nil)
	if err != nil {
		return 0, 0, err
	}
	var disks []struct {
		Device string
		Stats  struct {
			Writes int64 `json:"wr_operations"`
		}
	}
	if err := json.Unmarshal(answer, &disks); err != nil {
		return 0, 0, err
	}
	for _, d := range disks {
		if d.Device == "shared0" {
			return p.Pid, d.Stats.Writes, nil
		}
	}
	return 0, 0, errors.New("the lab has no shared disk")
}
