//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"understudy/cmd/internal/api"
)

// faultKind is one kind of fault.
type faultKind struct {
	name        string
	weight      int
	least, most time.Duration // how long it holds
	witness     bool          // it may hit the witness
	holder      bool          // it hits only who holds the group
	// strike carries it out and returns its end, nil if there is none, and how it is
	// called. An error says that it could not be carried out, mostly because another
	// fault was faster.
	strike func(ctx context.Context, s *stint, f plannedFault) (undo func(context.Context) error, what string, err error)
}

// faultKinds are the faults of a chaos run. A fence that lies is none of them: that
// the device tells the truth is assumed (docs/safety.md). Nor is a jump of a host's
// clock: the hosts of a lab share the kernel's clocks.
var faultKinds = []faultKind{
	{name: "power cut", weight: 10, least: time.Second, most: 15 * time.Second, witness: true, strike: powerCut},
	{name: "power cut of all", weight: 1, least: 500 * time.Millisecond, most: 5 * time.Second, strike: powerCutOfAll},
	{name: "host frozen", weight: 8, least: 300 * time.Millisecond, most: 18 * time.Second, witness: true, strike: frozen},
	{name: "understudy killed", weight: 8, most: 6 * time.Second, witness: true, strike: serviceKilled},
	{name: "understudy stopped by a signal", weight: 6, least: 300 * time.Millisecond, most: 15 * time.Second, witness: true, strike: serviceStopped},
	{name: "service ended in order", weight: 4, most: 6 * time.Second, strike: serviceEnded},
	{name: "service left", weight: 3, most: 4 * time.Second, strike: serviceLeft},
	{name: "application killed", weight: 5, holder: true, strike: applicationKilled},
	{name: "isolated", weight: 6, least: 500 * time.Millisecond, most: 18 * time.Second, witness: true, strike: cutOff(true)},
	{name: "network cut", weight: 6, least: 300 * time.Millisecond, most: 18 * time.Second, witness: true, strike: cutOff(false)},
	{name: "cable pulled", weight: 6, least: 300 * time.Millisecond, most: 15 * time.Second, strike: cablePulled},
	{name: "one direction lost", weight: 6, least: 500 * time.Millisecond, most: 18 * time.Second, witness: true, strike: oneDirection},
	{name: "one wire lost", weight: 6, least: 500 * time.Millisecond, most: 18 * time.Second, witness: true, strike: oneWire},
	{name: "frames lost", weight: 5, least: time.Second, most: 15 * time.Second, witness: true, strike: framesLost},
	{name: "fence fails", weight: 4, least: 4 * time.Second, most: 18 * time.Second, strike: badFence(PowerFail)},
	{name: "fence hangs", weight: 3, least: 4 * time.Second, most: 18 * time.Second, strike: badFence(PowerHang)},
	{name: "fence is slow", weight: 3, least: 4 * time.Second, most: 18 * time.Second, strike: badFence(PowerSlow + "3s")},
	{name: "confirmed down", weight: 3, least: time.Second, most: 8 * time.Second, holder: true, strike: confirmedDown},
	{name: "storage hangs", weight: 6, least: 300 * time.Millisecond, most: 15 * time.Second, holder: true, strike: storageHangs},
	{name: "own disk hangs", weight: 3, least: 300 * time.Millisecond, most: 15 * time.Second, witness: true, strike: ownDiskHangs},
	{name: "own disk full", weight: 3, least: time.Second, most: 15 * time.Second, witness: true, strike: ownDiskFull},
	{name: "device gone", weight: 3, least: time.Second, most: 12 * time.Second, holder: true, strike: deviceGone},
	{name: "unmounted by hand", weight: 4, holder: true, strike: unmounted},
	{name: "address removed", weight: 4, holder: true, strike: addressRemoved},
	{name: "moved", weight: 8, strike: moved},
	{name: "drained", weight: 4, least: time.Second, most: 12 * time.Second, strike: ordered("drain")},
	{name: "group frozen", weight: 4, least: time.Second, most: 12 * time.Second, strike: ordered("freeze")},
	{name: "cleared", weight: 2, strike: cleared},
}

