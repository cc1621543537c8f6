package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"understudy/cmd/internal/api"
	"understudy/reconcile"
	"understudy/reconcile/journal"
)

func whyCommand(c *common) *cobra.Command {
	return &cobra.Command{
		Use:   "why GROUP",
		Short: "say in a sentence why a group is where it is, or a service as it is",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			st, err := c.client().Status(cmd.Context())
			if err != nil {
				return err
			}
			text, err := api.Why(st, args[0])
			if err != nil {
				return &exitError{exitUsage, err.Error()}
			}
			if c.json {
				return c.printJSON(map[string]any{"group": args[0], "why": strings.Split(text, "\n")})
			}
			fmt.Fprintln(c.out, text)
			return nil
		},
	}
}

func historyCommand(c *common) *cobra.Command {
	var f api.Filter
	var since time.Duration
	cmd := &cobra.Command{
		Use:   "history [GROUP]",
		Short: "print what this node saw, decided and did",
		Long: `Print the record of this node, oldest first, a line before each day. It is kept
on local disk and read from there when no resident service answers.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if since < 0 || f.Last < 0 {
				return &exitError{exitUsage, "cannot look into the future: --since and --last must not be negative — for example --since 10m --last 20"}
			}
			f.Group = strings.Join(args, "")
			if since > 0 {
				f.Since = time.Now().Add(-since)
			}
			recs, err := c.client().History(cmd.Context(), f)
			if err != nil {
				var jerr error
				recs, jerr = readJournal(c.stateDir, f)
				if errors.Is(jerr, fs.ErrNotExist) {
					return fmt.Errorf("%w; and there is no record in %s — name its folder with --state-dir", err, c.stateDir)
				}
				if jerr != nil {
					return fmt.Errorf("%w; and the record in %s cannot be read: %w", err, c.stateDir, jerr)
				}
			}
			if c.json {
				if recs == nil {
					recs = []journal.Record{}
				}
				return c.printJSON(recs)
			}
			day := ""
			for _, r := range recs {
				if d := r.At.Local().Format(time.DateOnly); d != day {
					fmt.Fprintln(c.out, d)
					day = d
				}
				printRecord(c.out, r)
			}
			return nil
		},
	}
	cmd.Flags().DurationVar(&since, "since", 0, "only the last while, for example 10m")
	cmd.Flags().IntVar(&f.Last, "last", 0, "only the last `n` records")
	return cmd
}

func printRecord(w io.Writer, r journal.Record) {
	at := r.At.Local().Format("15:04:05.000")
	switch {
	case r.FromRole != "":
		fmt.Fprintf(w, "%s  %-8s %s → %s (%s): %s\n", at, r.Group, r.FromRole, r.Role, r.Event, r.Why)
	case r.Kind == journal.Seen:
		fmt.Fprintf(w, "%s  %-8s %s: %s\n", at, r.Group, r.Event, r.Why)
	case r.Kind == journal.Decided:
		fmt.Fprintf(w, "%s  %-8s plan %s to %s, %d %s: %s\n", at, r.Group, r.Plan, r.Step, r.Of, plural(r.Of, "step"), r.Why)
	case r.Kind == journal.Done:
		fmt.Fprintf(w, "%s  %-8s %3d/%d %s, %s%s%s\n", at, r.Group, r.N, r.Of, r.Step, reconcile.Human(r.Took), whole(r), because(r))
	case r.Kind == journal.Failed:
		fmt.Fprintf(w, "%s  %-8s %3d/%d %s FAILED after %s: %s\n", at, r.Group, r.N, r.Of, r.Step, reconcile.Human(r.Took), r.Err)
	default:
		fmt.Fprintf(w, "%s  %-8s %s\n", at, r.Group, strings.TrimSpace(r.Why+" "+r.Err))
	}
}

// whole says at a plan's last step how long all of it took.
func whole(r journal.Record) string {
	d, err := time.ParseDuration(r.Facts[journal.PlanTook])
	if err != nil || r.Of < 2 {
		return ""
	}
	return " (the plan: " + reconcile.Human(d) + ")"
}

// because is what a hook was told, or people were, "" for other steps.
func because(r journal.Record) string {
	if r.Why == "" {
		return ""
	}
	return ": " + r.Why
}
