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

// before adds the hooks that come before the first step, after those behind the last.
func (v sight) before(b *builder) {
	switch m := v.lettingGo(b.plan.Why); {
	case b.plan.Goal == Hold && v.m.Whole == 0 && (!v.m.Role.Holds() || v.m.ErrorVerb == "hook"):
		m = v.takingUp()
		b.hooks(config.Pre, m, m.events(false, config.Pre))
	case b.plan.Goal == Clean && b.plan.Event == fsm.Yield && !v.clean():
		b.hooks(config.Pre, m, m.events(true, config.Pre))
	}
}

func (v sight) after(b *builder) {
	switch m := v.lettingGo(b.plan.Why); {
	case len(b.plan.Steps) == 0 || len(b.plan.Blocked) > 0:
	case b.plan.Goal == Hold && v.m.Whole == 0:
		m = v.takingUp()
		b.hooks(config.Post, m, m.events(false, config.Post))
	case b.plan.Goal == Clean && b.plan.Event == fsm.Yield:
		b.hooks(config.Post, m, m.events(true, config.Post))
	case b.plan.Goal == Clean:
		b.hooks(config.Post, m, []config.HookEvent{config.EventRelease})
	}
}
