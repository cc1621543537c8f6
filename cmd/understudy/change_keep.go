package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"understudy/config"
	"understudy/reconcile"
	"understudy/reconcile/journal"
	"understudy/reconcile/lease"
	"understudy/reconcile/loop"
)

// fileKeeper is a keeper that can record which file counts. Where another manager moves
// the storage there is none.
type fileKeeper interface {
	keeper
	PutFile(ctx context.Context, next reconcile.FileRecord, was reconcile.Claim) error
}

const (
	// changeTick is how often is looked without any news.
	changeTick = time.Second
	// proposalLimit is how long a proposal may wait before another node takes it back:
	// whose service made it has gone, or would have.
	proposalLimit = 2 * time.Minute
	// fileStoreLimit bounds one write of which file counts.
	fileStoreLimit = 5 * time.Second
	// voteLasts is how long the store keeps an answer to a proposal.
	voteLasts = 10 * time.Minute
)

// changer keeps this node by the file that counts: it votes, takes over, fetches the
// file when it was off meanwhile, and says which is which.
type changer struct {
	c      *common
	node   string
	keys   [][]byte   // the first seals; any opens
	keeper fileKeeper // nil with store external
	loop   *loop.Loop
	state  func() *loop.State // of the loop
	jr     *journal.Journal
	log    *slog.Logger
	kick   chan struct{}
	tell   func(note string) // for status

	mu       sync.Mutex     // guards what follows; never held across a wait
	force    *bundle        // by which this host is, or was before the change on its way
	forceCfg *config.Config // the same, parsed
	boot     *bundle        // the file that the program was started with, if it is another one
	bootCfg  *config.Config
	moving   bool           // the loop takes a file over
	asking   string         // id of this node's own proposal under way
	onDisk   *bundle        // as it lies there, nil if it is refused or absent
	diskCfg  *config.Config // the same, parsed
	diskErr  string         // why it is refused

	// Of run's goroutine.
	voted    string
	watching string // id of the proposal seen
	since    time.Time
	last     string // the note told last
	tried    string // hash of the file that could not be fetched
	triedErr string
	triedAt  time.Time
	opened   int64  // revision of the record that could be opened last
	shownFor string // hashes of the two files that shown is about
	shown    string // what the changed file on disk does
}

// poke has the changer look soon.
func (ch *changer) poke() {
	select {
	case ch.kick <- struct{}{}:
	default:
	}
}

// run looks after every news until ctx ends.
func (ch *changer) run(ctx context.Context) error {
	tick := time.NewTicker(changeTick)
	defer tick.Stop()
	for {
		ch.look(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-ch.kick:
		case <-tick.C:
		}
	}
}

// sees is the latest snapshot with the latest view of the store.
func (ch *changer) sees() (*reconcile.Snapshot, bool) {
	st := ch.state()
	if st == nil {
		return nil, false
	}
	s := st.Snapshot
	if ch.keeper != nil {
		s.Store = ch.keeper.View()
	}
	return &s, true
}

// running is the hash of the file that this node tells the others.
func (ch *changer) running() string {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if ch.boot != nil {
		return ch.bootCfg.Hash
	}
	return ch.forceCfg.Hash
}

// look does what is to be done now.
func (ch *changer) look(ctx context.Context) {
	if ch.keeper == nil {
		ch.say(ch.diskNote(nil))
		return
	}
	s, ok := ch.sees()
	if !ok || !s.Store.OK() {
		return
	}
	ch.mu.Lock()
	pending, moving := ch.boot, ch.moving
	bootCfg, forceCfg := ch.bootCfg, ch.forceCfg
	ch.mu.Unlock()
	rec, counts := reconcile.CountingFile(s)
	note := ""
	switch {
	case moving:
	case pending != nil && (!counts || rec.Hash == bootCfg.Hash || bootCfg.Skew == config.SkewWarn):
		note = ch.takeBoot(ctx, s)
	case !counts && pending == nil:
		ch.first(ctx, s, forceCfg)
	case counts && pending != nil && ch.alike(s, bootCfg.Hash):
		ch.adopt(ctx, s, pending, bootCfg, "every node runs it")
	case counts && rec.Hash != ch.running():
		note = ch.follow(ctx, s, rec)
	case counts && rec.Next == nil && pending == nil:
		ch.sealAnew(ctx, s, rec)
	}
	if counts {
		ch.proposal(ctx, s, rec)
	}
	if note == "" {
		note = ch.diskNote(s)
	}
	ch.say(note)
}

// alike reports whether every node of the file is heard with the same file, and none of
// them is on its way to it.
func (ch *changer) alike(s *reconcile.Snapshot, hash string) bool {
	ch.mu.Lock()
	nodes := ch.forceCfg.Nodes
	if ch.boot != nil {
		nodes = ch.bootCfg.Nodes
	}
	ch.mu.Unlock()
	return !slices.ContainsFunc(nodes, func(n config.Node) bool {
		p := s.Peer(n.Name)
		return n.Name != ch.node && (p.State != reconcile.PeerHeard || p.Status.ConfigHash != hash || p.Status.Changing != "")
	})
}

// first records the file of a cluster in which none counts yet, as soon as every node
// has it and knows what that means.
func (ch *changer) first(ctx context.Context, s *reconcile.Snapshot, cfg *config.Config) {
	if reconcile.Spoken(cfg, s) < 2 || !ch.alike(s, cfg.Hash) {
		return
	}
	ch.mu.Lock()
	b := ch.force
	ch.mu.Unlock()
	ch.adopt(ctx, s, b, cfg, "the first that all nodes run")
}

