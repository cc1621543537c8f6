package daemons

import (
	"context"
	"errors"
	"log/slog"
	"sync"

	"understudy/observers/trigger"
	"understudy/reconcile"
)

// Exits fires when a process ends that the last look found. Make one with
// [NewExits].
type Exits struct {
	fire func()
	log  *slog.Logger
	poke trigger.Trigger

	mu   sync.Mutex // guards want
	want map[identity]struct{}
}

type identity struct {
	pid   int
	start uint64
}

// NewExits returns a watch over no process.
func NewExits(fire func(), log *slog.Logger) *Exits {
	return &Exits{fire: fire, log: log, poke: trigger.New()}
}

// Set replaces the processes that are watched. It never blocks.
func (e *Exits) Set(apps []reconcile.AppState) {
	want := make(map[identity]struct{})
	for _, a := range apps {
		for _, d := range a.Daemons {
			for _, p := range d.Processes {
				want[identity{p.PID, p.Start}] = struct{}{}
			}
		}
	}
	e.mu.Lock()
	e.want = want
	e.mu.Unlock()
	e.poke.Fire()
}

// Run watches until ctx ends. A process that cannot be watched is left to the
// periodic look.
func (e *Exits) Run(ctx context.Context) error {
	var group sync.WaitGroup
	defer group.Wait()
	running := make(map[identity]context.CancelFunc)
	defer func() {
		for _, stop := range running {
			stop()
		}
	}()
	said := false
	failed := make(chan error, 1)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-failed:
			if !said {
				e.log.WarnContext(ctx, "process ends are noticed by periodic looks only", "err", err)
				said = true
			}
		case <-e.poke:
			e.mu.Lock()
			want := e.want
			e.mu.Unlock()
			for id, stop := range running {
				if _, ok := want[id]; !ok {
					stop()
					delete(running, id)
				}
			}
			for id := range want {
				if _, ok := running[id]; ok {
					continue
				}
				one, stop := context.WithCancel(ctx)
				running[id] = stop
				group.Go(func() {
					err := trigger.Exit(one, id.pid, func() bool { return same(id) })
					if err == nil {
						e.fire()
					} else if !errors.Is(err, context.Canceled) && one.Err() == nil {
						select {
						case failed <- err:
						default:
						}
					}
				})
			}
		}
	}
}

func same(id identity) bool {
	s, err := new(proc).stat(id.pid)
	if err != nil {
		return !errors.Is(err, errGone)
	}
	return s.start == id.start && s.alive()
}
