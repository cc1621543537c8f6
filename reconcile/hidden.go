package reconcile

import (
	"fmt"
	"slices"

	"understudy/config"
)

// The place of a local file system may lie below a shared one: that of a DFS cache
// is /var/dce/adm/dfs/cache as a rule (guide, "Planning Considerations for DFS").
// Mounted first, at boot for example, it lies on the bare directory and is hidden by
// the shared file system afterwards; left mounted, it keeps that busy.

// takeOffOrder lists the group's file systems in the order of unmounting: inner
// first, and what is hidden by another of them after that.
func (b *builder) takeOffOrder() []config.Filesystem {
	var first, hidden []config.Filesystem
	for _, fs := range slices.Backward(outerFirst(b.g.Filesystems)) {
		if m, ok := hider(fs, b.s); ok && ofGroup(m, b.g, b.s) {
			hidden = append(hidden, fs)
		} else {
			first = append(first, fs)
		}
	}
	return append(first, hidden...)
}

// hider is the latest mount that hides the mount of fs at its own place, if one does.
// The mount table is in the order of mounting.
func hider(fs config.Filesystem, s *Snapshot) (Mount, bool) {
	isOurs := ofDevice(fs.Device, s)
	var over Mount
	here := false
	for _, m := range s.Mounts.Value {
		switch {
		case m.Point == fs.Mount && isOurs(m):
			here, over = true, Mount{}
		case here && isBelow(fs.Mount, m.Point):
			over = m
		}
	}
	return over, over.Point != ""
}

// ofGroup reports whether a mount is one of g's in its place.
func ofGroup(m Mount, g *config.Group, s *Snapshot) bool {
	return slices.ContainsFunc(g.Filesystems, func(fs config.Filesystem) bool { return fs.Mount == m.Point && isDevice(fs.Device, m, s) })
}

// isBelow reports whether a path lies below a directory other than the root.
func isBelow(path, dir string) bool {
	return len(path) > len(dir) && len(dir) > 1 && path[len(dir)] == '/' && path[:len(dir)] == dir
}

// localAlone reports local file systems that are mounted without the shared one that
// they belong on top of. Only something else than understudy mounts them so.
func (b *builder) localAlone() {
	for _, fs := range b.g.Filesystems {
		if !fs.Local || b.inv.State(MountItem, fs.Mount) != Present {
			continue
		}
		for _, o := range b.g.Filesystems {
			if !o.Local && isBelow(fs.Mount, o.Mount) && b.inv.State(MountItem, o.Mount) == Absent {
				b.plan.Waits = append(b.plan.Waits, Reason{
					Text: fmt.Sprintf("%s is mounted on the bare directory, where %s would hide it; it is taken off", fs.Mount, o.Mount),
					Way:  "see that nothing mounts it at boot: understudy does, with the group",
				})
				break
			}
		}
	}
}