// adopt makes the file that this node runs the one that counts.
func (ch *changer) adopt(ctx context.Context, s *reconcile.Snapshot, b *bundle, cfg *config.Config, why string) {
	sealed, err := ch.sealIfFits(b, cfg)
	if err == nil {
		err = ch.put(ctx, reconcile.FileRecord{Hash: cfg.Hash, Sealed: sealed, By: ch.node, Reason: why, At: now()}, s.Store.Value.Claims[reconcile.FileKey])
	}
	switch {
	case err == nil:
		ch.note(fmt.Sprintf("the file %.8s counts from now on: %s", cfg.Hash, why))
	case !errors.Is(err, lease.ErrChanged) && !errors.Is(err, lease.ErrNoLease):
		ch.log.Warn("which file counts was not recorded", "err", err)
	}
}

func now() time.Time { return time.Now().UTC().Round(0) }

func (ch *changer) put(ctx context.Context, rec reconcile.FileRecord, was reconcile.Claim) error {
	ctx, cancel := context.WithTimeout(ctx, fileStoreLimit)
	defer cancel()
	return ch.keeper.PutFile(ctx, rec, was)
}

// takeBoot takes over the file that the program was started with.
func (ch *changer) takeBoot(ctx context.Context, s *reconcile.Snapshot) string {
	ch.mu.Lock()
	b, cfg, was := ch.boot, ch.bootCfg, ch.forceCfg
	ch.mu.Unlock()
	from := config.Moves(was, cfg)
	for _, d := range sameDisks(was, cfg) {
		from = append(from, d.from)
	}
	for _, g := range from {
		if c := s.Store.Value.Claims[g]; c.Epoch > 0 && !c.Released {
			return fmt.Sprintf("the file on disk (%.8s) gives what group %s has to another group, and %s holds it — stop it there first: the groups go on by the file before (%.8s)", cfg.Hash, g, c.Holder, was.Hash)
		}
	}
	ch.take(ctx, b, cfg)
	return ""
}

// take has the loop take a file over.
func (ch *changer) take(ctx context.Context, b *bundle, next *config.Config) {
	ch.mu.Lock()
	former := ch.forceCfg
	ch.boot, ch.bootCfg, ch.moving = b, next, true
	ch.mu.Unlock()
	err := ch.loop.Change(ctx, former, next, func() error { return ch.c.keepInForce(b) }, func() {
		ch.mu.Lock()
		ch.force, ch.forceCfg, ch.boot, ch.bootCfg, ch.moving = b, next, nil, nil, false
		ch.mu.Unlock()
		ch.poke()
	})
	if err != nil {
		ch.mu.Lock()
		ch.moving = false
		ch.mu.Unlock()
		ch.log.Warn("changed file is not taken over yet", "err", err)
	}
}

// follow goes by the file that counts, which this node has not: it was off, or has it
// not been told yet. A file that a person has put here is left alone.
func (ch *changer) follow(ctx context.Context, s *reconcile.Snapshot, rec reconcile.FileRecord) string {
	ch.mu.Lock()
	force, pending := ch.forceCfg, ch.boot
	ch.mu.Unlock()
	if force.Skew == config.SkewWarn && pending == nil && rec.Hash != force.Hash && ch.tried == "" {
		ch.log.Warn("another file counts", "file", rec.Hash[:min(8, len(rec.Hash))])
	}
	_, disk, err := ch.c.onDisk()
	if err != nil {
		return fmt.Sprintf("the file that counts (%.8s) is not the one of this node, and the one on disk is refused: %s", rec.Hash, firstLine(err))
	}
	if disk.Hash != rec.Hash && disk.Hash != force.Hash {
		return fmt.Sprintf("the file on disk (%.8s) is neither the one that counts (%.8s) nor the one of before (%.8s) — put it aside and copy the one that counts here, or: understudy change", disk.Hash, rec.Hash, force.Hash)
	}
	if ch.tried == rec.Hash && time.Since(ch.triedAt) < 10*time.Second {
		return ch.triedErr
	}
	note := ch.fetch(ctx, s, rec, force)
	ch.tried, ch.triedErr, ch.triedAt = rec.Hash, note, time.Now()
	return note
}

// fetch brings the file that counts here and takes it over. It returns why it cannot.
func (ch *changer) fetch(ctx context.Context, s *reconcile.Snapshot, rec reconcile.FileRecord, force *config.Config) string {
	cannot := func(err error) string {
		return fmt.Sprintf("the file that counts (%.8s) cannot be taken over here: %s", rec.Hash, firstLine(err))
	}
	b, next, err := ch.c.counting(rec, ch.keys, force.Cluster)
	if err != nil {
		return cannot(err)
	}
	if err := trust(commands(next, ch.node)...); err != nil {
		return cannot(err)
	}
	if _, disk, err := ch.c.onDisk(); err != nil || disk.Hash != next.Hash { // it may have been there since the last try
		if err := ch.c.install(b); err != nil {
			return cannot(err)
		}
		ch.note(fmt.Sprintf("the file that counts (%.8s) was written to %s", rec.Hash, ch.c.config))
	}
	if fixed := config.Fixed(force, next, ch.c.config, b.File); len(fixed) > 0 {
		return fmt.Sprintf("the file that counts (%.8s) is on disk and cannot be taken over from the one in force here (%.8s): %s — restart understudy on this node", rec.Hash, force.Hash, fixed[0].Message)
	}
	ch.take(ctx, b, next)
	return ""
}

// say tells a note once.
func (ch *changer) say(note string) {
	if note == ch.last {
		return
	}
	ch.last = note
	ch.tell(note)
	if note != "" {
		ch.log.Warn("configuration file", "reason", note)
		ch.note(note)
	}
}

func (ch *changer) note(text string) {
	if err := ch.jr.Append(journal.Record{Kind: journal.Note, Why: text}); err != nil {
		ch.log.Warn("journal was not written", "err", err)
	}
}
