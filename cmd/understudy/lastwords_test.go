package main

import (
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"understudy/reconcile"
	"understudy/reconcile/journal"
)

// grave takes last words down in the order in which they come.
type grave struct {
	mu    sync.Mutex
	said  []string
	hangs chan struct{} // the disk of the record, nil: it does not hang
}

func (g *grave) add(s string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.said = append(g.said, s)
}

func (g *grave) SetStatus(s reconcile.NodeStatus) { g.add("peers: " + s.Doomed) }

func (g *grave) AppendSync(r journal.Record) error {
	if g.hangs != nil {
		<-g.hangs
		return nil
	}
	time.Sleep(50 * time.Millisecond) // of a disk that is flushed
	g.add("disk: " + r.Group + ": " + r.Why)
	return nil
}

// TestLastWordsAreOnTheDiskBeforeTheReset, and a disk that hangs does not keep the
// reset from coming: the peers have heard by then.
func TestLastWordsAreOnTheDiskBeforeTheReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &grave{}
		last := &lastWords{peers: g, journal: g, log: slog.New(slog.DiscardHandler)}
		last.announce(reconcile.NodeStatus{Lease: true})
		last.fence("files", "files cannot be let go")
		want := []string{"peers: ", "peers: it resets itself: files cannot be let go", "disk: files: self-fence: files cannot be let go"}
		if !slices.Equal(g.said, want) {
			t.Errorf("%q", g.said)
		}

		g.said, g.hangs = nil, make(chan struct{})
		began := time.Now()
		last.fence("files", "the same disk")
		if took := time.Since(began); took != lastWordsLimit {
			t.Errorf("it took %s", took)
		}
		if !slices.Equal(g.said, []string{"peers: it resets itself: the same disk"}) {
			t.Errorf("%q", g.said)
		}
		close(g.hangs)
	})
}
