package peers

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"understudy/config"
	"understudy/reconcile"
)

const ms = time.Millisecond

// threeOn is a file with alpha, beta and the witness on networks a and b.
func threeOn(prefix string) *config.Config {
	cfg := &config.Config{Cluster: "c", Keepalive: config.Keepalive{Interval: 200 * ms, Timeout: 1000 * ms, Port: 7000},
		Nodes: []config.Node{{Name: "alpha"}, {Name: "beta"}}, Witness: &config.Witness{Name: "witness"}}
	for i, n := range []string{"a", "b"} {
		net := config.Network{Name: n}
		for j, m := range []string{"alpha", "beta", "witness"} {
			ip := netip.MustParseAddr(prefix).As4()
			ip[2], ip[3] = byte(i), byte(j+1)
			net.Members = append(net.Members, config.Member{Machine: m, Prefix: netip.PrefixFrom(netip.AddrFrom4(ip), 24)})
		}
		cfg.Networks = append(cfg.Networks, net)
	}
	return cfg
}

// world moves packets between machines in virtual time.
type world struct {
	now   time.Duration
	cfg   *config.Config
	nodes map[string]*Peers
	cut   map[[3]string]bool // sender, receiver, network
	wire  []flight           // everything ever sent, for replays
}

type flight struct {
	from, to, link string
	packet         []byte
}

func newWorld(names ...string) *world {
	w := &world{now: time.Hour, cfg: threeOn("10.0.0.0"), nodes: map[string]*Peers{}, cut: map[[3]string]bool{}}
	for _, n := range names {
		w.boot(n, "boot-1-"+n)
	}
	return w
}

func (w *world) boot(name, boot string) *Peers {
	p := create(w.cfg, name, boot, [][]byte{[]byte("key")}, slog.New(slog.DiscardHandler), func() time.Duration { return w.now })
	p.due = w.now
	for _, wire := range p.wires {
		p.listens(wire, true)
	}
	w.nodes[name] = p
	return p
}

// round lets one machine send to all others (or only what it owes), and delivers.
func (w *world) round(name string, all bool) {
	p := w.nodes[name]
	p.due = w.now
	for _, wire := range p.wires {
		for _, to := range wire.to {
			if !all && !to.peer.owed {
				continue
			}
			p.buffer = p.buffer[:0]
			p.compose(w.now, to, p.turn)
			f := flight{name, to.peer.name, to.name, slices.Clone(p.buffer)}
			w.wire = append(w.wire, f)
			if !w.cut[[3]string{name, to.peer.name, to.name}] {
				w.deliver(f)
			}
		}
	}
	p.turn++
	for _, q := range p.table.peers {
		q.owed = false
	}
}

func (w *world) deliver(f flight) {
	if p := w.nodes[f.to]; p != nil {
		for _, wire := range p.wires {
			if wire.takes(p.table.peer(f.from), f.link) {
				p.take(context.Background(), wire, f.packet)
			}
		}
	}
}

// run lets time pass, all machines sending at their interval.
func (w *world) run(d time.Duration) {
	for end := w.now + d; w.now < end; w.now += 20 * ms {
		for _, n := range []string{"alpha", "beta", "witness"} {
			if p := w.nodes[n]; p != nil {
				w.round(n, w.now%p.interval == 0)
				if p.table.news(w.now) {
					p.tell(w.now)
				}
			}
		}
	}
}

func (w *world) sees(t *testing.T, who, whom string) reconcile.Peer {
	t.Helper()
	for _, p := range w.nodes[who].Peers() {
		if p.Name == whom {
			return p
		}
	}
	t.Fatalf("%s does not list %s", who, whom)
	return reconcile.Peer{}
}

func (w *world) state(t *testing.T, who, whom string, want reconcile.PeerState) reconcile.Peer {
	t.Helper()
	p := w.sees(t, who, whom)
	if p.State != want {
		t.Fatalf("at %v %s sees %s %v, want %v: %+v", w.now-time.Hour, who, whom, p.State, want, p)
	}
	return p
}

func TestHeardAtOnce(t *testing.T) {
	w := newWorld("alpha", "beta", "witness")
	w.nodes["beta"].SetStatus(reconcile.NodeStatus{ConfigHash: "h", Lease: true})
	w.run(100 * ms) // one round and the answers to challenges
	p := w.state(t, "alpha", "beta", reconcile.PeerHeard)
	if p.BootID != "boot-1-beta" || len(p.Links) != 2 || p.Links[0].Network != "a" || !p.Links[0].Heard {
		t.Errorf("%+v", p)
	}
	w.run(500 * ms)
	p = w.state(t, "alpha", "beta", reconcile.PeerHeard)
	if p.Status.ConfigHash != "h" || !p.Status.Lease || !p.Links[1].Hears {
		t.Errorf("%+v", p)
	}
}

