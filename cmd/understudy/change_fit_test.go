package main

import (
	"strings"
	"testing"
	"time"

	"understudy/config"
	"understudy/reconcile"
)

// A node that is silent and has a lease may only have been stopped for a moment: it is
// not done without, since what it takes up by the file before could be another's by then.
func TestNoChangeWithoutANodeThatHasALease(t *testing.T) {
	cfg := &config.Config{Nodes: []config.Node{{Name: "alpha"}, {Name: "beta"}}, Lease: config.Lease{TTL: 5 * time.Second}}
	s := &reconcile.Snapshot{Node: "alpha", Peers: []reconcile.Peer{{Name: "beta", State: reconcile.PeerSilent}}}
	s.Store.Value.Live = map[string]string{"beta": "boot"}
	ch := &changer{node: "alpha"}
	if err := ch.fit(s, cfg, []string{"beta"}); err == nil || !strings.Contains(err.Error(), "its lease has not ended yet") {
		t.Errorf("with a lease: %v", err)
	}
	s.Store.Value.Live = nil
	if err := ch.fit(s, cfg, []string{"beta"}); err != nil {
		t.Errorf("without one: %v", err)
	}
}
