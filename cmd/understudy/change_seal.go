package main

import (
	"context"
	"errors"
	"fmt"

	"understudy/config"
	"understudy/reconcile"
	"understudy/reconcile/lease"
)

// errTooLarge says that a store does not take a file. It can count all the same, when
// every node was started with it; a node that has it not gets it from a person then.
var errTooLarge = errors.New("the file is too large for the store")

// sealLimit is the largest sealed file that a store takes, in bytes. A slot of a shared
// disk holds 64 KiB, in which the file that counts and one that is voted on lie as base64
// beside everything else.
func sealLimit(cfg *config.Config) int {
	if cfg.Lease.Store == config.StoreDisk {
		return 12 << 10
	}
	return 384 << 10
}

// seal packs a file for the store; errTooLarge if it does not take it.
func (ch *changer) seal(b *bundle, cfg *config.Config) ([]byte, error) {
	sealed, err := b.seal(ch.keys[0], cfg.Cluster)
	if err == nil && len(sealed) > sealLimit(cfg) {
		err = fmt.Errorf("%w: packed it has %d bytes, and the store takes %d — stop every node, copy it to all of them, and start them", errTooLarge, len(sealed), sealLimit(cfg))
	}
	return sealed, err
}

// sealIfFits packs a file that all nodes have for the store, or returns nothing if it
// does not take it.
func (ch *changer) sealIfFits(b *bundle, cfg *config.Config) ([]byte, error) {
	sealed, err := ch.seal(b, cfg)
	if errors.Is(err, errTooLarge) {
		return nil, nil
	}
	return sealed, err
}

// sealAnew seals the file that counts with the key of now, when none that this node has
// opens it any more: the old key has been given up.
func (ch *changer) sealAnew(ctx context.Context, s *reconcile.Snapshot, rec reconcile.FileRecord) {
	was := s.Store.Value.Claims[reconcile.FileKey]
	if was.Revision == ch.opened || len(rec.Sealed) == 0 {
		return
	}
	ch.opened = was.Revision
	ch.mu.Lock()
	b, cfg := ch.force, ch.forceCfg
	ch.mu.Unlock()
	if _, err := unseal(ch.keys, cfg.Cluster, rec.Sealed); err == nil {
		return
	}
	sealed, err := ch.seal(b, cfg)
	if err == nil {
		rec.Sealed = sealed
		err = ch.put(ctx, rec, was)
	}
	if err != nil && !errors.Is(err, lease.ErrChanged) {
		ch.log.Warn("file that counts was not sealed anew", "err", err)
		ch.opened = 0
	}
}

// counting is the file that counts: that on disk, if it is the one, or what the store has.
func (c *common) counting(rec reconcile.FileRecord, keys [][]byte, cluster string) (*bundle, *config.Config, error) {
	if b, cfg, err := c.onDisk(); err == nil && cfg.Hash == rec.Hash {
		return b, cfg, nil
	}
	return c.open(rec.Hash, rec.Sealed, keys, cluster)
}

// open opens a sealed file and holds it to its hash.
func (c *common) open(hash string, sealed []byte, keys [][]byte, cluster string) (*bundle, *config.Config, error) {
	if len(sealed) == 0 {
		return nil, nil, fmt.Errorf("%w — copy it here from a node that has it", errTooLarge)
	}
	b, err := unseal(keys, cluster, sealed)
	if err != nil {
		return nil, nil, err
	}
	cfg, err := c.parse(b)
	if err != nil {
		return nil, nil, err
	}
	if cfg.Hash != hash {
		return nil, nil, fmt.Errorf("its hash is %.8s", cfg.Hash)
	}
	return b, cfg, nil
}
