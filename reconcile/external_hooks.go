package reconcile

import (
	"understudy/config"
	"understudy/fsm"
)

// Hooks where another manager moves the storage: those before a taking up run when
// all of it is here, as nobody knows before; those before a letting go only if the
// other manager says that it is about to take the group (understudy release), or
// this node leaves. What has gone already leaves no time for them.

// takingUp describes a taking up. It comes from the node that was seen last with all
// of the group.
func (v sight) takingUp() motion {
	m := motion{from: v.m.From, to: v.s.Node, reason: "every file system and address is here", epoch: EpochSeen}
	home := v.g.Home()
	p := v.s.Peer(m.from)
	m.down = m.from != "" && (p.State != PeerHeard || p.Status.Stopping)
	if home == v.s.Node && rebootToRelease(v.g) {
		m.down = false // the holder's reboot belongs to the reintegration
	}
	m.takeover = m.down || home != "" && home != v.s.Node
	m.reintegration = home == v.s.Node && m.from != "" && !m.down
	m.up = m.reintegration
	return m
}

// lettingGo describes a letting go in order. Where the group goes is the other
// manager's matter; away from its home it can only be back there if that is heard.
func (v sight) lettingGo(because string) motion {
	m := motion{from: v.s.Node, reason: because, epoch: EpochSeen}
	m.down = v.s.Stopping != "" && v.m.Failed == ""
	home := v.g.Home()
	if home != "" && home != v.s.Node && v.s.Peer(home).State == PeerHeard && v.m.Failed == "" && !m.down {
		m.to, m.reintegration, m.up = home, true, true
	}
	return m
}

// around puts the hooks of a plan before and behind the steps that add adds. A plan
// without such a step has none.
func (v sight) around(b *builder, add func()) {
	from, waits := len(b.plan.Steps), len(b.plan.Waits)
	add()
	steps := b.plan.Steps[from:]
	if len(steps) == 0 || len(b.plan.Blocked) > 0 {
		return
	}
	b.plan.Steps = b.plan.Steps[:from:from]
	m, out := v.lettingGo(b.plan.Why), true
	pre, post := b.plan.Event == fsm.Yield, m.events(true, config.Post)
	switch {
	case b.plan.Goal == Hold:
		m, out = v.takingUp(), false
		pre, post = !v.m.Role.Holds() || v.m.ErrorVerb == "hook", m.events(false, config.Post)
		if v.m.Whole > 0 { // a repair in place
			pre, post = false, nil
		}
	case !pre: // what has gone leaves no time for more
		post = []config.HookEvent{config.EventRelease}
	}
	if pre {
		b.hooks(config.Pre, m, m.events(out, config.Pre))
	}
	b.plan.Steps = append(b.plan.Steps, steps...)
	if len(b.plan.Waits) == waits { // every application is started
		b.hooks(config.Post, m, post)
	}
}
