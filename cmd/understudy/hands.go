package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sync/singleflight"

	"understudy/observers"
	"understudy/reconcile"
	"understudy/reconcile/act"
	"understudy/reconcile/lease"
	"understudy/reconcile/loop"
)

// hands carries out steps for the loop: claims through the keeper, a fence
// through its agent and then into the store, everything else on the host.
type hands struct {
	host   *act.Host
	keeper *lease.Keeper
	seen   *observers.Host
	peers  *observers.Peers
	node   string
	log    *slog.Logger

	fences singleflight.Group // by node: two groups may want the same node off
}

var _ loop.Actor = (*hands)(nil)

// Do implements loop.Actor.
func (h *hands) Do(ctx context.Context, s reconcile.Step) error {
	switch st := s.(type) {
	case reconcile.TakeClaim:
		_, err := h.keeper.Take(ctx, st)
		return err
	case reconcile.SignOff:
		return h.keeper.SignOff(ctx, st.Group, st.Epoch)
	case reconcile.Fence:
		return h.fence(ctx, st)
	case reconcile.Start:
		return h.quietly(ctx, s, st.Group, st.App.Name)
	case reconcile.Verify:
		return h.quietly(ctx, s, st.Group, st.App.Name)
	case reconcile.Stop:
		return h.quietly(ctx, s, st.Group, st.App.Name)
	}
	return h.host.Do(ctx, s)
}

// quietly keeps probes away from an application that a step works on.
func (h *hands) quietly(ctx context.Context, s reconcile.Step, group, app string) error {
	h.seen.Pause(group, app)
	defer h.seen.Resume(group, app)
	return h.host.Do(ctx, s)
}

// fence switches a node off, unless the store says that its boot is off already,
// and records it. A node that is heard again is left alone.
func (h *hands) fence(ctx context.Context, f reconcile.Fence) error {
	_, err, _ := h.fences.Do(f.Node, func() (any, error) {
		if v := h.keeper.View(); v.OK() && v.Value.Fenced[f.Node].BootID == f.BootID {
			return nil, nil
		}
		for _, p := range h.peers.Peers() {
			if p.Name == f.Node && p.State != reconcile.PeerSilent {
				return nil, fmt.Errorf("%s is %s again: it is not switched off", f.Node, p.State)
			}
		}
		// A lease outlives the majority it was won with: a node that has been cut off
		// holds it for seconds and hears nobody. Only one that reads the store now may
		// switch another off.
		if err := h.keeper.Refresh(ctx); err != nil {
			return nil, fmt.Errorf("%s is not switched off without a majority of the store: %w", f.Node, err)
		}
		if err := h.host.Do(ctx, f); err != nil {
			return nil, err
		}
		for _, p := range h.peers.Peers() {
			if p.Name == f.Node && p.State == reconcile.PeerHeard && p.BootID == f.BootID {
				return nil, fmt.Errorf("the agent says that %s is off, and its boot is heard all the same — look at the fence device: it does not tell the truth", f.Node)
			}
		}
		return nil, h.keeper.RecordFence(ctx, reconcile.FenceRecord{Node: f.Node, BootID: f.BootID, By: h.node, Agent: f.Agent.Agent, At: time.Now()})
	})
	return err
}

// SavedHostname implements loop.Actor. What cannot be read is reported and
// treated as nothing to put back: the next look tries again.
func (h *hands) SavedHostname() string {
	name, err := h.host.SavedHostname()
	if err != nil {
		h.log.Error("saved host name was not readable", "err", err)
	}
	return name
}
