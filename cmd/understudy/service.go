package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"understudy/cmd/internal/api"
	"understudy/config"
	"understudy/observers"
	"understudy/reconcile"
	"understudy/reconcile/act"
	"understudy/reconcile/act/watchdog"
	"understudy/reconcile/journal"
	"understudy/reconcile/loop"
)

// resident answers the other verbs for the running service.
type resident struct {
	cfg     atomic.Pointer[config.Config] // in force; see config
	node    string
	loop    *loop.Loop
	keeper  keeper
	journal *journal.Journal
	leader  func() string          // embedded store: the raft leader; nil with another store
	guard   *watchdog.Watchdog     // nil if none is declared
	own     func() *ownFacts       // what this node says of its programs and its cell, nil before it has looked
	last    *lastWords             // what the peers hear at the end
	stops   chan api.StopRequest   // of people, for signals
	note    atomic.Pointer[string] // about the files, nil if there is nothing to say
	keys    []string               // ids of the cluster's secrets; the first signs
	changer *changer

	sharing sync.Mutex // guards what follows
	socket  string     // "" until it is open
	shared  string     // the group that the socket was given to last
}

var _ api.Service = (*resident)(nil)

// config is the configuration in force.
func (r *resident) config() *config.Config { return r.cfg.Load() }

// adopt takes over a configuration that the loop puts in force.
func (r *resident) adopt(seen *observers.Host, host *act.Host, log *slog.Logger) func(*config.Config) {
	return func(cfg *config.Config) {
		r.cfg.Store(cfg)
		host.SetConfig(cfg)
		if err := seen.SetConfig(cfg); err != nil { // the file was checked: it names nothing that cannot be observed
			log.Error("changed file cannot be observed", "err", err)
		}
		r.share("", log)
	}
}

// share gives the socket to the group that the configuration in force names. The path
// of the socket comes once it is open; what is in force before that is shared then.
func (r *resident) share(opened string, log *slog.Logger) {
	r.sharing.Lock()
	defer r.sharing.Unlock()
	group := r.config().SocketGroup
	if opened != "" {
		r.socket = opened
	} else if r.socket == "" || r.shared == group {
		return
	}
	if err := api.Share(r.socket, group); err != nil {
		log.Warn("socket was not given to its group", "group_name", group, "err", err)
		return
	}
	r.shared = group
}

// noted takes what a person must know of the files, "" for nothing.
func (r *resident) noted(note string) {
	if note == "" {
		r.note.Store(nil)
		return
	}
	r.note.Store(&note)
}

func (r *resident) state() (*loop.State, error) {
	st := r.loop.State()
	if st == nil {
		return nil, &api.Refusal{Code: exitFailed, Text: "the service has only just begun to look — ask again"}
	}
	return st, nil
}

// Status implements api.Service.
func (r *resident) Status() (api.Status, error) {
	st, err := r.state()
	if err != nil {
		return api.Status{}, err
	}
	s := &st.Snapshot
	now := time.Now()
	l := r.keeper.Lease()
	view := r.keeper.View()
	out := api.Status{
		Cluster: r.config().Cluster, Node: r.node, Version: version, BootID: s.BootID, At: now, ConfigHash: r.config().Hash,
		Stopping: s.Stopping, Keys: r.keys,
		Lease: api.LeaseStatus{Valid: l.Left(now) > 0, LeftMS: l.Left(now).Milliseconds(), Error: l.Err},
		Store: api.StoreStatus{Kind: kindOf(r.config()), Readable: view.OK()},
	}
	if n := r.note.Load(); n != nil {
		out.ConfigNote = *n
	}
	rec, _ := reconcile.CountingFile(s)
	out.Counts, out.Speaks, out.Spoken = rec.Hash, reconcile.Protocol, reconcile.Spoken(r.config(), s)
	out.Changing = r.loop.Changing()
	if !view.OK() {
		out.Store.Error = view.Why().Error()
	}
	if r.leader != nil {
		out.Store.Leader = r.leader()
	}
	js := r.journal.State()
	out.Journal = api.JournalStatus{Error: js.Err, Held: js.Held, Dropped: js.Dropped}
	out.Orders = orderStatuses(s)
	for _, g := range r.config().Groups {
		if d, ok := st.Decisions[g.Name]; ok {
			gs := groupStatus(&g, s, d, st.Flights[g.Name])
			gs.Notice = noticeStatus(st.Notices[g.Name])
			if own := r.own(); own != nil {
				gs.Programs = own.programs[g.Name]
			}
			out.Groups = append(out.Groups, gs)
		}
	}
	out.Watchdog = watchdogStatus(r.guard)
	out.Services = serviceStatuses(st)
	if st.Hooks != (loop.HookQueue{}) {
		out.Hooks = &api.HookStatus{Waiting: st.Hooks.Waiting, Dropped: st.Hooks.Dropped}
	}
	out.Adapters = adapterStatuses(r.config(), s)
	for _, p := range s.Peers {
		out.Peers = append(out.Peers, peerStatus(p))
	}
	return out, nil
}

