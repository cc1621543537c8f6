package sim

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"understudy/reconcile"
)

// What is held about claims and the evidence that they rest on, and about lies: a lie
// can make two owners, of the groups that were taken on it, from the boot that it was
// about, while that boot runs. Everything else is held as in a world without lies.

// authority demands that a host that touches shared storage holds the claim, as
// the store has it at this moment. The mutex is held.
func (w *world) authority(h *host, group, does string) {
	var c reconcile.Claim
	for _, v := range w.vault.holds() {
		c = v.Claims[group]
		if c.Holder == h.name && c.BootID == h.boot && !c.Released {
			w.judge(h, c)
			return
		}
	}
	w.twoOwners(h, group, "%s, and the claim of %s is at epoch %d of %s (%s), released %t", does, group, c.Epoch, c.Holder, c.BootID, c.Released)
}

// judge looks at a claim when its holder acts on it for the first time: whether what
// it was taken on is so. The mutex is held.
func (w *world) judge(h *host, c reconcile.Claim) {
	if c.Epoch <= w.judged[c.Group] {
		return
	}
	was := w.former[former{c.Group, c.BootID, c.Epoch}]
	w.inherits(h, was, w.judged[c.Group])
	w.judged[c.Group] = c.Epoch
	w.count("claims taken on: " + string(c.Evidence.Kind))
	w.say(h.name, "%s: claim of epoch %d on %s: %s", c.Group, c.Epoch, c.Evidence.Kind, c.Evidence.Detail)
	w.moved[c.Group]++
	w.spend(h, c, was)
	if why, yes := w.tainted[c.Group]; yes && !w.runsOn(why) {
		delete(w.tainted, c.Group)
	}
	for _, o := range w.hosts {
		if o == h || !o.up {
			continue
		}
		held := o.hasOf(c.Group)
		ended := c.Evidence.Kind == reconcile.EvidenceFenced || c.Evidence.Kind == reconcile.EvidenceConfirmed || c.Evidence.Kind == reconcile.EvidenceRebooted
		if held == "" && !(ended && o.boot == was.BootID) {
			continue
		}
		if held == "" {
			held = "nothing of it, and runs on"
		}
		if lie, yes := w.lied[o.boot]; yes && o.boot == was.BootID {
			w.tainted[c.Group], w.spoiled[c.Group] = o.boot, true
			w.say(h.name, "%s is taken on a lie: %s; %s has %s", c.Group, lie, o.boot, held)
			w.count("groups taken on a lie")
			continue
		}
		w.twoOwners(h, c.Group, "%s is taken on evidence %q while %s has %s", c.Group, c.Evidence.Kind, o.boot, held)
	}
}

// inherits looks at a claim that was replaced, and at those before it, where nobody
// has acted on them: what was taken on a lie may be taken on from there on the truth.
// The mutex is held.
func (w *world) inherits(h *host, c reconcile.Claim, judged uint64) {
	for c.Epoch > judged {
		was := w.former[former{c.Group, c.BootID, c.Epoch}]
		if lie, yes := w.lied[was.BootID]; yes && w.runsOn(was.BootID) && was.BootID != c.BootID {
			w.tainted[c.Group], w.spoiled[c.Group] = was.BootID, true
			w.say(h.name, "%s was taken on a lie, at epoch %d: %s", c.Group, c.Epoch, lie)
		}
		c = was
	}
}

// runsOn reports whether a boot is up. The mutex is held.
func (w *world) runsOn(boot string) bool {
	return slices.ContainsFunc(w.hosts, func(h *host) bool { return h.up && h.boot == boot })
}

// hasOf names something of a group that a host has and could write with, "" if it has
// nothing. The mutex is held.
func (h *host) hasOf(group string) string {
	g := h.w.cfg.Group(group)
	for _, fs := range g.Filesystems {
		if h.has(fs.Device) {
			return fs.Device
		}
	}
	for _, a := range g.Applications {
		if _, runs := h.apps[group+"/"+a.Name]; runs {
			return a.Name
		}
	}
	return ""
}

