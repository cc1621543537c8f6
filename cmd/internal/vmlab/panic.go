//go:build linux

package vmlab

import "context"

// panicScenario: the owner's kernel panics and hangs, as is the default; then one that
// boots again by itself, while no fence can be reached.
func panicScenario(ctx context.Context, s *Stage) error {
	p, err := s.begin(ctx, sharedGroup)
	if err != nil {
		return err
	}
	s.title("the kernel of n1, the owner, panics and hangs (kernel.panic = 0)")
	if err := p.mark(ctx); err != nil {
		return err
	}
	mark := s.Mark()
	if err := s.Panic(ctx, "n1"); err != nil {
		return err
	}
	if err := s.event(ctx, mark, "n1", "power-off"); err != nil {
		return err
	}
	s.ok("n1 hung, and was switched off")
	if err := p.tookOver(ctx, "n2", "fence"); err != nil {
		return err
	}

	if err := p.backAgain(ctx, "n1"); err != nil {
		return err
	}

	s.title("the kernel of n2 panics and boots again (kernel.panic = 1), and its fence cannot be reached")
	if err := s.prove(ctx, claim{"n2 is to boot after a panic", "n2", "sysctl -w kernel.panic=1", "= 1"}); err != nil {
		return err
	}
	if err := s.SetBMC("n2", BMC{Fails: true}); err != nil {
		return err
	}
	if err := p.mark(ctx); err != nil {
		return err
	}
	mark = s.Mark()
	if err := s.Panic(ctx, "n2"); err != nil {
		return err
	}
	if err := s.event(ctx, mark, "n2", "ready"); err != nil {
		return err
	}
	if err := s.prove(ctx,
		claim{"nothing of the group is mounted on n2 after the panic", "n2", mounted, ""},
		claim{"n1 does not take it while nobody knows what became of n2", "n1", "understudy why data | head -1", "data is on n2"},
		claim{"nor has it mounted anything", "n1", mounted, ""},
	); err != nil {
		return err
	}
	if err := p.boot(ctx, "n2"); err != nil {
		return err
	}
	node, err := p.taken(ctx)
	if err != nil {
		return err
	}
	if err := p.tookOver(ctx, node, "other boot id"); err != nil {
		return err
	}
	return p.finish(ctx, "n1", "n2", node)
}
