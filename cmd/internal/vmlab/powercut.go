//go:build linux

package vmlab

import "context"

// powercutScenario: the owner; the node that takes over, in the middle of that; all
// machines at once.
func powercutScenario(ctx context.Context, s *Stage) error {
	p, err := s.begin(ctx, sharedGroup)
	if err != nil {
		return err
	}

	s.title("the power of n1, the owner, is cut")
	if err := p.mark(ctx); err != nil {
		return err
	}
	mark := s.Mark()
	if err := s.Power("n1", "off"); err != nil {
		return err
	}
	if err := s.event(ctx, mark, "n1", "fence-off"); err != nil {
		return err
	}
	if err := p.tookOver(ctx, "n2", "fence"); err != nil {
		return err
	}

	if err := p.backAgain(ctx, "n1"); err != nil {
		return err
	}

	s.title("the power of n2 is cut, and that of n1 while it takes over: as soon as it has mounted")
	if err := p.mark(ctx); err != nil {
		return err
	}
	if err := s.Power("n2", "off"); err != nil {
		return err
	}
	if err := p.until(ctx, "n1 has mounted the file system", func() (bool, error) { return p.watch.has("n1", "mount"), nil }); err != nil {
		return err
	}
	if err := s.Power("n1", "off"); err != nil {
		return err
	}
	s.ok("n1 had claimed and mounted the file system, and has no power any more")
	mark = s.Mark()
	if err := p.switchOn(ctx, "n2"); err != nil {
		return err
	}
	if err := s.event(ctx, mark, "n1", "fence-off"); err != nil {
		return err
	}
	if err := p.tookOver(ctx, "n2", "fence"); err != nil {
		return err
	}

	s.title("all three lose their power at once, and boot at once")
	if err := p.mark(ctx); err != nil {
		return err
	}
	for _, node := range []string{"n3", "n2"} { // n1 is off
		if err := s.Power(node, "off"); err != nil {
			return err
		}
	}
	if err := p.switchOn(ctx, "n1", "n2", "n3"); err != nil {
		return err
	}
	if err := p.client(ctx); err != nil {
		return err
	}
	last, err := p.taken(ctx)
	if err != nil {
		return err
	}
	if err := p.serves(ctx, last); err != nil {
		return err
	}
	if err := s.prove(ctx, claim{"on the evidence of another boot", last, evidenceOfClaim, "other boot id"}); err != nil {
		return err
	}
	return p.finish(ctx, "n1", "n2", "n1", "n2", last)
}
