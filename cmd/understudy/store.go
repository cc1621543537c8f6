package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"understudy/config"
	"understudy/observers"
	"understudy/reconcile"
	"understudy/reconcile/act"
	"understudy/reconcile/lease"
	"understudy/reconcile/loop"
)

// store is the opened store and, where it is embedded, its raft leadership.
type store struct {
	store          lease.Store
	run            func(ctx context.Context) error // keeps it going; it must be run
	leader         func() string
	keepLeaderAway func(ctx context.Context, holds func() bool) error
	handOver       func(ctx context.Context) error // raft leadership, if it is here
	// setUsable tells over which networks which machines can be reached now; nil
	// with another store.
	setUsable func(usable func(reconcile.Way) bool)

	keeper    keeper
	authority authority
	keep      func(ctx context.Context) error // keeps the lease; it must be run
	leave     func(ctx context.Context) error // gives the lease back; nil if there is none
}

// keeper keeps this node's lease and says what the store shows.
type keeper interface {
	loop.Lease
	Ask(ctx context.Context, q reconcile.Request) error
	Withdraw(ctx context.Context, key string) error
	Confirm(ctx context.Context, w reconcile.Confirmation) error
}

// authority carries out the steps that change who owns what, and reports whether a
// step is one of them.
type authority interface {
	Do(ctx context.Context, s reconcile.Step) (bool, error)
}

// ownership is what it takes to know, and to change, who owns what.
type ownership struct {
	node, boot, dir string
	keys            [][]byte
	peers           *observers.Peers
	host            *act.Host
	log             *slog.Logger
	// guarded is the watchdog bound that holds for this host now, for others to count on.
	guarded func() time.Duration
}

// openOwnership opens the store that the file names, with who keeps the lease in it.
func openOwnership(ctx context.Context, cfg *config.Config, o ownership) (store, error) {
	if reconcile.IsExternal(cfg) {
		out := openOutside(o.dir, o.log)
		rest := func(ctx context.Context) error { <-ctx.Done(); return nil }
		return store{keeper: out, authority: out, run: rest, keep: rest}, nil
	}
	st, err := openShared(ctx, cfg, o)
	if err != nil {
		return st, err
	}
	k := lease.NewKeeper(st.store, cfg.Lease, o.node, o.boot, o.log)
	st.keeper, st.keep, st.leave = k, k.Run, k.Leave
	st.authority = &lease.Authority{
		Keeper: k, Node: o.node, Peers: o.peers.Peers,
		Off: o.host.Fence,
	}
	return st, nil
}

// openShared opens a store that all nodes share.
func openShared(ctx context.Context, cfg *config.Config, o ownership) (store, error) {
	if cfg.Lease.Store == config.StoreDisk {
		return openDisk(cfg, o), nil
	}
	return openEtcd(ctx, cfg, o.node, o.dir, o.keys, o.log)
}

// heard reports whether anything speaks against reaching a machine over a way:
// keep-alives that were heard there and are not any more, or its own word that the
// adapter does not work.
func heard(peers []reconcile.Peer, w reconcile.Way) bool {
	for _, p := range peers {
		if p.Name != w.Machine {
			continue
		}
		if p.State == reconcile.PeerHeard && lost(p.Status.Lost, w.Remote) {
			return false
		}
		for _, l := range p.Links {
			if l.Network == w.Network && l.Remote == w.Remote && (l.Local == w.Local || !l.Local.IsValid()) {
				return l.Heard || l.Age < 0
			}
		}
	}
	return true
}

// lost reports whether an address is one of adapters that do not work.
func lost(adapters []reconcile.LostAdapter, a netip.Addr) bool {
	return slices.ContainsFunc(adapters, func(l reconcile.LostAdapter) bool { return l.Address == a })
}

// witnessName is the witness's name among the machines of the file.
const witnessName = "witness"

func witnessCommand(c *common) *cobra.Command {
	var logLevel string
	cmd := &cobra.Command{
		Use:   "witness",
		Short: "run the third vote on a small machine that holds nothing",
		Long: `Run the witness: a member of the embedded store and of the keep-alives that holds
no group. With it, either node may be lost and the other still has a majority.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
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
			if err := trust(append([]string{c.config}, cfg.ProfileFiles...)...); err != nil {
				return err
			}
			if cfg.Witness == nil || cfg.Lease.Store != config.StoreEmbedded {
				return &exitError{exitUsage, fmt.Sprintf("cannot be the witness: %s declares none for an embedded store", c.config)}
			}
			keys, err := readKeys(cfg.KeyFile)
			if err != nil {
				return err
			}
			boot, err := observers.BootID()
			if err != nil {
				return err
			}
			raisePriority(log)
			ctx, cancel := context.WithCancel(cmd.Context())
			defer cancel()
			tasks, ctx := errgroup.WithContext(ctx)
			log = log.With("node", witnessName)
			peers := observers.NewPeers(cfg, witnessName, boot, keys, log)
			peers.SetStatus(reconcile.NodeStatus{ConfigHash: cfg.Hash, Speaks: reconcile.Protocol})
			tasks.Go(func() error { return peers.Run(ctx) })
			st, err := openEtcd(ctx, cfg, witnessName, c.stateDir, keys, log)
			if err != nil {
				cancel()
				return errors.Join(err, tasks.Wait())
			}
			tasks.Go(func() error { return st.run(ctx) })
			tasks.Go(func() error {
				return c.followFile(ctx, st.store, cfg, keys, func(hash string) {
					peers.SetStatus(reconcile.NodeStatus{ConfigHash: hash, Speaks: reconcile.Protocol})
				}, log)
			})
			tasks.Go(func() error {
				for {
					select {
					case <-ctx.Done():
						return nil
					case <-peers.Changes():
						now := peers.Peers()
						st.setUsable(func(w reconcile.Way) bool { return heard(now, w) })
					}
				}
			})
			return tasks.Wait()
		},
	}
	cmd.Flags().StringVar(&logLevel, "log-level", "info", "debug, info, warn or error")
	return cmd
}
