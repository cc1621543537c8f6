package reconcile

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"understudy/config"
	"understudy/fsm"
)

// walk is a cluster to which one thing happens after another. A host that falls
// silent keeps what it has: it may be frozen, not dead, until a fence, a person
// or a boot ends it.
type walk struct {
	w    *World
	dead map[string]bool // really off; a host that is Down and not dead is frozen
}

// TestWalk lets things happen in any order. After every single step of every
// plan, no two hosts that may still write have a group's mount or address.
func TestWalk(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := &walk{w: Steady(drawConfig(t), noon), dead: map[string]bool{}}
		t.Repeat(map[string]func(*rapid.T){
			"freeze":       func(t *rapid.T) { k.w.Down[drawHost(t, k.w).Node] = true },
			"thaw":         k.thaw,
			"reboot":       k.reboot,
			"confirm":      k.confirm,
			"move":         k.move,
			"lose":         k.lose,
			"lease lost":   k.leaseLost,
			"lease back":   k.leaseBack,
			"store lost":   func(t *rapid.T) { k.w.NoStore = with(k.w.NoStore, drawHost(t, k.w).Node) },
			"store back":   func(t *rapid.T) { k.w.NoStore = nil },
			"link":         k.link,
			"restart":      k.restart,
			"failed":       k.failed,
			"clear":        k.clear,
			"stop or stay": k.stopping,
			"time passes":  func(t *rapid.T) { k.pass(time.Duration(rapid.IntRange(1, 600).Draw(t, "minutes")) * time.Minute) },
			"settle":       k.settle,
			"":             k.check,
		})
	})
}

// mayWrite reports whether a host can still touch shared storage: it is neither
// dead nor confirmed to be off by a fence.
func (k *walk) mayWrite(h *Snapshot) bool {
	return !k.dead[h.Node] && k.w.Store.Fenced[h.Node].BootID != h.BootID
}

func (k *walk) check(t *rapid.T) {
	for i := range k.w.Config.Groups {
		g := &k.w.Config.Groups[i]
		var holders []string
		for _, h := range k.w.Hosts {
			inv := takeInventory(k.w.Config, g, h)
			has := slices.ContainsFunc(inv.Items, func(i Item) bool {
				local := i.Kind == MountItem && slices.ContainsFunc(g.Filesystems, func(fs config.Filesystem) bool { return fs.Local && fs.Mount == i.Name })
				return !local && (i.State == Present || i.State == Wrong)
			})
			// What only a reboot ends has the disks, whatever is to be seen here.
			has = has || h.Memory[g.Name].Dirty == h.BootID || h.Memory[g.Name].Ran == h.BootID
			if has && k.mayWrite(h) {
				holders = append(holders, h.Node)
			}
		}
		if len(holders) > 1 {
			t.Fatalf("%v have %s at the same moment", holders, g.Name)
		}
	}
}

// settle is World.Settle one step at a time, with every plan and every moment
// held against what must never be. As with the real loop, plans that are blocked
// do not run.
func (k *walk) settle(t *rapid.T) {
	for range 3 * rounds {
		moved := false
		for _, h := range k.w.Hosts {
			if !k.w.Down[h.Node] {
				for _, p := range DecideServices(k.w.Config, k.w.look(h)).Plan.Steps {
					k.w.apply(h, nil, p.Step)
					moved = true
				}
			}
			for i := range k.w.Config.Groups {
				g := &k.w.Config.Groups[i]
				if !k.w.Down[h.Node] && g.Priority(h.Node) >= 0 && k.pass1(t, h, g) {
					moved = true
				}
			}
		}
		if !moved {
			return
		}
	}
	t.Fatalf("the cluster does not come to rest")
}

// pass1 is one pass of one group on one node, as the loop does it.
func (k *walk) pass1(t *rapid.T, h *Snapshot, g *config.Group) bool {
	s := k.w.look(h)
	d := Decide(k.w.Config, g, s)
	safe(t, k.w.Config, g, s, d)
	m := h.Memory[g.Name]
	moved := m.Role != d.Transition.To
	claim := k.w.Store.Claims[g.Name]
	if d.Transition.Event == fsm.LeaseLost && m.Role.Holds() {
		m.Lost = claim.Epoch
	}
	if d.Transition.Event == fsm.Held {
		m.Whole = claim.Epoch
	}
	m.Role = d.Transition.To
	m = d.Stays(g, s, m)
	h.Memory[g.Name] = m
	if len(d.Plan.Blocked) > 0 || d.Plan.Empty() {
		return moved
	}
	for _, p := range d.Plan.Steps {
		k.w.apply(h, g, p.Step)
		k.check(t)
		if k.w.Down[h.Node] {
			t.Fatalf("%s has fenced itself:\n%s", h.Node, text(d.Plan))
		}
	}
	return true
}

// thaw wakes a frozen host: it goes on as if nothing had happened. One that was
// switched off, or that a person confirmed to be down, cannot.
func (k *walk) thaw(t *rapid.T) {
	h := drawHost(t, k.w)
	if !k.mayWrite(h) || !k.w.Down[h.Node] {
		t.Skip("not frozen")
	}
	k.w.Down[h.Node] = false
}