func groupStatus(g *config.Group, s *reconcile.Snapshot, d reconcile.Decision, f loop.Flight) api.GroupStatus {
	m := s.Memory[g.Name]
	c := s.Store.Value.Claims[g.Name]
	out := api.GroupStatus{
		Group: g.Name, Policy: string(g.Policy), Role: d.Transition.To.String(), Phase: string(d.Phase),
		Event: d.Transition.Event.String(), Because: d.Because, Reason: d.Status.Reason, Ready: d.Status.Ready,
		Claim: api.ClaimStatus{
			Holder: c.Holder, BootID: c.BootID, Epoch: c.Epoch, Released: c.Released, Evidence: string(c.Evidence.Kind),
			Detail: c.Evidence.Detail, Reason: c.Reason, Pinned: c.Pinned, At: c.At, Rehearsal: string(c.Rehearsal),
		},
		Failed: m.Failed, Error: m.Error, Rehearsed: m.Rehearsed, Hostname: m.SavedHostname, Dirty: d.Dirty,
	}
	if q, ok := s.Store.Value.Requests[g.Name]; ok && q.Epoch == c.Epoch {
		out.Request = fmt.Sprintf("%s moves it to %s", q.By, q.To)
		if q.Rehearse != reconcile.NoRehearsal {
			out.Request = fmt.Sprintf("%s rehearses it on %s", q.By, q.To)
		}
	}
	for _, i := range d.Inventory.Items {
		out.Resources = append(out.Resources, api.Resource{Kind: string(i.Kind), Name: i.Name, State: i.State.String(), Detail: i.Detail})
	}
	for _, b := range d.Plan.Blocked {
		out.Blocked = append(out.Blocked, b.String())
	}
	for _, w := range d.Plan.Waits {
		out.Waits = append(out.Waits, w.String())
	}
	if f.N > 0 {
		sp := f.Plan.Steps[f.N-1].Step.Spec()
		out.Flight = &api.FlightStatus{
			Fingerprint: f.Plan.Fingerprint(), Goal: f.Plan.Goal.String(), N: f.N, Of: len(f.Plan.Steps),
			Step: sp.Verb + " " + sp.Object, Since: f.Since,
		}
	}
	return out
}

func peerStatus(p reconcile.Peer) api.PeerStatus {
	out := api.PeerStatus{
		Name: p.Name, State: p.State.String(), BootID: p.BootID, Lease: p.Status.Lease,
		Config: p.Status.ConfigHash, Changing: p.Status.Changing, Speaks: p.Status.Speaks, Stopping: p.Status.Stopping, Doomed: p.Status.Doomed, Groups: p.Status.Groups, Lost: p.Status.Lost, Cell: p.Status.Cell, Keys: p.Status.Keys,
	}
	if p.ClockKnown {
		ms := p.Clock.Milliseconds()
		out.ClockMS = &ms
	}
	for _, l := range p.Links {
		ms := l.Age.Milliseconds()
		if l.Age < 0 {
			ms = -1
		}
		out.Links = append(out.Links, api.LinkStatus{Network: l.Network, Heard: l.Heard, AgeMS: ms, Hears: l.Hears})
	}
	return out
}

