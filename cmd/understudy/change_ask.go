package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"understudy/cmd/internal/api"
	"understudy/config"
	"understudy/reconcile"
	"understudy/reconcile/lease"
)

const (
	// voteLimit is how long the nodes have to answer. A look at a host takes some
	// seconds at most; a disk that hangs, longer.
	voteLimit = 60 * time.Second
	// forceLimit is how long is waited until every node has a committed file in force.
	forceLimit = 2 * time.Minute
	askTick    = 20 * time.Millisecond
)

// Change implements api.Service.
func (r *resident) Change(ctx context.Context, q api.ChangeRequest) (api.ChangeReply, error) {
	return r.changer.request(ctx, q)
}

func blocked(format string, args ...any) error {
	return &api.Refusal{Code: exitBlocked, Text: fmt.Sprintf(format, args...)}
}

func (ch *changer) request(ctx context.Context, q api.ChangeRequest) (api.ChangeReply, error) {
	if ch.keeper == nil {
		return api.ChangeReply{}, &api.Refusal{Code: exitUsage, Text: `cannot change on all nodes: with store = "external" the nodes share nothing in which they could agree — copy the file to every node, and restart understudy on each`}
	}
	s, ok := ch.sees()
	if !ok {
		return api.ChangeReply{}, &api.Refusal{Code: exitFailed, Text: "the service has only just begun to look — ask again"}
	}
	if !s.Store.OK() {
		return api.ChangeReply{}, &api.Refusal{Code: exitFailed, Text: "cannot change the file: the store could not be read: " + s.Store.Why().Error()}
	}
	ch.mu.Lock()
	force, boot, bootCfg, moving := ch.forceCfg, ch.boot, ch.bootCfg, ch.moving
	ch.mu.Unlock()
	if q.Adopt {
		return ch.adoptBoot(ctx, s, q, force, boot, bootCfg, moving)
	}
	b := &bundle{File: q.File, Profiles: q.Profiles}
	next, err := ch.c.parse(b)
	if err != nil {
		return api.ChangeReply{}, &api.Refusal{Code: exitFailed, Text: err.Error()}
	}
	reply, err := ch.preview(s, force, next, b)
	rec, counts := reconcile.CountingFile(s)
	reply.Counts = rec.Hash
	switch {
	case err != nil || !q.Apply:
		return reply, err
	case boot != nil || moving:
		return reply, blocked("cannot change the file: this node has not got the file that counts in force yet — see: understudy status")
	case len(reply.Refused) > 0:
		return reply, blocked("cannot change the file while the service runs: %s", reply.Refused[0])
	case q.Expect != "" && q.Expect != reply.Fingerprint:
		return reply, blocked("cannot change the file: what it does is %s by now, not %s — look at `understudy change` again", reply.Fingerprint, q.Expect)
	case !counts:
		return reply, blocked("cannot change the file: none counts yet, since not every node has been heard with the same file and a program that knows of it (%s)", ch.unlike(s, force))
	case rec.Hash == next.Hash:
		reply.Done = true
		return reply, nil
	case rec.Hash != force.Hash:
		return reply, blocked("cannot change the file: this node goes by %.8s, and %.8s counts — see: understudy status", force.Hash, rec.Hash)
	case rec.Next != nil:
		return reply, blocked("cannot change the file: %s asks already whether %.8s may be taken over — ask again when that has ended", rec.Next.Node, rec.Next.Hash)
	}
	if err := ch.fit(s, force, q.Without); err != nil {
		return reply, err
	}
	return ch.propose(ctx, s, rec, b, next, q, reply)
}

