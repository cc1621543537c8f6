package peers

import (
	"log/slog"
	"testing"
	"time"

	"understudy/config"
	"understudy/reconcile"
)

// A node whose loop makes no passes any more falls silent, so that another may
// take over; a node that has not begun, and the witness, which has no loop, do not.
func TestALoopThatHangsFallsSilent(t *testing.T) {
	cfg := &config.Config{Cluster: "c", Nodes: []config.Node{{Name: "alpha"}, {Name: "beta"}}, Keepalive: config.Keepalive{Interval: time.Second, Timeout: 3 * time.Second}}
	now := time.Hour
	for _, name := range []string{"alpha", "witness"} {
		now = time.Hour
		p := create(cfg, name, "boot", [][]byte{[]byte("key")}, slog.New(slog.DiscardHandler), func() time.Duration { return now })
		if now += time.Hour; p.mute(now) {
			t.Errorf("%s is mute before its first word", name)
		}
		for range 3 {
			p.SetStatus(reconcile.NodeStatus{Lease: true}) // the same each time: it counts as a word
			if now += voiceless; p.mute(now) {
				t.Errorf("%s is mute %s after a word", name, voiceless)
			}
		}
		now += time.Second
		if got, want := p.mute(now), name == "alpha"; got != want {
			t.Errorf("%s, long after its last word: mute %v", name, got)
		}
	}
}
