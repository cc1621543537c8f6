package main

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"understudy/cmd/internal/api"
	"understudy/config"
	"understudy/observers"
	"understudy/reconcile"
	"understudy/reconcile/act/watchdog"
	"understudy/reconcile/journal"
	"understudy/reconcile/loop"
)

// deadlineFile keeps the watchdog's deadline from one start of a boot to the next. It
// lies beside the socket, where files are gone after a boot.
const deadlineFile = "watchdog"

// openWatchdog makes the watchdog that the file declares, nil if it declares none.
func (c *common) openWatchdog(cfg *config.Config, boot string, st store, last *lastWords, log *slog.Logger) *watchdog.Watchdog {
	if cfg.Watchdog.Mode == config.WatchdogOff {
		return nil
	}
	return watchdog.New(watchdog.Options{
		Config: cfg.Watchdog, Lease: st.keeper.Lease, BootID: boot, Log: log,
		File: filepath.Join(filepath.Dir(c.socket), deadlineFile), Warn: last.say,
	})
}

// watchdogTick is how often the deadline follows the lease.
func watchdogTick(cfg *config.Config) time.Duration {
	return max(20*time.Millisecond, min(cfg.Lease.Renew/2, cfg.Watchdog.Release/4, 500*time.Millisecond))
}

// lastWords says in the record and to the peers that this host is about to be reset,
// before it is: afterwards it can not.
type lastWords struct {
	peers   *observers.Peers
	journal *journal.Journal
	log     *slog.Logger

	mu     sync.Mutex // guards what follows
	status reconcile.NodeStatus
	spoken bool
	doomed string
}

// announce passes on what this node says of itself.
func (w *lastWords) announce(s reconcile.NodeStatus) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s.Doomed = w.doomed
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
	if err := w.journal.Append(journal.Record{Kind: journal.Note, Why: text}); err != nil {
		w.log.Warn("journal was not written", "err", err)
	}
}

// watchdogStatus is nil if there is no watchdog.
func watchdogStatus(w *watchdog.Watchdog) *api.WatchdogStatus {
	if w == nil {
		return nil
	}
	s := w.Status()
	out := &api.WatchdogStatus{
		Mode: s.Mode, Device: s.Device, Identity: s.Identity, Fallback: s.Fallback, TimeoutMS: s.Timeout.Milliseconds(),
		Armed: s.Armed, Ready: s.Ready, NoWayOut: s.NoWayOut, Holds: s.Held, FedForMS: s.Until.Milliseconds(),
		LeftMS: s.Left.Milliseconds(), Late: s.Late, WasReset: s.Reset, Error: s.Why,
	}
	if s.Until < 0 {
		out.FedForMS = -1
	}
	return out
}

// watchdogLine is the watchdog for a person.
func watchdogLine(s *api.WatchdogStatus, p palette) string {
	what := fmt.Sprintf("%s (%s), timeout %s", s.Device, s.Identity, time.Duration(s.TimeoutMS)*time.Millisecond)
	if s.Fallback != "" {
		what = "weaker fallback " + s.Fallback + ", which needs a kernel and a program that run"
	}
	fed := "nothing is held, and it is fed for good"
	if s.FedForMS >= 0 {
		fed = fmt.Sprintf("fed for %.1f s more if the lease ends now", float64(s.FedForMS)/1000)
	}
	if s.FedForMS == 0 {
		fed = p.bad + "not fed any more: it resets this host" + p.off
	}
	line := fmt.Sprintf("watchdog %s · %sarmed%s · %s", what, p.good, p.off, fed)
	switch {
	case !s.Armed:
		line = fmt.Sprintf("%swatchdog (%s): %s%s", p.bad, s.Mode, s.Error, p.off)
	case s.Error != "":
		line = fmt.Sprintf("watchdog %s · %s%s%s", what, p.bad, s.Error, p.off)
	}
	if s.NoWayOut {
		line += " · nowayout: it cannot be switched off"
	}
	if s.WasReset {
		line += " · it has reset this host before this boot"
	}
	return line
}

// fence says that this host resets itself. The word is given a moment to get out.
func (w *lastWords) fence(reason string) {
	w.mu.Lock()
	w.doomed, w.status.Doomed = reason, "it resets itself: "+reason
	w.peers.SetStatus(w.status)
	w.mu.Unlock()
	time.Sleep(lastWordsLimit)
}

// lastWordsLimit is what the last keep-alive is given to leave this host: it is sent
// at once, and nothing waits for an answer.
const lastWordsLimit = 20 * time.Millisecond

// guarding is the watchdog as the loop asks it, a nil interface if there is none.
func guarding(w *watchdog.Watchdog) loop.Guard {
	if w == nil {
		return nil
	}
	return w
}
