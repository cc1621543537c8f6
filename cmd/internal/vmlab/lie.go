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
	if err := p.serves(ctx, "n1"); err != nil {
		return err
	}
	// Not that its claim is the first: where machines are so slow that the store has no
	// leader for long, n1 lets go and claims anew.
	if err := s.prove(ctx, claim{"the group is where it was", "n2", "understudy why data | head -1", "data is on n1 since"}); err != nil {
		return err
	}
	s.ok("the client had no answer for %.1f s; n1 stood still until its fence was asked", p.outage().Seconds())
	return p.finish(ctx, "n1")
}