// unlike says which node keeps the file from counting.
func (ch *changer) unlike(s *reconcile.Snapshot, cfg *config.Config) string {
	var out []string
	for _, n := range cfg.Nodes {
		p := s.Peer(n.Name)
		switch {
		case n.Name == ch.node:
		case p.State != reconcile.PeerHeard:
			out = append(out, fmt.Sprintf("%s is %s", n.Name, p.State))
		case p.Status.Speaks < 2:
			out = append(out, n.Name+" runs an older understudy")
		case p.Status.ConfigHash != cfg.Hash:
			out = append(out, fmt.Sprintf("%s goes by %.8s", n.Name, p.Status.ConfigHash))
		}
	}
	if len(out) == 0 {
		return "it is about to be recorded"
	}
	return strings.Join(out, ", ")
}

// fit holds the nodes to what a change needs of them: every one is there and by the file
// that counts, or is left out and holds nothing.
func (ch *changer) fit(s *reconcile.Snapshot, cfg *config.Config, without []string) error {
	for _, name := range without {
		if cfg.Node(name) == nil || name == ch.node {
			return &api.Refusal{Code: exitUsage, Text: fmt.Sprintf("cannot do without %q: it is not another node of the file", name)}
		}
		if p := s.Peer(name); p.State == reconcile.PeerHeard || p.State == reconcile.PeerDistant {
			return blocked("cannot do without %s: it is %s, and can answer", name, p.State)
		}
		for g, c := range s.Store.Value.Claims {
			if c.Holder == name && !c.Released {
				return blocked("cannot do without %s: it holds %s, and would go on by the file of before", name, g)
			}
		}
		if s.Store.Value.Live[name] != "" {
			return blocked("cannot do without %s: its lease has not ended yet, so that it may still take something by the file of before — ask again in %s", name, cfg.Lease.TTL)
		}
	}
	for _, n := range cfg.Nodes {
		if n.Name == ch.node || slices.Contains(without, n.Name) {
			continue
		}
		switch p := s.Peer(n.Name); {
		case p.State != reconcile.PeerHeard:
			return blocked("cannot change the file on all nodes: %s is %s — bring it back, or let it get the file when it returns: --without %s", n.Name, p.State, n.Name)
		case p.Status.ConfigHash != cfg.Hash:
			return blocked("cannot change the file on all nodes: %s goes by another file (%.8s)", n.Name, p.Status.ConfigHash)
		case p.Status.Changing != "":
			return blocked("cannot change the file on all nodes: %s still %s", n.Name, p.Status.Changing)
		case p.Status.Speaks < 2:
			return blocked("cannot change the file on all nodes: %s runs an understudy that does not know how — upgrade it first", n.Name)
		}
	}
	return nil
}

// preview says what a file would do.
func (ch *changer) preview(s *reconcile.Snapshot, force, next *config.Config, b *bundle) (api.ChangeReply, error) {
	out := api.ChangeReply{Hash: next.Hash, InForce: force.Hash, Refused: config.Fixed(force, next, ch.c.config, b.File), Plans: []json.RawMessage{}}
	if out.Refused == nil {
		out.Refused = []config.Finding{}
	}
	if len(out.Refused) > 0 || next.Hash == force.Hash {
		return out, nil
	}
	out.Notes = serviceNotes(force, next)
	if was, is := cmp.Or(force.SocketGroup, "root alone"), cmp.Or(next.SocketGroup, "root alone"); was != is {
		out.Notes = append(out.Notes, fmt.Sprintf("the socket goes from %s to %s as the service runs", was, is))
	}
	stages := reconcile.ChangePlans(force, next, s)
	plans := make([]reconcile.Plan, len(stages))
	h := sha256.New()
	h.Write([]byte(next.Hash))
	for i, st := range stages {
		plans[i] = st.Plan
		h.Write([]byte(st.Plan.Fingerprint()))
	}
	p, err := planReply("", plans)
	out.Plans, out.Text, out.Steps, out.Blocked = p.Plans, p.Text, p.Steps, p.Blocked
	out.Fingerprint = hex.EncodeToString(h.Sum(nil))[:6]
	return out, err
}

