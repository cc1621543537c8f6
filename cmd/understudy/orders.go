package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"understudy/cmd/internal/api"
	"understudy/reconcile"
	"understudy/reconcile/journal"
	"understudy/reconcile/loop"
)

// freezeLasts and drainLasts are how long an order lasts that says nothing else: the
// one that nobody thinks of any more ends by itself.
const (
	freezeLasts = time.Hour
	drainLasts  = 8 * time.Hour
)

func freezeCommand(c *common) *cobra.Command {
	return orderCommand(c, reconcile.Freeze, freezeLasts, &cobra.Command{
		Use:   "freeze [GROUP]",
		Short: "have nothing done for a group, or for all, for a while",
		Long: `Have nothing done for a group, or for all of them, on every node: it is neither
started nor stopped, repaired, moved or taken over, whatever happens. A plan
that is under way is carried out to its end. "understudy run" that is told to
stop leaves it as it is.

What safety demands goes on: the lease is renewed, and a node that loses it, or
that another node's claim shows to be wrong, lets the group go. What can still
stop the group or its host is printed. With store external the order is kept on
this node alone.

"understudy plan GROUP" prints what would be done, and "understudy apply GROUP
--step" carries it out by hand, step by step.`,
		Args: cobra.MaximumNArgs(1),
	})
}

func drainCommand(c *common) *cobra.Command {
	return orderCommand(c, reconcile.Drain, drainLasts, &cobra.Command{
		Use:   "drain NODE",
		Short: "have a node hand over what it holds, and take nothing",
		Long: `Have a node give up each of its groups as in a planned move, as soon as another
node is ready for it, and take none until "understudy undrain" or the end of the
order. It survives a restart of the node. Its services, its vote and its
keep-alives go on. A group that no other node is ready for stays and serves.`,
		Args: cobra.ExactArgs(1),
	})
}

