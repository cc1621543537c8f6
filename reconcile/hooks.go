package reconcile

import (
	"slices"
	"strconv"
	"strings"

	"understudy/config"
	"understudy/fsm"
)

// Hooks of a group run inside its plans, as steps in their place (guide, "HACMP
// Cluster Event Processing", and the notes on scripts after each sequence):
//
//	taking up     evidence, claim, [pre] storage, addresses, applications, [post]
//	letting go    [pre] applications, addresses, storage, [post] proof, signing off
//
// acquire and release run on every such way. takeover, reintegration, node_down and
// node_up run in the same places when the plan is that; see [motion]. In one place
// hooks run in the order of the file, whatever their events.
//
// A letting go for any other reason than that the group should be elsewhere (the
// lease is lost, another node holds the claim, something is here without one) has
// no hook before or between its steps: nothing may keep it waiting. After its last
// step the hooks of release run. A repair in place is neither a taking up nor a
// letting go, and runs none.
//
// The hooks after a letting go run before the proof of release, so that what they
// leave behind is found, and so that nothing has begun elsewhere. A plan that was
// broken off and is made again runs its hooks again.

// motion is a taking up or letting go, as hooks are told of it.
type motion struct {
	from, to string // nodes; "" if there is none, or none is known
	reason   string
	epoch    uint64

	takeover      bool // by a node that is not the home, or from a node that has gone
	reintegration bool // back to the home of a cascading group, from a node that lives on
	down          bool // because a node has gone or leaves
	up            bool // because a node has come back, and not because a person asked
}

// takingUp describes a plan that takes the group up, with a new claim or, where an
// earlier plan was broken off, on the present one.
func (b *builder) takingUp(take taking) motion {
	m := motion{from: b.claim.From, to: b.s.Node, reason: b.claim.Reason, epoch: b.claim.Epoch}
	ev, pinned := b.claim.Evidence, b.claim.Pinned
	if b.s.Memory[b.g.Name].Lost == b.claim.Epoch {
		m.epoch++ // its own claim is taken again
	}
	if take.OK {
		m.from, m.reason, m.epoch = b.claim.Holder, take.Reason, b.claim.Epoch+1
		ev, pinned = take.Evidence, take.Pinned
	}
	other := m.from != "" && m.from != b.s.Node
	switch ev.Kind {
	case EvidenceFenced, EvidenceRebooted, EvidenceConfirmed, EvidenceWatchdog:
		m.down = other
	case EvidenceReleased:
		p := b.s.Peer(m.from)
		m.down = other && (p.State != PeerHeard || p.Status.Stopping)
	}
	home := b.g.Home()
	if home == b.s.Node && rebootToRelease(b.g) {
		m.down = false // the holder's reboot belongs to the reintegration
	}
	m.takeover = m.down || home != "" && home != b.s.Node
	m.reintegration = home == b.s.Node && other && !m.down
	m.up = m.reintegration && pinned == ""
	return m
}

// lettingGo describes a plan that lets the group go in order.
func (b *builder) lettingGo(because string) motion {
	_, to := mustYield(b.c, b.g, b.s, b.claim, b.dirty)
	m := motion{from: b.s.Node, to: to, reason: because, epoch: b.claim.Epoch}
	m.down = b.s.Stopping != "" && b.s.Memory[b.g.Name].Failed == ""
	if m.to == "" {
		m.to = b.next()
	}
	home := b.g.Home()
	back := home != "" && home != b.s.Node && m.to == home
	if back && rebootToRelease(b.g) {
		m.down = false
	}
	m.reintegration = back && !m.down
	req, asked := b.s.Store.Value.Requests[b.g.Name]
	asked = asked && req.Epoch == b.claim.Epoch && req.To == m.to
	m.up = m.reintegration && !asked && b.claim.Pinned == "" && (mayFallBack(b.g, b.s.At) || b.s.Stopping != "")
	return m
}

// events are those that happen on one side of a motion.
func (m motion) events(letGo bool, when config.HookWhen) []config.HookEvent {
	var out []config.HookEvent
	add := func(yes bool, e config.HookEvent) {
		if yes {
			out = append(out, e)
		}
	}
	add(letGo, config.EventRelease)
	add(!letGo, config.EventAcquire)
	add(m.takeover, config.EventTakeover)
	add(m.reintegration, config.EventReintegration)
	// A node's going is seen before by the node that goes, and after by the one that
	// stays; its coming before by the one that gives the group back.
	add(m.down && letGo == (when == config.Pre), config.EventNodeDown)
	add(m.up && letGo == (when == config.Pre), config.EventNodeUp)
	return out
}

