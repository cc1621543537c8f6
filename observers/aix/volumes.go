package aix

import (
	"context"
	"slices"
	"sync"
	"time"

	"understudy/reconcile"
)

// volumePace is how often the volume groups are read whole; the commands read
// AIX's own records and lock them for a moment.
const volumePace = 10 * time.Second

// VolumeObserver looks at the volume groups of a file: at each look which of them
// are on, and the rest when that has changed, or at its pace. Its methods may be
// called from any goroutine.
type VolumeObserver struct {
	see *System

	mu    sync.Mutex // guards all following fields
	names []string   // of what last is
	on    []string
	last  []reconcile.VolumeState
	at    time.Time
}

// NewVolumeObserver returns an observer that has read nothing.
func NewVolumeObserver(see *System) *VolumeObserver { return &VolumeObserver{see: see} }

// Look reads the volume groups of those names.
func (o *VolumeObserver) Look(ctx context.Context, names []string) ([]reconcile.VolumeState, error) {
	if len(names) == 0 {
		return []reconcile.VolumeState{}, nil
	}
	on, err := o.see.VariedOn(ctx)
	if err != nil {
		return nil, err
	}
	o.mu.Lock()
	fresh := o.last != nil && time.Since(o.at) < volumePace && slices.Equal(names, o.names) && slices.Equal(on, o.on)
	last := o.last
	o.mu.Unlock()
	if fresh {
		return slices.Clone(last), nil
	}
	at := time.Now()
	states, err := o.see.Volumes(ctx, names)
	if err != nil {
		return nil, err
	}
	// What was switched on or off meanwhile is seen at the next look.
	o.mu.Lock()
	o.names, o.on, o.last, o.at = slices.Clone(names), on, states, at
	o.mu.Unlock()
	return slices.Clone(states), nil
}
