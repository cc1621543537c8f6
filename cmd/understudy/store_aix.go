package main

import (
	"context"
	"fmt"
	"log/slog"

	"understudy/config"
)

// openEtcd refuses: etcd does not build for this system (its file locks need
// flock(2)).
func openEtcd(_ context.Context, cfg *config.Config, _, _ string, _ [][]byte, _ *slog.Logger) (store, error) {
	return store{}, fmt.Errorf(`cannot use store = %q on AIX: etcd does not build there — let another manager hold the group and write store = "external"`, cfg.Lease.Store)
}
