//go:build linux

package lab

import (
	"context"
	"fmt"
	"time"
)

// A case is one fault and the way back to two good nodes.
type stageCase struct {
	name, title string
	// strike begins it and returns the mark that the outage is counted from.
	strike func(ctx context.Context, s *stage, owner string) error
	moves  bool // the group is served by the other node afterwards
	mend   func(ctx context.Context, s *stage, owner string) error
}

var stageCases = []stageCase{
	{"crash", "power cut of the owner", func(ctx context.Context, s *stage, owner string) error {
		return s.Crash(ctx, owner)
	}, true, func(ctx context.Context, s *stage, owner string) error { return s.Start(ctx, owner) }},

	{"move", "planned move", func(ctx context.Context, s *stage, owner string) error {
		return s.roles.Move(ctx, s.other(owner))
	}, true, nil},

	{"appkill", "application killed", func(ctx context.Context, s *stage, owner string) error {
		return s.must(ctx, owner, "pkill", "-KILL", "-f", "lab-app")
	}, false, nil},

	{"ipdel", "service address removed by hand", func(ctx context.Context, s *stage, owner string) error {
		return s.must(ctx, owner, "ip", "address", "del", ServiceAddress.String(), "dev", PublicNet)
	}, false, nil},

	{"linkdown", "public cable of the owner pulled", func(ctx context.Context, s *stage, owner string) error {
		return s.LinkDown(ctx, owner, PublicNet)
	}, true, func(ctx context.Context, s *stage, owner string) error { return s.LinkUp(ctx, owner) }},

	{"partition", "owner cut off from both networks", func(ctx context.Context, s *stage, owner string) error {
		return s.Cut(ctx, owner)
	}, true, func(ctx context.Context, s *stage, owner string) error {
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