type undoing = func(context.Context) error

func powerCut(ctx context.Context, s *stint, f plannedFault) (undoing, string, error) {
	return func(ctx context.Context) error { return s.l.Start(ctx, f.host) }, "", s.l.Crash(ctx, f.host)
}

func powerCutOfAll(ctx context.Context, s *stint, f plannedFault) (undoing, string, error) {
	f.host = "all"
	return func(ctx context.Context) error { return s.each(func(h string) error { return s.l.Start(ctx, h) }) },
		"power cut of all nodes", s.each(func(h string) error { return s.l.Crash(ctx, h) })
}

func frozen(ctx context.Context, s *stint, f plannedFault) (undoing, string, error) {
	return func(ctx context.Context) error { return s.l.Thaw(ctx, f.host) }, "", s.l.Freeze(ctx, f.host)
}

func serviceKilled(ctx context.Context, s *stint, f plannedFault) (undoing, string, error) {
	return func(ctx context.Context) error { return s.l.StartService(ctx, f.host) }, "",
		s.l.SignalService(ctx, f.host, syscall.SIGKILL)
}

func serviceStopped(ctx context.Context, s *stint, f plannedFault) (undoing, string, error) {
	return func(ctx context.Context) error { return s.l.SignalService(ctx, f.host, syscall.SIGCONT) }, "understudy gets SIGSTOP",
		s.l.SignalService(ctx, f.host, syscall.SIGSTOP)
}

func serviceEnded(ctx context.Context, s *stint, f plannedFault) (undoing, string, error) {
	return func(ctx context.Context) error {
		if _, err := s.l.WaitEnd(ctx, f.host, serviceName); err != nil {
			return err
		}
		return s.l.StartService(ctx, f.host)
	}, "understudy gets SIGTERM", s.l.SignalService(ctx, f.host, syscall.SIGTERM)
}

func serviceLeft(ctx context.Context, s *stint, f plannedFault) (undoing, string, error) {
	return func(ctx context.Context) error {
		if _, err := s.l.WaitEnd(ctx, f.host, serviceName); err != nil {
			return err
		}
		return s.l.StartService(ctx, f.host)
	}, "understudy gets SIGQUIT", s.l.SignalService(ctx, f.host, syscall.SIGQUIT)
}

func applicationKilled(ctx context.Context, s *stint, f plannedFault) (undoing, string, error) {
	return nil, "the application of " + f.group.name + " is killed",
		s.inside(ctx, f.host, "pkill", "-KILL", "-f", "lab-log --name "+f.group.name)
}

func cutOff(all bool) func(context.Context, *stint, plannedFault) (undoing, string, error) {
	return func(ctx context.Context, s *stint, f plannedFault) (undoing, string, error) {
		on, what := f.nets(), "is cut off"
		if all || len(on) == 0 {
			on = nil
		} else {
			what = "is cut off " + on[0]
		}
		return func(ctx context.Context) error { return s.l.Heal(ctx, f.host, on...) }, what, s.l.Cut(ctx, f.host, on...)
	}
}

func cablePulled(ctx context.Context, s *stint, f plannedFault) (undoing, string, error) {
	on, what := f.nets(), "all cables pulled"
	if len(on) > 0 {
		what = "cable of " + on[0] + " pulled"
	}
	return func(ctx context.Context) error { return s.l.LinkUp(ctx, f.host, on...) }, what, s.l.LinkDown(ctx, f.host, on...)
}

func (f plannedFault) nets() []string {
	if f.network == "" {
		return nil
	}
	return []string{f.network}
}

func oneDirection(ctx context.Context, s *stint, f plannedFault) (undoing, string, error) {
	one := Filter{Network: f.network, From: f.host, Percent: 100}
	if f.n%2 == 0 {
		one.From, one.To = "", f.host
	}
	return s.filter(ctx, one)
}

