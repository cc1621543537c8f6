package reconcile

import (
	"fmt"
	"strings"
	"testing"

	"understudy/config"
	"understudy/fsm"
)

// large is a cluster of 8 nodes with 1,000 groups, each with an address, two
// file systems and an application; the homes take turns.
func large(t testing.TB) *config.Config {
	t.Helper()
	var b strings.Builder
	b.WriteString("cluster = \"large\"\nkey_file = \"/etc/understudy/cluster.key\"\n[witness]\naddress = \"10.0.255.1\"\n")
	for n := range 8 {
		fmt.Fprintf(&b, "[node.n%d]\naddresses = { public = \"10.0.254.%d/16\", storage = \"10.1.0.%d/24\" }\nfence = { agent = \"fence_test\" }\n", n, n+1, n+1)
	}
	for g := range 1000 {
		fmt.Fprintf(&b, "[group.g%d]\nnodes = [\"n%d\", \"n%d\", \"n%d\", \"n%d\", \"n%d\", \"n%d\", \"n%d\", \"n%d\"]\n",
			g, g%8, (g+1)%8, (g+2)%8, (g+3)%8, (g+4)%8, (g+5)%8, (g+6)%8, (g+7)%8)
		fmt.Fprintf(&b, "[[group.g%d.address]]\nlabel = \"ip%d\"\nprefix = \"10.0.%d.%d/16\"\n", g, g, g/250, g%250+1)
		for _, fs := range []string{"data", "log"} {
			fmt.Fprintf(&b, "[[group.g%d.filesystem]]\nmount = \"/srv/g%d/%s\"\ndevice = \"/dev/vg%d/%s\"\ntype = \"ext4\"\n", g, g, fs, g, fs)
		}
		fmt.Fprintf(&b, "[[group.g%d.application]]\nname = \"app\"\nrun = [\"/usr/bin/app\"]\n", g)
	}
	c, err := config.Parse("large.toml", []byte(b.String()))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// largeAfterNodeDown is what n1 sees when n0 has fallen silent: every group is
// where it belongs, a quarter of a thousand claims are of n0 and n1.
func largeAfterNodeDown(t testing.TB) (*config.Config, *Snapshot) {
	t.Helper()
	c := large(t)
	w := &World{Config: c, Now: noon, Down: map[string]bool{"n0": true}, Store: StoreView{Claims: map[string]Claim{}}}
	for _, n := range c.Nodes {
		w.Hosts = append(w.Hosts, w.boot(n.Name, noon.Add(-1e12)))
	}
	me := w.Hosts[1]
	for i := range c.Groups {
		g := &c.Groups[i]
		h := w.Hosts[i%8]
		w.Store.Claims[g.Name] = Claim{Group: g.Name, Holder: h.Node, BootID: h.BootID, Epoch: 1}
		m := Memory{Role: fsm.Standby}
		if h == me {
			m = Memory{Role: fsm.Owner, Whole: 1}
			for _, fs := range g.Filesystems {
				me.mount(fs)
			}
			me.switchOn(g)
			me.address(g.Addresses[0], "public")
			me.run(g.Name, g.Applications[0])
		}
		me.Memory[g.Name] = m
	}
	s := *me
	s.Store = Read(w.Store, noon)
	for _, h := range w.Hosts {
		if h == me {
			continue
		}
		p := Peer{Name: h.Node, State: PeerHeard, BootID: h.BootID, Status: NodeStatus{Lease: true, Networks: []string{"public", "storage"}}}
		for i := range c.Groups {
			p.Status.Groups = append(p.Status.Groups, GroupStatus{Group: c.Groups[i].Name, Role: fsm.Standby, Ready: w.Hosts[i%8] != h})
		}
		if w.Down[h.Node] {
			p.State = PeerSilent
		}
		s.Peers = append(s.Peers, p)
	}
	return c, &s
}

// BenchmarkDecide1000Groups8Nodes is one pass of all groups on one node when
// another has fallen silent.
func BenchmarkDecide1000Groups8Nodes(b *testing.B) {
	c, s := largeAfterNodeDown(b)
	for b.Loop() {
		steps := 0
		for i := range c.Groups {
			steps += len(Decide(c, &c.Groups[i], s).Plan.Steps)
		}
		if steps == 0 {
			b.Fatal("nothing is planned")
		}
	}
}

// TestLargeNodeDown keeps the benchmark honest: n1 takes what was n0's, holds
// its own, and leaves the rest alone.
func TestLargeNodeDown(t *testing.T) {
	c, s := largeAfterNodeDown(t)
	for i := range c.Groups {
		d := Decide(c, &c.Groups[i], s)
		want := [8]fsm.Event{fsm.HeldElsewhere, fsm.Held, fsm.HeldElsewhere, fsm.HeldElsewhere, fsm.HeldElsewhere, fsm.HeldElsewhere, fsm.HeldElsewhere, fsm.HeldElsewhere}[i%8]
		if d.Transition.Event != want || (len(d.Plan.Steps) > 0) != (i%8 == 0) {
			t.Fatalf("%s: %s with %d steps: %s", c.Groups[i].Name, d.Transition.Event, len(d.Plan.Steps), text(d.Plan))
		}
	}
}
