//go:build linux

package lab

import (
	"time"

	"github.com/spf13/cobra"
)

func (c *verbs) chaos() *cobra.Command {
	var b ChaosOptions
	cmd := c.made(&cobra.Command{
		Use:   "chaos",
		Short: "faults of every kind, by chance, under clients that write; every answer is checked",
		Long: `Faults of every kind, by chance, one or several at a time, against clusters of
two to four nodes with three groups, under clients that write to every group all
the time, also from the side of an owner that is cut off. Each round of faults is
healed, and the service must become whole. Watchers see every moment at which a
file system, an address or an application is on two hosts. At the end of each
cluster all power is cut at once, and every line that was answered must be on the
disk, once, where its answer said, in an order that the times allow.

The seed gives the same faults at the same times again. What they meet is real
time of real processes: a seed does not give the same run again.

Exit 0: no promise was broken. Exit 1: one was; what happened before is printed,
and the logs are kept. Ctrl-C ends the faults, heals, checks and takes the lab
away.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return Chaos(cmd.Context(), c.options(), b, c.out, c.err)
		},
	})
	f := cmd.Flags()
	f.DurationVar(&b.For, "for", 30*time.Minute, "how long there are faults")
	f.Uint64Var(&b.Seed, "seed", 0, "`number` that the schedule of faults is drawn from (default by chance)")
	f.StringVar(&b.Hosts, "hosts", "2..4", "how many nodes: a `number`, or from..to")
	f.StringVar(&b.Store, "store", "embedded", "where the claims are: embedded or disk")
	f.StringVar(&b.Keep, "keep", "", "`folder` for the logs of a run that fails (default below /var/tmp)")
	f.BoolVar(&b.JSON, "json", false, "print one JSON document at the end")
	return cmd
}
