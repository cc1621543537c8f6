package sim

import (
	"context"
	"time"

	"understudy/reconcile"
	"understudy/reconcile/lease"
	"understudy/reconcile/lease/disk"
	"understudy/reconcile/lease/leasetest"
)

// vault is the store as the world sees it. What the nodes are told of it is another
// matter. All calls are made with the world's mutex held.
type vault interface {
	// holds are the views that it may hold at this moment: more than one only while a
	// change is under way.
	holds() []reconcile.StoreView
	// lease reports whether it knows a lease of this boot of a host.
	lease(h *host) bool
	// way is the way of a new process to it; what has to run does so until ctx ends.
	way(ctx context.Context, p *process) lease.Store
	// reach opens and closes the way of a host.
	reach(h *host, open bool)
}

// memory is the store in memory: linearizable by construction.
type memory struct {
	*leasetest.Store
	w     *world
	links map[string]*leasetest.Client
}

func newMemory(w *world) *memory {
	m := &memory{Store: leasetest.New(), w: w, links: map[string]*leasetest.Client{}}
	// Its clock and those of the nodes run at rates that differ, within the margin.
	margin := float64(w.cfg.Lease.Margin) / float64(w.cfg.Lease.TTL)
	m.Rate([]float64{1, 1, 1 - margin*0.8, 1 + margin}[w.pick("rate", 4)])
	return m
}

func (m *memory) holds() []reconcile.StoreView { return []reconcile.StoreView{m.Now()} }

func (m *memory) lease(h *host) bool {
	boot, until, ok := m.Expiry(h.name)
	return ok && boot == h.boot && time.Now().Before(until)
}

func (m *memory) way(_ context.Context, p *process) lease.Store { return m.link(p.h) }

func (m *memory) link(h *host) *leasetest.Client {
	if m.links[h.name] == nil {
		m.links[h.name] = m.Client()
		m.links[h.name].Fate(m.w.fate(h))
	}
	return m.links[h.name]
}

func (m *memory) reach(h *host, open bool) {
	if open {
		m.link(h).Heal()
	} else {
		m.link(h).Cut()
	}
}

// fate is what becomes of a host's calls to the store.
func (w *world) fate(h *host) func(op string) leasetest.Fate {
	return func(op string) leasetest.Fate {
		key := "store/" + h.name + "/" + op
		f := leasetest.Fate{
			Request: w.between(key+"/there", 200*time.Microsecond, 10*time.Millisecond),
			Reply:   w.between(key+"/back", 200*time.Microsecond, 10*time.Millisecond),
		}
		t := w.mishaps()
		if w.chance(key+"/slow", t.slowCall) {
			f.Request += w.between(key+"/slow by", 0, w.cfg.Lease.TTL)
			w.count("calls to the store that were slow")
		}
		if w.chance(key+"/late", t.slowCall) {
			f.Reply += w.between(key+"/late by", 0, w.cfg.Lease.TTL)
			w.count("answers of the store that were late")
		}
		if f.LoseRequest = w.chance(key+"/request", t.loseRequest); f.LoseRequest {
			w.count("calls to the store that were lost")
		}
		if f.LoseReply = w.chance(key+"/reply", t.loseReply); f.LoseReply {
			w.count("answers of the store that were lost")
		}
		return f
	}
}

// ondisk is the real store on a shared disk, over sectors in memory.
type ondisk struct {
	w    *world
	key  []byte
	data []byte // what is on the platters
}

func newOndisk(w *world) (*ondisk, error) {
	d := &ondisk{w: w, key: []byte("a secret of thirty-two bytes, or so")}
	h := disk.Header{Cluster: w.cfg.Cluster, ID: "one"}
	for _, n := range w.cfg.Nodes {
		h.Nodes = append(h.Nodes, n.Name)
	}
	var err error
	d.data, err = disk.Image(h, d.key)
	return d, err
}

// still is the disk as it is, for a look that nothing disturbs.
type still struct{ data []byte }

func (s still) ReadAt(p []byte, off int64) (int, error)  { return copy(p, s.data[off:]), nil }
func (s still) WriteAt(p []byte, off int64) (int, error) { panic("a look does not write") }
func (s still) Close() error                             { return nil }

// holds are what was voted for last, and what is known to be chosen before that: a
// vote is chosen once its host has seen that nobody was ahead of it.
func (d *ondisk) holds() []reconcile.StoreView {
	in, err := disk.Inspect(context.Background(), still{d.data}, d.key, nil, time.Second)
	if err != nil {
		d.w.bad("disk", "the disk cannot be read by anybody: %v", err)
		return nil
	}
	var voted, chosen *disk.SlotInspection
	for i := range in.Slots {
		s := &in.Slots[i]
		if s.Voted == 0 {
			continue
		}
		if voted == nil || s.Voted > voted.Voted {
			voted = s
		}
		if s.Decided && (chosen == nil || s.Voted > chosen.Voted) {
			chosen = s
		}
	}
	var out []reconcile.StoreView
	if voted != nil {
		out = append(out, voted.View)
	}
	if chosen != nil && chosen.Voted != voted.Voted {
		out = append(out, chosen.View)
	}
	return out
}

func (d *ondisk) lease(h *host) bool {
	for _, v := range d.holds() {
		if v.Live[h.name] == h.boot {
			return true
		}
	}
	return false
}

func (d *ondisk) way(ctx context.Context, p *process) lease.Store {
	w, l := d.w, &d.w.cfg.Lease
	c := disk.NewClient(func() (disk.Device, error) { return d.open(p) }, disk.Options{
		Cluster: w.cfg.Cluster, Key: d.key, Node: p.h.name, Boot: p.boot, Log: p.log(),
		TTL: l.TTL, Limit: l.Request, Poll: l.Poll(), Settle: l.Request, WatchdogBound: w.cfg.WatchdogBound(), Guarded: p.guarded,
		Chance: func(n int64) int64 { return int64(w.throw("ballot/"+p.h.name) % uint64(n)) },
	})
	w.life.Go(func() { _ = c.Run(ctx) })
	return c
}

func (d *ondisk) reach(*host, bool) {} // no network leads to it