// serviceNotes say what is not done for services of nodes, which are never stopped.
func serviceNotes(force, next *config.Config) []string {
	var out []string
	for _, o := range force.Services {
		i := slices.IndexFunc(next.Services, func(n config.Service) bool { return n.Name == o.Name })
		switch {
		case i < 0:
			out = append(out, fmt.Sprintf("service %s is not stopped, and is looked after no more", o.Name))
		case !slices.Equal(o.Start, next.Services[i].Start) || !slices.Equal(o.Run, next.Services[i].Run):
			out = append(out, fmt.Sprintf("service %s runs on as it is, and is started otherwise when it is started next", o.Name))
		}
	}
	return out
}

// propose asks every node, and makes the file count if all say yes.
func (ch *changer) propose(ctx context.Context, s *reconcile.Snapshot, rec reconcile.FileRecord, b *bundle, next *config.Config, q api.ChangeRequest, reply api.ChangeReply) (api.ChangeReply, error) {
	sealed, err := ch.seal(b, next)
	if err != nil {
		return reply, fmt.Errorf("cannot change the file while the service runs: %w", err)
	}
	p := &reconcile.Proposal{ID: rand.Text(), Hash: next.Hash, Sealed: sealed, Node: ch.node, Without: q.Without, By: q.By, Reason: q.Reason, At: now()}
	ch.mu.Lock()
	if ch.asking != "" {
		ch.mu.Unlock()
		return reply, blocked("cannot change the file: this node asks already whether another may be taken over")
	}
	ch.asking = p.ID
	ch.mu.Unlock()
	defer func() {
		ch.mu.Lock()
		ch.asking = ""
		ch.mu.Unlock()
		ch.poke()
	}()
	voters := []string{}
	for _, n := range next.Nodes {
		if !slices.Contains(q.Without, n.Name) {
			voters = append(voters, n.Name)
		}
	}
	open := rec
	open.Next, open.Last = p, ""
	if err := ch.put(ctx, open, s.Store.Value.Claims[reconcile.FileKey]); err != nil {
		return reply, fmt.Errorf("nothing is changed: %w", err)
	}
	ch.note(fmt.Sprintf("%s asks whether %.8s may be taken over: %s", q.By, next.Hash, strings.Join(voters, ", ")))
	ch.poke()
	no := ch.answers(ctx, p, voters)
	// Whoever asked may have gone; what was begun is ended all the same.
	ctx = context.WithoutCancel(ctx)
	now, ok := ch.sees()
	claim := reconcile.Claim{}
	if ok {
		claim = now.Store.Value.Claims[reconcile.FileKey]
	}
	if no == "" && (claim.File == nil || claim.File.Next == nil || claim.File.Next.ID != p.ID) {
		no = "another node has taken the proposal back"
	}
	if no != "" {
		if claim.File != nil && claim.File.Next != nil && claim.File.Next.ID == p.ID {
			ch.takeBack(ctx, now, *claim.File, no)
		}
		return reply, blocked("nothing is changed on any node: %s", no)
	}
	err = ch.put(ctx, reconcile.FileRecord{Hash: next.Hash, Sealed: sealed, By: q.By, Reason: q.Reason, At: p.At}, claim)
	switch {
	case errors.Is(err, lease.ErrChanged) || errors.Is(err, lease.ErrNoLease):
		return reply, blocked("nothing is changed on any node: %v", err)
	case err != nil:
		return reply, fmt.Errorf("whether the file is changed is open, and the same on every node — see: understudy status: %w", err)
	}
	ch.note(fmt.Sprintf("the file %.8s counts from now on, on all nodes: %s", next.Hash, strings.TrimSuffix(q.By+": "+q.Reason, ": ")))
	reply.Done, reply.Counts = true, next.Hash
	ch.poke()
	reply.Nodes = ch.inForce(ctx, next, voters)
	return reply, nil
}

