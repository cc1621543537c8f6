package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"understudy/cmd/internal/api"
	"understudy/config"
	"understudy/reconcile"
	"understudy/reconcile/lease"
	"understudy/reconcile/prepare"
)

// lookLimit bounds the look at this host before it answers: it is less than the others
// wait.
const lookLimit = voteLimit / 3

// proposal answers a file that is being voted on, once, and takes back what nobody ends.
func (ch *changer) proposal(ctx context.Context, s *reconcile.Snapshot, rec reconcile.FileRecord) {
	p := rec.Next
	if p == nil {
		if ch.watching != "" {
			ch.watching = ""
			ch.c.unstage()
		}
		return
	}
	if p.ID != ch.watching {
		ch.watching, ch.since = p.ID, time.Now()
	}
	ch.mu.Lock()
	mine := ch.asking == p.ID
	ch.mu.Unlock()
	switch {
	case p.Node == ch.node && !mine:
		// A former run of this node asked, and was ended before it knew the answer.
		ch.takeBack(ctx, s, rec, fmt.Sprintf("understudy on %s was ended before every node had answered", p.Node))
		return
	case !mine && time.Since(ch.since) > proposalLimit:
		ch.takeBack(ctx, s, rec, fmt.Sprintf("%s did not end it within %s", p.Node, proposalLimit))
		return
	}
	if ch.voted == p.ID || slices.Contains(p.Without, ch.node) {
		return
	}
	refusal := ch.consider(ctx, s, rec, p)
	ctx, cancel := context.WithTimeout(ctx, fileStoreLimit)
	defer cancel()
	err := ch.keeper.Ask(ctx, reconcile.Request{
		Group: reconcile.OrderKey(reconcile.Vote, ch.node), Order: reconcile.Vote, To: p.ID, By: ch.node,
		Reason: refusal, Lasts: voteLasts, At: now(),
	})
	if err != nil {
		ch.log.Warn("answer to a changed file was not recorded", "err", err)
		return // the next look tries again
	}
	ch.voted = p.ID
	if refusal != "" {
		ch.note(fmt.Sprintf("the changed file %.8s is refused here: %s", p.Hash, refusal))
	}
}

// takeBack ends a proposal without making it count.
func (ch *changer) takeBack(ctx context.Context, s *reconcile.Snapshot, rec reconcile.FileRecord, why string) {
	next := rec
	next.Next, next.Last = nil, fmt.Sprintf("%.8s was not taken over: %s", rec.Next.Hash, why)
	if err := ch.put(ctx, next, s.Store.Value.Claims[reconcile.FileKey]); err != nil {
		if !errors.Is(err, lease.ErrChanged) {
			ch.log.Warn("proposal was not taken back", "err", err)
		}
		return
	}
	ch.note(next.Last)
}

// consider says why this node cannot take a file over, "" if it can and has it durably.
func (ch *changer) consider(ctx context.Context, s *reconcile.Snapshot, rec reconcile.FileRecord, p *reconcile.Proposal) string {
	ch.mu.Lock()
	force, pending, moving := ch.forceCfg, ch.boot != nil, ch.moving
	ch.mu.Unlock()
	switch {
	case pending || moving:
		return fmt.Sprintf("%s has not got the file that counts (%.8s) in force yet", ch.node, rec.Hash)
	case force.Hash != rec.Hash:
		return fmt.Sprintf("%s goes by another file (%.8s) than the one that counts (%.8s)", ch.node, force.Hash, rec.Hash)
	}
	b, next, err := ch.c.open(p.Hash, p.Sealed, ch.keys, force.Cluster)
	if err != nil {
		return err.Error()
	}
	if why := ch.refuses(ctx, s, force, next, b); why != "" {
		return why
	}
	if _, disk, err := ch.c.onDisk(); err != nil {
		return fmt.Sprintf("the file on disk of %s: %v", ch.node, err)
	} else if disk.Hash != force.Hash && disk.Hash != next.Hash {
		return fmt.Sprintf("%s on %s is neither the file in force nor the changed one: somebody has edited it, and it would be lost", ch.c.config, ch.node)
	}
	if err := ch.c.stage(b); err != nil {
		return err.Error()
	}
	return ""
}

