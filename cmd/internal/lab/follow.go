//go:build linux

package lab

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"understudy/cmd/internal/api"
	"understudy/reconcile"
	"understudy/reconcile/journal"
)

// follower tells what the nodes write into their records, in the order of the
// times there: what they saw, which role they took and why, which steps they did.
type follower struct {
	d     *demo
	s     *stage
	since time.Time         // wall clock of the phase's mark, as the records count
	done  map[string]uint64 // number of the last record told, by node
	why   map[string]string // and its reason
	last  time.Time         // when something was told
	stop  func()
	wait  sync.WaitGroup
}

// A batch of records is told every pause: long enough that the nodes' records can
// be put in order, short enough to be seen as it happens.
const pause = 200 * time.Millisecond

// follow tells until [follower.end]. It must run while the phase does.
func follow(ctx context.Context, d *demo, s *stage) *follower {
	now := time.Now()
	ctx, stop := context.WithCancel(ctx)
	f := &follower{d: d, s: s, stop: stop, last: now, done: make(map[string]uint64), why: make(map[string]string),
		since: now.Add(d.mark - time.Duration(monotonic()))}
	f.wait.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-time.After(pause):
				f.look(ctx)
			}
		}
	})
	return f
}

// end tells what is there and nothing more.
func (f *follower) end() {
	f.stop()
	f.wait.Wait()
	ctx, cancel := within(context.Background(), time.Second)
	defer cancel()
	f.look(ctx)
}

func (f *follower) look(ctx context.Context) {
	found := make([][]journal.Record, len(f.s.nodes))
	var wg sync.WaitGroup
	for i, host := range f.s.nodes {
		wg.Go(func() {
			// A host that is off, or whose service is not up yet, has nothing to say.
			found[i], _ = f.s.roles.History(ctx, host, f.since)
		})
	}
	wg.Wait()
	all := slices.Concat(found...)
	slices.SortStableFunc(all, func(a, b journal.Record) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Node, b.Node)) })
	for _, r := range all {
		if r.Seq <= f.done[r.Node] {
			continue
		}
		f.done[r.Node] = r.Seq
		f.d.tell(f.d.mark+r.At.Sub(f.since), r.Node, told(r, f.why[r.Node]))
		f.why[r.Node], f.last = r.Why, time.Now()
	}
	if quiet := 5 * time.Second; time.Since(f.last) > quiet {
		f.d.tell(time.Duration(monotonic()), "", "still waiting; "+f.s.last())
		f.last = time.Now()
	}
}

// told is a record in one sentence. The reason why is not said twice.
func told(r journal.Record, before string) string {
	because := ": " + r.Why
	if r.Why == before {
		because = ""
	}
	switch {
	case r.FromRole != "" && r.FromRole != r.Role:
		return fmt.Sprintf("%s → %s%s", r.FromRole, r.Role, because)
	case r.Kind == journal.Seen:
		return r.Why
	case r.Kind == journal.Decided:
		if r.Of == 1 {
			return "plan of 1 step" + because
		}
		return fmt.Sprintf("plan of %d steps%s", r.Of, because)
	case r.Kind == journal.Done:
		return fmt.Sprintf("step %d/%d %s, %s", r.N, r.Of, r.Step, reconcile.Human(r.Took))
	case r.Kind == journal.Failed:
		return fmt.Sprintf("step %d/%d %s FAILED after %s: %s", r.N, r.Of, r.Step, reconcile.Human(r.Took), r.Err)
	}
	return r.Why + " " + r.Err
}

func (s *services) History(ctx context.Context, host string, since time.Time) ([]journal.Record, error) {
	ctx, cancel := within(ctx, time.Second)
	defer cancel()
	c, err := s.client(ctx, host, true) // another boot has another process 1
	if err != nil {
		return nil, err
	}
	return c.History(ctx, api.Filter{Since: since})
}