func oneWire(ctx context.Context, s *stint, f plannedFault) (undoing, string, error) {
	both := []Filter{{Network: f.network, From: f.host, To: f.other, Percent: 100}, {Network: f.network, From: f.other, To: f.host, Percent: 100}}
	return s.filter(ctx, both[:1+f.n%2]...)
}

func framesLost(ctx context.Context, s *stint, f plannedFault) (undoing, string, error) {
	percent := 5 + f.n*6/10
	return s.filter(ctx, Filter{Network: f.network, From: f.host, Percent: percent}, Filter{Network: f.network, To: f.host, Percent: percent})
}

// filter adds faults of the switch to those that are there.
func (s *stint) filter(ctx context.Context, add ...Filter) (undoing, string, error) {
	change := func(ctx context.Context, do func()) error {
		s.mu.Lock()
		do()
		var all []Filter
		for _, f := range s.filters {
			all = append(all, f)
		}
		s.mu.Unlock()
		return s.l.Filters(ctx, all...)
	}
	var ids []int
	what := "lost: "
	err := change(ctx, func() {
		for i, f := range add {
			s.nextID++
			s.filters[s.nextID] = f
			ids = append(ids, s.nextID)
			if i > 0 {
				what += "; "
			}
			what += f.String()
		}
	})
	return func(ctx context.Context) error {
		return change(ctx, func() {
			for _, id := range ids {
				delete(s.filters, id)
			}
		})
	}, what, err
}

// badFence has the power controller fail a host just when it would be needed.
func badFence(mode string) func(context.Context, *stint, plannedFault) (undoing, string, error) {
	return func(ctx context.Context, s *stint, f plannedFault) (undoing, string, error) {
		undo := func(ctx context.Context) error { return s.l.SetPower(ctx, f.host, PowerOK) }
		if err := s.l.SetPower(ctx, f.host, mode); err != nil {
			return undo, "", err
		}
		then := []struct {
			what string
			do   func(context.Context, string) error
			back func(context.Context, string) error
		}{
			{"power cut", s.l.Crash, s.l.Start},
			{"frozen", s.l.Freeze, s.l.Thaw},
			{"is cut off", func(ctx context.Context, h string) error { return s.l.Cut(ctx, h) }, func(ctx context.Context, h string) error { return s.l.Heal(ctx, h) }},
			{"nothing else", func(context.Context, string) error { return nil }, func(context.Context, string) error { return nil }},
		}[f.n%4]
		err := then.do(ctx, f.host)
		return func(ctx context.Context) error {
			if f.n%8 < 4 { // the controller comes back first, or last
				return errors.Join(undo(ctx), then.back(ctx, f.host))
			}
			return errors.Join(then.back(ctx, f.host), undo(ctx))
		}, fmt.Sprintf("power controller: %s; then: %s", mode, then.what), err
	}
}

// confirmedDown is the operator's word, and it is true: the host has no power, and
// nobody gives it any before the word is given up.
func confirmedDown(ctx context.Context, s *stint, f plannedFault) (undoing, string, error) {
	undo := func(ctx context.Context) error {
		return errors.Join(s.l.SetPower(ctx, f.host, PowerOK), s.l.Start(ctx, f.host))
	}
	if err := errors.Join(s.l.SetPower(ctx, f.host, PowerFail), s.l.Crash(ctx, f.host)); err != nil {
		return undo, "", err
	}
	if err := pauseFor(ctx, time.Duration(f.n)*60*time.Millisecond); err != nil {
		return undo, "", err
	}
	st, err := s.l.Host(ctx, f.host)
	if err == nil && st.On {
		err = errors.New("it has been switched on again")
	}
	if err == nil {
		c, e := s.client(ctx, f.other)
		if err = e; err == nil {
			word, cancel := within(ctx, 15*time.Second)
			defer cancel()
			err = c.Confirm(word, api.ConfirmRequest{Node: f.host, By: "chaos", Reason: "it has no power"})
		}
	}
	return undo, fmt.Sprintf("power cut, fence fails, confirmed down on %s", f.other), err
}