// refuses holds a changed file to this host: what it is built with, what it is doing,
// whom it would trust, and what would be missing.
func (ch *changer) refuses(ctx context.Context, s *reconcile.Snapshot, force, next *config.Config, b *bundle) string {
	at := func(word string) string { return fmt.Sprintf("%s:%d: ", ch.c.config, config.LineOf(b.File, word)) }
	if fixed := config.Fixed(force, next, ch.c.config, b.File); len(fixed) > 0 {
		return fixed[0].String()
	}
	if d := sameDisks(force, next); len(d) > 0 {
		return fmt.Sprintf("%s%s of group %s is the disk that group %s has as %s in the file in force — make it two changes: first without it, then with it where it is to be", at(d[0].is), d[0].is, d[0].to, d[0].from, d[0].was)
	}
	st := ch.state()
	staged := config.Staged(force, next, nil)
	for i := range force.Groups {
		old := &force.Groups[i]
		g := staged.Group(old.Name)
		after := next.Group(old.Name)
		if old.Priority(ch.node) < 0 {
			continue
		}
		d := st.Decisions[old.Name]
		c := s.Store.Value.Claims[old.Name]
		mine := c.Holder == ch.node && !c.Released && c.Epoch > 0
		switch {
		case st.Flights[old.Name].N > 0:
			return fmt.Sprintf("%s carries out a plan of group %s — ask again when it has ended", ch.node, old.Name)
		case after != nil && after.Priority(ch.node) < 0 && (mine || !d.Facts.Clean):
			return fmt.Sprintf("%sgroup %s is to leave %s, which has it — understudy move it first", at("[group."+old.Name), old.Name, ch.node)
		case !g.Gone && g.Shed == nil:
		case d.Frozen:
			return fmt.Sprintf("%sgroup %s is frozen, and something of it would have to be let go — understudy thaw %s first", at("[group."+old.Name), old.Name, old.Name)
		case d.Dirty != "" || d.AtBarrier:
			return fmt.Sprintf("%sonly a reboot of %s lets go of group %s (%s) — move it away first", at("[group."+old.Name), ch.node, old.Name, d.Dirty)
		}
	}
	if next.SocketGroup != force.SocketGroup {
		if _, err := api.GroupID(next.SocketGroup); err != nil {
			return at("socket_group") + err.Error()
		}
	}
	for _, path := range commands(next, ch.node) {
		if err := trust(path); err != nil {
			return at(path) + err.Error()
		}
	}
	return ch.missing(ctx, force, next, at)
}

// missing says what of a changed file this host lacks that it does not lack already.
func (ch *changer) missing(ctx context.Context, force, next *config.Config, at func(string) string) string {
	blocked := func(cfg *config.Config) (map[string]prepare.Item, error) {
		ctx, cancel := context.WithTimeoutCause(ctx, lookLimit, fmt.Errorf("looking at this host took more than %s", lookLimit))
		defer cancel()
		f, err := ch.c.facts(ctx, cfg, ch.node, "", "")
		if err != nil {
			return nil, err
		}
		for i := range f.Resident.Peers {
			f.Resident.Peers[i].ConfigHash = cfg.Hash
		}
		out := map[string]prepare.Item{}
		for _, it := range prepare.Items(cfg, &f) {
			if it.State == prepare.Blocked {
				out[it.Name+"\x00"+it.Group+"\x00"+it.Seen+"\x00"+it.Want] = it
			}
		}
		return out, nil
	}
	after, err := blocked(next)
	if err != nil {
		return err.Error()
	}
	if len(after) == 0 {
		return ""
	}
	before, err := blocked(force)
	if err != nil {
		return err.Error()
	}
	keys := make([]string, 0, len(after))
	for k := range after {
		if _, known := before[k]; !known {
			keys = append(keys, k)
		}
	}
	if len(keys) == 0 {
		return ""
	}
	slices.Sort(keys)
	it := after[keys[0]]
	word := it.Name
	if i := strings.LastIndex(word, " "); i >= 0 {
		word = word[i+1:]
	}
	text := fmt.Sprintf("%s%s: %s, wanted: %s", at(word), it.Name, it.Seen, it.Want)
	if it.Way != "" {
		text += " — " + it.Way
	}
	return text
}