// hooks adds the hooks of one place of the plan.
func (b *builder) hooks(when config.HookWhen, m motion, events []config.HookEvent) {
	for _, h := range b.c.Hooks {
		if h.Group != b.g.Name || h.When != when || !slices.Contains(events, h.Event) || !slices.Contains(h.Nodes, b.s.Node) {
			continue
		}
		b.hook(h, m.reason,
			config.Option{Key: "UNDERSTUDY_FROM", Value: m.from},
			config.Option{Key: "UNDERSTUDY_TO", Value: m.to},
			config.Option{Key: "UNDERSTUDY_REASON", Value: m.reason},
			config.Option{Key: "UNDERSTUDY_EPOCH", Value: strconv.FormatUint(m.epoch, 10)})
	}
}

// hook adds one hook, which is told what every hook is, and more.
func (b *builder) hook(h config.Hook, reason string, more ...config.Option) {
	env := append([]config.Option{
		{Key: "UNDERSTUDY_EVENT", Value: string(h.Event)},
		{Key: "UNDERSTUDY_WHEN", Value: string(h.When)},
		{Key: "UNDERSTUDY_GROUP", Value: b.g.Name},
		{Key: "UNDERSTUDY_NODE", Value: b.s.Node},
	}, more...)
	b.add(RunHook{Hook: h, Group: b.g.Name, Environment: env}, strings.ReplaceAll(string(h.Event), "_", " ")+": "+reason)
}

// swapHooks adds the hooks of one side of a swap: a service address goes from one
// adapter of its network to another, and nothing else of the group is touched. A
// failure is recorded, and holds nothing up (guide: swap_adapter).
func (b *builder) swapHooks(when config.HookWhen, a config.ServiceAddress, from, to Adapter) {
	for _, h := range b.c.Hooks {
		if h.Group != b.g.Name || h.When != when || h.Event != config.EventSwapAdapter || !slices.Contains(h.Nodes, b.s.Node) {
			continue
		}
		b.hook(h, from.Detail,
			config.Option{Key: "UNDERSTUDY_NETWORK", Value: a.Network},
			config.Option{Key: "UNDERSTUDY_ADDRESS", Value: a.Prefix.String()},
			config.Option{Key: "UNDERSTUDY_FROM", Value: from.Link},
			config.Option{Key: "UNDERSTUDY_TO", Value: to.Link},
			config.Option{Key: "UNDERSTUDY_REASON", Value: from.Detail})
	}
}

// beforeTakingUp adds the hooks that come before the storage. An attempt that
// comes after its resources were up already has run them.
func (b *builder) beforeTakingUp(m motion, claiming bool) {
	missing := claiming || len(b.inv.Items) == len(b.g.Applications)
	for _, i := range b.inv.Items {
		missing = missing || i.Kind != AppItem && i.State != Present
	}
	if missing {
		b.hooks(config.Pre, m, m.events(false, config.Pre))
	}
}

func (b *builder) afterTakingUp(m motion) {
	b.hooks(config.Post, m, m.events(false, config.Post))
}

// orderly reports that the group is let go because it should be elsewhere, with
// the claim and the lease in hand: the only case in which there is time for hooks.
func (b *builder) orderly(mine bool) bool { return mine && b.plan.Event == fsm.Yield }

// beforeLettingGo puts the hooks before the first step, if anything is let go.
func (b *builder) beforeLettingGo(mine bool) {
	if b.orderly(mine) && len(b.plan.Steps) > 0 && b.claim.Rehearsal == NoRehearsal {
		steps := b.plan.Steps
		b.plan.Steps = nil
		m := b.lettingGo(b.plan.Why)
		b.hooks(config.Pre, m, m.events(true, config.Pre))
		b.plan.Steps = append(b.plan.Steps, steps...)
	}
}

// afterLettingGo adds the hooks that come when nothing of the group is here.
func (b *builder) afterLettingGo(mine bool) {
	switch {
	case len(b.plan.Blocked) > 0, b.claim.Rehearsal != NoRehearsal:
	case b.orderly(mine):
		m := b.lettingGo(b.plan.Why)
		b.hooks(config.Post, m, m.events(true, config.Post))
	case len(b.plan.Steps) > 0 && (b.plan.Event == fsm.LeaseLost || b.plan.Event == fsm.HeldElsewhere):
		m := motion{from: b.s.Node, reason: b.plan.Why, epoch: b.claim.Epoch}
		b.hooks(config.Post, m, []config.HookEvent{config.EventRelease})
	}
}
