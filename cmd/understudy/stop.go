package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"understudy/cmd/internal/api"
	"understudy/config"
	"understudy/reconcile"
	"understudy/reconcile/journal"
)

// handOverLimit bounds the letting go of a service that stops.
const handOverLimit = 5 * time.Minute

// markLimit bounds the marking of groups that are to stay down.
const markLimit = 5 * time.Second

func stopCommand(c *common) *cobra.Command {
	var q api.StopRequest
	limit := handOverLimit + 30*time.Second
	cmd := &cobra.Command{
		Use:   "stop [--mode MODE]",
		Short: "stop the resident service of this node, and say what becomes of its groups",
		Long: `Stop the resident service of this node, and return when it has let go of what it
held and answers no more.

hand-over  the groups held here are let go in order, and another node takes them
stop       they are let go in order, and nobody takes them before this node's
           service starts again, or "understudy clear GROUP", or a move
leave      nothing is touched: the groups go on without a watch, and a new
           "understudy run" carries on. Start it again while its lease lasts:
           after that the others may fence this host, and its watchdog resets it

Without --mode it is as the file says ("stop", default hand-over). A group that
is frozen is left as it is in every mode.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			q.By = operator()
			if err := c.client().Stop(cmd.Context(), q); err != nil {
				return err
			}
			return c.awaitEnd(cmd.Context(), limit)
		},
	}
	cmd.Flags().StringVar(&q.Mode, "mode", "", "hand-over, stop or leave")
	cmd.Flags().StringVar(&q.Reason, "reason", "", "why, for `status`, `why` and `history`")
	cmd.Flags().DurationVar(&limit, "limit", limit, "how long to wait")
	return cmd
}

// awaitEnd returns when the resident service does not answer any more.
func (c *common) awaitEnd(ctx context.Context, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := c.client().Status(ctx); errors.Is(err, api.ErrNoService) {
			return nil
		}
		select {
		case <-ctx.Done():
			return &exitError{exitFailed, fmt.Sprintf("it has not ended after %s — see: understudy status", limit)}
		case <-tick.C:
		}
	}
}

// Stop implements api.Service.
func (r *resident) Stop(ctx context.Context, q api.StopRequest) error {
	switch config.StopMode(q.Mode) {
	case "", config.StopHandOver, config.StopAll, config.StopLeave:
	default:
		return &api.Refusal{Code: exitUsage, Text: fmt.Sprintf("cannot stop with mode %q — the modes are hand-over, stop and leave", q.Mode)}
	}
	select {
	case r.stops <- q:
		return nil
	case <-time.After(time.Second):
		return &api.Refusal{Code: exitFailed, Text: "it is stopping already — a second SIGTERM leaves without waiting"}
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// signals stops the service as the first SIGTERM, SIGINT or operator has it; a second
// signal, or SIGQUIT, leaves at once.
func (r *resident) signals(ctx, stop context.Context, leave func(), log *slog.Logger) error {
	quit := make(chan os.Signal, 1)
	signal.Notify(quit, syscall.SIGQUIT)
	defer signal.Stop(quit)
	mode, reason := r.config().Stop, "told to stop"
	select {
	case <-ctx.Done():
		return nil
	case <-quit:
		mode = config.StopLeave
	case <-stop.Done():
		if cause := context.Cause(stop); cause != nil && !errors.Is(cause, context.Canceled) {
			reason = cause.Error()
		}
	case q := <-r.stops:
		reason = "stopped by " + q.By
		if q.Reason != "" {
			reason += ": " + q.Reason
		}
		if q.Mode != "" {
			mode = config.StopMode(q.Mode)
		}
	}
	// Told before the socket goes: a start that is asked for when "understudy stop" has
	// returned waits for the end of this process. Told later, systemd takes the unit for
	// one that runs still, and does nothing.
	if err := tellStopping(); err != nil {
		log.Warn("the service manager was not told of the stop", "err", err)
	}
	if mode == config.StopLeave {
		log.Info("leaving at once, the service is not touched", "reason", reason)
		r.last.leave()
		leave()
		return nil
	}
	again := make(chan os.Signal, 1)
	signal.Notify(again, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(again)
	log.Info("stopping", "mode", string(mode), "reason", reason)
	if mode == config.StopAll {
		r.keepDown(ctx, reason, log)
	}
	if err := r.loop.Stop(ctx, reason); err != nil {
		return nil // the loop has ended already
	}
	limit := time.NewTimer(handOverLimit)
	defer limit.Stop()
	select {
	case <-ctx.Done(): // the loop has let go of everything
	case <-again:
		log.Warn("leaving before everything was let go")
		leave()
	case <-quit:
		leave()
	case <-limit.C:
		log.Error("not everything was let go in time", "took", handOverLimit)
		leave()
	}
	return nil
}

// keepDown marks what is held here, before it is let go: nobody is to take it before
// this node starts again. Without a store that answers it cannot, and says so.
func (r *resident) keepDown(ctx context.Context, reason string, log *slog.Logger) {
	st := r.loop.State()
	if st == nil || reconcile.IsExternal(r.config()) {
		return // the other manager takes nothing away, and brings it nowhere
	}
	ctx, cancel := context.WithTimeout(ctx, markLimit)
	defer cancel()
	for _, g := range r.config().Groups {
		c := st.Snapshot.Store.Value.Claims[g.Name]
		if c.Holder != r.node || c.Released {
			continue
		}
		err := r.keeper.Ask(ctx, reconcile.Request{
			Group: reconcile.OrderKey(reconcile.Stopped, g.Name), To: g.Name, Order: reconcile.Stopped, By: r.node,
			Reason: reason, Epoch: c.Epoch, Lasts: reconcile.UntilCleared, At: time.Now(),
		})
		if err != nil {
			log.Error("group not marked to stay down: another node may take it", "group", g.Name, "err", err)
		}
	}
}

// toldFence is the name under which it is kept which fence was told of.
const toldFence = "fenced"

// started does what a start of this node's service ends or tells, as soon as the store
// can be read: groups that were to be down with it may be taken again, and that it was
// switched off is told once.
func (r *resident) started(ctx context.Context, dir string, log *slog.Logger) {
	if reconcile.IsExternal(r.config()) {
		return
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	began := time.Now()
	for {
		if st := r.loop.State(); st != nil && st.Snapshot.Store.OK() && st.Snapshot.Stopping == "" && r.begin(ctx, dir, began, &st.Snapshot, log) {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// begin reports whether all was done.
func (r *resident) begin(ctx context.Context, dir string, began time.Time, s *reconcile.Snapshot, log *slog.Logger) bool {
	for _, g := range r.config().Groups {
		key := reconcile.OrderKey(reconcile.Stopped, g.Name)
		if q, ok := s.Store.Value.Requests[key]; !ok || q.By != r.node || q.At.After(began) {
			continue
		}
		limited, cancel := context.WithTimeout(ctx, markLimit)
		err := r.keeper.Withdraw(limited, key)
		cancel()
		if err != nil {
			log.Warn("group still marked to stay down", "group", g.Name, "err", err)
			return false
		}
		_ = r.journal.Append(journal.Record{Kind: journal.Note, Group: g.Name, Why: "this node has started again: the group may be taken"})
	}
	var told string
	_, _ = journal.LoadState(dir, toldFence, &told) // what cannot be read is told again
	if f := s.Store.Value.Fenced[r.node]; f.BootID != "" && f.BootID != told && f.BootID != s.BootID {
		_ = r.journal.Append(journal.Record{Kind: journal.Note, Why: fmt.Sprintf("this node was switched off by %s at %s (%s): what it held then is not its own any more, and it stands by as after any boot", f.By, f.At.Local().Format(time.DateTime), f.Agent)})
		if err := journal.SaveState(dir, toldFence, f.BootID); err != nil {
			log.Warn("that the fence was told of was not saved", "err", err)
		}
	}
	return true
}
