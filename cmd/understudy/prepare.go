package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"understudy/config"
	"understudy/observers/site"
	actsite "understudy/reconcile/act/site"
	"understudy/reconcile/prepare"
)

// preparation is one call of the verb.
type preparation struct {
	*common
	cfg  *config.Config
	node string
	root string
	cell string
}

func prepareCommand(c *common) *cobra.Command {
	p := &preparation{common: c}
	var apply, exitCode bool
	cmd := &cobra.Command{
		Use:   "prepare [--apply]",
		Short: "print what this node needs before its first start, then do it",
		Long: `Print what must be true on this node before its first start, in the order of
the guide's third chapter, each with what was seen:

  done      it is so; what was seen is the proof
  to do     --apply does it; the command that does the same is printed
  by hand   a step of yours, such as installing and configuring DCE
  blocked   it is wrong and not ours to mend; the way out is printed
  unknown   it could not be looked at, or cannot be yet

With --apply the steps to do are done in order, each verified by looking again;
the first that fails ends it. Done twice, the second time nothing is to do. A
file is never left half written, and its other lines, owner and mode stay.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := p.begin(); err != nil {
				return err
			}
			return p.do(cmd.Context(), apply, exitCode)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&apply, "apply", false, "do what is to do")
	f.BoolVar(&exitCode, "exit-code", false, "exit 3 if there is something to do")
	f.StringVar(&p.root, "root", "", "prepare the system whose files lie in this `folder`")
	f.StringVar(&p.cell, "cell", "", "the `name` of the DCE cell, where it is not known yet")
	return cmd
}

// begin reads the file and checks what was asked for.
func (p *preparation) begin() (err error) {
	if p.cfg, err = p.load(); err != nil {
		return err
	}
	if p.node, err = p.self(p.cfg); err != nil {
		return err
	}
	if p.cell != "" {
		if _, err := prepare.CleanCell(p.cell); err != nil {
			return &exitError{exitUsage, err.Error()}
		}
	}
	if p.root == "" {
		return nil
	}
	if p.root, err = filepath.Abs(p.root); err != nil {
		return fmt.Errorf("cannot tell where %s is: %w", p.root, err)
	}
	if info, err := os.Stat(p.root); err != nil || !info.IsDir() {
		return &exitError{exitUsage, fmt.Sprintf("cannot use %s as a root: it is no folder", p.root)}
	}
	return nil
}

// preparedJSON is the documented shape. Fields are added, never renamed.
type preparedJSON struct {
	Node  string         `json:"node"`
	Root  string         `json:"root,omitempty"`
	Cell  string         `json:"cell,omitempty"`
	Items []prepare.Item `json:"items"`
	Done  []string       `json:"done,omitempty"` // what --apply has changed
	Error string         `json:"error,omitempty"`
}

func (p *preparation) do(ctx context.Context, apply, exitCode bool) error {
	f, err := p.facts(ctx, p.cfg, p.node, p.root, p.cell)
	if err != nil {
		return err
	}
	items := prepare.Items(p.cfg, &f)
	var done []string
	if apply {
		if err := trust(p.config); err != nil {
			return err
		}
		items, done, err = p.carryOut(ctx, &f, items)
	}
	if p.json {
		out := preparedJSON{Node: p.node, Root: p.root, Cell: f.Cell, Items: items, Done: done}
		if err != nil {
			out.Error = err.Error()
		}
		if perr := p.printJSON(out); perr != nil {
			return perr
		}
	} else if !apply {
		prepare.Text(p.out, items)
		fmt.Fprintf(p.out, "\n%s\n", prepare.Summary(items))
	}
	switch {
	case err != nil:
		return err
	case apply && !p.json:
		p.sayRest(items, done)
	}
	switch {
	case prepare.Count(items, prepare.Blocked) > 0:
		return &exitError{code: exitBlocked}
	case exitCode && prepare.Count(items, prepare.ToDo) > 0:
		return &exitError{code: exitNotEmpty}
	}
	return nil
}

// carryOut makes the changes of the items to do, in order, and looks again after each
// item: it must be met then. It stops at the first that is not.
func (p *preparation) carryOut(ctx context.Context, f *prepare.Facts, items []prepare.Item) ([]prepare.Item, []string, error) {
	var done []string
	for _, it := range items {
		if it.State != prepare.ToDo {
			continue
		}
		for _, change := range it.Changes {
			if err := actsite.Do(ctx, p.root, change); err != nil {
				return items, done, fmt.Errorf("%s: %w (%s)", it.Name, err, before(done))
			}
			done = append(done, change.Text())
			if !p.json {
				fmt.Fprintf(p.out, "done     %s\n", change.Text())
			}
		}
		asks := append(prepare.Asks(p.cfg, p.node, f.StateDir), prepare.WireAsks(p.cfg, p.node, &f.Snapshot)...)
		f.Paths = site.Paths(ctx, p.root, asks, nil)
		now := prepare.Items(p.cfg, f)
		for _, n := range now {
			if n.Name == it.Name && n.Group == it.Group && n.State != prepare.Done {
				return now, done, fmt.Errorf("%s: it was done and is not so: %s (%s)", it.Name, n.Seen, before(done))
			}
		}
		items = now
	}
	return items, done, nil
}

func before(done []string) string {
	if len(done) == 0 {
		return "nothing was changed before"
	}
	return fmt.Sprintf("done before: %d %s", len(done), plural(len(done), "change"))
}

// sayRest tells what --apply leaves to others.
func (p *preparation) sayRest(items []prepare.Item, done []string) {
	if len(done) == 0 {
		fmt.Fprintln(p.out, "nothing to do")
	}
	var rest []prepare.Item
	for _, it := range items {
		if it.Matters() {
			rest = append(rest, it)
		}
	}
	if len(rest) > 0 {
		fmt.Fprintln(p.out)
		prepare.Text(p.out, rest)
	}
	fmt.Fprintf(p.out, "\n%s\n", prepare.Summary(items))
}
