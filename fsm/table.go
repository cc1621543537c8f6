package fsm

// guard is a plain truth about the Facts under which a row applies.
type guard struct {
	name    string // its word in tables; "" for always
	meaning string // one sentence, for the legend
	holds   func(Facts) bool
}

// The guards. The two of a pair exclude each other and leave no gap.
var (
	always   = guard{"", "", func(Facts) bool { return true }}
	atHome   = guard{"at home", "this node is the group's home, or the group rotates and has none", home}
	away     = guard{"away", "the group has a home, and it is another node", func(f Facts) bool { return !home(f) }}
	clean    = guard{"clean", "nothing of the group is on this host, and all of it could be read", func(f Facts) bool { return f.Clean }}
	notClean = guard{"not clean", "something of the group is here, or could not be read", func(f Facts) bool { return !f.Clean }}
)

// guards lists those with a name, in the order of the legend.
var guards = []guard{clean, notClean, atHome, away}

func home(f Facts) bool { return f.Home || f.Rotating }

// rule is one row: a node in role from that is offered on becomes to if the
// guard holds, because of why.
type rule struct {
	from Role
	on   Event
	when guard
	to   Role
	why  string
}

// rules is the state machine. It is total: for every role, event and Facts
// exactly one row applies. Sorted by role, then by event.
var rules = []rule{
	{Rejoining, LeaseLost, always, Rejoining, "without a lease this node may neither stand by nor hold the group"},
	{Rejoining, HeldElsewhere, clean, Standby, "the claim is not ours and nothing of the group is here, so this node can stand by"},
	{Rejoining, HeldElsewhere, notClean, Rejoining, "the claim is not ours and this host is not known to be clean, so it must become clean first"},
	{Rejoining, Stray, always, Rejoining, "something of the group is here without a claim and has to go before this node stands by"},
	{Rejoining, Unsure, always, Rejoining, "something that decides could not be read, and unknown is not taken for clean"},
	{Rejoining, Yield, always, Rejoining, "the group should be elsewhere, so this node goes on letting go of it"},
	{Rejoining, Broken, atHome, Owner, "the claim is ours and this is where the group belongs, so what is missing is brought up"},
	{Rejoining, Broken, away, Takeover, "the claim is ours for a home that is gone, so what is missing is brought up"},
	{Rejoining, Held, atHome, Owner, "the claim is ours and all of the group runs here, so this node carries on as its owner without touching it"},
	{Rejoining, Held, away, Takeover, "the claim is ours and all of the group runs here, so this node carries on for its home without touching it"},
	{Rejoining, Free, clean, Standby, "nobody holds the group and nothing of it is here, so this node can stand by"},
	{Rejoining, Free, notClean, Rejoining, "nobody holds the group, but this host is not known to be clean, so it must become clean first"},

	{Standby, LeaseLost, always, Rejoining, "without a lease this node could not take over, so it does not stand by"},
	{Standby, HeldElsewhere, clean, Standby, "the claim is not ours and this host is clean, so it stays ready to take over"},
	{Standby, HeldElsewhere, notClean, Rejoining, "this host is no longer known to be clean, and only a clean one may take over"},
	{Standby, Stray, always, Rejoining, "something of the group has come up here without a claim and has to go"},
	{Standby, Unsure, always, Standby, "something that decides could not be read, so nothing changes until it can be"},
	{Standby, Yield, always, Rejoining, "the claim came to this node but the group should be elsewhere, so it is let go"},
	{Standby, Broken, atHome, Owner, "the claim is ours and this is where the group belongs, so it is brought up"},
	{Standby, Broken, away, Takeover, "the claim is ours and the home is gone, so the group is brought up here"},
	{Standby, Held, atHome, Owner, "the claim is ours, all of the group is up, and this is where it belongs"},
	{Standby, Held, away, Takeover, "the claim is ours and all of the group is up here in place of its home"},
	{Standby, Free, clean, Standby, "nobody holds the group; whether this node takes it depends on evidence and on its turn"},
	{Standby, Free, notClean, Rejoining, "nobody holds the group, but this host is no longer known to be clean and may not take it"},

	{Takeover, LeaseLost, always, Rejoining, "another node may own the group by now, so this one stops serving at once and lets go"},
	{Takeover, HeldElsewhere, always, Rejoining, "the claim is not ours any more, so this node stops serving and lets go"},
	{Takeover, Stray, always, Rejoining, "what runs here has no claim behind it any more, so it has to go"},
	{Takeover, Unsure, always, Takeover, "something that decides could not be read and the lease is good, so the service is left alone"},
	{Takeover, Yield, always, Rejoining, "the group should be elsewhere, so this node lets go of it in order"},
	{Takeover, Broken, atHome, Owner, "the file now makes this node the home, so it repairs the group as its owner"},
	{Takeover, Broken, away, Takeover, "something of the group is missing here, so it is repaired in place"},
	{Takeover, Held, atHome, Owner, "the file now makes this node the home, and nothing has to be touched for it"},
	{Takeover, Held, away, Takeover, "the claim is ours and all of the group is up, so there is nothing to change"},
	{Takeover, Free, always, Rejoining, "the claim has been signed off, so nothing may be held on the strength of it"},

	{Owner, LeaseLost, always, Rejoining, "another node may own the group by now, so this one stops serving at once and lets go"},
	{Owner, HeldElsewhere, always, Rejoining, "the claim is not ours any more, so this node stops serving and lets go"},
	{Owner, Stray, always, Rejoining, "what runs here has no claim behind it any more, so it has to go"},
	{Owner, Unsure, always, Owner, "something that decides could not be read and the lease is good, so the service is left alone"},
	{Owner, Yield, always, Rejoining, "the group should be elsewhere, so this node lets go of it in order"},
	{Owner, Broken, atHome, Owner, "something of the group is missing here, so it is repaired in place"},
	{Owner, Broken, away, Takeover, "the file gave the group another home, so this node repairs and keeps it for that home"},
	{Owner, Held, atHome, Owner, "the claim is ours and all of the group is up, so there is nothing to change"},
	{Owner, Held, away, Takeover, "the file gave the group another home, so this node keeps it up for that home"},
	{Owner, Free, always, Rejoining, "the claim has been signed off, so nothing may be held on the strength of it"},
}

// Rule is one row of the table as others may read it.
type Rule struct {
	From  Role
	Event Event
	Guard string // the guard's name, "" if the row applies always
	To    Role
	Why   string // one sentence without capital and full stop
}

// Rules returns a copy of the whole table, sorted by role and event.
func Rules() []Rule {
	out := make([]Rule, len(rules))
	for i, r := range rules {
		out[i] = Rule{From: r.from, Event: r.on, Guard: r.when.name, To: r.to, Why: r.why}
	}
	return out
}
