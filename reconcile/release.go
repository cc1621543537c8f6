package reconcile

import (
	"fmt"
	"slices"

	"understudy/config"
)

// clean lets go: the mirror of hold, ending in the proof of release and, where
// the claim is ours, in its signing off.
func (b *builder) clean() {
	mine := b.s.Store.OK() && ours(b.claim, b.s)
	for _, i := range b.inv.Unread() {
		b.block(fmt.Sprintf("%s %s could not be read: %s", i.Kind, i.Name, i.Detail), "what is known is let go; the rest must be read first")
	}
	b.aggregatesUnread()
	if b.reset() {
		return
	}
	// A stop that finds nothing is harmless where the group has been, and is not
	// run for ever on a node that only cannot read its processes.
	here := mine || b.inv.Anything()
	rehearsal := mine && b.claim.Rehearsal != NoRehearsal // nothing was started, and no hook was told
	up := func(a config.Application) bool {
		st := b.inv.State(AppItem, a.Name)
		return st == Present || st == Wrong || st == Unknown && here || mine && !rehearsal && b.s.Memory[b.g.Name].ErrorVerb != ""
	}
	b.stops(up)
	for _, a := range slices.Backward(b.g.Addresses) {
		if st := b.inv.State(AddressItem, a.Label); st == Present || st == Wrong {
			b.add(DropAddress{Address: a}, "it is here and not wanted")
		}
	}
	if b.dirty != "" {
		if len(b.plan.Steps) > 0 && b.orderly(mine) { // a reset must not wait for a hook
			b.beforeLettingGo(mine)
			b.afterLettingGo(mine)
		}
		b.barrier(mine)
		return
	}
	b.unmounts(mine)
	b.beforeLettingGo(mine)
	b.afterLettingGo(mine)
	if !mine {
		b.unreserve(false)
	}
	if mine && len(b.plan.Blocked) == 0 {
		b.add(ProveRelease{Group: *b.g}, "the next holder relies on it")
		b.unreserve(true)
		b.add(signOff(b.c, b.g, b.s, b.claim, b.inv), "so that the next holder need not fence this node")
	}
}

// stops stops the applications that are up, in the opposite order of their starts
// and under the host name that those had, and puts the host's own name back.
func (b *builder) stops(up func(config.Application) bool) {
	saved := b.s.Memory[b.g.Name].SavedHostname
	running := false
	for _, a := range b.g.Applications {
		running = running || up(a)
	}
	if running && b.g.Hostname != "" && b.s.Hostname.OK() {
		b.nameHost("the stop must find the name that the start had")
		if saved == "" {
			saved = b.s.Hostname.Value
		}
	}
	for _, a := range slices.Backward(b.g.Applications) {
		if up(a) {
			b.add(Stop{Group: b.g.Name, App: a, Environment: b.environment(a)}, "it runs and is not wanted here")
		}
	}
	if saved != "" {
		b.add(RestoreHostname{Name: saved}, "the host keeps its own name")
	}
}

func (b *builder) unmounts(mine bool) {
	if !b.s.Mounts.OK() {
		return // blocked above
	}
	b.localAlone()
	off := map[string]bool{}
	for _, fs := range b.takeOffOrder() {
		if b.inv.State(MountItem, fs.Mount) == Absent {
			continue
		}
		if b.takeOff(fs, "stand by with "+fs.Mount, "it is mounted and not wanted here") && !fs.Local {
			off[fs.Volume] = true
		}
		if !fs.Local && off[fs.Volume] && fs.Volume == "" {
			b.add(Deactivate{Device: fs.Device}, "nothing may stay in this kernel's buffers")
			delete(off, "")
		}
	}
	for _, a := range slices.Backward(b.g.Aggregates) {
		if a.Volume == "" && mine {
			b.add(Deactivate{Device: a.Device}, "nothing may stay in this kernel's buffers")
		}
	}
	for _, v := range slices.Backward(b.g.Volumes) {
		if !shared(b.g, v) {
			continue
		}
		switch st := b.inv.State(VolumeItem, v.Name); {
		case off[v.Name] || mine:
			b.add(Deactivate{Volume: v}, "its file systems are unmounted")
		case st == Present || st == Wrong:
			b.add(Deactivate{Volume: v}, "it is switched on and not wanted here")
		}
	}
}
