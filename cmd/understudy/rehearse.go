package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"understudy/cmd/internal/api"
	"understudy/config"
	"understudy/reconcile"
)

func rehearseCommand(c *common) *cobra.Command {
	r := api.RehearseRequest{By: operator()}
	var yes string
	var noWait bool
	var limit time.Duration
	cmd := &cobra.Command{
		Use:   "rehearse GROUP NODE",
		Short: "let a node take a group up without its applications, and let it go again",
		Long: `Rehearse a takeover: whoever holds GROUP lets go in order, and NODE takes up its
disks, file systems and addresses and starts nothing. When all of it has been
up, NODE lets it go, proves that nothing is left, and signs off; the group goes
back to where it was. That a node has shown this is kept, with the day, and told
by status and ` + "`check --host`" + `.

The service is down meanwhile: you are asked, unless --yes names the group.

With --hold the group stays on NODE, without its applications, until it is moved
(understudy move): for installing and configuring what it serves, which needs
the file systems and the address. A group that only a reboot lets go of is
refused where it has run.`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			r.Group, r.To = args[0], args[1]
			before, err := c.client().Status(cmd.Context())
			if err != nil {
				return err
			}
			if yes != r.Group {
				if err := c.askDown(before, r); err != nil {
					return err
				}
			}
			if err := c.client().Rehearse(cmd.Context(), r); err != nil {
				return err
			}
			if noWait {
				return nil
			}
			return c.awaitRehearsal(cmd.Context(), before, r, limit)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&r.Hold, "hold", false, "keep it there until it is moved")
	f.StringVar(&r.Reason, "reason", "", "why, for `why` and `history`")
	f.StringVar(&yes, "yes", "", "do not ask; repeat the `group`'s name here")
	f.BoolVar(&noWait, "no-wait", false, "return when the wish is recorded")
	f.DurationVar(&limit, "limit", 5*time.Minute, "how long to wait")
	return cmd
}

// askDown says what goes down and wants the group's name typed. Where nobody serves,
// nothing is asked.
func (c *common) askDown(st api.Status, r api.RehearseRequest) error {
	for _, g := range st.Groups {
		if g.Group == r.Group && (g.Claim.Epoch == 0 || g.Claim.Released || g.Claim.Rehearsal != "") {
			return nil
		}
	}
	fmt.Fprintf(c.err, "%s is down while it is rehearsed on %s. Type its name to go on: ", r.Group, r.To)
	line, err := bufio.NewReader(os.Stdin).ReadString('\n')
	if strings.TrimSpace(line) != r.Group {
		return &exitError{exitFailed, strings.TrimSpace(fmt.Sprintf("not confirmed, nothing was asked for %s", errText(err)))}
	}
	return nil
}

// rehearsed is what a node says of its rehearsals of a group: the last that passed,
// and, if it may not take the group, why.
func rehearsed(st api.Status, group, node string) (last time.Time, holds bool, unfit string) {
	for _, g := range st.Groups {
		if g.Group == group && st.Node == node {
			return g.Rehearsed, g.Claim.Holder == node && !g.Claim.Released && g.Claim.Rehearsal != "" && g.Phase == string(reconcile.Waiting), g.Failed
		}
	}
	for _, p := range st.Peers {
		for _, g := range p.Groups {
			if g.Group == group && p.Name == node {
				if g.Unfit {
					unfit = g.Reason
				}
				return g.Rehearsed, g.Role.Holds() && g.Phase == reconcile.Waiting, unfit
			}
		}
	}
	return last, false, ""
}

// awaitRehearsal prints the steps as they come until it has passed, or, with hold,
// until all of it is there.
func (c *common) awaitRehearsal(ctx context.Context, before api.Status, r api.RehearseRequest, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	was, _, _ := rehearsed(before, r.Group, r.To)
	began, last := time.Now(), ""
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		st, err := c.client().Status(ctx)
		if err != nil {
			return err
		}
		_, line := moveLine(st, api.MoveRequest{Group: r.Group, To: r.To})
		if line != last {
			fmt.Fprintf(c.err, "%7.2f s  %s\n", time.Since(began).Seconds(), line)
			last = line
		}
		now, holds, unfit := rehearsed(st, r.Group, r.To)
		switch {
		case r.Hold && holds:
			fmt.Fprintf(c.out, "%s is held on %s without its applications; to serve: understudy move %s NODE\n", r.Group, r.To, r.Group)
			return nil
		case !r.Hold && !now.Equal(was):
			fmt.Fprintf(c.out, "%s has rehearsed %s: taken up, and let go with proof\n", r.To, r.Group)
			return nil
		case unfit != "":
			return &exitError{exitFailed, fmt.Sprintf("the rehearsal has failed on %s: %s", r.To, unfit)}
		}
		select {
		case <-ctx.Done():
			return &exitError{exitFailed, fmt.Sprintf("the rehearsal of %s on %s has not passed after %s: %s — see: understudy why %s", r.Group, r.To, limit, last, r.Group)}
		case <-tick.C:
		}
	}
}

// Rehearse implements api.Service.
func (r *resident) Rehearse(ctx context.Context, q api.RehearseRequest) error {
	g := r.config().Group(q.Group)
	refuse := func(code int, format string, args ...any) error {
		return &api.Refusal{Code: code, Text: fmt.Sprintf("cannot rehearse %s on %s: ", q.Group, q.To) + fmt.Sprintf(format, args...)}
	}
	switch {
	case g == nil:
		return &api.Refusal{Code: exitUsage, Text: fmt.Sprintf("cannot find group %q in the file — it has %s", q.Group, groupNames(r.config()))}
	case g.Priority(q.To) < 0:
		return refuse(exitUsage, "it is not one of its nodes (%s)", strings.Join(g.Nodes, ", "))
	case r.config().Lease.Store == config.StoreExternal:
		return refuse(exitBlocked, "another cluster manager moves its disks — let that one move the group there")
	}
	st, err := r.state()
	if err != nil {
		return err
	}
	claim := st.Snapshot.Store.Value.Claims[q.Group]
	how := reconcile.RehearseOne
	if q.Hold {
		how = reconcile.RehearseHold
	}
	says := func(node string) (reconcile.GroupStatus, bool) {
		if node == r.node {
			return st.Decisions[q.Group].Status, true
		}
		p := st.Snapshot.Peer(node)
		return p.Status.Group(q.Group), p.State == reconcile.PeerHeard
	}
	held := claim.Epoch > 0 && !claim.Released
	if holder, _ := says(claim.Holder); held && holder.Dirty {
		return refuse(exitBlocked, "%s has run since its boot what only a reboot ends — reboot %s; the takeover that follows is the rehearsal", claim.Holder, claim.Holder)
	}
	target, heard := says(q.To)
	switch {
	case !st.Snapshot.Store.OK():
		return refuse(exitBlocked, "the store could not be read: %v", st.Snapshot.Store.Why())
	case !heard:
		return refuse(exitBlocked, "%s is %s", q.To, st.Snapshot.Peer(q.To).State)
	case held && claim.Holder == q.To && claim.Rehearsal == how:
		return &api.Refusal{Code: exitOK, Text: fmt.Sprintf("%s is rehearsed on %s already", q.Group, q.To)}
	case held && claim.Holder == q.To:
	case !target.Ready:
		return refuse(exitBlocked, "it is not ready (%s, %s) %s", target.Role, target.Phase, target.Reason)
	}
	return r.keeper.Ask(ctx, reconcile.Request{Group: q.Group, To: q.To, By: q.By, Reason: q.Reason, Epoch: claim.Epoch, Rehearse: how, At: time.Now()})
}
