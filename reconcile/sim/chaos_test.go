package sim

import (
	"context"
	"fmt"
	"time"

	"understudy/reconcile"
	"understudy/reconcile/lease/leasetest"
)

// chaos lets faults happen until stop: one at a time, a few at once, each for some
// time.
func (w *world) chaos(stop <-chan struct{}) {
	for n := 0; ; n++ {
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
	for_ := w.between("lasts", 50*time.Millisecond, 25*time.Second)
	later := func(f func()) {
		time.AfterFunc(for_, func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			if !w.over {
				f()
			}
		})
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch w.pick("fault", 14) {
	case 0, 1:
		h.off("power cut")
		later(h.on)
	case 2, 3:
		if h.process != nil {
			w.say(h.name, "understudy is killed")
			h.end()
			later(h.begin)
		}
	case 4:
		h.freeze()
		later(h.goOn)
	case 5: // the network of one host, and both of its links
		w.say(h.name, "no carrier on %s", network)
		h.dark[network] = true
		w.connect()
		w.poke(h)
		later(func() { w.say(h.name, "carrier on %s", network); delete(h.dark, network); w.connect(); w.poke(h) })
	case 6: // cut off altogether
		w.say(h.name, "is cut off")
		w.isolate(h.name, true)
		later(func() { w.say(h.name, "is connected again"); w.isolate(h.name, false) })
	case 7: // one direction between two machines on one network
		to := w.machines()[w.pick("to", len(w.machines()))]
		if to != h.name {
			c := wire{h.name, to, network}
			w.say(h.name, "nothing reaches %s on %s", to, network)
			w.cut[c] = true
			w.connect()
			later(func() { delete(w.cut, c); w.connect() })
		}
	case 8: // the nodes do not hear each other
		w.say("wires", "the nodes do not reach each other")
		w.split(true)
		later(func() { w.say("wires", "the nodes reach each other"); w.split(false) })
	case 9:
		w.say("witness", "is gone")
		w.witness.up = false
		w.connect()
		later(func() { w.say("witness", "is back"); w.witness.up = true; w.connect() })
	case 10: // a daemon dies
		for app := range h.apps {
			w.say(h.name, "%s dies", app)
			delete(h.apps, app)
			w.poke(h)
			break
		}
	case 11: // somebody takes an address away
		for label := range h.addrs {
			w.say(h.name, "%s is deleted by hand", label)
			delete(h.addrs, label)
			w.poke(h)
			break
		}
	case 12:
		w.operator(h)
	case 13: // the host sleeps: one clock goes on, the other stood still
		if h.up {
			w.say(h.name, "its boot clock jumps by %s", for_)
			h.slept.Add(int64(for_))
		}
	}
}

// operator asks for a move or a rehearsal, clears what is marked failed, or says truthfully that
// a node is down.
func (w *world) operator(h *host) {
	p := h.process
	if p == nil || h.frozen {
		return
	}
	g := &w.cfg.Groups[w.pick("group", len(w.cfg.Groups))]
	what := w.pick("operator", 4)
	w.life.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		switch what {
		case 0:
			to := g.Nodes[w.pick("move", len(g.Nodes))]
			v := p.keeper.View()
			if v.OK() && p.keeper.Ask(ctx, reconcile.Request{Group: g.Name, To: to, By: "operator", Epoch: v.Value.Claims[g.Name].Epoch, At: time.Now()}) == nil {
				w.note("person", "moves %s to %s", g.Name, to)
			}
		case 3:
			to, how := g.Nodes[w.pick("rehearse", len(g.Nodes))], []reconcile.Rehearsal{reconcile.RehearseOne, reconcile.RehearseHold}[w.pick("rehearsal", 2)]
			v := p.keeper.View()
			if v.OK() && p.keeper.Ask(ctx, reconcile.Request{Group: g.Name, To: to, By: "operator", Epoch: v.Value.Claims[g.Name].Epoch, Rehearse: how, At: time.Now()}) == nil {
				w.note("person", "rehearses %s on %s, %s", g.Name, to, how)
			}
		case 1:
			if p.loop.Clear(ctx, g.Name) == nil {
				w.note("person", "clears %s on %s", g.Name, h.name)
			}
		case 2:
			v := p.keeper.View()
			c := v.Value.Claims[g.Name]
			w.mu.Lock()
			o := w.host(c.Holder)
			down := v.OK() && o != nil && (!o.up || o.boot != c.BootID)
			w.mu.Unlock()
			if down && p.keeper.Confirm(ctx, reconcile.Confirmation{Node: c.Holder, BootID: c.BootID, By: "operator", At: time.Now()}) == nil {
				w.note("person", "has seen that %s of %s is down", c.BootID, c.Holder)
			}
		}
	})
}

func (w *world) poke(h *host) {
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

// fate is what becomes of a host's calls to the store.
func (w *world) fate(h *host) func(op string) leasetest.Fate {
	return func(op string) leasetest.Fate {
		key := "store/" + h.name + "/" + op
		f := leasetest.Fate{Request: w.between(key, 200*time.Microsecond, 10*time.Millisecond), Reply: w.between(key, 200*time.Microsecond, 10*time.Millisecond)}
		t := w.mishaps()
		if w.chance(key+"/slow", t.slowCall) {
			f.Request += w.between(key, 0, w.cfg.Lease.TTL)
		}
		if w.chance(key+"/late", t.slowCall) {
			f.Reply += w.between(key, 0, w.cfg.Lease.TTL)
		}
		f.LoseRequest, f.LoseReply = w.chance(key+"/request", t.loseRequest), w.chance(key+"/reply", t.loseReply)
		return f
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

// heal mends everything and waits for nothing.
func (w *world) heal() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.say("world", "everything is mended")
	w.mended.Store(true)
	w.cut = map[wire]bool{}
	w.witness.up = true
	for _, h := range w.hosts {
		h.dark = map[string]bool{}
		h.goOn()
		h.on()
		h.begin()
	}
	w.connect()
}

// rested says what is still not as it should be: every group serves on one node,
// the others stand by, every host has its own name. "" if nothing is.
func (w *world) rested() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, h := range w.hosts {
		if h.saved != "" || h.hostname != h.name {
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
