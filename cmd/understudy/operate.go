package main

import (
	"context"
	"fmt"
	"os"
	"os/user"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"understudy/cmd/internal/api"
)

func applyCommand(c *common) *cobra.Command {
	var r api.ApplyRequest
	var one bool
	cmd := &cobra.Command{
		Use:   "apply [GROUP] [--expect FINGERPRINT] [--step]",
		Short: "make one pass now; with --expect refuse if the plan has changed",
		Long: `Make one pass by hand, without waiting for the next attempt of a plan that
failed. With --expect the pass is refused unless the plan still has the
fingerprint that ` + "`understudy plan`" + ` printed. Returns when the plan has ended.

With --step only the next step is carried out, for a group that is frozen (see:
understudy freeze --help): the same step, behind the same gates, as understudy
would take itself. Hooks, notices and proofs that come after the group is up are
not part of it.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			r.Group = strings.Join(args, "")
			if one {
				return c.step(cmd.Context(), r)
			}
			return c.client().Apply(cmd.Context(), r)
		},
	}
	cmd.Flags().StringVar(&r.Expect, "expect", "", "the `fingerprint` that the plan must have")
	cmd.Flags().BoolVar(&one, "step", false, "carry out one step of a frozen group")
	return cmd
}

// step carries out one step and says which it was.
func (c *common) step(ctx context.Context, r api.ApplyRequest) error {
	if r.Group == "" {
		return &exitError{exitUsage, "cannot carry out one step of every group — usage: understudy apply GROUP --step"}
	}
	reply, err := c.client().Step(ctx, r)
	switch {
	case err != nil:
		return err
	case c.json:
		return c.printJSON(reply)
	case reply.Step == "":
		fmt.Fprintln(c.out, "nothing to do")
	default:
		fmt.Fprintf(c.out, "done: %s (%d more as things stood before)\n", reply.Step, reply.Left)
	}
	return nil
}

func moveCommand(c *common) *cobra.Command {
	var reason string
	var noWait bool
	var limit time.Duration
	cmd := &cobra.Command{
		Use:   "move GROUP NODE",
		Short: "move a group to a node that stands by",
		Long: `Move a group: its holder lets go in order, proves it and signs off, and NODE
takes it up. Refused if NODE is not ready. A group of policy cascading that an
operator has moved stays where it is until it is moved again or fails; status
says so. A holder that has run DFS cannot let go without a reboot: it stops the
service and waits for one, and so does this command until its limit.`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			r := api.MoveRequest{Group: args[0], To: args[1], By: operator(), Reason: reason}
			if err := c.client().Move(cmd.Context(), r); err != nil {
				return err
			}
			if noWait {
				return nil
			}
			return c.awaitMove(cmd.Context(), r, limit)
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for `why` and `history`")
	cmd.Flags().BoolVar(&noWait, "no-wait", false, "return when the wish is recorded")
	cmd.Flags().DurationVar(&limit, "limit", 2*time.Minute, "how long to wait")
	return cmd
}

// awaitMove prints the steps as they come until the group is served elsewhere.
func (c *common) awaitMove(ctx context.Context, r api.MoveRequest, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	began, last := time.Now(), ""
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		st, err := c.client().Status(ctx)
		if err != nil {
			return err
		}
		role, line := moveLine(st, r)
		if line != last {
			fmt.Fprintf(c.err, "%7.2f s  %s\n", time.Since(began).Seconds(), line)
			last = line
		}
		if role {
			fmt.Fprintf(c.out, "%s is on %s\n", r.Group, r.To)
			return nil
		}
		select {
		case <-ctx.Done():
			return &exitError{exitFailed, fmt.Sprintf("%s is not on %s after %s: %s — see: understudy why %s", r.Group, r.To, limit, last, r.Group)}
		case <-tick.C:
		}
	}
}

// moveLine says how far a move has got, as the asked node sees it.
func moveLine(st api.Status, r api.MoveRequest) (done bool, line string) {
	for _, g := range st.Groups {
		if g.Group != r.Group {
			continue
		}
		if st.Node == r.To {
			line = fmt.Sprintf("%s %s", st.Node, g.Phase)
			if g.Flight != nil {
				line = fmt.Sprintf("%s: %d/%d %s", st.Node, g.Flight.N, g.Flight.Of, g.Flight.Step)
			} else if g.Phase == "waiting" && len(g.Waits) > 0 {
				line = st.Node + " waits: " + g.Waits[0]
			}
			return g.Claim.Holder == r.To && !g.Claim.Released && g.Phase == "serving", line
		}
		if g.Flight != nil {
			return false, fmt.Sprintf("%s: %d/%d %s", st.Node, g.Flight.N, g.Flight.Of, g.Flight.Step)
		}
		if g.Phase == "waiting" && len(g.Waits) > 0 {
			return false, st.Node + " waits: " + g.Waits[0]
		}
	}
	for _, p := range st.Peers {
		for _, g := range p.Groups {
			if p.Name == r.To && g.Group == r.Group {
				done = g.Role.Holds() && g.Phase == "serving"
				return done, fmt.Sprintf("%s %s", p.Name, g.Phase)
			}
		}
	}
	return false, "waiting"
}

func clearCommand(c *common) *cobra.Command {
	return &cobra.Command{
		Use:   "clear GROUP",
		Short: "let the nodes take a group again that they have failed",
		Long: `Forget what has failed of a group, on every node: a start here or there, a
letting go that got stuck, and the failovers that were counted. A group that
stays down because its budget of failovers is spent is taken again. Mend the
cause first.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.client().Clear(cmd.Context(), args[0])
		},
	}
}

// operator is who asks, as the record keeps it.
func operator() string {
	if name := os.Getenv("SUDO_USER"); name != "" {
		return name
	}
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return fmt.Sprintf("uid %d", os.Getuid())
}

func age(ms int64) string {
	if ms < 0 {
		return "never"
	}
	return (time.Duration(ms) * time.Millisecond).Round(10*time.Millisecond).String() + " ago"
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return "(" + err.Error() + ")"
}
