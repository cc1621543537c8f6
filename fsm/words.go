package fsm

// Meaning is the role in one sentence, for people who see the word for the
// first time.
func (r Role) Meaning() string {
	switch r {
	case Rejoining:
		return "came back or was set aside: must become clean before anything else; every start begins here"
	case Standby:
		return "holds nothing, is clean, and is ready to take over"
	case Takeover:
		return "holds the group for a home that is gone"
	case Owner:
		return "holds the group and is its home, or holds a group that rotates"
	}
	return "invalid role"
}

// Meaning is the event in one sentence.
func (e Event) Meaning() string {
	switch e {
	case LeaseLost:
		return "this node's own deadline has passed, or it never had a lease"
	case HeldElsewhere:
		return "the claim names another node, or this node before its last boot"
	case Stray:
		return "the claim is not ours, and something of the group is here all the same"
	case Unsure:
		return "something that decides could not be read; the lease is still good"
	case Yield:
		return "the claim is ours and the group should be elsewhere"
	case Broken:
		return "the claim is ours and something of the group is missing here"
	case Held:
		return "the claim is ours and all of the group is here"
	case Free:
		return "nobody holds the claim, or what its holder left behind may be taken"
	}
	return "invalid event"
}
