//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"
)

// HostState is what the supervisor knows of a host.
type HostState struct {
	Name   string          `json:"name"`
	On     bool            `json:"on"`
	Frozen bool            `json:"frozen"`
	BootID string          `json:"boot_id"` // of its latest boot
	PID    int             `json:"pid"`     // of its process 1, as the machine counts
	Loops  []int           `json:"loops"`
	Cut    map[string]bool `json:"cut"`    // networks whose port is out of its bridge
	Pulled map[string]bool `json:"pulled"` // networks whose cable is pulled
	Power  string          `json:"power"`  // mode of its power port
}

func (h *host) state() HostState {
	h.op.Lock()
	defer h.op.Unlock()
	h.mu.Lock()
	defer h.mu.Unlock()
	st := HostState{Name: h.Name, On: h.on, Frozen: h.frozen, BootID: h.bootID, PID: h.pid,
		Cut: clone(h.cut), Pulled: clone(h.pulled), Power: h.power.mode()}
	for _, l := range h.loops {
		st.Loops = append(st.Loops, l.number)
	}
	return st
}

func clone(m map[string]bool) map[string]bool {
	c := make(map[string]bool, len(m))
	for k, v := range m {
		if v {
			c[k] = true
		}
	}
	return c
}

// handle carries out one command of `understudy lab` or of a test.
func (s *supervisor) handle(ctx context.Context, req request, _ []*os.File) (any, error) {
	switch req.Op {
	case "ping":
		return nil, nil
	case "down":
		s.end()
		<-ctx.Done() // answered by this process's end
		return nil, errSilent
	case "enable":
		s.enabled.Store(true)
		return nil, nil
	case "hosts":
		var all []HostState
		for _, h := range s.hosts {
			all = append(all, h.state())
		}
		return all, nil
	case "violations":
		return append(s.watch.violations(), s.cast.violations()...), nil
	case "events":
		s.events.mu.Lock()
		defer s.events.mu.Unlock()
		return slices.Clone(s.events.all), nil
	}
	if req.Op == "filter" {
		return nil, s.filters.set(ctx, req.Filters, &s.events)
	}
	h, err := s.host(req.Host)
	if err != nil {
		return nil, err
	}
	// A power cut that has begun is finished, also when the caller hangs up.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), max(bootLimit, crashLimit))
	defer cancel()
	switch req.Op {
	case "crash":
		return nil, h.crash(ctx, "asked for")
	case "start":
		return nil, h.start(ctx)
	case "freeze", "thaw":
		return nil, h.setFrozen(ctx, req.Op == "freeze")
	case "cut", "heal", "link-down", "link-up":
		return nil, h.fault(req.Op, req.Networks)
	case "hang":
		return nil, h.hang(req.Name)
	case "unhang":
		return nil, h.unhang(false)
	case "unplug", "plug":
		return nil, h.reach(req.Signal, req.Op == "plug")
	case "power":
		return nil, h.power.set(req.Mode)
	}
	return nil, fmt.Errorf("cannot do %q in a lab", req.Op)
}

func (s *supervisor) host(name string) (*host, error) {
	for _, h := range s.hosts {
		if h.Name == name {
			return h, nil
		}
	}
	return nil, fmt.Errorf("cannot find host %q in lab %s", name, s.Name)
}

// fault changes the host's side of the switch on some networks, none meaning
// all. It holds over boots until it is healed.
func (h *host) fault(op string, on []string) error {
	h.op.Lock()
	defer h.op.Unlock()
	if len(on) == 0 {
		for _, n := range adapters {
			if _, ok := h.Addresses[n]; ok {
				on = append(on, n)
			}
		}
	}
	var errs []error
	for _, n := range on {
		if _, ok := h.Addresses[n]; !ok {
			errs = append(errs, fmt.Errorf("cannot %s %s: %s is not on that network", op, n, h.Name))
			continue
		}
		var err error
		bad := op == "cut" || op == "link-down"
		if op == "cut" || op == "heal" {
			h.cut[n] = bad
			if h.on {
				err = setAttached(h.Name, n, !bad)
			}
		} else {
			h.pulled[n] = bad
			if h.on {
				err = setLink(h.Name, n, !bad)
			}
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("cannot %s %s of %s: %w", op, n, h.Name, err))
		}
		h.s.events.add(h.Name, "%s %s", op, n)
	}
	return errors.Join(errs...)
}

// within is a context for one step of a lab.
func within(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, d)
}