func TestUnknownThenSilent(t *testing.T) {
	w := newWorld("alpha")
	w.run(980 * ms)
	w.state(t, "alpha", "beta", reconcile.PeerUnknown)
	w.run(60 * ms)
	p := w.state(t, "alpha", "beta", reconcile.PeerSilent)
	if p.Links[0].Age >= 0 || p.BootID != "" {
		t.Errorf("%+v", p)
	}
}

func TestSilenceAfterTimeout(t *testing.T) {
	w := newWorld("alpha", "beta", "witness")
	w.run(2000 * ms)
	delete(w.nodes, "beta")
	w.run(780 * ms) // its last packet is at most one interval old
	w.state(t, "alpha", "beta", reconcile.PeerHeard)
	w.run(260 * ms)
	p := w.state(t, "alpha", "beta", reconcile.PeerSilent)
	if p.BootID != "boot-1-beta" {
		t.Errorf("the boot id is forgotten: %+v", p)
	}
	w.state(t, "alpha", "witness", reconcile.PeerHeard)
}

func TestDistantThroughTheWitness(t *testing.T) {
	w := newWorld("alpha", "beta", "witness")
	w.run(2000 * ms)
	for _, n := range []string{"a", "b"} {
		w.cut[[3]string{"beta", "alpha", n}] = true
	}
	w.run(1500 * ms)
	w.state(t, "alpha", "beta", reconcile.PeerDistant)
	p := w.state(t, "beta", "alpha", reconcile.PeerHeard) // the other direction works
	if p.Links[0].Hears || p.Links[1].Hears || !p.Links[0].Heard {
		t.Errorf("asymmetry is not told: %+v", p)
	}
	delete(w.nodes, "beta")
	w.run(1300 * ms)
	w.state(t, "alpha", "beta", reconcile.PeerSilent)
	delete(w.cut, [3]string{"beta", "alpha", "a"})
}

func TestOneLinkDown(t *testing.T) {
	w := newWorld("alpha", "beta", "witness")
	w.run(2000 * ms)
	w.cut[[3]string{"beta", "alpha", "a"}] = true
	w.run(1500 * ms)
	p := w.state(t, "alpha", "beta", reconcile.PeerHeard)
	if p.Links[0].Heard || !p.Links[1].Heard || !p.Links[0].Hears {
		t.Errorf("%+v", p)
	}
	if q := w.sees(t, "beta", "alpha"); q.Links[0].Hears || !q.Links[1].Hears {
		t.Errorf("%+v", q)
	}
}

// Packets of a node that is dead do not bring it back, nor does an old boot id
// come back when its packets are sent again.
func TestReplay(t *testing.T) {
	w := newWorld("alpha", "beta", "witness")
	w.run(2000 * ms)
	delete(w.nodes, "beta")
	w.run(1500 * ms)
	w.state(t, "alpha", "beta", reconcile.PeerSilent)
	replay := func() {
		for _, f := range slices.Clone(w.wire) {
			w.deliver(f)
		}
		w.run(100 * ms)
	}
	replay()
	w.state(t, "alpha", "beta", reconcile.PeerSilent)

	w.boot("beta", "boot-2-beta")
	w.run(600 * ms)
	if p := w.state(t, "alpha", "beta", reconcile.PeerHeard); p.BootID != "boot-2-beta" {
		t.Fatal(p.BootID)
	}
	replay()
	if p := w.state(t, "alpha", "beta", reconcile.PeerHeard); p.BootID != "boot-2-beta" {
		t.Fatalf("an old boot came back: %s", p.BootID)
	}
	// A receiver that is new knows no session at all: packets from before are nothing to it.
	delete(w.nodes, "beta")
	w.boot("alpha", "boot-2-alpha")
	replay()
	w.run(1500 * ms)
	w.state(t, "alpha", "beta", reconcile.PeerSilent)
}

// A restart of the program on the same boot is taken at once.
func TestRestartOfTheProgram(t *testing.T) {
	w := newWorld("alpha", "beta", "witness")
	w.run(2000 * ms)
	w.boot("beta", "boot-1-beta").SetStatus(reconcile.NodeStatus{Stopping: true})
	w.run(600 * ms)
	if p := w.state(t, "alpha", "beta", reconcile.PeerHeard); !p.Status.Stopping {
		t.Errorf("%+v", p)
	}
}