// Plan implements api.Service.
func (r *resident) Plan(group string, whatif []string) (api.PlanReply, error) {
	st, err := r.state()
	if err != nil {
		return api.PlanReply{}, err
	}
	if group != "" && group != reconcile.NodeGroup && r.config().Group(group) == nil {
		return api.PlanReply{}, &api.Refusal{Code: exitUsage, Text: fmt.Sprintf("cannot find group %q in the file", group)}
	}
	if len(whatif) > 0 {
		s := st.Snapshot
		basis := fmt.Sprintf("from what %s sees now", r.node)
		return imagine(r.config(), reconcile.Around(r.config(), &s), basis, group, whatif)
	}
	var plans []reconcile.Plan
	if p := st.Services.Plan; group == reconcile.NodeGroup || group == "" && (!p.Empty() || len(p.Blocked)+len(p.Waits) > 0) {
		plans = append(plans, p)
	}
	for _, g := range r.config().Groups {
		d, ok := st.Decisions[g.Name]
		if !ok || group != "" && g.Name != group {
			continue
		}
		if d.Frozen { // what would be done, and can be by hand
			wait := d.Plan.Waits
			d = reconcile.Decide(r.config(), &g, reconcile.Thawed(&st.Snapshot, g.Name))
			d.Plan.Waits = append(slices.Clone(wait[:min(1, len(wait))]), d.Plan.Waits...)
		}
		if !d.Plan.Empty() || len(d.Plan.Blocked) > 0 || len(d.Plan.Waits) > 0 || group != "" {
			plans = append(plans, d.Plan)
		}
	}
	return planReply(fmt.Sprintf("what %s would do now", r.node), plans)
}

// Apply implements api.Service: it makes the loop try at once, and waits until
// no plan of the group is in flight.
func (r *resident) Apply(ctx context.Context, q api.ApplyRequest) error {
	st, err := r.state()
	if err != nil {
		return err
	}
	groups := slices.Sorted(maps.Keys(st.Decisions))
	if q.Group != "" {
		if _, ok := st.Decisions[q.Group]; !ok {
			return &api.Refusal{Code: exitUsage, Text: fmt.Sprintf("cannot find group %q on %s", q.Group, r.node)}
		}
		groups = []string{q.Group}
	}
	for _, g := range groups {
		p := st.Decisions[g].Plan
		if q.Expect != "" && p.Fingerprint() != q.Expect {
			return &api.Refusal{Code: exitBlocked, Text: fmt.Sprintf("cannot apply %s: the plan is %s by now, not %s — look at `understudy plan %s` again", g, p.Fingerprint(), q.Expect, g)}
		}
		if len(p.Blocked) > 0 {
			return &api.Refusal{Code: exitBlocked, Text: fmt.Sprintf("cannot apply %s: %s", g, p.Blocked[0])}
		}
	}
	for _, g := range groups {
		if err := r.loop.Try(ctx, g); err != nil {
			return err
		}
	}
	return nil
}

// Move implements api.Service.
func (r *resident) Move(ctx context.Context, q api.MoveRequest) error {
	g := r.config().Group(q.Group)
	if g == nil {
		return &api.Refusal{Code: exitUsage, Text: fmt.Sprintf("cannot find group %q in the file", q.Group)}
	}
	if reconcile.IsExternal(r.config()) {
		return r.keeper.Ask(ctx, reconcile.Request{Group: q.Group, To: q.To})
	}
	if g.Priority(q.To) < 0 {
		return &api.Refusal{Code: exitUsage, Text: fmt.Sprintf("cannot move %s to %q: it is not one of its nodes (%v)", q.Group, q.To, g.Nodes)}
	}
	st, err := r.state()
	if err != nil {
		return err
	}
	if o, ok := reconcile.Frozen(&st.Snapshot, q.Group); ok {
		return &api.Refusal{Code: exitBlocked, Text: fmt.Sprintf("cannot move %s: it is %s — understudy thaw %s first", q.Group, o.Sentence(), q.Group)}
	}
	claim := st.Snapshot.Store.Value.Claims[q.Group]
	if claim.Holder == q.To && !claim.Released && claim.Rehearsal != reconcile.NoRehearsal {
		return r.keeper.Ask(ctx, reconcile.Request{Group: q.Group, To: q.To, By: q.By, Reason: q.Reason, Epoch: claim.Epoch, At: time.Now()})
	}
	if claim.Holder == q.To && !claim.Released {
		return &api.Refusal{Code: exitOK, Text: fmt.Sprintf("%s is on %s already", q.Group, q.To)}
	}
	gs := st.Decisions[q.Group].Status
	if q.To != r.node {
		p := st.Snapshot.Peer(q.To)
		if gs = p.Status.Group(q.Group); p.State != reconcile.PeerHeard {
			return &api.Refusal{Code: exitBlocked, Text: fmt.Sprintf("cannot move %s to %s: it is %s", q.Group, q.To, p.State)}
		}
	}
	if !gs.Ready {
		return &api.Refusal{Code: exitBlocked, Text: fmt.Sprintf("cannot move %s to %s: it is not ready (%s, %s) %s", q.Group, q.To, gs.Role, gs.Phase, gs.Reason)}
	}
	return r.keeper.Ask(ctx, reconcile.Request{Group: q.Group, To: q.To, By: q.By, Reason: q.Reason, Epoch: claim.Epoch, At: time.Now()})
}

