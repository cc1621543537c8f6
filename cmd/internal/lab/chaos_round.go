//go:build linux

package lab

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"
)

// plannedFault is one fault of the schedule: all that the seed decides.
type plannedFault struct {
	at, hold time.Duration // after the round's beginning, and until it is undone
	kind     *faultKind
	host     string // that it hits; "" for the one that holds the group
	other    string // another machine
	group    chaosGroup
	network  string // "" for all
	n        int    // from 0 to 99, for what else a kind has to choose
}

// planRound draws the faults of a round, in the order of their beginnings.
func planRound(dice *rand.Rand, s *stint) []plannedFault {
	total := 0
	for _, k := range faultKinds {
		total += k.weight
	}
	count := []int{1, 1, 2, 2, 2, 3, 3, 4, 5}[dice.IntN(9)]
	machines := slices.Clone(s.nodes)
	if s.witnessed() {
		machines = append(machines, Witness)
	}
	var all []plannedFault
	for range count {
		f := plannedFault{n: dice.IntN(100), group: s.groups[dice.IntN(len(s.groups))]}
		at := dice.IntN(total)
		for i := range faultKinds {
			if at -= faultKinds[i].weight; at < 0 {
				f.kind = &faultKinds[i]
				break
			}
		}
		f.at = time.Duration(dice.Int64N(int64(5 * time.Second)))
		f.hold = f.kind.least
		if d := f.kind.most - f.kind.least; d > 0 {
			f.hold += time.Duration(dice.Int64N(int64(d)))
		}
		from := s.nodes
		if f.kind.witness {
			from = machines
		}
		host := from[dice.IntN(len(from))]
		if dice.IntN(5) < 2 && !f.kind.holder { // the others hit who holds the group
			f.host = host
		}
		f.other = machines[dice.IntN(len(machines))]
		if n := dice.IntN(len(networks) + 1); n < len(networks) {
			f.network = networks[n]
		}
		all = append(all, f)
	}
	slices.SortStableFunc(all, func(a, b plannedFault) int { return int(a.at - b.at) })
	return all
}

// round carries out one round and returns when all of its faults are over.
func (s *stint) round(ctx context.Context, dice *rand.Rand) error {
	plan := planRound(dice, s)
	s.mu.Lock()
	s.calm = false
	s.mu.Unlock()
	var wg sync.WaitGroup
	for _, f := range plan {
		wg.Go(func() {
			if pauseFor(ctx, f.at) != nil {
				return
			}
			s.strike(ctx, f)
		})
	}
	wg.Wait()
	return nil
}

// strike carries out one fault, waits, and undoes it.
func (s *stint) strike(ctx context.Context, f plannedFault) {
	if f.host == "" {
		if f.host = s.holder(f.group.name); f.host == "" {
			f.host = s.nodes[0]
		}
	}
	if f.other == f.host {
		f.other = s.nodes[0]
		if f.other == f.host {
			f.other = s.nodes[1]
		}
	}
	limit, cancel := within(ctx, strikeLimit)
	defer cancel()
	undo, what, err := f.kind.strike(limit, s, f)
	if what == "" {
		what = f.kind.name
	}
	s.r.mu.Lock()
	if err != nil {
		s.r.missed[f.kind.name]++
	} else {
		s.r.faults[f.kind.name]++
	}
	s.r.mu.Unlock()
	if err != nil {
		if ctx.Err() == nil {
			first, _, _ := strings.Cut(err.Error(), "\n")
			s.note(f.host, "missed: %s: %s", what, first)
		}
	} else if f.hold > 0 {
		s.note(f.host, "%s, for %.1f s", what, f.hold.Seconds())
	} else {
		s.note(f.host, "%s", what)
	}
	if undo == nil {
		return
	}
	pauseFor(ctx, f.hold)
	limit, stop := within(context.WithoutCancel(ctx), strikeLimit)
	defer stop()
	if err := undo(limit); err != nil { // the end of the round heals what is left
		s.mu.Lock()
		s.notes = append(s.notes, Event{At: time.Now(), Mono: time.Duration(monotonic()), Host: f.host, What: fmt.Sprintf("not undone yet: %s: %v", what, err)})
		s.mu.Unlock()
	}
}

// strikeLimit is for one fault, or its end.
const strikeLimit = 2 * time.Minute

func pauseFor(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}
