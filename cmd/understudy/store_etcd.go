//go:build !aix

package main

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"

	"understudy/config"
	"understudy/reconcile/lease/etcd"
)

// openEtcd opens the store inside the program, or an etcd that is there already.
func openEtcd(ctx context.Context, cfg *config.Config, name, stateDir string, keys [][]byte, log *slog.Logger) (store, error) {
	if cfg.Lease.Store == config.StoreEtcd {
		s, err := etcd.NewClient(ctx, cfg, log)
		if err != nil {
			return store{}, err
		}
		return store{store: s, run: s.Run}, nil
	}
	m, err := etcd.StartMember(ctx, etcd.MemberOptions{Config: cfg, Name: name, DataDir: filepath.Join(stateDir, "etcd"), Keys: keys, Log: log})
	if err != nil {
		return store{}, err
	}
	s, err := m.Store()
	if err != nil {
		return store{}, errors.Join(err, m.Close())
	}
	return store{store: s, run: m.Run, leader: m.Leader, setUsable: m.SetUsable, keepLeaderAway: m.KeepLeaderAway, handOver: func(ctx context.Context) error {
		if m.Leader() != name {
			return nil
		}
		return m.MoveLeader(ctx, func(string) bool { return false })
	}}, nil
}
