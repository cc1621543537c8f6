package config

import "fmt"

// watchdogOnDisk checks a watchdog whose bound is evidence for the others.
func (b *builder) watchdogOnDisk(f *fileWatchdog, w *Watchdog) {
	if w.OnLeave == LeaveDisarmed && !f.OnLeave.bad {
		b.add(ruleWatchdogLeave, f.OnLeave.line, "take on_leave out",
			"watchdog on_leave is %q, and the others count on it when this host falls silent", w.OnLeave)
	}
	reset, line, late := b.resetAfterTTL()
	if !late {
		return
	}
	for i := range b.file.Node {
		if n := &b.file.Node[i]; n.lacks("fence", len(n.Fence)) {
			b.add(ruleWatchdogContained, line, b.contained(), "%s, and every takeover from node %s waits for it", reset, n.name)
			return
		}
	}
	b.add(ruleWatchdogBound, line, b.contained(), "%s, and where a fence fails a takeover waits for it", reset)
}

// unfenced checks a node without a fence whose store is on a shared disk: if it falls
// silent, nothing but its watchdog proves that it cannot write any more.
func (b *builder) unfenced(line int, what string) {
	if b.file.Watchdog.Mode.bad || b.config.Watchdog.Mode == WatchdogRequired {
		return
	}
	b.add(ruleDiskUnguarded, line, `write [watchdog] mode = "required", or fence = { agent = ..., options = { ... } }`,
		"%s has no fence, and no watchdog is required: if it falls silent, nothing proves that it cannot write any more", what)
}

// resetAfterTTL says by how much a host may be reset behind the end of its lease, with
// the numbers, and where they stand. Not ok: it is reset within the ttl.
func (b *builder) resetAfterTTL() (text string, line int, ok bool) {
	f, w, l, lf := &b.file.Watchdog, &b.config.Watchdog, &b.config.Lease, &b.file.Lease
	if f.Timeout.bad || f.Release.bad || lf.TTL.bad || lf.Margin.bad {
		return "", 0, false
	}
	reset := l.TTL - l.Margin + w.resets()
	if reset <= l.TTL {
		return "", 0, false
	}
	return fmt.Sprintf("ttl %s − margin %s + release %s + timeout %s + %s for a late feeding = %s is more than ttl %s",
		short(l.TTL), short(l.Margin), short(w.Release), short(w.Timeout), short(lateFeeding), short(reset), short(l.TTL)), max(f.Timeout.line, f.Release.line, lf.TTL.line, lf.Margin.line, f.line, 1), true
}

// contained is the least margin and ttl that contain the watchdog as it is declared:
// ttl − margin − renew − request ≥ margin must hold as well (C021).
func (b *builder) contained() string {
	l := &b.config.Lease
	margin := b.config.Watchdog.resets()
	return fmt.Sprintf("write margin = %q and ttl = %q, or lower the watchdog's release or timeout",
		short(margin), short(ceilSecond(2*margin+l.Renew+l.Request)))
}
