package main

import (
	"errors"
	"fmt"

	"understudy/config"
	"understudy/reconcile"
)

// A file that a person edits on this host is checked, held against the one in force, and
// told: in the log, the journal and the status. Nothing is done for it before somebody
// says so, see Change.

// disk takes note of what lies on disk now; it may be called from any goroutine.
func (ch *changer) disk() {
	b, cfg, err := ch.c.onDisk()
	why := ""
	if _, refused := errors.AsType[config.Findings](err); refused {
		why = firstLine(err)
	} // any other error: it is absent for a moment, during a save
	ch.mu.Lock()
	ch.onDisk, ch.diskCfg, ch.diskErr = b, cfg, why
	ch.mu.Unlock()
	ch.poke()
}

// diskNote says what of the file on disk a person must know. s is what is seen, nil if
// there is no store in which the nodes could agree.
func (ch *changer) diskNote(s *reconcile.Snapshot) string {
	running := ch.running()
	ch.mu.Lock()
	b, cfg, why, force := ch.onDisk, ch.diskCfg, ch.diskErr, ch.forceCfg
	ch.mu.Unlock()
	switch {
	case why != "":
		return "the file on disk is refused, the old one stays in force: " + why
	case cfg == nil || cfg.Hash == running:
		return ""
	case s == nil:
		return fmt.Sprintf("the file on disk (%.8s) is not the one in force (%.8s) — restart understudy to take it over", cfg.Hash, running)
	}
	if key := force.Hash + cfg.Hash; key != ch.shownFor { // once for each: what it does changes with all that is seen
		ch.shownFor, ch.shown = key, ch.does(s, force, cfg, b)
	}
	return fmt.Sprintf("a changed file (%.8s) waits on disk, and %.8s is in force: %s", cfg.Hash, running, ch.shown)
}

// does says in some words what a changed file does.
func (ch *changer) does(s *reconcile.Snapshot, force, next *config.Config, b *bundle) string {
	r, err := ch.preview(s, force, next, b)
	switch {
	case err != nil:
		return firstLine(err)
	case len(r.Refused) > 0:
		return "it is not taken over while the service runs: " + r.Refused[0].String()
	case r.Blocked > 0:
		return fmt.Sprintf("it does %d %s, and is blocked — see: understudy change", r.Steps, plural(r.Steps, "step"))
	}
	return fmt.Sprintf("it does %d %s — see: understudy change, and take it over: understudy change --apply", r.Steps, plural(r.Steps, "step"))
}
