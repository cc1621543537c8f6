//go:build linux

package vmlab

import (
	"context"
	"fmt"
	"time"
)

// linksOf prints what a node hears of another on each network.
func linksOf(node string) string {
	return fmt.Sprintf(`understudy status --json | tr -d ' \n' | grep -o '"name":"%s","state".*' | grep -o '"network":[^}]*' | head -n 2`, node)
}

// linkScenario: while one thing is cut nothing changes; a network of the owner that
// carries the service is a reason to move; an owner that is alone is switched off.
func linkScenario(ctx context.Context, s *Stage) error {
	p, err := s.begin(ctx, sharedGroup)
	if err != nil {
		return err
	}
	const public, storage = 0, 1
	for _, c := range []struct {
		title string
		cuts  [][2]string // from, to
		nets  []int
		seen  claim
	}{
		{"between n1 and n2, the network storage is cut", [][2]string{{"n1", "n2"}, {"n2", "n1"}}, []int{storage},
			claim{"n2 says which of the two networks is silent", "n2", linksOf("n1"), `"network":"storage","heard":false`}},
		{"between n1 and n2, the network public is cut", [][2]string{{"n1", "n2"}, {"n2", "n1"}}, []int{public},
			claim{"n2 says which of the two networks is silent", "n2", linksOf("n1"), `"network":"public","heard":false`}},
		{"one direction is cut: n2 hears nothing of n1, and n1 hears n2", [][2]string{{"n1", "n2"}}, []int{public, storage},
			claim{"n1 says that n2 does not hear it", "n1", status + " | grep '^n2'", "does not hear us"}},
		{"all wires between n1 and n2 are cut; both hear the witness", [][2]string{{"n1", "n2"}, {"n2", "n1"}}, []int{public, storage},
			claim{"n2 knows from the witness that n1 lives", "n2", status + " | grep '^n1'", "distant"}},
	} {
		s.title("%s", c.title)
		if err := p.mark(ctx); err != nil {
			return err
		}
		set := func(fault Fault) error {
			for _, ends := range c.cuts {
				for _, n := range c.nets {
					if err := s.Wire(ends[0], ends[1], n, fault); err != nil {
						return err
					}
				}
			}
			return nil
		}
		if err := set(Fault{Cut: true}); err != nil {
			return err
		}
		if err := s.await(ctx, c.seen); err != nil {
			return err
		}
		if err := p.hold(ctx, 20*time.Second, "n2"); err != nil {
			return err
		}
		if err := p.unchanged(ctx, "n1", 1); err != nil {
			return err
		}
		if err := set(Fault{}); err != nil {
			return err
		}
		if err := s.await(ctx, claim{"mended, n2 hears n1 on both networks", "n2", linksOf("n1") + ` | grep -c '"heard":true,.*"hears_us":true'`, "2"}); err != nil {
			return err
		}
	}

	s.title("the cable of n1's network storage is pulled")
	if err := s.Carrier("n1", storage, false); err != nil {
		return err
	}
	if err := s.await(ctx, claim{"the kernel of n1 has seen it", "n1", "cat /sys/class/net/eth1/carrier", "0"}); err != nil {
		return err
	}
	if err := p.hold(ctx, 20*time.Second, "n2"); err != nil {
		return err
	}
	if err := p.unchanged(ctx, "n1", 1); err != nil {
		return err
	}
	if err := s.Carrier("n1", storage, true); err != nil {
		return err
	}
	if err := p.standsBy(ctx, "n2"); err != nil {
		return err
	}

	s.title("the cable of n1's network public is pulled, which carries the service: the group moves, and is let go in order")
	if err := p.mark(ctx); err != nil {
		return err
	}
	if err := s.Carrier("n1", public, false); err != nil {
		return err
	}
	if err := p.tookOver(ctx, "n2", "clean release"); err != nil {
		return err
	}
	if err := s.Carrier("n1", public, true); err != nil {
		return err
	}
	if err := p.standsBy(ctx, "n1"); err != nil {
		return err
	}

	s.title("all wires of n2, the owner, are cut: it is alone")
	if err := p.mark(ctx); err != nil {
		return err
	}
	mark := s.Mark()
	if err := s.isolate("n2", true); err != nil {
		return err
	}
	if err := s.event(ctx, mark, "n2", "power-off"); err != nil {
		return err
	}
	if err := p.tookOver(ctx, "n1", "fence"); err != nil {
		return err
	}
	return p.finish(ctx, "n1", "n2", "n1")
}

// unchanged proves that a node serves as before: nobody has claimed since.
func (p *play) unchanged(ctx context.Context, node string, epoch int) error {
	if err := p.serves(ctx, node); err != nil {
		return err
	}
	return p.prove(ctx, claim{"nothing has changed", node, "understudy why data | head -1", fmt.Sprintf("data is on %s since", node)},
		claim{"nobody has claimed", node, "understudy why data | head -1", fmt.Sprintf("epoch %d,", epoch)})
}
