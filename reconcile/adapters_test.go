package reconcile

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"understudy/config"
	"understudy/fsm"
)

// drawLinks lets links of a host of the model be lost, come back, be deaf, or be
// unreadable.
func drawLinks(t *rapid.T, w *World, h *Snapshot) {
	h.Links.Value = slices.Clone(h.Links.Value)
	w.Deaf = maps.Clone(w.Deaf)
	if w.Deaf == nil {
		w.Deaf = map[string][]string{}
	}
	w.Deaf[h.Node] = nil
	for i := range h.Links.Value {
		l := &h.Links.Value[i]
		fate := rapid.IntRange(0, 5).Draw(t, "fate of "+l.Name)
		l.Up, l.Carrier = fate != 0, fate > 1
		if fate == 2 {
			w.Deaf[h.Node] = append(w.Deaf[h.Node], l.Name)
		}
	}
	if rapid.IntRange(0, 9).Draw(t, "unread") == 0 {
		h.Links = Unread[[]Link](ErrNotRead, noon)
	} else {
		h.Links.Err = nil
	}
}

// TestSwapTouchesNothingElse: as long as an adapter of each network works where a
// group is served, the loss of others moves addresses to it and does nothing else, no
// address leaves an adapter that is not known to be dead, and afterwards all is well.
func TestSwapTouchesNothingElse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := drawConfig(t)
		w := Steady(c, noon)
		for range rapid.IntRange(1, 3).Draw(t, "rounds") {
			for i := range w.Hosts {
				drawLinks(t, w, w.Hosts[i])
			}
			for i := range c.Groups {
				swapOnly(t, w, &c.Groups[i])
			}
		}
	})
}

func swapOnly(t *rapid.T, w *World, g *config.Group) {
	h, _ := w.holder(g.Name)
	if h == nil {
		return
	}
	s := w.look(h)
	for _, a := range g.Addresses {
		all := Adapters(a.Network, w.Config, s)
		works := slices.ContainsFunc(all, func(x Adapter) bool { return x.State == Present })
		if !works {
			return // it may move, or wait
		}
	}
	d := Decide(w.Config, g, s)
	if d.Transition.Event != fsm.Held && d.Transition.Event != fsm.Broken {
		if d.Transition.Event == fsm.Yield && g.Home() != "" && g.Home() != h.Node {
			return // its home is back
		}
		t.Fatalf("%s on %s: %s", g.Name, d.Transition.Event, d.Because)
	}
	swapped := 0
	for _, p := range d.Plan.Steps {
		switch st := p.Step.(type) {
		case DropAddress:
		case RunHook:
			if st.Hook.Event != config.EventSwapAdapter {
				t.Fatalf("hook %s of %s", st.Hook.Name, st.Hook.Event)
			}
		case AddAddress:
			swapped++
			for _, x := range Adapters(st.Address.Network, w.Config, s) {
				if x.Link == st.Link && x.State != Present {
					t.Fatalf("%s goes to %s, which is %s", st.Address.Label, st.Link, x.State)
				}
				if x.Link != st.Link && has(x.Link, st.Address, s) && x.State != Absent && !x.Doubtful {
					t.Fatalf("%s leaves %s, which is %s", st.Address.Label, x.Link, x.State)
				}
			}
		default:
			t.Fatalf("a lost adapter leads to %T: %s", p.Step, d.Because)
		}
		w.apply(h, g, p.Step)
	}
	after := Decide(w.Config, g, w.look(h))
	if after.Transition.Event != fsm.Held || !after.Plan.Empty() {
		t.Fatalf("after %d swaps: %s, %s", swapped, after.Transition.Event, after.Because)
	}
}

// Keep-alives that have just begun say nothing, whatever they say of each link. One
// machine alone that is silent makes an adapter doubtful and no more, and one that says
// that its own adapter there is lost does not even that.
func TestDeafOnlyOnSilence(t *testing.T) {
	c, err := config.Parse("c.toml", readCluster(t, "adapters"))
	if err != nil {
		t.Fatal(err)
	}
	w := Steady(c, noon)
	w.Deaf = map[string][]string{"alpha": {"public"}}
	s := w.look(w.Host("alpha"))
	if got := Adapters("public", c, s)[0].State; got != Absent {
		t.Fatalf("a deaf adapter is %s", got)
	}
	for what, change := range map[string]func(p *Peer, l *PeerLink){
		"not for the timeout": func(_ *Peer, l *PeerLink) { l.Silent = false },
		"only others hear it": func(p *Peer, _ *PeerLink) { p.State = PeerDistant },
		"it has lost its own": func(p *Peer, l *PeerLink) {
			p.Status.Lost = []LostAdapter{{Network: "public", Address: l.Remote}}
		},
		"heard": func(_ *Peer, l *PeerLink) { l.Heard, l.Silent = true, false },
	} {
		for _, names := range [][]string{{"beta"}, {"gamma"}, {"beta", "gamma"}} {
			s := w.look(w.Host("alpha"))
			for i := range s.Peers {
				for k := range s.Peers[i].Links {
					if l := &s.Peers[i].Links[k]; slices.Contains(names, s.Peers[i].Name) && l.Network == "public" && l.Silent {
						change(&s.Peers[i], l)
					}
				}
			}
			want := Unknown
			if what == "heard" || len(names) == 2 {
				want = Present
			}
			if got := Adapters("public", c, s)[0]; got.State != want || got.Doubtful != (want == Unknown) {
				t.Errorf("%s, %v: the adapter is %s, doubtful %v", what, names, got.State, got.Doubtful)
			}
		}
	}
}

func readCluster(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "clusters", name+".toml"))
	if err != nil {
		t.Fatal(err)
	}
	return data
}
