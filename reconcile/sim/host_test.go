package sim

import (
	"maps"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"understudy/config"
	"understudy/reconcile"
)

// host is one machine: what its kernel has, and what its own disk keeps. The
// world's mutex guards it.
type host struct {
	w    *world
	name string
	dir  string // its own disk; outlives a power cut

	up       bool
	boot     string
	boots    int
	frozen   bool
	freezes  int           // how often, in all
	thaw     chan struct{} // closed when it goes on
	woke     time.Time     // when it last did
	dark     map[string]bool
	cutSince time.Time         // when it lost the majority of the store; zero: it has it
	mounts   map[string]*view  // device -> what this kernel has of it
	lingers  map[string]bool   // device -> in use although no mount is seen
	addrs    map[string]bool   // label
	apps     map[string]string // group/application -> the device it writes to, "" for none
	hostname string
	slept    atomic.Int64 // the boot clock counts it, the other does not
	rate     float64      // of the boot clock
	dog      dog

	pathless  bool     // its path to the shared disks is lost
	pathHangs bool     // then calls hang before they fail
	writing   *process // has a write of the store's disk under way

	saved   string            // host name to be put back; on its own disk
	dirty   map[string]string // group -> boot; on its own disk
	process *process
}

// view is a mounted file system: what was on the device when it was mounted, and
// what this kernel has written since. It does not see what another host writes.
type view struct {
	fs    config.Filesystem
	lines []string
	files map[string]string
}

// off takes the power away: all that is not on a disk is gone. The mutex is held.
func (h *host) off(why string) {
	if !h.up {
		return
	}
	h.w.say(h.name, "power off: %s", why)
	h.up = false
	h.dog.on = false
	h.end()
	h.goOn()
	h.mounts, h.lingers, h.addrs, h.apps = map[string]*view{}, map[string]bool{}, map[string]bool{}, map[string]string{}
	h.w.connect()
}

// on boots the host. The mutex is held.
func (h *host) on() {
	if h.up {
		return
	}
	h.boots++
	h.boot = h.name + "-" + strconv.Itoa(h.boots)
	h.up, h.hostname = true, h.name
	h.writing = nil
	h.slept.Store(0)
	h.w.say(h.name, "boots as %s", h.boot)
	h.w.connect()
	h.begin()
}

// freeze stops the whole host; it does not know. The mutex is held.
func (h *host) freeze() {
	if h.up && !h.frozen {
		h.w.say(h.name, "freezes")
		h.frozen, h.thaw = true, make(chan struct{})
		h.freezes++
		h.w.connect()
	}
}

// goOn ends a freeze. The mutex is held.
func (h *host) goOn() {
	if h.frozen {
		h.w.say(h.name, "goes on")
		h.frozen, h.woke = false, time.Now()
		close(h.thaw)
		h.w.connect()
	}
}

// has reports whether the host can write to a device, or may have something under
// way to it. The mutex is held.
func (h *host) has(device string) bool {
	return h.up && (h.mounts[device] != nil || h.lingers[device])
}

// look is what the kernel shows of the host. Parts may be unreadable.
func (h *host) look(s *reconcile.Snapshot) {
	w, now := h.w, s.At
	ids := map[string]reconcile.Device{}
	var devices []reconcile.Device
	for i, path := range slices.Sorted(maps.Keys(w.disks)) {
		d := reconcile.Device{Path: path, Present: true, Major: 8, Minor: uint32(i + 1)}
		ids[path] = d
		devices = append(devices, d)
	}
	mounts := []reconcile.Mount{}
	for i, path := range slices.Sorted(maps.Keys(h.mounts)) {
		fs := h.mounts[path].fs
		mounts = append(mounts, reconcile.Mount{ID: i + 1, Major: 8, Minor: ids[path].Minor, Root: "/", Point: fs.Mount, FSType: fs.Type, Source: path})
	}
	var addrs []reconcile.Addr
	var links []reconcile.Link
	for i, a := range w.cfg.Node(h.name).Addresses {
		addrs = append(addrs, reconcile.Addr{Link: a.Network, Prefix: a.Prefix})
		links = append(links, reconcile.Link{Index: i + 2, Name: a.Network, Up: true, Carrier: !h.dark[a.Network]})
	}
	var apps []reconcile.AppState
	for _, g := range w.cfg.Groups {
		for _, a := range g.Addresses {
			if h.addrs[a.Label] {
				addrs = append(addrs, reconcile.Addr{Link: a.Network, Prefix: a.Prefix, Label: a.Label})
			}
		}
		for _, a := range g.Applications {
			st := reconcile.AppState{Group: g.Name, App: a.Name}
			_, runs := h.apps[g.Name+"/"+a.Name]
			for i, d := range a.Daemons {
				ds := reconcile.DaemonState{Name: d.Name}
				if runs {
					ds.Processes = []reconcile.Process{{PID: 1000 + i, Start: 1, Exe: d.Exe}}
				}
				st.Daemons = append(st.Daemons, ds)
			}
			apps = append(apps, st)
		}
	}
	s.BootID = h.boot
	s.Devices, s.Mounts, s.Addrs = reconcile.Read(devices, now), reconcile.Read(mounts, now), reconcile.Read(addrs, now)
	s.Links, s.Apps, s.Hostname = reconcile.Read(links, now), reconcile.Read(apps, now), reconcile.Read(h.hostname, now)
	if w.chance("blind/"+h.name, w.mishaps().blind) {
		w.count("looks that could not read")
		switch w.pick("blindness/"+h.name, 5) {
		case 0:
			s.Mounts = reconcile.Unread[[]reconcile.Mount](errBlind, now)
		case 1:
			s.Addrs = reconcile.Unread[[]reconcile.Addr](errBlind, now)
		case 2:
			s.Links = reconcile.Unread[[]reconcile.Link](errBlind, now)
		case 3:
			s.Apps = reconcile.Unread[[]reconcile.AppState](errBlind, now)
		case 4:
			s.Devices = reconcile.Unread[[]reconcile.Device](errBlind, now)
		}
	}
}