func rejoinCommand(c *common) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:   "rejoin NODE",
		Short: "let a node stand by again that was fenced",
		Long: `Let a node stand by again that was fenced and whose file says rejoin =
"by-hand": somebody has looked at it. The word is about the last fence on
record, and not about the next. A node that says rejoin = "automatic" needs
none.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.order(cmd.Context(), api.OrderRequest{Order: string(reconcile.Rejoin), Object: args[0], By: operator(), Reason: reason})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "what was found, for `history`")
	return cmd
}

func orderCommand(c *common, o reconcile.Order, lasts time.Duration, cmd *cobra.Command) *cobra.Command {
	var reason string
	var forever bool
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		q := api.OrderRequest{Order: string(o), By: operator(), Reason: reason, LastsMS: lasts.Milliseconds()}
		if len(args) > 0 {
			q.Object = args[0]
		}
		switch {
		case forever && cmd.Flags().Changed("for"):
			return &exitError{exitUsage, "cannot tell how long: --for and --until-cleared exclude each other"}
		case forever:
			q.LastsMS = 0
		case lasts < time.Second || lasts > reconcile.UntilCleared:
			return &exitError{exitUsage, fmt.Sprintf("cannot %s for %s — give --for a second or more, or --until-cleared", o, lasts)}
		}
		return c.order(cmd.Context(), q)
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for `status`, `why` and `history`")
	cmd.Flags().DurationVar(&lasts, "for", lasts, "how long")
	cmd.Flags().BoolVar(&forever, "until-cleared", false, "until somebody takes it back, however long that is")
	return cmd
}

func thawCommand(c *common) *cobra.Command {
	return endCommand(c, reconcile.Freeze, &cobra.Command{
		Use:   "thaw [GROUP]",
		Short: "end a freeze: what has waited is done",
		Args:  cobra.MaximumNArgs(1),
	})
}

func undrainCommand(c *common) *cobra.Command {
	return endCommand(c, reconcile.Drain, &cobra.Command{
		Use:   "undrain NODE",
		Short: "let a drained node take groups again",
		Args:  cobra.ExactArgs(1),
	})
}

func endCommand(c *common, o reconcile.Order, cmd *cobra.Command) *cobra.Command {
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		q := api.OrderRequest{Order: string(o), End: true, By: operator()}
		if len(args) > 0 {
			q.Object = args[0]
		}
		return c.order(cmd.Context(), q)
	}
	return cmd
}

func (c *common) order(ctx context.Context, q api.OrderRequest) error {
	reply, err := c.client().Order(ctx, q)
	if err != nil {
		return err
	}
	if c.json {
		return c.printJSON(reply)
	}
	for _, t := range reply.Text {
		indent(c.out, "", t)
	}
	return nil
}

// Order implements api.Service.
func (r *resident) Order(ctx context.Context, q api.OrderRequest) (api.OrderReply, error) {
	o := reconcile.Order(q.Order)
	st, err := r.state()
	if err != nil {
		return api.OrderReply{}, err
	}
	objects := []string{q.Object}
	switch {
	case o == reconcile.Freeze && q.Object == "":
		objects = nil
		for _, g := range r.config().Groups {
			objects = append(objects, g.Name)
		}
	case o == reconcile.Freeze && r.config().Group(q.Object) == nil:
		return api.OrderReply{}, &api.Refusal{Code: exitUsage, Text: fmt.Sprintf("cannot find group %q in the file", q.Object)}
	case o == reconcile.Drain && r.config().Node(q.Object) == nil:
		return api.OrderReply{}, &api.Refusal{Code: exitUsage, Text: fmt.Sprintf("cannot find node %q in the file", q.Object)}
	case o == reconcile.Rejoin && r.config().Node(q.Object) == nil:
		return api.OrderReply{}, &api.Refusal{Code: exitUsage, Text: fmt.Sprintf("cannot find node %q in the file", q.Object)}
	case o == reconcile.Rejoin && st.Snapshot.Store.Value.Fenced[q.Object].BootID == "":
		return api.OrderReply{}, &api.Refusal{Code: exitBlocked, Text: fmt.Sprintf("cannot let %s in again: no fence of it is on record", q.Object)}
	case o == reconcile.Drain && reconcile.IsExternal(r.config()):
		return api.OrderReply{}, &api.Refusal{Code: exitUsage, Text: fmt.Sprintf("cannot drain %s: with store external the other manager moves groups — move them there", q.Object)}
	case o != reconcile.Freeze && o != reconcile.Drain && o != reconcile.Rejoin:
		return api.OrderReply{}, &api.Refusal{Code: exitUsage, Text: fmt.Sprintf("cannot understand order %q", q.Order)}
	}
	var out api.OrderReply
	for _, object := range objects {
		if err := r.give(ctx, o, object, q); err != nil {
			return out, err
		}
		out.Text = append(out.Text, r.follows(o, object, q, &st.Snapshot)...)
	}
	return out, nil
}

// give records one order, or its end.
func (r *resident) give(ctx context.Context, o reconcile.Order, object string, q api.OrderRequest) error {
	key, now := reconcile.OrderKey(o, object), time.Now()
	req := reconcile.Request{Group: key, Order: o, To: object, By: q.By, Reason: q.Reason, At: now, Lasts: time.Duration(q.LastsMS) * time.Millisecond}
	if req.Lasts <= 0 {
		req.Lasts = reconcile.UntilCleared
	}
	if o == reconcile.Rejoin {
		req.BootID = r.keeper.View().Value.Fenced[object].BootID
	}
	why := req.Sentence()
	err := error(nil)
	if q.End {
		why = fmt.Sprintf("%s ended by %s", q.Order, q.By)
		err = r.keeper.Withdraw(ctx, key)
	} else {
		err = r.keeper.Ask(ctx, req)
	}
	if err != nil {
		return err
	}
	rec := journal.Record{At: now, Node: r.node, Kind: journal.Note, Group: object, Why: why}
	if o == reconcile.Drain || o == reconcile.Rejoin {
		rec.Group, rec.Why = "", object+": "+why
	}
	_ = r.journal.Append(rec) // its state is in status
	return nil
}

// follows says what an order leads to, a sentence each.
func (r *resident) follows(o reconcile.Order, object string, q api.OrderRequest, s *reconcile.Snapshot) []string {
	until := "until it is taken back"
	if q.LastsMS > 0 {
		until = "until " + time.Now().Add(time.Duration(q.LastsMS)*time.Millisecond).Format(time.DateTime)
	}
	switch {
	case o == reconcile.Rejoin:
		return []string{fmt.Sprintf("%s stands by again as soon as it is clean: %s", object, s.Store.Value.Fenced[object].Sentence())}
	case o == reconcile.Freeze && q.End:
		return []string{object + " is frozen no more: what has waited is done now"}
	case o == reconcile.Drain && q.End:
		return []string{object + " takes groups again; those whose home it is go back as their file says"}
	case o == reconcile.Freeze:
		out := []string{fmt.Sprintf("%s is frozen %s: nothing is started, stopped, repaired, moved or taken over", object, until), "what can still stop it:"}
		for _, t := range reconcile.StillStops(r.config(), r.config().Group(object), s) {
			out = append(out, "  "+t)
		}
		return append(out, "  a plan that is under way: it is carried out to its end")
	}
	out := []string{fmt.Sprintf("%s is drained %s: it takes no group", object, until)}
	for _, g := range r.config().Groups {
		c := s.Store.Value.Claims[g.Name]
		if c.Holder != object || c.Released {
			continue
		}
		text := g.Name + " stays and serves there until another node is ready for it"
		for _, n := range g.Nodes {
			p := s.Peer(n)
			gs := p.Status.Group(g.Name)
			if n == r.node {
				gs = r.loop.State().Decisions[g.Name].Status
			}
			if n != object && gs.Ready {
				text = fmt.Sprintf("%s is let go there now, and taken by %s", g.Name, n)
				break
			}
		}
		if _, frozen := reconcile.Frozen(s, g.Name); frozen {
			text = g.Name + " is frozen: it moves when it is thawed"
		}
		out = append(out, text)
	}
	return out
}

// orderStatuses are the orders in force, sorted.
func orderStatuses(s *reconcile.Snapshot) []api.OrderStatus {
	var out []api.OrderStatus
	for _, key := range slices.Sorted(maps.Keys(s.Store.Value.Requests)) {
		q := s.Store.Value.Requests[key]
		if q.Order == reconcile.NoOrder || q.Order == reconcile.Clear || q.Order == reconcile.Rejoin || q.Order == reconcile.Vote {
			continue
		}
		st := api.OrderStatus{Order: string(q.Order), Object: q.To, By: q.By, Reason: q.Reason, At: q.At}
		if q.Lasts > 0 && q.Lasts < reconcile.UntilCleared {
			st.Until = q.At.Add(q.Lasts)
		}
		out = append(out, st)
	}
	return out
}

// Step implements api.Service.
func (r *resident) Step(ctx context.Context, q api.ApplyRequest) (api.StepReply, error) {
	st, err := r.state()
	if err != nil {
		return api.StepReply{}, err
	}
	d, ok := st.Decisions[q.Group]
	if !ok {
		return api.StepReply{}, &api.Refusal{Code: exitUsage, Text: fmt.Sprintf("cannot find group %q on %s", q.Group, r.node)}
	}
	if q.Expect != "" && d.Frozen {
		p := reconcile.Decide(r.config(), r.config().Group(q.Group), reconcile.Thawed(&st.Snapshot, q.Group)).Plan
		if p.Fingerprint() != q.Expect {
			return api.StepReply{}, &api.Refusal{Code: exitBlocked, Text: fmt.Sprintf("cannot apply %s: the plan is %s by now, not %s — look at `understudy plan %s` again", q.Group, p.Fingerprint(), q.Expect, q.Group)}
		}
	}
	step, left, err := r.loop.StepByHand(ctx, q.Group)
	if _, ok := errors.AsType[*loop.NotFrozenError](err); ok {
		return api.StepReply{}, &api.Refusal{Code: exitBlocked, Text: err.Error()}
	}
	return api.StepReply{Step: step, Left: left}, err
}
