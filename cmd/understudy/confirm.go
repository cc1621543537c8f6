package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"understudy/cmd/internal/api"
	"understudy/config"
)

func confirmCommand(c *common) *cobra.Command {
	var reason string
	var yes string
	cmd := &cobra.Command{
		Use:   "confirm-down NODE",
		Short: "say that a silent node is off, because you have seen it",
		Long: `Record your word that the boot of NODE which holds a claim is off. This is
taken as evidence: another node will take over what it held. If NODE is not off,
two machines write to one disk. It is refused while NODE is heard, and it is
void for any later boot of NODE.

A machine that stands still (paused, suspended, swapping) is not off: it goes on
where it was when it wakes. Cut its power first, or its path to the disks. What
stops its writes otherwise is said for each group that it holds: that the disks
refuse them (reservation = "required"), its watchdog, or nothing. That boot
gets no lease again, so that NODE must boot before it holds anything.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			node := args[0]
			st, err := c.client().Status(cmd.Context())
			if err != nil {
				return err
			}
			ifItWakes(c.err, c.fileIfAny(), st, node)
			if yes != node {
				if err := c.ask(st, node); err != nil {
					return err
				}
			}
			err = c.client().Confirm(cmd.Context(), api.ConfirmRequest{Node: node, By: operator(), Reason: reason})
			if err == nil {
				fmt.Fprintf(c.out, "recorded: %s is down\n", node)
			}
			return err
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "seen off", "how you know, for `why` and `history`")
	cmd.Flags().StringVar(&yes, "yes", "", "do not ask; repeat the `node`'s name here")
	return cmd
}

// fileIfAny is the configuration, nil if it cannot be read: whoever stands before a
// machine that is off need not mend a file first.
func (c *common) fileIfAny() *config.Config {
	data, err := c.readConfig()
	if err != nil {
		return nil
	}
	own, err := c.readProfiles()
	if err != nil {
		return nil
	}
	cfg, err := config.ParseWith(c.config, data, own)
	if err != nil {
		return nil
	}
	return cfg
}

// ifItWakes says what stops the writes of a node that is not off but stands still, for
// each group that it holds. No check of another host can tell the two apart.
func ifItWakes(out io.Writer, cfg *config.Config, st api.Status, node string) {
	first := true
	for _, g := range st.Groups {
		if g.Claim.Holder != node || g.Claim.Released {
			continue
		}
		if first {
			fmt.Fprintf(out, "If %s is not off but stands still, it goes on when it wakes:\n", node)
			first = false
		}
		what := "NOTHING STOPS ITS WRITES: cut its power, or its path to the disks"
		switch {
		case cfg == nil:
			what = "the file cannot be read, so count on nothing: cut its power, or its path to the disks"
		case cfg.Group(g.Group) != nil && cfg.Group(g.Group).Reservation == config.ReservationRequired:
			what = "its disks refuse its writes as soon as another node has reserved them"
		case cfg.WatchdogBound() > 0:
			what = "its watchdog resets it, if that has not stood still as well, as in a virtual machine that is paused"
		}
		fmt.Fprintf(out, "  %-12s %s\n", g.Group, what)
	}
}

// ask shows what is known of a node and wants its name typed.
func (c *common) ask(st api.Status, node string) error {
	for _, p := range st.Peers {
		if p.Name != node {
			continue
		}
		fmt.Fprintf(c.err, "%s is %s to %s\n", node, p.State, st.Node)
		for _, l := range p.Links {
			fmt.Fprintf(c.err, "  %-12s last heard %s\n", l.Network, age(l.AgeMS))
		}
	}
	for _, g := range st.Groups {
		if g.Claim.Holder == node && !g.Claim.Released {
			fmt.Fprintf(c.err, "  holds %s, epoch %d, boot %s\n", g.Group, g.Claim.Epoch, g.Claim.BootID)
		}
	}
	fmt.Fprintf(c.err, "Is %s switched off, and have you seen it? Type its name to confirm: ", node)
	line, err := bufio.NewReader(os.Stdin).ReadString('\n')
	if strings.TrimSpace(line) != node {
		return &exitError{exitFailed, strings.TrimSpace(fmt.Sprintf("not confirmed, nothing was recorded %s", errText(err)))}
	}
	return nil
}
