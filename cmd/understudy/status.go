package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"understudy/cmd/internal/api"
	"understudy/config"
)

func statusCommand(c *common) *cobra.Command {
	var watch bool
	cmd := &cobra.Command{
		Use:   "status [--watch]",
		Short: "print roles, phases, resources, links and the lease",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if watch && c.json {
				return &exitError{exitUsage, "cannot watch as JSON — ask for `understudy status --json` as often as you like"}
			}
			if watch {
				return c.watch(cmd.Context())
			}
			st, err := c.client().Status(cmd.Context())
			if err != nil {
				return err
			}
			if c.json {
				return c.printJSON(st)
			}
			printStatus(c.out, st, colours(c.out))
			return nil
		},
	}
	cmd.Flags().BoolVar(&watch, "watch", false, "redraw on every change until interrupted")
	return cmd
}

// watch redraws the status in place on a terminal, and prints it anew on every
// change elsewhere.
func (c *common) watch(ctx context.Context) error {
	f, ok := c.out.(*os.File)
	tty := ok && term.IsTerminal(int(f.Fd()))
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	last := ""
	for {
		var b bytes.Buffer
		st, err := c.client().Status(ctx)
		if err != nil {
			fmt.Fprintf(&b, "%v\n", err)
		} else {
			printStatus(&b, st, colours(c.out))
		}
		switch now := b.String(); {
		case tty:
			fmt.Fprint(c.out, "\x1b[H\x1b[J"+strings.ReplaceAll(now, "\n", "\x1b[K\n"))
		case now != last:
			fmt.Fprint(c.out, now)
			last = now
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// palette is the few colours there are; each only repeats what a word says.
type palette struct{ good, bad, dim, bold, off string }

// colours are for a terminal that wants them (https://no-color.org).
func colours(w io.Writer) palette {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) || os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" {
		return palette{}
	}
	return palette{good: "\x1b[32m", bad: "\x1b[31m", dim: "\x1b[2m", bold: "\x1b[1m", off: "\x1b[0m"}
}

func printStatus(w io.Writer, st api.Status, p palette) {
	lease := p.bad + "no lease" + p.off
	if st.Lease.Valid {
		lease = fmt.Sprintf("lease %.1f s left", float64(st.Lease.LeftMS)/1000)
	}
	store := "store readable"
	if st.Store.Leader != "" {
		store += ", leader " + st.Store.Leader
	}
	if !st.Store.Readable {
		store = p.bad + "store not readable" + p.off
	}
	if st.Store.Kind == string(config.StoreExternal) {
		lease, store = "store external", "another manager moves addresses and disks"
	}
	fmt.Fprintf(w, "%scluster %s · node %s%s · %s · %s\n", p.bold, st.Cluster, st.Node, p.off, lease, store)
	if st.Watchdog != nil {
		fmt.Fprintln(w, watchdogLine(st.Watchdog, p))
	}
	for _, s := range notes(st) {
		fmt.Fprintf(w, "%s%s%s\n", p.bad, s, p.off)
	}
	for _, g := range st.Groups {
		printGroup(w, st, g, p)
	}
	printServices(w, st, p)
	printAdapters(w, st, p)
	printPeers(w, st, p)
}

// notes are what a person must know before anything else.
func notes(st api.Status) []string {
	var out []string
	for _, o := range st.Orders {
		out = append(out, "override: "+o.String())
	}
	for _, g := range st.Groups {
		if g.Claim.Rehearsal != "" && !g.Claim.Released {
			out = append(out, fmt.Sprintf("rehearsal: %s is held by %s without its applications", g.Group, g.Claim.Holder))
			continue
		}
		if g.Claim.Pinned != "" && !g.Claim.Released {
			out = append(out, fmt.Sprintf("override: %s was put on %s %s", g.Group, g.Claim.Holder, g.Claim.Pinned))
		}
	}
	if st.Stopping != "" {
		out = append(out, "leaving: "+st.Stopping)
	}
	for _, peer := range st.Peers {
		if peer.Doomed != "" {
			out = append(out, fmt.Sprintf("reset: %s says: %s", peer.Name, peer.Doomed))
		}
	}
	if st.ConfigNote != "" {
		out = append(out, "configuration: "+st.ConfigNote)
	}
	if st.Changing != "" {
		out = append(out, "change: this node "+st.Changing)
	}
	if st.Spoken != 0 && st.Spoken < st.Speaks {
		out = append(out, fmt.Sprintf("versions: not every node is known to speak what %s does (%d): what the oldest does not know (%d) is not used", st.Node, st.Speaks, st.Spoken))
	}
	for _, p := range st.Peers {
		if p.Changing != "" {
			out = append(out, fmt.Sprintf("change: %s %s", p.Name, p.Changing))
		}
		if p.State == "heard" && p.Config != "" && p.Config != st.ConfigHash {
			out = append(out, fmt.Sprintf("configuration: %s runs another file (%.8s) than %s (%.8s)", p.Name, p.Config, st.Node, st.ConfigHash))
		}
	}
	for _, g := range st.Groups {
		for _, p := range st.Peers {
			for _, o := range p.Groups {
				if p.State == "heard" && o.Group == g.Group && g.Programs != "" && o.Programs != "" && o.Programs != g.Programs {
					out = append(out, fmt.Sprintf("programs: those of %s differ between %s and %s — see: understudy prepare", g.Group, st.Node, p.Name))
				}
			}
		}
	}
	if st.Hooks != nil && st.Hooks.Dropped > 0 {
		out = append(out, fmt.Sprintf("hooks: %d were not run, because too many waited; %d wait", st.Hooks.Dropped, st.Hooks.Waiting))
	}
	if st.Lease.Error != "" {
		out = append(out, "lease: "+st.Lease.Error)
	}
	if st.Store.Error != "" {
		out = append(out, "store: "+st.Store.Error)
	}
	if st.Journal.Error != "" {
		out = append(out, fmt.Sprintf("journal: %s; %d records kept in memory, %d lost", st.Journal.Error, st.Journal.Held, st.Journal.Dropped))
	}
	return out
}

// armed says when a standby has last shown that it can take a group up. Where another
// cluster manager moves the group, this node has no lease and rehearses nothing.
func armed(st api.Status, rehearsed time.Time) string {
	switch {
	case !rehearsed.IsZero():
		return ", rehearsed " + rehearsed.Format(time.DateOnly)
	case st.Lease.Valid:
		return ", never rehearsed"
	}
	return ""
}

func printGroup(w io.Writer, st api.Status, g api.GroupStatus, p palette) {
	mark := p.dim
	switch g.Phase {
	case "serving":
		mark = p.good
	case "blocked", "waiting":
		mark = p.bad
	}
	where := "nowhere"
	if g.Claim.Epoch > 0 && !g.Claim.Released {
		where = fmt.Sprintf("on %s, epoch %d", g.Claim.Holder, g.Claim.Epoch)
	}
	if st.Store.Kind == string(config.StoreExternal) {
		where, _, _ = strings.Cut(where, ",") // nobody counts there
	}
	ready := ""
	if g.Ready {
		ready = ", ready" + armed(st, g.Rehearsed)
	}
	fmt.Fprintf(w, "\n%sgroup %s%s · %s · %s · %s: %s%s, %s%s%s\n", p.bold, g.Group, p.off, g.Policy, where, st.Node, mark, g.Role, g.Phase, ready, p.off)
	if g.Flight != nil {
		fmt.Fprintf(w, "  step %d of %d: %s (plan %s)\n", g.Flight.N, g.Flight.Of, g.Flight.Step, g.Flight.Fingerprint)
	}
	if g.Dirty != "" {
		indent(w, "  needs a reboot to let go: ", g.Dirty+" has run on "+st.Node+" since its boot")
	}
	for _, b := range g.Blocked {
		indent(w, "  blocked: ", b)
	}
	for _, b := range g.Waits {
		indent(w, "  waits: ", b)
	}
	if g.Error != "" && !slices.ContainsFunc(g.Waits, func(s string) bool { return strings.HasPrefix(s, g.Error) }) {
		indent(w, "  last failure: ", g.Error)
	}
	printNotice(w, g.Notice)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, r := range g.Resources {
		state := r.State
		if r.Detail != "" && r.Detail != r.State && r.State != "absent" {
			state += " (" + r.Detail + ")"
		}
		fmt.Fprintf(tw, "  %s\t%s\t%s\n", r.Kind, r.Name, state)
	}
	_ = tw.Flush()
}

func printPeers(w io.Writer, st api.Status, p palette) {
	if len(st.Peers) == 0 {
		return
	}
	fmt.Fprintln(w)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, peer := range st.Peers {
		var cols []string
		for _, l := range peer.Links {
			text := l.Network + " " + age(l.AgeMS)
			if l.Heard && !l.Hears {
				text += " (does not hear us)"
			}
			cols = append(cols, text)
		}
		for _, g := range peer.Groups {
			text := fmt.Sprintf("%s %s, %s", g.Group, g.Role, g.Phase)
			if g.Ready {
				text += ", ready" + armed(st, g.Rehearsed)
			}
			if g.Dirty {
				text += ", needs a reboot"
			}
			cols = append(cols, text)
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\n", peer.Name, peer.State, strings.Join(cols, "\t"))
	}
	_ = tw.Flush()
	for _, peer := range st.Peers {
		for _, a := range peer.Lost {
			if peer.State == "heard" {
				indent(w, fmt.Sprintf("  %s, adapter %s of %s: ", peer.Name, a.Address, a.Network), "lost: "+a.Why)
			}
		}
		for _, g := range peer.Groups {
			if g.Reason != "" && peer.State == "heard" {
				indent(w, fmt.Sprintf("  %s, %s: ", peer.Name, g.Group), g.Reason)
			}
		}
	}
}

// indent writes text behind a label, broken at 80 columns.
func indent(w io.Writer, label, text string) {
	const width = 80
	line, pad := label, strings.Repeat(" ", 4)
	for word := range strings.FieldsSeq(text) {
		if len([]rune(line))+1+len([]rune(word)) > width && strings.TrimSpace(line) != "" {
			fmt.Fprintln(w, strings.TrimRight(line, " "))
			line = pad
		}
		if line != "" && !strings.HasSuffix(line, " ") {
			line += " "
		}
		line += word
	}
	fmt.Fprintln(w, line)
}