// What a machine says of its end is known after its silence, and beside its next boot,
// until the boot that said it takes it back.
func TestLastWordOutlivesTheBoot(t *testing.T) {
	w := newWorld("alpha", "beta", "witness")
	w.run(2000 * ms)
	word := reconcile.LastWord{BootID: "boot-1-beta", Text: "it resets itself"}
	w.nodes["beta"].SetStatus(reconcile.NodeStatus{Doomed: word.Text})
	w.run(600 * ms)
	if p := w.state(t, "alpha", "beta", reconcile.PeerHeard); p.LastWord != word {
		t.Errorf("heard: %+v", p.LastWord)
	}
	w.nodes["beta"].SetStatus(reconcile.NodeStatus{})
	w.run(600 * ms)
	if p := w.state(t, "alpha", "beta", reconcile.PeerHeard); p.LastWord != (reconcile.LastWord{}) {
		t.Errorf("taken back: %+v", p.LastWord)
	}
	w.nodes["beta"].SetStatus(reconcile.NodeStatus{Doomed: word.Text})
	w.run(600 * ms)
	delete(w.nodes, "beta")
	w.run(2000 * ms)
	if p := w.state(t, "alpha", "beta", reconcile.PeerSilent); p.LastWord != word {
		t.Errorf("silent: %+v", p.LastWord)
	}
	w.boot("beta", "boot-2-beta").SetStatus(reconcile.NodeStatus{Lease: true})
	w.run(2000 * ms)
	if p := w.state(t, "alpha", "beta", reconcile.PeerHeard); p.LastWord != word || p.BootID != "boot-2-beta" || p.Status.Doomed != "" {
		t.Errorf("another boot: %+v", p)
	}
}

// A second machine with beta's name and key does not change beta's boot id while
// beta is heard.
func TestSecondMachineOfTheName(t *testing.T) {
	w := newWorld("alpha", "beta", "witness")
	w.run(2000 * ms)
	real := w.nodes["beta"]
	clone := create(w.cfg, "beta", "boot-of-a-clone", [][]byte{[]byte("key")}, slog.New(slog.DiscardHandler), func() time.Duration { return w.now })
	for range 50 {
		w.nodes["beta"] = clone
		w.run(20 * ms)
		w.nodes["beta"] = real
		w.run(200 * ms)
		if p := w.state(t, "alpha", "beta", reconcile.PeerHeard); p.BootID != "boot-1-beta" {
			t.Fatal(p.BootID)
		}
	}
}

// Silence while this host stood still does not count.
func TestOwnPause(t *testing.T) {
	w := newWorld("alpha", "beta", "witness")
	w.run(2000 * ms)
	alpha := w.nodes["alpha"]
	alpha.due = w.now
	w.now += time.Minute // suspended
	alpha.catchUp(t.Context(), w.now)
	if alpha.table.news(w.now) {
		t.Fatalf("after a pause: %+v", alpha.table.judge(w.now))
	}
	delete(w.nodes, "beta") // it went meanwhile
	w.run(900 * ms)
	w.state(t, "alpha", "beta", reconcile.PeerHeard)
	w.run(300 * ms)
	w.state(t, "alpha", "beta", reconcile.PeerSilent)
	// Whoever was silent before a pause is silent after it.
	alpha.due = w.now
	w.now += time.Minute
	alpha.catchUp(t.Context(), w.now)
	if s := alpha.table.state(alpha.table.peer("beta"), w.now); s != reconcile.PeerSilent {
		t.Fatal(s)
	}
}

// Whatever happens: a machine that did not send within the timeout is not heard,
// and one whose packet came within it is not silent; next never misses a change.
func TestJudgeProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld("alpha", "beta", "witness")
		last := unheard
		alpha := w.nodes["alpha"]
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			switch rapid.SampledFrom([]string{"beta", "witness", "alpha", "replay", "wait"}).Draw(t, "do") {
			case "beta":
				w.round("beta", true)
			case "witness":
				w.round("witness", true)
			case "alpha":
				w.round("alpha", true)
			case "replay":
				if len(w.wire) > 0 {
					w.deliver(rapid.SampledFrom(w.wire).Draw(t, "packet"))
				}
			case "wait":
				w.now += time.Duration(rapid.IntRange(1, 1500).Draw(t, "ms")) * ms
				for _, p := range w.nodes {
					p.due = w.now
				}
			}
			q := alpha.table.peer("beta")
			if q.heard != last && q.heard != w.now {
				t.Fatal("heard at another moment than now")
			}
			last = q.heard
			s := alpha.table.state(q, w.now)
			if (s == reconcile.PeerHeard) != (last != unheard && w.now-last < alpha.table.timeout) {
				t.Fatalf("%v, last heard %v ago", s, w.now-last)
			}
			before := alpha.table.judge(w.now)
			next := alpha.table.next(w.now)
			probe := w.now + time.Duration(rapid.IntRange(0, 3000).Draw(t, "later"))*ms
			if next == unheard || probe < next {
				after := alpha.table.judge(probe)
				for i := range before {
					if before[i].State != after[i].State {
						t.Fatalf("%v becomes %v before next (%v)", before[i].State, after[i].State, next-w.now)
					}
				}
			}
		}
	})
}