// answers waits for the answer of every voter, and returns why not, "" for all yes.
func (ch *changer) answers(ctx context.Context, p *reconcile.Proposal, voters []string) string {
	tick := time.NewTicker(askTick)
	defer tick.Stop()
	limit := time.NewTimer(voteLimit)
	defer limit.Stop()
	for {
		var silent []string
		if v := ch.keeper.View(); v.OK() {
			for _, n := range voters {
				refusal, voted := reconcile.VoteOf(&v.Value, p, n)
				if voted && refusal != "" {
					return n + " refuses: " + refusal
				}
				if !voted {
					silent = append(silent, n)
				}
			}
			if len(silent) == 0 {
				return ""
			}
			if s, ok := ch.sees(); ok {
				for _, n := range silent {
					if s.Peer(n).State == reconcile.PeerSilent {
						return fmt.Sprintf("%s has fallen silent — bring it back, or let it get the file when it returns: --without %s", n, n)
					}
				}
			}
		}
		select {
		case <-ctx.Done():
			return "whoever asked has gone"
		case <-limit.C:
			return fmt.Sprintf("no answer within %s from %s", voteLimit, strings.Join(silent, ", "))
		case <-tick.C:
		}
	}
}

// inForce waits until the nodes have the file in force, and says how far each is.
func (ch *changer) inForce(ctx context.Context, next *config.Config, voters []string) []string {
	tick := time.NewTicker(askTick)
	defer tick.Stop()
	limit := time.NewTimer(forceLimit)
	defer limit.Stop()
	for {
		s, _ := ch.sees()
		ch.mu.Lock()
		here := ch.forceCfg.Hash == next.Hash && ch.boot == nil
		ch.mu.Unlock()
		var out []string
		all := true
		for _, n := range voters {
			p := s.Peer(n)
			switch {
			case n == ch.node && here || n != ch.node && p.Status.ConfigHash == next.Hash && p.Status.Changing == "":
				out = append(out, n+" goes by it")
				continue
			case n == ch.node:
				out = append(out, n+" is taking it over")
			case p.State != reconcile.PeerHeard:
				out = append(out, fmt.Sprintf("%s is %s, and takes it over when it is back", n, p.State))
			case p.Status.Changing != "":
				out = append(out, fmt.Sprintf("%s %s", n, p.Status.Changing))
			default:
				out = append(out, n+" has not begun yet")
			}
			all = false
		}
		if all {
			return out
		}
		select {
		case <-ctx.Done():
			return out
		case <-limit.C:
			return out
		case <-tick.C:
		}
	}
}

// adoptBoot makes the file that this node was started with the one that counts, on a
// person's word.
func (ch *changer) adoptBoot(ctx context.Context, s *reconcile.Snapshot, q api.ChangeRequest, force *config.Config, boot *bundle, cfg *config.Config, moving bool) (api.ChangeReply, error) {
	rec, counts := reconcile.CountingFile(s)
	reply := api.ChangeReply{InForce: force.Hash, Counts: rec.Hash, Refused: []config.Finding{}, Plans: []json.RawMessage{}}
	switch {
	case moving:
		return reply, blocked("cannot adopt a file: this node takes one over at this moment")
	case boot == nil && (!counts || rec.Hash == force.Hash):
		return reply, &api.Refusal{Code: exitOK, Text: fmt.Sprintf("this node goes by the file that counts (%.8s): there is nothing to adopt", force.Hash)}
	case boot == nil:
		ch.mu.Lock()
		boot, cfg = ch.force, ch.forceCfg
		ch.mu.Unlock()
	}
	reply.Hash = cfg.Hash
	sealed, err := ch.sealIfFits(boot, cfg)
	if err != nil {
		return reply, err
	}
	if err := ch.put(ctx, reconcile.FileRecord{Hash: cfg.Hash, Sealed: sealed, By: q.By, Reason: q.Reason, At: now()}, s.Store.Value.Claims[reconcile.FileKey]); err != nil {
		return reply, err
	}
	ch.note(fmt.Sprintf("the file %.8s counts from now on: adopted by %s", cfg.Hash, strings.TrimSuffix(q.By+": "+q.Reason, ": ")))
	ch.poke()
	reply.Done, reply.Counts = true, cfg.Hash
	return reply, nil
}
