package main

import (
	"context"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"understudy/cmd/internal/api"
	"understudy/reconcile"
	"understudy/reconcile/loop"
)

// answerChanges is the service of alpha in the model of a cluster that is up by a file,
// which counts. It shows what a changed file does and refuses what it can not take
// over; nobody votes, and nothing is changed: answer SOCKET FILE
func answerChanges(ts *testscript.TestScript, _ bool, args []string) {
	c := &common{config: ts.MkAbs(args[1])}
	b, cfg, err := c.onDisk()
	ts.Check(err)
	w := reconcile.Steady(cfg, time.Now())
	w.Store.Claims[reconcile.FileKey] = reconcile.Claim{Group: reconcile.FileKey, Holder: "alpha", Epoch: 1, Released: true, File: &reconcile.FileRecord{Hash: cfg.Hash}}
	s := w.View("alpha")
	for i := range s.Peers {
		s.Peers[i].Status.Speaks, s.Peers[i].Status.ConfigHash = reconcile.Protocol, cfg.Hash
	}
	state := &loop.State{Snapshot: *s}
	ch := &changer{
		c: c, node: "alpha", keys: [][]byte{make([]byte, 32)}, keeper: &shelf{view: s.Store}, force: b, forceCfg: cfg, log: slog.New(slog.DiscardHandler),
		state: func() *loop.State { return state },
	}
	ctx, cancel := context.WithCancel(context.Background())
	opened, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- api.Serve(ctx, filepath.Join(ts.Getenv("WORK"), args[0]), onlyChanges{changer: ch}, func() { close(opened) })
	}()
	ts.Defer(func() { cancel(); <-ended })
	select {
	case <-opened:
	case err := <-ended:
		ended <- err
		ts.Fatalf("%v", err)
	}
}

type onlyChanges struct {
	api.Service
	changer *changer
}

func (o onlyChanges) Change(ctx context.Context, q api.ChangeRequest) (api.ChangeReply, error) {
	return o.changer.request(ctx, q)
}

// shelf is a store that keeps what was written last beside what it shows.
type shelf struct {
	keeper
	view reconcile.Seen[reconcile.StoreView]
	put  *reconcile.FileRecord
}

func (s *shelf) View() reconcile.Seen[reconcile.StoreView] { return s.view }

func (s *shelf) PutFile(_ context.Context, next reconcile.FileRecord, _ reconcile.Claim) error {
	s.put = &next
	return nil
}
