//go:build linux

package vmlab

import (
	"context"
	"errors"
	"fmt"
	"time"

	"understudy/cmd/internal/vmlab/wire"
)

// BMC is how a guest's power controller behaves towards the fence agent. The zero
// value: well.
type BMC struct {
	Silent bool // it cannot be reached
	Fails  bool // it answers with an error
	Lies   bool // it says that it is done, and that the guest is off
	Slow   time.Duration
}

// controller is the power controller as the fence agent of a guest reaches it.
// answer is false if it is silent: the asker must see a silence, not an error.
func (l *Lab) controller(name, action, from string) (r wire.Result, answer bool) {
	if action == "list" {
		out := ""
		for _, n := range l.nodes {
			out += n.name + ",\n"
		}
		return wire.Result{Out: out}, true
	}
	n, err := l.node(name)
	if err != nil {
		return wire.Fail(1, "%v", err), true
	}
	n.agentMu.Lock()
	bmc := n.bmc
	n.agentMu.Unlock()
	l.event(name, "fence-"+action, "asked by "+from)
	time.Sleep(bmc.Slow)
	switch {
	case bmc.Silent:
		return wire.Result{}, false
	case bmc.Fails:
		return wire.Fail(1, "the power controller cannot do it"), true
	case bmc.Lies && action != "status":
		return wire.Result{}, true
	case bmc.Lies:
		return wire.Result{Code: 2, Out: "off"}, true
	case action == "status" && n.running():
		return wire.Result{Out: "on"}, true
	case action == "status":
		return wire.Result{Code: 2, Out: "off"}, true
	}
	if err := l.Power(name, action); err != nil {
		return wire.Fail(1, "%v", err), true
	}
	return wire.Result{}, true
}

// SetBMC changes how a guest's power controller behaves.
func (l *Lab) SetBMC(name string, bmc BMC) error {
	n, err := l.node(name)
	if err != nil {
		return err
	}
	n.agentMu.Lock()
	defer n.agentMu.Unlock()
	n.bmc = bmc
	return nil
}

// Power switches a guest: off is a power cut, with all that its memory held; reset
// is the button. After off, nothing of the guest can reach a disk any more.
func (l *Lab) Power(name, action string) error {
	n, err := l.node(name)
	if err != nil {
		return err
	}
	switch action {
	case "off":
		n.cut()
		return nil
	case "on":
		return n.start()
	case "reboot":
		n.cut()
		return n.start()
	case "reset":
		return n.command("system_reset", nil)
	}
	return fmt.Errorf("cannot do %q to the power of %s: off, on, reboot and reset are known", action, name)
}

// Panic makes a guest's kernel panic (sysrq-trigger c).
func (l *Lab) Panic(ctx context.Context, name string) error {
	_, err := l.Start(ctx, name, "sleep 0.3; echo c >/proc/sysrq-trigger")
	return err
}

// Pause stops a guest together with its clocks and watchdogs: it cannot notice.
func (l *Lab) Pause(name string) error { return l.monitor(name, "stop", nil) }

// Resume ends a pause.
func (l *Lab) Resume(name string) error { return l.monitor(name, "cont", nil) }

// Freeze stops a guest from outside: at the thaw its clocks jump, and watchdogs that
// have run out meanwhile fire.
func (l *Lab) Freeze(name string, on bool) error {
	n, err := l.node(name)
	if err != nil {
		return err
	}
	return n.freeze(on)
}

// Carrier plugs and unplugs a guest's card of a network, 0 or 1.
func (l *Lab) Carrier(name string, network int, up bool) error {
	return l.monitor(name, "set_link", map[string]any{"name": fmt.Sprintf("nic%d", network), "up": up})
}

// Wire sets what happens to frames from one guest to another on a network, 0 or 1.
// The carrier stays up.
func (l *Lab) Wire(from, to string, network int, fault Fault) error {
	_, err1 := l.node(from)
	_, err2 := l.node(to)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	l.fabrics[network].set(from, to, fault)
	return nil
}

// HangDisks makes a guest's shared disks stop answering, or answer again.
func (l *Lab) HangDisks(name string, on bool) error {
	bytes := 0 // a second; zero: no limit
	if on {
		bytes = 1
	}
	for i := range l.opts.Disks {
		if err := l.monitor(name, "block_set_io_throttle", map[string]any{
			"device": fmt.Sprintf("shared%d", i), "bps": bytes, "bps_rd": 0, "bps_wr": 0, "iops": 0, "iops_rd": 0, "iops_wr": 0,
		}); err != nil {
			return err
		}
	}
	return nil
}

func (l *Lab) monitor(name, command string, arguments any) error {
	n, err := l.node(name)
	if err != nil {
		return err
	}
	if err := n.command(command, arguments); err != nil {
		return fmt.Errorf("cannot %s %s: %w", command, name, err)
	}
	return nil
}
