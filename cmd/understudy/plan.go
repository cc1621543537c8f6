package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"understudy/cmd/internal/api"
	"understudy/config"
	"understudy/reconcile"
)

func planCommand(c *common) *cobra.Command {
	var whatif []string
	var exitCode, commands bool
	cmd := &cobra.Command{
		Use:   "plan [GROUP] [--what-if EVENT]",
		Short: "print the steps that would run, on every node concerned",
		Long: `Print the steps that would run now, or, with --what-if, after something that
might happen, on every node concerned. The resident service is asked; without
one, a what-if starts from the cluster of the file at rest.

  --what-if node-down=NODE      the node falls silent, its fence confirms off
  --what-if node-up=NODE        it comes back
  --what-if move=GROUP:NODE     an operator moves the group
  --what-if daemon-died=DAEMON  a daemon or application ends
  --what-if address-lost=LABEL  a service address is removed by hand
  --what-if mount-lost=PATH     a file system is unmounted by hand

Several what-ifs happen one after the other.

GROUP may be @node, for the services of this node.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			group := strings.Join(args, "")
			reply, err := c.client().Plan(cmd.Context(), group, whatif)
			if errors.Is(err, api.ErrNoService) {
				reply, err = c.offline(cmd.Context(), group, whatif)
			}
			if err != nil {
				return err
			}
			if c.json {
				if err := c.printJSON(reply); err != nil {
					return err
				}
			} else {
				fmt.Fprintln(c.err, reply.Basis)
				if !commands {
					fmt.Fprint(c.out, reply.Text)
				} else if err := printCommands(c.out, reply); err != nil {
					return err
				}
			}
			switch {
			case reply.Blocked > 0:
				return &exitError{code: exitBlocked}
			case exitCode && reply.Steps > 0:
				return &exitError{code: exitNotEmpty}
			}
			return nil
		},
	}
	cmd.Flags().StringArrayVar(&whatif, "what-if", nil, "what might happen, as `KIND=OBJECT`; may be repeated")
	cmd.Flags().BoolVar(&commands, "commands", false, "print only the command of each step, to do it by hand")
	cmd.Flags().BoolVar(&exitCode, "exit-code", false, "exit 3 if the plan is not empty")
	return cmd
}

// offline plans from the file alone.
func (c *common) offline(_ context.Context, group string, whatif []string) (api.PlanReply, error) {
	cfg, err := c.load()
	if err != nil {
		return api.PlanReply{}, err
	}
	if len(whatif) == 0 {
		return api.PlanReply{}, &exitError{exitFailed, fmt.Sprintf("cannot plan for what is: %v on %s — start it with `understudy run`, or ask with --what-if", api.ErrNoService, c.socket)}
	}
	w := reconcile.Steady(cfg, time.Now())
	return imagine(cfg, w, "from the file alone: every node up, every group at rest (no resident service on "+c.socket+")", group, whatif)
}

// imagine lets the what-ifs happen in a world and collects the plans.
func imagine(cfg *config.Config, w *reconcile.World, basis, group string, whatif []string) (api.PlanReply, error) {
	if group != "" && group != reconcile.NodeGroup && cfg.Group(group) == nil {
		return api.PlanReply{}, &api.Refusal{Code: exitUsage, Text: fmt.Sprintf("cannot find group %q in the file — it has %s", group, groupNames(cfg))}
	}
	var plans []reconcile.Plan
	var idle []string // what-ifs after which nothing is to be done
	for _, s := range whatif {
		e, err := reconcile.ParseWhatIf(cfg, s)
		if err != nil {
			return api.PlanReply{}, &api.Refusal{Code: exitUsage, Text: err.Error()}
		}
		stages, err := w.Happen(e)
		if err != nil {
			return api.PlanReply{}, &api.Refusal{Code: exitUsage, Text: err.Error()}
		}
		before := len(plans)
		for _, st := range stages {
			if group == "" || st.Plan.Group == group {
				plans = append(plans, st.Plan)
			}
		}
		if len(plans) == before {
			plans = append(plans, standing(cfg, w, group)...)
		}
		if len(plans) == before {
			idle = append(idle, s)
		}
	}
	r, err := planReply(basis, plans)
	if len(idle) > 0 && len(plans) > 0 {
		r.Text += "\nnothing to do after " + strings.Join(idle, ", ") + "\n"
	}
	return r, err
}

// standing are the plans without a step that wait for something or are blocked,
// of every node that is up: what nobody does must be told as well.
func standing(cfg *config.Config, w *reconcile.World, group string) []reconcile.Plan {
	var out []reconcile.Plan
	for i := range cfg.Groups {
		g := &cfg.Groups[i]
		if group != "" && g.Name != group {
			continue
		}
		for _, node := range g.Nodes {
			if w.Down[node] {
				continue
			}
			if p := reconcile.Decide(cfg, g, w.View(node)).Plan; p.Empty() && len(p.Waits)+len(p.Blocked) > 0 {
				out = append(out, p)
			}
		}
	}
	return out
}

// groupNames are the groups of the file, for a person.
func groupNames(cfg *config.Config) string {
	names := make([]string, len(cfg.Groups))
	for i, g := range cfg.Groups {
		names[i] = g.Name
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

func planReply(basis string, plans []reconcile.Plan) (api.PlanReply, error) {
	r := api.PlanReply{Basis: basis, Plans: []json.RawMessage{}}
	var text strings.Builder
	for i, p := range plans {
		if i > 0 {
			fmt.Fprintln(&text)
		}
		p.Text(&text)
		raw, err := json.Marshal(p)
		if err != nil {
			return r, err
		}
		r.Plans = append(r.Plans, raw)
		r.Steps += len(p.Steps)
		r.Blocked += len(p.Blocked)
	}
	if len(plans) == 0 {
		fmt.Fprintln(&text, "nothing to do")
	}
	r.Text = text.String()
	return r, nil
}
