package main

import (
	"context"
	"log/slog"

	"understudy/observers"
	"understudy/reconcile"
	"understudy/reconcile/act"
	"understudy/reconcile/loop"
)

// hands carries out steps for the loop: what changes who owns what through the
// authority, everything else on the host.
type hands struct {
	host      *act.Host
	authority authority
	seen      *observers.Host
	log       *slog.Logger
}

var _ loop.Actor = (*hands)(nil)

// Do implements loop.Actor.
func (h *hands) Do(ctx context.Context, s reconcile.Step) error {
	if done, err := h.authority.Do(ctx, s); done {
		return err
	}
	switch st := s.(type) {
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

// Dirty implements loop.Actor.
func (h *hands) Dirty() (map[string]string, error) { return h.host.Dirty() }

// SavedHostname implements loop.Actor. What cannot be read is reported and
// treated as nothing to put back: the next look tries again.
func (h *hands) SavedHostname() string {
	name, err := h.host.SavedHostname()
	if err != nil {
		h.log.Error("saved host name was not readable", "err", err)
	}
	return name
}
