package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/lmittmann/tint"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"golang.org/x/term"

	"understudy/cmd/internal/api"
	"understudy/observers"
	"understudy/observers/files"
	"understudy/reconcile"
	"understudy/reconcile/act"
	"understudy/reconcile/act/watchdog"
	"understudy/reconcile/journal"
	"understudy/reconcile/loop"
)

func runCommand(c *common) *cobra.Command {
	var logLevel string
	cmd := &cobra.Command{
		Use:   "run",
		Short: "run the resident service of this node",
		Long: `Run the resident service of this node until it is told to stop, by a signal or
by "understudy stop". What SIGTERM and SIGINT do the file declares, "stop":

hand-over  the groups held here are let go in order and signed off, so that
           another node takes them at once; the default
stop       the same, and nobody takes them before this node's service starts
           again, or a person clears them
leave      nothing is touched: the groups go on, and a new "understudy run"
           carries on with them

A second signal leaves without waiting. SIGQUIT always leaves. A node that has
left and is silent for longer than the keepalive timeout may be fenced.

A watchdog that is armed when this leaves counts on: the new start must come
within its timeout, or the host is reset, unless the file says on_leave =
"disarm", which leaves the host without protection meanwhile. When everything
was let go it is switched off; one with nowayout can not be.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.resident(cmd.Context(), logLevel)
		},
	}
	cmd.Flags().StringVar(&logLevel, "log-level", "info", "debug, info, warn or error")
	return cmd
}

// logger writes for a person on a terminal and JSON for everything else.
func logger(w io.Writer, level string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, &exitError{exitUsage, fmt.Sprintf("cannot log at level %q — use debug, info, warn or error", level)}
	}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return slog.New(tint.NewHandler(f, &tint.Options{Level: l, TimeFormat: "15:04:05.000", NoColor: os.Getenv("NO_COLOR") != ""})), nil
	}
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: l})), nil
}

// resident builds the service of this node, outermost first, and runs it. A
// signal does not end ctx but begins the hand-over; see signals.
func (c *common) resident(stop context.Context, logLevel string) error {
	log, err := logger(c.err, logLevel)
	if err != nil {
		return err
	}
	if err := c.finishInstall(); err != nil {
		return err
	}
	cfg, err := c.load()
	if err != nil {
		return err
	}
	node, err := c.self(cfg)
	if err != nil {
		return err
	}
	if err := trust(slices.Concat([]string{c.config}, cfg.ProfileFiles, commands(cfg, node))...); err != nil {
		return err
	}
	disk, same, err := c.onDisk()
	if err != nil {
		return err
	}
	keys, err := readKeys(cfg.KeyFile)
	if err != nil {
		return err
	}
	boot, err := observers.BootID()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(c.stateDir, 0o700); err != nil {
		return fmt.Errorf("cannot make the state folder: %w", err)
	}
	if err := trust(c.stateDir); err != nil {
		return err
	}
	former, formerCfg, begin, err := c.begins(same, node, disk)
	if err != nil {
		return err
	}
	bootCfg := same
	if cfg = begin; formerCfg == same {
		bootCfg = nil
	} else if err := trust(commands(cfg, node)...); err != nil {
		return err
	}
	jr, err := journal.Open(c.stateDir, journal.Options{Node: node, BootID: boot})
	if err != nil {
		return err
	}
	defer jr.Close()
	log = log.With("node", node)
	if err := jr.Append(journal.Record{Kind: journal.Note, Why: "understudy " + version + " started"}); err != nil {
		log.Warn("journal was not written", "err", err)
	}
	raisePriority(log)

	ctx, cancel := context.WithCancel(context.WithoutCancel(stop))
	defer cancel()
	tasks, ctx := errgroup.WithContext(ctx)

	// The keep-alives end last: silence would get this node fenced while it leaves.
	peers := observers.NewPeers(cfg, node, boot, keys, log)
	alive, hush := context.WithCancel(context.WithoutCancel(ctx))
	speaking := make(chan error, 1)
	go func() { speaking <- peers.Run(alive) }()
	defer func() { hush(); <-speaking }()
	seen, err := observers.New(cfg, node, c.stateDir, peers, log)
	if err != nil {
		return err
	}
	tasks.Go(func() error { return seen.Run(ctx) })

	host := act.New(act.Options{StateDir: c.stateDir, Config: cfg, Node: node, Log: log, Look: seen.LookApps, Reboot: rebootHost})
	defer host.Close()
	tasks.Go(func() error { return host.Run(ctx) })

	var dog atomic.Pointer[watchdog.Watchdog] // made below: it asks the keeper for the lease
	st, err := openOwnership(ctx, cfg, ownership{node: node, boot: boot, dir: c.stateDir, keys: keys, peers: peers, host: host, log: log, guarded: guardedBy(cfg, dog.Load)})
	if err != nil {
		cancel()
		return errors.Join(err, tasks.Wait())
	}
	tasks.Go(func() error { return st.keep(ctx) })
	var own atomic.Pointer[ownFacts]
	res := &resident{node: node, keeper: st.keeper, journal: jr, leader: st.leader, own: own.Load, keys: observers.KeyIDs(keys), stops: make(chan api.StopRequest)}
	res.cfg.Store(cfg)
	tasks.Go(func() error { keepOwnFacts(ctx, res.config, node, c.stateDir, seen.Look, own.Store); return nil })
	last := &lastWords{peers: peers, journal: jr, log: log}
	guard := c.openWatchdog(cfg, boot, st, last, log)
	dog.Store(guard)
	ch := c.openChanger(node, keys, st)
	tell := announce(peers, st, own.Load, last)
	l := loop.New(loop.Options{
		Config: cfg, Node: node, Observer: seen, Lease: st.keeper, Journal: jr, Log: log, StateDir: c.stateDir,
		Actor:    &hands{host: host, authority: st.authority, seen: seen, log: log},
		Announce: func(s reconcile.NodeStatus) { tell(s); ch.poke() }, LastWords: last.fence, SelfFence: func(string) { selfFence(log) },
		Guard: guarding(guard), Adopt: res.adopt(seen, host, log),
	})
	leaving := new(atomic.Bool)
	if guard != nil {
		_ = guard.Arm() // before the first decision; its reason is logged, and Run tries again
		defer func() { guard.Close(leaving.Load()) }()
		tasks.Go(func() error { return guard.Run(ctx, watchdogTick(cfg)) })
	}
	tasks.Go(func() error { return runStore(ctx, st, l, log) })
	res.loop, res.guard, res.last, res.changer = l, guard, last, ch
	ch.loop, ch.state, ch.jr, ch.log, ch.tell = l, l.State, jr, log, res.noted
	if ch.force, ch.forceCfg = former, formerCfg; bootCfg != nil {
		ch.boot, ch.bootCfg = disk, bootCfg
	}
	tasks.Go(func() error { return ch.run(ctx) })
	if st.keepLeaderAway != nil {
		tasks.Go(func() error { return st.keepLeaderAway(ctx, func() bool { return holds(l.State()) }) })
	}
	tasks.Go(func() error {
		return api.Serve(ctx, c.socket, res, func() { res.share(c.socket, log) })
	})
	for _, path := range slices.Concat([]string{c.config}, same.ProfileFiles) {
		tasks.Go(func() error { return files.Watch(ctx, path, log, func([]byte) { ch.disk() }) })
	}
	tasks.Go(func() error { return notifyReady(ctx, l, log) })
	tasks.Go(func() error { return res.signals(ctx, stop, func() { leaving.Store(true); cancel() }, log) })
	tasks.Go(func() error { res.started(ctx, c.stateDir, log); return nil })
	tasks.Go(func() error {
		defer cancel() // the loop has nothing left to do: everything else ends
		err := l.Run(ctx)
		if err == nil && ctx.Err() == nil {
			leaving.Store(true) // what is still here is a frozen group's, and left on purpose
			depart(ctx, st, log)
		}
		return err
	})
	err = tasks.Wait()
	_ = tellStopping()
	_ = jr.Append(journal.Record{Kind: journal.Note, Why: "understudy ended"})
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// runStore keeps the store going. When it fails (its disk is full, say), this
// node cannot keep its lease, and it must not leave the service alone either: it
// lets go of everything, and the program ends with the store's error.
func runStore(ctx context.Context, st store, l *loop.Loop, log *slog.Logger) error {
	err := st.run(ctx)
	if err == nil || ctx.Err() != nil {
		return nil
	}
	log.Error("store failed, letting go of everything", "err", err)
	if stop := l.Stop(ctx, "the store failed: "+err.Error()); stop != nil {
		return err
	}
	<-ctx.Done() // the loop has ended
	return err
}

// announce tells the peers what this node says of itself, and the store over
// which networks it can still talk.
func announce(peers *observers.Peers, st store, own func() *ownFacts, last *lastWords) func(reconcile.NodeStatus) {
	return func(s reconcile.NodeStatus) {
		own().tell(&s)
		last.announce(s)
		if st.setUsable != nil {
			now := peers.Peers()
			st.setUsable(func(w reconcile.Way) bool {
				return slices.Contains(s.Networks, w.Network) && !lost(s.Lost, w.Local) && heard(now, w)
			})
		}
	}
}

// departLimit bounds the courtesies of a node that has let go of everything.
const departLimit = 2 * time.Second

// depart leaves the store in order: the lease is given back, and raft leadership
// handed over, so that those who stay need no election.
func depart(ctx context.Context, st store, log *slog.Logger) {
	ctx, cancel := context.WithTimeout(ctx, departLimit)
	defer cancel()
	if st.leave != nil {
		if err := st.leave(ctx); err != nil {
			log.Warn("lease was not given back", "err", err)
		}
	}
	if st.handOver != nil {
		if err := st.handOver(ctx); err != nil {
			log.Warn("raft leadership was not handed over", "err", err)
		}
	}
}

// holds reports whether this node holds a group or takes one up.
func holds(st *loop.State) bool {
	if st == nil {
		return false
	}
	for _, d := range st.Decisions {
		if d.Transition.To.Holds() || d.Goal == reconcile.Hold {
			return true
		}
	}
	return false
}

// notifyReady tells the service manager when the first pass has been made.
func notifyReady(ctx context.Context, l *loop.Loop, log *slog.Logger) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for l.State() == nil {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
	if err := tellReady(); err != nil {
		log.Warn("the service manager was not notified", "err", err)
	}
	return nil
}

func readJournal(dir string, f api.Filter) ([]journal.Record, error) {
	if _, err := os.Stat(filepath.Join(dir, "journal.log")); err != nil {
		return nil, err
	}
	var out []journal.Record
	for r, err := range journal.Read(dir, journalFilter(f)) {
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

func filtered(j *journal.Journal, f api.Filter) ([]journal.Record, error) {
	return j.Records(journalFilter(f))
}

func journalFilter(f api.Filter) journal.Filter {
	return journal.Filter{Group: f.Group, Since: f.Since, Last: f.Last}
}
