//go:build linux

package lab

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"time"
)

// The modes of a host's power port, as fence agents meet it.
const (
	PowerOK   = "ok"      // it does what it says
	PowerFail = "fail"    // every request is an error
	PowerHang = "hang"    // it never answers
	PowerLie  = "lie"     // it says that the host is off, and does nothing
	PowerSlow = "slow:"   // followed by a duration: it does it that much later
	powerOn   = "on"      // of a request
	powerOff  = "off"     // of a request: returns when the power cut is complete
	powerAsk  = "status"  // of a request: "on" or "off"
	powerList = "list"    // of a request: the names of all hosts
	powerPing = "monitor" // of a request: the controller answers
)

// powerPort is where a host asks the power controller, and the mode in which the
// controller treats the host's own power. The port is the machine room's, not
// the host's: it lives through crashes.
type powerPort struct {
	h  *host
	mu sync.Mutex
	m  string
	// lied: it has said "off" while lying, and goes on to say so.
	lied bool
}

func listenPower(h *host, path string) (*powerPort, error) {
	l, err := listen(path)
	if err != nil {
		return nil, fmt.Errorf("power port: %w", err)
	}
	p := &powerPort{h: h, m: PowerOK}
	go p.serve(l)
	return p, nil
}

func (p *powerPort) serve(l *net.UnixListener) {
	err := serve(l, func(ctx context.Context, req request, files []*os.File) (any, error) {
		switch req.Op {
		case powerPing:
			return nil, nil
		case powerList:
			var names []string
			for _, h := range p.h.s.Hosts {
				names = append(names, h.Name)
			}
			return names, nil
		case kernelHold:
			return nil, p.h.hold(files)
		case boardOp:
			timeout, err := time.ParseDuration(req.Mode)
			if err != nil {
				return nil, err
			}
			return p.h.board.do(req.Name, timeout)
		case "reset", "power-off": // the host itself, through its sysrq-trigger
			return nil, p.own(req.Op == "reset")
		}
		target, err := p.h.s.host(req.Host)
		if err != nil {
			return nil, err
		}
		return target.power.ask(ctx, req.Op, p.h.Name)
	})
	if err != nil {
		p.h.s.log.Error("power port closed", "host", p.h.Name, "err", err)
	}
}

// own ends the host at its own wish.
func (p *powerPort) own(again bool) error {
	ctx, cancel := within(context.Background(), crashLimit)
	defer cancel()
	err := p.h.crash(ctx, "its own sysrq")
	if err == nil && again {
		err = p.h.start(ctx)
	}
	return err
}

func (p *powerPort) mode() string {
	if p == nil {
		return PowerOK
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.m
}

func (p *powerPort) set(mode string) error {
	if d, ok := strings.CutPrefix(mode, PowerSlow); ok {
		if _, err := time.ParseDuration(d); err != nil {
			return fmt.Errorf("cannot set power mode %q: %v", mode, err)
		}
	} else if mode != PowerOK && mode != PowerFail && mode != PowerHang && mode != PowerLie {
		return fmt.Errorf("cannot set power mode %q — ok, fail, hang, lie or slow:DURATION", mode)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.m, p.lied = mode, false
	return nil
}

// ask is one request about this host's power.
func (p *powerPort) ask(ctx context.Context, op, by string) (string, error) {
	if op != powerOn && op != powerOff && op != powerAsk {
		return "", fmt.Errorf("cannot do %q to the power of %s", op, p.h.Name)
	}
	p.h.s.events.add(p.h.Name, "power %s asked for by %s", op, by)
	mode := p.mode()
	if d, ok := strings.CutPrefix(mode, PowerSlow); ok {
		delay, err := time.ParseDuration(d)
		if err != nil {
			return "", err
		}
		time.Sleep(delay) // a controller goes on with what it was told, also when nobody listens any more
	}
	switch mode {
	case PowerFail:
		return "", fmt.Errorf("cannot %s %s: the power controller refuses", op, p.h.Name)
	case PowerHang:
		<-ctx.Done()
		return "", errSilent
	case PowerLie:
		p.mu.Lock()
		defer p.mu.Unlock()
		p.lied = p.lied || op == powerOff
		if p.lied {
			return powerOff, nil
		}
		return powerOn, nil
	}
	limit, cancel := within(context.WithoutCancel(ctx), crashLimit)
	defer cancel()
	switch op {
	case powerOff:
		return powerOff, p.h.crash(limit, "fenced by "+by)
	case powerOn:
		return powerOn, p.h.start(limit)
	}
	p.h.mu.Lock()
	defer p.h.mu.Unlock()
	if p.h.on {
		return powerOn, nil
	}
	return powerOff, nil
}
