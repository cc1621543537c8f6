//go:build linux

package vmlab

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// pauseScenario: a machine that stands still is switched off before anybody takes over;
// where it cannot be switched off, nobody does, and it wakes without harm: once with
// clocks that have jumped, once with clocks that have stood still.
func pauseScenario(ctx context.Context, s *Stage) error {
	p, err := s.begin(ctx, sharedGroup)
	if err != nil {
		return err
	}
	s.title("n1, the owner, is paused together with its clocks; its fence works")
	if err := p.mark(ctx); err != nil {
		return err
	}
	mark := s.Mark()
	if err := s.Pause("n1"); err != nil {
		return err
	}
	if err := s.event(ctx, mark, "n1", "power-off"); err != nil {
		return err
	}
	s.ok("n1 cannot wake any more: it was switched off")
	if err := p.tookOver(ctx, "n2", "fence"); err != nil {
		return err
	}

	if err := p.backAgain(ctx, "n1"); err != nil {
		return err
	}

	order := []string{"n1", "n2"} // who may write, one after the other
	for _, c := range []struct {
		how        string
		stop, wake func(string) error
	}{
		{"%s, the owner, is frozen past its lease, and no fence can be reached: its clocks will jump",
			func(n string) error { return s.Freeze(n, true) }, func(n string) error { return s.Freeze(n, false) }},
		{"%s, the owner, is paused past its lease together with its clocks, and no fence can be reached: it cannot notice", s.Pause, s.Resume},
	} {
		owner := order[len(order)-1]
		s.title(c.how, owner)
		next, err := p.standstill(ctx, owner, len(order), c.stop, c.wake)
		if err != nil {
			return err
		}
		order = append(order, next)
	}
	return p.finish(ctx, order...)
}

// longest is how long a lease can live on in the store after its last renewal: another
// leader counts it anew (etcd, lease.Promote).
const longest = 2 * ttl

// standstill stops the owner past the end of its lease, wakes it, and proves that the
// other has waited, and that the woken one has noticed and let go before anybody
// claimed. It returns who serves then: either may.
func (p *play) standstill(ctx context.Context, owner string, epoch int, stop, wake func(string) error) (next string, err error) {
	other := map[string]string{"n1": "n2", "n2": "n1"}[owner]
	if err := p.SetBMC(owner, BMC{Silent: true}); err != nil {
		return "", err
	}
	if err := p.mark(ctx); err != nil {
		return "", err
	}
	const lost = `grep -c '"lease lost"' /var/lib/understudy/run.log || true`
	before, err := p.must(ctx, owner, lost)
	if err != nil {
		return "", err
	}
	mark := p.Mark()
	if err := stop(owner); err != nil {
		return "", err
	}
	began := time.Now()
	if err := p.event(ctx, mark, owner, "fence-off"); err != nil {
		return "", err
	}
	if err := p.hold(ctx, longest-time.Since(began), other); err != nil {
		return "", err
	}
	if err := p.prove(ctx, claim{"the claim is " + owner + "'s still", other, "understudy why data 2>&1", fmt.Sprintf("data is on %s since", owner)}); err != nil {
		return "", err
	}
	if err := wake(owner); err != nil {
		return "", err
	}
	p.ok("%s wakes after %.0f s: the store has ended its lease long since", owner, time.Since(began).Seconds())
	if err := p.await(ctx, claim{owner + " has noticed that its lease is lost", owner, "[ $(" + lost + ") -gt " + strings.TrimSpace(before) + " ] && echo lost", "lost"}); err != nil {
		return "", err
	}
	if err := p.SetBMC(owner, BMC{}); err != nil {
		return "", err
	}
	if err := p.await(ctx, claim{"it is claimed anew", other, "understudy why data 2>&1 | head -n 1", fmt.Sprintf("epoch %d,", epoch+1)}); err != nil {
		return "", err
	}
	// By whom, and on which evidence: that it has let go and signed off, or, before it
	// could, that it has let go and claims what was its own.
	line, err := p.must(ctx, other, "understudy why data 2>&1 | head -n 1")
	if err != nil {
		return "", err
	}
	next, evidence := other, "clean release"
	if strings.Contains(line, "data is on "+owner) {
		next = owner
		if out, err := p.must(ctx, other, evidenceOfClaim); err != nil || strings.Contains(out, "own claim") {
			evidence = "own claim"
		}
	}
	return next, p.tookOver(ctx, next, evidence)
}
