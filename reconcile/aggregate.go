package reconcile

import (
	"slices"

	"understudy/config"
)

// An aggregate is exported by DFS itself and never mounted, so that no mount table
// tells whether it can be used here. Its volume group is switched on with the
// group; where a taking up was broken off it is switched on again, which changes
// nothing if it is on.

// shared reports whether a volume group has anything of g on it that moves. One
// with nothing but local file systems belongs to the node.
func shared(g *config.Group, v config.Volume) bool {
	return slices.ContainsFunc(g.Aggregates, func(a config.Aggregate) bool { return a.Volume == v.Name }) ||
		slices.ContainsFunc(g.Filesystems, func(fs config.Filesystem) bool { return fs.Volume == v.Name && !fs.Local })
}

// exported reports whether a volume group with aggregates is to be switched on:
// when the group is taken up afresh, and when it is seen to be off.
func (b *builder) exported(v config.Volume, fresh bool) bool {
	if !slices.ContainsFunc(b.g.Aggregates, func(a config.Aggregate) bool { return a.Volume == v.Name }) {
		return false
	}
	if fresh {
		return true
	}
	return b.s.Volumes.OK() && slices.ContainsFunc(b.s.Volumes.Value, func(st VolumeState) bool { return st.Name == v.Name && !st.Active })
}

// aggregates makes plain devices ready for a group that is taken up afresh. A
// dirty host has them in use already.
func (b *builder) aggregates(fresh bool) {
	for _, a := range b.g.Aggregates {
		if a.Volume == "" && fresh && b.dirty == "" {
			b.add(Activate{Device: a.Device}, "another host may have written to it")
		}
	}
}

// aggregatesUnread blocks a plan for aggregates alone while the mount table cannot
// be read: somebody may have mounted what should be exported.
func (b *builder) aggregatesUnread() {
	if len(b.g.Aggregates) > 0 && len(b.g.Filesystems) == 0 && !b.s.Mounts.OK() {
		b.block("whether an aggregate is mounted could not be read: "+b.s.Mounts.Why().Error(), "nothing is planned about what is unknown")
	}
}
