package main

import (
	"log/slog"
	"sync"
	"time"

	"understudy/reconcile"
	"understudy/reconcile/journal"
)

// lastWords says in the record and to the peers that this host is about to be reset,
// before it is: afterwards it can not.
type lastWords struct {
	peers   speaker
	journal synced
	log     *slog.Logger

	mu     sync.Mutex // guards what follows
	status reconcile.NodeStatus
	spoken bool
	doomed string
	away   bool
}

// announce passes on what this node says of itself.
func (w *lastWords) announce(s reconcile.NodeStatus) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s.Doomed, s.Away = w.doomed, w.away
	w.status, w.spoken = s, true
	w.peers.SetStatus(s)
}

// say takes the reason of the reset that is coming, or "" if it is not coming any more.
func (w *lastWords) say(reason string) {
	w.mu.Lock()
	w.doomed, w.status.Doomed = reason, reason
	if w.spoken {
		w.peers.SetStatus(w.status)
	}
	w.mu.Unlock()
	text := reason
	if reason == "" {
		text = "the watchdog does not reset this host: everything was let go, or the lease is back"
		w.log.Info("watchdog is fed again")
	} else {
		w.log.Error("watchdog is about to reset this host", "reason", reason)
	}
	w.record(journal.Record{Kind: journal.Note, Why: text})
}

// The time that last words are given: the record to reach its disk, which may be the
// one that hangs, and the last keep-alive to leave this host; it is sent at once.
const (
	lastWordsLimit = time.Second
	lastWordsLeave = 20 * time.Millisecond
)

// fence says that this host resets itself: to the peers first, then to the record.
func (w *lastWords) fence(group, reason string) {
	text := "it resets itself: " + reason
	w.mu.Lock()
	w.doomed, w.status.Doomed = text, text
	w.peers.SetStatus(w.status)
	w.mu.Unlock()
	out := time.NewTimer(lastWordsLeave)
	defer out.Stop()
	w.record(journal.Record{Kind: journal.Note, Group: group, Why: "self-fence: " + reason})
	<-out.C
}

// leave tells the peers that this program ends, leaves what is held here as it is, and
// is to come back.
func (w *lastWords) leave() {
	w.mu.Lock()
	w.away, w.status.Away = true, true
	if w.spoken {
		w.peers.SetStatus(w.status)
	}
	w.mu.Unlock()
	out := time.NewTimer(lastWordsLeave)
	defer out.Stop()
	<-out.C
}

// speaker tells the peers what this node says of itself, at once and without waiting.
type speaker interface{ SetStatus(reconcile.NodeStatus) }

// synced is a record of which each entry is on its disk when AppendSync returns.
type synced interface{ AppendSync(journal.Record) error }

// record writes to the record and waits until it is on the disk, for a moment. A disk
// that takes nothing keeps the write in a goroutine of its own, and no reset waits for
// it.
func (w *lastWords) record(r journal.Record) {
	written := make(chan error, 1)
	go func() { written <- w.journal.AppendSync(r) }()
	limit := time.NewTimer(lastWordsLimit)
	defer limit.Stop()
	select {
	case err := <-written:
		if err != nil {
			w.log.Warn("journal was not written", "err", err)
		}
	case <-limit.C:
		w.log.Warn("journal was not written in time", "limit", lastWordsLimit)
	}
}