// lie takes note of what is said of the boot of a host and is not so. The mutex is held.
func (w *world) lie(h *host, what string) {
	w.say("LIE", "of %s: %s", h.boot, what)
	w.lied[h.boot] = what
	w.count("lies: " + what)
}

// twoOwners records that two hosts have a part in a group, or act without its claim. If
// it was taken from one of them on a lie, and that one still runs, the lie is to blame.
// The mutex is held.
func (w *world) twoOwners(h *host, group, format string, args ...any) {
	if boot, yes := w.tainted[group]; yes && w.runsOn(boot) {
		text := fmt.Sprintf(format, args...)
		w.say(h.name, "after a lie about %s: %s", boot, text)
		w.blamed = append(w.blamed, text)
		return
	}
	w.bad(h.name, format, args...)
}

// damaged records that the data of a group are not what they should be. The mutex is
// held.
func (w *world) damaged(who, group, format string, args ...any) {
	if w.spoiled[group] {
		text := fmt.Sprintf(format, args...)
		w.say(who, "after a lie about %s: %s", group, text)
		w.blamed = append(w.blamed, text)
		return
	}
	w.bad(who, format, args...)
}

// former names a taking: who wrote which claim.
type former struct {
	group, boot string
	epoch       uint64
}

// takes is asked when a node is about to write a claim: nothing goes on on a word about
// a boot that has been heard for more than the while that a look takes. The mutex is
// held.
func (p *process) takes(t reconcile.TakeClaim) {
	w, h := p.h.w, p.h
	w.former[former{t.Group, p.boot, t.Epoch}] = t.Was
	p.listen(p.ear.peers())
	switch t.Evidence.Kind {
	case reconcile.EvidenceFenced, reconcile.EvidenceConfirmed, reconcile.EvidenceWatchdog:
		s := p.sounds[t.Was.Holder]
		if t.Evidence.Kind == reconcile.EvidenceWatchdog && p.ear.last[t.Was.Holder].status.HoldsNothing {
			break // it has lost the disk alone; whether it says what is so is looked at when the claim is written
		}
		if s.boot == t.Was.BootID && time.Since(s.since) > time.Second && time.Since(h.woke) > time.Second {
			w.bad(h.name, "%s is taken on evidence %q, and its boot %s has been heard for %s all the same", t.Group, t.Evidence.Kind, s.boot, time.Since(s.since).Round(time.Millisecond))
		}
	}
	if t.Evidence.Kind == reconcile.EvidenceOwn {
		return
	}
	for _, key := range slices.Sorted(maps.Keys(w.orders)) {
		o := w.orders[key]
		if !o.binds(w) || !o.forbids(h, t) {
			continue
		}
		w.bad(h.name, "%s is taken, and %s: the order is %s old", t.Group, key, time.Since(o.since).Round(time.Millisecond))
	}
}

// took is asked when a node has written a claim, and knows it. The mutex is held.
func (p *process) took(group string) {
	for _, v := range p.h.w.vault.holds() {
		if c := v.Claims[group]; c.Holder == p.h.name && c.BootID == p.boot {
			p.h.w.judge(p.h, c)
			return
		}
	}
}

// spend counts the takings that follow a failure against the budget of the group. The
// mutex is held.
func (w *world) spend(h *host, c, was reconcile.Claim) {
	g := w.cfg.Group(c.Group)
	if at, yes := w.clears[c.Group]; yes && at >= was.Epoch {
		w.overs[c.Group] = nil
	}
	failed := was.GaveUp != ""
	switch c.Evidence.Kind {
	case reconcile.EvidenceFenced, reconcile.EvidenceConfirmed, reconcile.EvidenceRebooted, reconcile.EvidenceWatchdog:
		failed = true
	case reconcile.EvidenceOwn:
		failed = false
	}
	if !failed || w.rests[was.BootID] || c.Pinned != "" || g.Failovers == 0 {
		return
	}
	w.overs[c.Group] = append(w.overs[c.Group], time.Now())
	if n := len(w.overs[c.Group]); n > g.Failovers {
		w.bad(h.name, "%s is taken over after a failure for the %d. time, and its budget is %d", c.Group, n, g.Failovers)
	}
}