// Confirm implements api.Service. The word is void for any boot but the one that
// holds a claim now.
func (r *resident) Confirm(ctx context.Context, q api.ConfirmRequest) error {
	st, err := r.state()
	if err != nil {
		return err
	}
	if r.config().Node(q.Node) == nil || q.Node == r.node {
		return &api.Refusal{Code: exitUsage, Text: fmt.Sprintf("cannot confirm %q: it is not another node of the file", q.Node)}
	}
	if p := st.Snapshot.Peer(q.Node); p.State == reconcile.PeerHeard || p.State == reconcile.PeerDistant {
		return &api.Refusal{Code: exitBlocked, Text: fmt.Sprintf("cannot confirm that %s is down: it is %s", q.Node, p.State)}
	}
	if reconcile.IsExternal(r.config()) {
		return r.confirmOutside(ctx, q, &st.Snapshot)
	}
	for _, g := range r.config().Groups {
		if c := st.Snapshot.Store.Value.Claims[g.Name]; c.Holder == q.Node && !c.Released {
			return r.keeper.Confirm(ctx, reconcile.Confirmation{Node: q.Node, BootID: c.BootID, By: q.By, Reason: q.Reason, At: time.Now()})
		}
	}
	return &api.Refusal{Code: exitOK, Text: q.Node + " holds no claim: there is nothing to confirm"}
}

// Clear implements api.Service.
func (r *resident) Clear(ctx context.Context, group string) error {
	if r.config().Group(group) == nil {
		return &api.Refusal{Code: exitUsage, Text: fmt.Sprintf("cannot find group %q in the file", group)}
	}
	at := time.Now().UTC().Round(0) // as it comes back from the store
	if err := r.loop.ClearAt(ctx, group, at); err != nil || reconcile.IsExternal(r.config()) {
		return err
	}
	here := "cleared on " + r.node + " alone: "
	st, err := r.state()
	if err != nil {
		return fmt.Errorf("%s%w", here, err)
	}
	if !st.Snapshot.Store.OK() {
		return fmt.Errorf("%sthe store could not be read: %w — ask again when it can, so that the others know", here, st.Snapshot.Store.Why())
	}
	err = r.keeper.Ask(ctx, reconcile.Request{
		Group: reconcile.OrderKey(reconcile.Clear, group), To: group, Order: reconcile.Clear, By: r.node,
		Epoch: st.Snapshot.Store.Value.Claims[group].Epoch, Lasts: reconcile.UntilCleared, At: at,
	})
	if err == nil {
		err = r.keeper.Withdraw(ctx, reconcile.OrderKey(reconcile.Stopped, group))
	}
	if err != nil {
		return fmt.Errorf("%s%w", here, err)
	}
	return nil
}

// History implements api.Service.
func (r *resident) History(f api.Filter) ([]journal.Record, error) {
	return filtered(r.journal, f)
}

var _ json.Marshaler = reconcile.Plan{}
