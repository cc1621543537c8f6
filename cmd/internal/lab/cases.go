//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// A stageCase is one fault and the way back to two good nodes.
type stageCase struct {
	name, title string
	prepare     func(ctx context.Context, s *stage, owner string) error // before the quiet time; nil: nothing
	strike      func(ctx context.Context, s *stage, owner string) error // the fault, or what is asked for
	moves       bool                                                    // the group is served by the other node afterwards
	hosts       func() []Host                                           // nil: the default ones
	mend        func(ctx context.Context, s *stage, owner string) error // nil: there are two good nodes already
}

var stageCases = []stageCase{
	{name: "crash", title: "power cut of the owner", strike: func(ctx context.Context, s *stage, owner string) error {
		return s.Crash(ctx, owner)
	}, moves: true, mend: func(ctx context.Context, s *stage, owner string) error { return s.Start(ctx, owner) }},

	{name: "move", title: "planned move", strike: func(ctx context.Context, s *stage, owner string) error {
		return s.roles.Move(ctx, s.other(owner))
	}, moves: true},

	{name: "appkill", title: "application killed", strike: func(ctx context.Context, s *stage, owner string) error {
		return s.must(ctx, owner, "pkill", "-KILL", "-f", "lab-app")
	}},

	{name: "ipdel", title: "service address removed by hand", strike: func(ctx context.Context, s *stage, owner string) error {
		return s.must(ctx, owner, "ip", "address", "del", ServiceAddress.String(), "dev", PublicNet)
	}},

	{name: "unmount", title: "file system unmounted by hand", strike: func(ctx context.Context, s *stage, owner string) error {
		// A busy one can be detached only. The application goes on writing to what it
		// has open, so the fault is over when the file system is back, not when the
		// client is answered.
		if err := s.must(ctx, owner, "umount", "-l", SharedMount); err != nil {
			return err
		}
		h, err := s.Host(ctx, owner)
		if err != nil {
			return err
		}
		return s.Wait(ctx, SharedMount+" on "+owner, func(context.Context) (bool, error) {
			mounts, err := readMounts(h.PID)
			for _, points := range mounts {
				if slices.Contains(points, SharedMount) {
					return true, nil
				}
			}
			return false, err
		})
	}},

	{name: "linkdown", title: "public cable of the owner pulled", strike: func(ctx context.Context, s *stage, owner string) error {
		return s.LinkDown(ctx, owner, PublicNet)
	}, moves: true, mend: func(ctx context.Context, s *stage, owner string) error { return s.LinkUp(ctx, owner) }},

	{name: "adapter", title: "cable of the adapter pulled that has the service address, another is left", hosts: StandbyHosts,
		strike: func(ctx context.Context, s *stage, owner string) error {
			return s.loseAdapter(ctx, owner, s.LinkDown)
		}, mend: func(ctx context.Context, s *stage, owner string) error { return s.foundAdapter(ctx, owner, s.LinkUp) }},

	{name: "deaf", title: "that adapter cut off with its carrier up", hosts: StandbyHosts,
		strike: func(ctx context.Context, s *stage, owner string) error {
			return s.loseAdapter(ctx, owner, s.Cut)
		}, mend: func(ctx context.Context, s *stage, owner string) error { return s.foundAdapter(ctx, owner, s.Heal) }},

	{name: "partition", title: "owner cut off from both networks", strike: func(ctx context.Context, s *stage, owner string) error {
		return s.Cut(ctx, owner)
	}, moves: true, mend: func(ctx context.Context, s *stage, owner string) error {
		if err := s.Heal(ctx, owner); err != nil {
			return err
		}
		return s.Start(ctx, owner) // it was fenced
	}},
}

func caseNames() []string {
	var names []string
	for _, c := range stageCases {
		names = append(names, c.name)
	}
	return names
}

func caseOf(name string) (stageCase, error) {
	for _, c := range stageCases {
		if c.name == name {
			return c, nil
		}
	}
	return stageCase{}, fmt.Errorf("cannot find case %q — %v", name, caseNames())
}

// loseAdapter does something to the adapter that has the service address.
func (s *stage) loseAdapter(ctx context.Context, owner string, lose func(context.Context, string, ...string) error) error {
	for _, link := range []string{PublicNet, StandbyLink} {
		on, err := s.carries(ctx, owner, link)
		if err != nil {
			return err
		}
		if on {
			s.lost = link
			return lose(ctx, owner, link)
		}
	}
	return fmt.Errorf("cannot find %s on %s", ServiceAddress, owner)
}

// carries reports whether a host's link has the service address.
func (s *stage) carries(ctx context.Context, host, link string) (bool, error) {
	out, errs, code, err := s.Exec(ctx, host, "ip", "-o", "address", "show", "dev", link)
	if err == nil && code != 0 {
		err = fmt.Errorf("cannot read the addresses of %s: exit %d: %s", host, code, errs)
	}
	return strings.Contains(out, ServiceAddress.String()), err
}

// foundAdapter gives the lost adapter back, which has not the service address any more.
func (s *stage) foundAdapter(ctx context.Context, owner string, mend func(context.Context, string, ...string) error) error {
	if on, err := s.carries(ctx, owner, s.lost); err != nil || on {
		return errors.Join(err, fmt.Errorf("%s is still on %s of %s", ServiceAddress, s.lost, owner))
	}
	return mend(ctx, owner)
}

func (s *stage) must(ctx context.Context, host string, argv ...string) error {
	_, errs, code, err := s.Exec(ctx, host, argv...)
	if err == nil && code != 0 {
		err = fmt.Errorf("exit %d: %s", code, errs)
	}
	if err != nil {
		return fmt.Errorf("cannot run %q on %s: %w", argv, host, err)
	}
	return nil
}

// play strikes and waits until the client is answered again and the group is
// served. It returns the outage and the longest gap in the 150 answers before.
func (s *stage) play(ctx context.Context, c stageCase, owner string, began func(time.Duration)) (outage, noise time.Duration, err error) {
	quiet := s.ask.Mark()
	if err := s.ask.Answered(ctx, quiet, 150); err != nil {
		return 0, 0, err
	}
	mark := s.ask.Mark()
	if noise, err = s.ask.Gap(ctx, quiet); err != nil {
		return 0, 0, err
	}
	began(mark)
	if err := c.strike(ctx, s, owner); err != nil {
		return 0, 0, err
	}
	to := owner
	if c.moves {
		to = s.other(owner)
	}
	if _, err := s.serving(ctx, to); err != nil {
		return 0, 0, err
	}
	if err := s.ask.Answered(ctx, s.ask.Mark(), 40); err != nil {
		return 0, 0, err
	}
	outage, err = s.ask.Gap(ctx, mark)
	return outage, noise, err
}
