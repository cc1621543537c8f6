//go:build linux

package vmlab

import (
	"context"
	"time"
)

// lieScenario: the owner stands still for a moment, and its fence device says that it
// is off, which is not so.
func lieScenario(ctx context.Context, s *Stage) error {
	p, err := s.begin(ctx, sharedGroup)
	if err != nil {
		return err
	}
	s.title("the fence device of n1 says off, after a while, and does nothing; n1 stands still until it is asked")
	if err := s.SetBMC("n1", BMC{Lies: true, Slow: 8 * time.Second}); err != nil {
		return err
	}
	if err := p.mark(ctx); err != nil {
		return err
	}
	mark := s.Mark()
	if err := s.Freeze("n1", true); err != nil {
		return err
	}
	if err := s.event(ctx, mark, "n1", "fence-off"); err != nil {
		return err
	}
	if err := s.Freeze("n1", false); err != nil {
		return err
	}
	if err := s.await(ctx, claim{"n2 hears n1, and its fence has failed", "n2", "understudy history data | grep 'fence n1 FAILED'", "FAILED"}); err != nil {
		return err
	}
	if err := p.hold(ctx, 30*time.Second, "n2"); err != nil {
		return err
	}
	if err := p.unchanged(ctx, "n1", 1); err != nil {
		return err
	}
	s.ok("the client had no answer for %.1f s: as long as n1 stood still", p.outage().Seconds())
	return p.finish(ctx, "n1")
}
