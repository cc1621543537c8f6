package lease

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/singleflight"

	"understudy/reconcile"
)

// Authority carries out the steps that change who owns what: claims, sign-offs
// and fences. All fields but the last are needed.
type Authority struct {
	Keeper *Keeper
	Node   string                  // this node
	Peers  func() []reconcile.Peer // as they are heard at the moment of the call
	// Off runs the agents, and returns the one whose status confirmed off.
	Off func(ctx context.Context, f reconcile.Fence) (agent string, err error)

	fences singleflight.Group // by node: two groups may want the same node off
}

// Do carries out a step, and reports whether it is one of its own.
func (a *Authority) Do(ctx context.Context, s reconcile.Step) (bool, error) {
	switch st := s.(type) {
	case reconcile.TakeClaim:
		_, err := a.Keeper.Take(ctx, st)
		return true, err
	case reconcile.SignOff:
		return true, a.Keeper.LetGo(ctx, st)
	case reconcile.Fence:
		return true, a.fence(ctx, st)
	}
	return false, nil
}

// fence switches a node off, unless the store says that its boot is off already,
// and records it. A node that is heard again is left alone.
func (a *Authority) fence(ctx context.Context, f reconcile.Fence) error {
	_, err, _ := a.fences.Do(f.Node, func() (any, error) {
		if v := a.Keeper.View(); v.OK() && v.Value.Fenced[f.Node].BootID == f.BootID {
			return nil, nil
		}
		if p := a.peer(f.Node); p.Name != "" && p.State != reconcile.PeerSilent {
			return nil, fmt.Errorf("%s is %s again: it is not switched off", f.Node, p.State)
		}
		// A lease outlives the majority it was won with: a node that has been cut off
		// holds it for seconds and hears nobody. Only one that reads the store now may
		// switch another off.
		if err := a.Keeper.Refresh(ctx); err != nil {
			return nil, fmt.Errorf("%s is not switched off without a majority of the store: %w", f.Node, err)
		}
		agent, err := a.Off(ctx, f)
		if err != nil {
			return nil, err
		}
		if p := a.peer(f.Node); p.State == reconcile.PeerHeard && p.BootID == f.BootID {
			return nil, fmt.Errorf("the agent says that %s is off, and its boot is heard all the same — look at the fence device: it does not tell the truth", f.Node)
		}
		return nil, a.Keeper.RecordFence(ctx, reconcile.FenceRecord{Node: f.Node, BootID: f.BootID, By: a.Node, Agent: agent, At: time.Now()})
	})
	return err
}

func (a *Authority) peer(name string) reconcile.Peer {
	for _, p := range a.Peers() {
		if p.Name == name {
			return p
		}
	}
	return reconcile.Peer{}
}
