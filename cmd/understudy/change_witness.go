package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"understudy/config"
	"understudy/reconcile"
	"understudy/reconcile/lease"
)

// witnessLooks is how often the witness looks which file counts. Nothing waits for it:
// what it is built with is the same in every file that counts while it runs.
const witnessLooks = 2 * time.Second

// followFile keeps the witness's own file the one that counts, until ctx ends, and tells
// the hash of the one it has.
func (c *common) followFile(ctx context.Context, st lease.Store, cfg *config.Config, keys [][]byte, tell func(hash string), log *slog.Logger) error {
	tick := time.NewTicker(witnessLooks)
	defer tick.Stop()
	said := ""
	for {
		if why := c.followOnce(ctx, st, &cfg, keys, tell); why != nil && ctx.Err() == nil && why.Error() != said {
			said = why.Error()
			log.Warn("file that counts is not taken over", "err", why)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (c *common) followOnce(ctx context.Context, st lease.Store, cfg **config.Config, keys [][]byte, tell func(string)) error {
	asked, cancel := context.WithTimeout(ctx, witnessLooks)
	defer cancel()
	v, err := st.View(asked)
	if err != nil {
		return nil // the store says for itself when it cannot be read
	}
	claim := v.Claims[reconcile.FileKey]
	if claim.File == nil || claim.File.Hash == (*cfg).Hash {
		return nil
	}
	b, next, err := c.counting(*claim.File, keys, (*cfg).Cluster)
	if err != nil {
		return err
	}
	if fixed := config.Fixed(*cfg, next, c.config, b.File); len(fixed) > 0 {
		return fmt.Errorf("the file %.8s is for another start of the witness: copy it here, and restart the witness", claim.File.Hash)
	}
	if _, disk, err := c.onDisk(); err == nil && disk.Hash != (*cfg).Hash && disk.Hash != next.Hash {
		return fmt.Errorf("the file on disk (%.8s) was edited here: it is left alone", disk.Hash)
	}
	if err := c.install(b); err != nil {
		return err
	}
	*cfg = next
	tell(next.Hash)
	return nil
}
