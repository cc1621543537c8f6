package sim

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"understudy/config"
	"understudy/reconcile"
)

// Do implements loop.Actor: it carries a step out on the host as the kernel would,
// after some time, and perhaps only half, or not at all.
func (p *process) Do(ctx context.Context, s reconcile.Step) error {
	w, sp := p.h.w, s.Spec()
	name := sp.Verb + " " + sp.Object
	if !p.awake(name) {
		return context.Cause(ctx)
	}
	// Plans of two groups that begin at one moment would ask the store in any order.
	if !wait(ctx, w.between("begin/"+p.h.name+"/"+name, time.Microsecond, 300*time.Microsecond)) {
		return context.Cause(ctx)
	}
	w.mu.Lock()
	p.steps++ // two plans may have the same step
	name += "/" + strconv.Itoa(p.steps)
	w.mu.Unlock()
	err := p.carry(context.WithValue(ctx, caller{}, name), s, sp, name)
	w.apart("end of " + name + "/" + p.h.name)
	p.awake("end of " + name)
	return err
}

// carry is Do without the moments before and behind it.
func (p *process) carry(ctx context.Context, s reconcile.Step, sp reconcile.Spec, name string) error {
	w := p.h.w
	w.mu.Lock()
	switch st := s.(type) {
	case reconcile.TakeClaim:
		p.takes(st)
	case reconcile.SignOff:
		if left := p.h.left(st.Group); left != nil {
			w.twoOwners(p.h, st.Group, "%s is signed off while %v", st.Group, left)
		}
	}
	w.mu.Unlock()
	if done, err := p.own.Do(ctx, s); done {
		w.mu.Lock()
		defer w.mu.Unlock()
		switch st := s.(type) {
		case reconcile.Fence:
			if err == nil {
				p.fenced(st)
			}
		case reconcile.TakeClaim:
			if err == nil && !p.dead {
				p.took(st.Group)
			}
		}
		return err
	}
	key := "step/" + p.h.name + "/" + name
	took := w.between(key, 500*time.Microsecond, 60*time.Millisecond)
	fails, half := w.chance(key+"/fail", w.mishaps().stepFails), w.chance(key+"/half", w.mishaps().halfDone)
	if w.chance(key+"/hang", w.mishaps().stepHangs) {
		took = w.between(key+"/hangs", time.Second, 90*time.Second)
		w.count("steps that hung")
	}
	w.mu.Lock()
	freezes := p.h.freezes
	w.mu.Unlock()
	cut := !wait(ctx, took)
	if cut {
		w.apart(key)
	}
	if !p.awake(name) {
		<-ctx.Done()
		return context.Cause(ctx)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if p.dead || p.h.boot != p.boot {
		return errors.New("this process has ended")
	}
	w.countIf(fails, "steps that failed")
	w.countIf((cut || fails) && half, "steps that were half done")
	if (cut || fails) && !half {
		if cut {
			return context.Cause(ctx)
		}
		return fmt.Errorf("%s does not work", sp.Verb)
	}
	// The kernel finishes what a host was in the middle of when it froze; whoever
	// took over has switched it off by then. Otherwise the lease still runs.
	if sp.Storage && p.h.freezes == freezes && !w.vault.lease(p.h) {
		w.bad(p.h.name, "%s %s, and the store knows no lease of it", sp.Verb, sp.Object)
	}
	err := p.h.apply(s)
	p.poke()
	if cut {
		return context.Cause(ctx)
	}
	if err == nil && fails {
		err = fmt.Errorf("%s says that it failed", sp.Verb)
	}
	return err
}

// apply does what the step says, and looks whether it may. The mutex is held.
func (h *host) apply(s reconcile.Step) error {
	w := h.w
	sp := s.Spec()
	w.say(h.name, "%s %s", sp.Verb, sp.Object)
	switch st := s.(type) {
	case reconcile.MountFS:
		return h.mount(st.FS)
	case reconcile.Unmount:
		return h.unmount(st.FS)
	case reconcile.AddAddress:
		for _, o := range w.hosts {
			if o != h && o.up && o.addrs[st.Address.Label] {
				w.twoOwners(h, w.groupOfAddress(st.Address.Label), "%s is added while %s has it", st.Address.Label, o.name)
			}
		}
		h.addrs[st.Address.Label] = true
	case reconcile.DropAddress:
		delete(h.addrs, st.Address.Label)
	case reconcile.SetHostname:
		if h.saved == "" {
			h.saved = h.hostname
		}
		h.hostname = st.Name
	case reconcile.RestoreHostname:
		h.hostname, h.saved = h.saved, ""
		if h.hostname == "" {
			w.bad(h.name, "the host name is put back, and none was saved")
			h.hostname = h.name
		}
	case reconcile.PurgeFiles:
		return h.purge(st)
	case reconcile.Start:
		return h.start(st)
	case reconcile.Verify:
		if _, ok := h.apps[st.Group+"/"+st.App.Name]; !ok {
			return errors.New("it does not run")
		}
	case reconcile.Stop:
		delete(h.apps, st.Group+"/"+st.App.Name)
	case reconcile.MarkDirty:
		h.dirty[st.Group] = st.BootID
	case reconcile.Reboot:
		h.off("it reboots itself: " + st.Why)
		w.count("reboots by itself")
		w.after(w.between("reboot/"+h.name, time.Second, 20*time.Second), h.on)
	case reconcile.ProveRelease:
		return h.left(st.Group.Name)
	}
	return nil
}

// mount attaches a device. Two hosts that have the same one are what all of this
// is there to prevent.
func (h *host) mount(fs config.Filesystem) error {
	w, d := h.w, h.w.disks[fs.Device]
	if h.mounts[fs.Device] != nil {
		return errors.New("it is mounted already")
	}
	if h.pathless {
		return errIO
	}
	w.authority(h, w.groupOf(fs.Device), "mounts "+fs.Device)
	for _, o := range w.hosts {
		if o != h && o.has(fs.Device) {
			w.twoOwners(h, w.groupOf(fs.Device), "%s is mounted while %s has it", fs.Device, o.name)
		}
	}
	h.mounts[fs.Device] = &view{fs: fs, lines: slices.Clone(d.lines), files: maps.Clone(d.files)}
	return nil
}

func (h *host) unmount(fs config.Filesystem) error {
	for _, app := range slices.Sorted(maps.Keys(h.apps)) {
		if h.apps[app] == fs.Device {
			return fmt.Errorf("%s is busy: %s", fs.Mount, app)
		}
	}
	if h.lingers[fs.Device] {
		return fmt.Errorf("%s is busy", fs.Mount)
	}
	key := "unmount/" + h.name
	if h.w.chance(key, h.w.mishaps().lingers) { // something unseen keeps it, as a mount in another namespace does
		h.lingers[fs.Device] = true
		h.w.say(h.name, "%s is still in use, though no mount is seen", fs.Device)
		boot := h.boot
		h.w.count("unmounts that left the device in use")
		h.w.after(h.w.between(key+"/for", time.Second, 30*time.Second), func() {
			if h.boot == boot && h.dirty[h.w.groupOf(fs.Device)] != boot {
				delete(h.lingers, fs.Device)
			}
		})
	}
	delete(h.mounts, fs.Device)
	return nil
}

// purge deletes what a former run left behind, on the mounted file system only.
func (h *host) purge(st reconcile.PurgeFiles) error {
	for _, v := range h.mounts {
		if v.fs.Mount != st.Mount {
			continue
		}
		for app, device := range h.apps {
			if device == v.fs.Device {
				h.w.bad(h.name, "%s is purged under %s", st.Purge.Path, app)
			}
		}
		for path := range v.files {
			if path == st.Purge.Path || st.Purge.Tree && strings.HasPrefix(path, st.Purge.Path+"/") {
				delete(v.files, path)
			}
		}
		h.w.disks[v.fs.Device].files = maps.Clone(v.files)
		return nil
	}
	return fmt.Errorf("%s is not mounted", st.Mount)
}

// start runs an application, which leaves files behind and trusts those it finds.
func (h *host) start(st reconcile.Start) error {
	w := h.w
	id := st.Group + "/" + st.App.Name
	if _, ok := h.apps[id]; ok {
		return errors.New("it runs already")
	}
	g := w.cfg.Group(st.Group)
	if w.sick[st.Group+"/"+h.name] {
		return errors.New("it does not come up")
	}
	w.authority(h, st.Group, "starts "+st.App.Name)
	for _, o := range w.hosts {
		if _, ok := o.apps[id]; ok && o != h && o.up {
			w.twoOwners(h, st.Group, "%s is started while it runs on %s", id, o.name)
		}
	}
	if g.Hostname != "" && h.hostname != g.Hostname {
		w.bad(h.name, "%s is started under the name %s", id, h.hostname)
	}
	device := ""
	for _, fs := range g.Filesystems {
		v := h.mounts[fs.Device]
		if v == nil {
			w.bad(h.name, "%s is started and %s is not mounted", id, fs.Mount)
			return errors.New("no file system")
		}
		device = fs.Device
		for _, p := range st.App.Purge {
			if boot, ok := v.files[p.Path]; ok {
				w.damaged(h.name, st.Group, "%s is started on %s, which %s left behind", id, p.Path, boot)
			}
			if strings.HasPrefix(p.Path, fs.Mount+"/") {
				v.files[p.Path] = h.boot
				w.disks[fs.Device].files = maps.Clone(v.files)
			}
		}
	}
	h.apps[id] = device
	if st.App.RebootToRelease { // its kernel part never lets go
		if h.dirty[st.Group] != h.boot {
			w.bad(h.name, "%s is started and nothing on disk says so", id)
		}
		h.lingers[device] = true
	}
	return nil
}

// left is the truth about what is left of a group on a host, nil if nothing is.
func (h *host) left(group string) error {
	g := h.w.cfg.Group(group)
	for _, fs := range g.Filesystems {
		if h.mounts[fs.Device] != nil || h.lingers[fs.Device] {
			return fmt.Errorf("%s is in use", fs.Device)
		}
	}
	for _, a := range g.Addresses {
		if h.addrs[a.Label] {
			return fmt.Errorf("%s is here", a.Label)
		}
	}
	for _, a := range g.Applications {
		if _, ok := h.apps[g.Name+"/"+a.Name]; ok {
			return fmt.Errorf("%s runs", a.Name)
		}
	}
	return nil
}

// SavedHostname implements loop.Actor.
func (p *process) SavedHostname() string {
	p.h.w.mu.Lock()
	defer p.h.w.mu.Unlock()
	return p.h.saved
}

// Dirty implements loop.Actor.
func (p *process) Dirty() (map[string]string, error) {
	p.h.w.mu.Lock()
	defer p.h.w.mu.Unlock()
	return maps.Clone(p.h.dirty), nil
}

func (w *world) groupOf(device string) string {
	for _, g := range w.cfg.Groups {
		for _, fs := range g.Filesystems {
			if fs.Device == device {
				return g.Name
			}
		}
	}
	return ""
}

func (w *world) groupOfAddress(label string) string {
	for _, g := range w.cfg.Groups {
		for _, a := range g.Addresses {
			if a.Label == label {
				return g.Name
			}
		}
	}
	return ""
}
