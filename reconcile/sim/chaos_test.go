package sim

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// chaos lets faults happen until stop: one at a time, a few at once, each for some
// time.
func (w *world) chaos(stop <-chan struct{}) {
	for {
		t := time.NewTimer(w.between("pause", 200*time.Millisecond, 8*time.Second))
		select {
		case <-stop:
			t.Stop()
			return
		case <-t.C:
		}
		w.fault()
	}
}

func (w *world) fault() {
	h := w.hosts[w.pick("victim", len(w.hosts))]
	network := w.cfg.Networks[w.pick("network", len(w.cfg.Networks))].Name
	lasts := w.between("lasts", 50*time.Millisecond, 25*time.Second)
	later := func(f func()) { w.after(lasts, f) }
	w.mu.Lock()
	defer w.mu.Unlock()
	switch w.pick("fault", 19) {
	case 0, 1:
		w.countIf(h.up, "power cuts")
		h.off("power cut")
		later(h.on)
	case 2, 3:
		if h.process != nil {
			w.count("kills of the program")
			w.say(h.name, "understudy is killed")
			h.end()
			later(h.begin)
		}
	case 4, 5:
		w.countIf(h.up && !h.frozen, "freezes")
		h.freeze()
		later(h.goOn)
	case 6: // the network of one host, and both of its links
		w.count("networks of a host down")
		w.say(h.name, "no carrier on %s", network)
		h.dark[network] = true
		w.connect()
		h.poke()
		later(func() { w.say(h.name, "carrier on %s", network); delete(h.dark, network); w.connect(); h.poke() })
	case 7: // cut off altogether
		w.count("hosts cut off")
		w.say(h.name, "is cut off")
		w.isolate(h.name, true)
		later(func() { w.say(h.name, "is connected again"); w.isolate(h.name, false) })
	case 8: // one direction between two machines on one network
		to := w.machines()[w.pick("to", len(w.machines()))]
		if to != h.name {
			w.count("one direction of a wire cut")
			c := wire{h.name, to, network}
			w.say(h.name, "nothing reaches %s on %s", to, network)
			w.cut[c] = true
			w.connect()
			later(func() { delete(w.cut, c); w.connect() })
		}
	case 9: // the nodes do not hear each other
		w.count("nodes apart")
		w.say("wires", "the nodes do not reach each other")
		w.split(true)
		later(func() { w.say("wires", "the nodes reach each other"); w.split(false) })
	case 10:
		if w.witness != nil {
			w.count("witness gone")
			w.say("witness", "is gone")
			w.witness.up = false
			w.connect()
			later(func() { w.say("witness", "is back"); w.witness.up = true; w.connect() })
		}
	case 11: // a daemon dies
		for _, app := range slices.Sorted(maps.Keys(h.apps)) {
			w.count("daemons that died")
			w.say(h.name, "%s dies", app)
			delete(h.apps, app)
			h.poke()
			break
		}
	case 12: // somebody takes an address away
		for _, label := range slices.Sorted(maps.Keys(h.addrs)) {
			w.count("addresses deleted")
			w.say(h.name, "%s is deleted by hand", label)
			delete(h.addrs, label)
			h.poke()
			break
		}
	case 13, 14, 15:
		w.operator(h)
	case 16: // the host sleeps: one clock goes on, the other stood still
		if h.up {
			w.count("boot clocks that jumped")
			w.say(h.name, "its boot clock jumps by %s", lasts)
			h.slept.Add(int64(lasts))
		}
	case 17: // an application does not come up, here or anywhere
		w.sicken(h, later)
	case 18:
		if w.shape.disk && !h.pathless {
			w.count("paths to the disks lost")
			w.say(h.name, "loses its path to the shared disks")
			h.pathless, h.pathHangs = true, w.chance("path hangs", 2)
			w.connect()
			later(func() { w.say(h.name, "has its path to the shared disks again"); h.pathless = false; w.connect() })
		}
	}
}

// sicken lets a group not start for a while. The mutex is held.
func (w *world) sicken(h *host, later func(func())) {
	g := w.cfg.Groups[w.pick("sick", len(w.cfg.Groups))].Name
	where := []*host{h}
	if w.chance("sick everywhere", 2) {
		where = w.hosts
	}
	w.count("applications that do not start")
	for _, o := range where {
		w.say(o.name, "%s does not start here", g)
		w.sick[g+"/"+o.name] = true
	}
	later(func() {
		for _, o := range where {
			delete(w.sick, g+"/"+o.name)
		}
		w.say("world", "%s would start again", g)
	})
}

// poke has understudy look again. The mutex is held.
func (h *host) poke() {
	if h.process != nil {
		h.process.poke()
	}
}

func (w *world) isolate(name string, cut bool) {
	for _, m := range w.machines() {
		w.between2(name, m, cut)
	}
	w.connect()
}

func (w *world) split(cut bool) {
	for i, a := range w.hosts {
		for _, b := range w.hosts[i+1:] {
			w.between2(a.name, b.name, cut)
		}
	}
	w.connect()
}

// between2 cuts or mends every wire between two machines.
func (w *world) between2(a, b string, cut bool) {
	for _, n := range w.cfg.Networks {
		for _, c := range []wire{{a, b, n.Name}, {b, a, n.Name}} {
			if cut {
				w.cut[c] = true
			} else {
				delete(w.cut, c)
			}
		}
	}
}

// mishaps is read without the mutex: a call to the store asks while it holds its
// own.
func (w *world) mishaps() trouble {
	if w.mended.Load() {
		return trouble{}
	}
	return w.trouble
}

// heal mends everything, but for one host that may stay off, and waits for nothing. It
// returns the time in which the service must be whole.
func (w *world) heal() (bound time.Duration) {
	bound = returns
	w.mu.Lock()
	defer w.mu.Unlock()
	w.say("world", "everything is mended")
	w.mended.Store(true)
	w.cut, w.sick = map[wire]bool{}, map[string]bool{}
	if w.witness != nil {
		w.witness.up = true
	}
	if w.chance("one stays off", 3) {
		w.dead = w.hosts[w.pick("dead", len(w.hosts))]
	}
	for _, h := range w.hosts {
		h.dark, h.pathless = map[string]bool{}, false
		h.goOn()
		if h == w.dead {
			if len(h.dirty) > 0 {
				bound += patience
			}
			h.off("for good")
			continue
		}
		if p := h.process; p != nil && p.leaves {
			w.say(h.name, "understudy is killed in its stop")
			h.end()
			w.after(time.Millisecond, h.begin)
			continue
		}
		h.on()
		h.begin()
	}
	w.connect()
	return bound
}

// rested says what is still not as it should be: every group serves on one node,
// the others stand by, every host has its own name. "" if nothing is.
func (w *world) rested() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, h := range w.hosts {
		if h.up && (h.saved != "" || h.hostname != h.name) {
			return fmt.Sprintf("%s has the name %s", h.name, h.hostname)
		}
	}
	for _, g := range w.cfg.Groups {
		n := 0
		for _, h := range w.hosts {
			whole := true
			for _, fs := range g.Filesystems {
				whole = whole && h.mounts[fs.Device] != nil
			}
			for _, a := range g.Addresses {
				whole = whole && h.addrs[a.Label]
			}
			for _, a := range g.Applications {
				_, runs := h.apps[g.Name+"/"+a.Name]
				whole = whole && runs
			}
			if whole {
				n++
			}
		}
		if n != 1 {
			return fmt.Sprintf("%s is whole on %d nodes", g.Name, n)
		}
	}
	return ""
}
