package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"understudy/cmd/internal/api"
	"understudy/config"
	"understudy/reconcile/loop"
)

func changeCommand(c *common) *cobra.Command {
	var q api.ChangeRequest
	var path string
	var exitCode bool
	cmd := &cobra.Command{
		Use:   "change [--file FILE] [--apply]",
		Short: "show what a changed file does, or take it over on all nodes or on none",
		Long: `Show what a changed file would do on every node, or, with --apply, take it over
while the service runs. The changed file is the one on disk, where a person has
edited it on one node, or FILE.

With --apply every node is asked. It gets the file, checks it against its own
host, writes it beside the one that is there, and answers. Only if all say yes
is it made the file that counts, by one record in the store, and every node goes
over to it: what it has not got any more is let go first, what it adds is taken
up, and an application is started anew only where what it runs has changed. If
one says no, nothing is changed anywhere, and the answer says who and why.

A node that is off makes it refuse, unless --without names it; then it gets the
file when it returns, before it takes anything. It must not hold a group.

What the store, the keep-alives and the watchdog are built with, the nodes and
their addresses, and the policy of a group need a stop of all nodes. Start them
all with the new file then: it counts as soon as every node runs it, or when
--adopt says so on a node that must not wait for the others.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			q.By = operator()
			if q.Adopt && (q.Apply || path != "") {
				return &exitError{exitUsage, "cannot adopt and change: --adopt is for the file that this node was started with"}
			}
			if !q.Adopt {
				if err := c.readChange(&q, path); err != nil {
					return err
				}
			}
			reply, err := c.client().Change(cmd.Context(), q)
			if err != nil {
				return err
			}
			if c.json {
				err = c.printJSON(reply)
			} else {
				c.printChange(reply, q)
			}
			switch {
			case err != nil:
				return err
			case !q.Apply && (len(reply.Refused) > 0 || reply.Blocked > 0):
				return &exitError{code: exitBlocked}
			case exitCode && !q.Apply && reply.Hash != reply.InForce:
				return &exitError{code: exitNotEmpty}
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&path, "file", "", "the changed `file` (default: the one on disk, --config)")
	f.BoolVar(&q.Apply, "apply", false, "take it over on all nodes, or on none")
	f.StringVar(&q.Expect, "expect", "", "with --apply: refuse unless what it does has this `fingerprint`")
	f.StringArrayVar(&q.Without, "without", nil, "with --apply: a `node` that is off and gets it when it returns; may be repeated")
	f.StringVar(&q.Reason, "reason", "", "why, for `history`")
	f.BoolVar(&q.Adopt, "adopt", false, "let the file that this node was started with count from now on")
	f.BoolVar(&exitCode, "exit-code", false, "exit 3 if the file is another than the one in force")
	return cmd
}

// readChange reads the changed file, with the profiles that it uses: those beside the
// file in force. What is wrong with it is said here, under its own name.
func (c *common) readChange(q *api.ChangeRequest, path string) error {
	from := *c
	if path != "" {
		from.config = path
	}
	abs, err := filepath.Abs(from.config)
	if err != nil {
		return fmt.Errorf("cannot tell where %s is: %w", from.config, err)
	}
	data, err := from.readConfig()
	if err != nil {
		return err
	}
	if os.Geteuid() == 0 {
		if err := trust(abs); err != nil {
			return err
		}
	}
	own, err := c.readProfiles()
	if err != nil {
		return err
	}
	cfg, findings := config.CheckWith(from.config, data, own)
	for _, f := range findings {
		fmt.Fprintln(c.err, f)
	}
	if cfg == nil {
		return fmt.Errorf("cannot use %s: %d %s", from.config, len(findings), plural(len(findings), "finding"))
	}
	b := newBundle(cfg, data, own)
	q.Name, q.File, q.Profiles = from.config, b.File, b.Profiles
	return nil
}

func (c *common) printChange(r api.ChangeReply, q api.ChangeRequest) {
	for _, f := range r.Refused {
		fmt.Fprintln(c.out, f)
	}
	switch {
	case q.Adopt:
		fmt.Fprintf(c.out, "the file %.8s counts from now on\n", r.Counts)
		return
	case r.Done && r.Hash == r.InForce:
		fmt.Fprintf(c.out, "the file %.8s is in force already\n", r.Hash)
		return
	case r.Done:
		fmt.Fprintf(c.out, "the file %.8s counts now, in the place of %.8s\n", r.Hash, r.InForce)
		for _, n := range r.Nodes {
			fmt.Fprintln(c.out, "  "+n)
		}
		return
	case r.Hash == r.InForce:
		fmt.Fprintf(c.out, "the file %.8s is the one in force\n", r.Hash)
		return
	}
	if len(r.Refused) > 0 {
		return
	}
	for _, n := range r.Notes {
		fmt.Fprintln(c.out, "note: "+n)
	}
	fmt.Fprint(c.out, r.Text)
	fmt.Fprintf(c.out, "\n%.8s → %.8s on every node · change %s\n", r.InForce, r.Hash, r.Fingerprint)
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

// openChanger makes what keeps this node by the file that counts.
func (c *common) openChanger(node string, keys [][]byte, st store) *changer {
	ch := &changer{c: c, node: node, keys: keys, kick: make(chan struct{}, 1)}
	if k, ok := st.keeper.(fileKeeper); ok {
		ch.keeper = k
	}
	return ch
}

// begins finds by which file this host was last run, and says by which the loop begins:
// where that is another one than the file on disk, by its groups, until it is known
// whether the file on disk counts. Where this host was on its way to that one, it goes on
// from where it was.
func (c *common) begins(cfg *config.Config, node string, b *bundle) (former *bundle, formerCfg, begin *config.Config, err error) {
	if cfg.Lease.Store == config.StoreExternal {
		return b, cfg, cfg, nil
	}
	former, formerCfg = c.lastInForce()
	if former != nil && formerCfg.Hash != cfg.Hash && formerCfg.Cluster == cfg.Cluster {
		if begin, ok := loop.Resume(c.stateDir, node, formerCfg, cfg); ok {
			return former, formerCfg, begin, nil
		}
		return former, formerCfg, config.Rebased(formerCfg, cfg), nil
	}
	return b, cfg, cfg, c.keepInForce(b)
}