func (k *walk) reboot(t *rapid.T) {
	i := rapid.IntRange(0, len(k.w.Hosts)-1).Draw(t, "host")
	name := k.w.Hosts[i].Node
	k.w.Hosts[i] = k.w.boot(name, k.w.Now.Add(-time.Duration(rapid.IntRange(0, 1).Draw(t, "settled"))*time.Hour))
	k.w.Down[name], k.dead[name] = false, false
	for i := range k.w.Config.Groups {
		for _, fs := range k.w.Config.Groups[i].Filesystems {
			if fs.Local && rapid.Bool().Draw(t, "mounted at boot") {
				k.w.Host(name).mount(fs)
			}
		}
	}
}

// confirm is a person who has made sure that a silent host is off.
func (k *walk) confirm(t *rapid.T) {
	h := drawHost(t, k.w)
	if !k.w.Down[h.Node] {
		t.Skip("not silent")
	}
	k.dead[h.Node] = true
	k.w.Store.Confirms[h.Node] = Confirmation{Node: h.Node, BootID: h.BootID, By: "operator", Reason: "seen off"}
}

func (k *walk) group(t *rapid.T) *config.Group {
	return &k.w.Config.Groups[rapid.IntRange(0, len(k.w.Config.Groups)-1).Draw(t, "group")]
}

func (k *walk) move(t *rapid.T) {
	g := k.group(t)
	k.w.Store.Requests[g.Name] = Request{Group: g.Name, To: rapid.SampledFrom(g.Nodes).Draw(t, "to"), By: "operator", Rehearse: rapid.SampledFrom([]Rehearsal{NoRehearsal, NoRehearsal, RehearseOne, RehearseHold}).Draw(t, "rehearse"), Epoch: k.w.Store.Claims[g.Name].Epoch}
}

func (k *walk) lose(t *rapid.T) {
	h, g := k.w.holder(k.group(t).Name)
	if h == nil {
		t.Skip("nobody holds it")
	}
	var what []WhatIf
	for _, fs := range g.Filesystems {
		what = append(what, WhatIf{Kind: MountLost, Name: fs.Mount})
	}
	for _, a := range g.Addresses {
		what = append(what, WhatIf{Kind: AddressLost, Name: a.Label})
	}
	for _, a := range g.Applications {
		what = append(what, WhatIf{Kind: DaemonDied, Name: a.Name})
	}
	if len(what) == 0 {
		t.Skip("an empty group")
	}
	lose(h, g, what[rapid.IntRange(0, len(what)-1).Draw(t, "what")])
}

func (k *walk) leaseLost(t *rapid.T) {
	name := drawHost(t, k.w).Node
	k.w.NoLease, k.w.NoStore = with(k.w.NoLease, name), with(k.w.NoStore, name)
}

func (k *walk) leaseBack(t *rapid.T) {
	name := drawHost(t, k.w).Node
	k.w.NoLease, k.w.NoStore = maps.Clone(k.w.NoLease), maps.Clone(k.w.NoStore)
	delete(k.w.NoLease, name)
	delete(k.w.NoStore, name)
}

func (k *walk) link(t *rapid.T) {
	h := drawHost(t, k.w)
	h.Links.Value = slices.Clone(h.Links.Value)
	h.Links.Value[rapid.IntRange(0, len(h.Links.Value)-1).Draw(t, "link")].Carrier = rapid.Bool().Draw(t, "carrier")
}

// restart is the program's own: roles begin again, what is on disk stays.
func (k *walk) restart(t *rapid.T) {
	h := drawHost(t, k.w)
	for name, m := range h.Memory {
		m.Role = fsm.Rejoining
		h.Memory[name] = m
	}
	h.Since = k.w.Now
}

func (k *walk) remember(t *rapid.T, failed string) {
	h, g := drawHost(t, k.w), k.group(t)
	m := h.Memory[g.Name]
	m.Failed = failed
	h.Memory[g.Name] = m
}

func (k *walk) failed(t *rapid.T) { k.remember(t, "it died too often") }
func (k *walk) clear(t *rapid.T)  { k.remember(t, "") }

func (k *walk) stopping(t *rapid.T) {
	drawHost(t, k.w).Stopping = rapid.SampledFrom([]string{"", "shutdown"}).Draw(t, "stopping")
}

func (k *walk) pass(d time.Duration) { k.w.Now = k.w.Now.Add(d) }

// TestEverybodyBack: whatever happened, when every host has booted, every lease
// is back and nothing has failed, every group is served by exactly one.
func TestEverybodyBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t, true)
		w.NoLease, w.NoStore, w.Store.Requests = nil, nil, map[string]Request{}
		w.Reserved = nil // a key of another program waits for a person
		for i, h := range w.Hosts {
			w.Hosts[i] = w.boot(h.Node, w.Now.Add(-time.Hour))
			w.Down[h.Node] = false
		}
		w.Store.Live = map[string]string{} // of boots that have ended
		w.Settle()
		for i := range w.Config.Groups {
			g := &w.Config.Groups[i]
			h, _ := w.holder(g.Name)
			if h == nil {
				t.Fatalf("nobody holds %s: %+v", g.Name, w.Store.Claims[g.Name])
			}
			if inv := takeInventory(w.Config, g, h); !inv.Whole() {
				t.Fatalf("%s is not whole: %+v", g.Name, inv)
			}
			if role := h.Memory[g.Name].Role; !role.Holds() {
				t.Fatalf("%s holds %s as %s", h.Node, g.Name, fmt.Sprint(role))
			}
		}
	})
}
