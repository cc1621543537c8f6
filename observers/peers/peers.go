package peers

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"log/slog"
	"slices"
	"sync"
	"time"

	"understudy/config"
	"understudy/observers/trigger"
	"understudy/reconcile"
)

// minPiece is the least room for the status in a packet, in bytes.
const minPiece = 200

// Peers exchanges keep-alives with every other machine of the file. Make one with
// [New].
type Peers struct {
	cluster, self string
	interval      time.Duration
	session       session
	clock         func() time.Duration
	log           *slog.Logger
	wires         []*wire
	known         map[string]string // names that occur in packets
	gossip        []string          // machines that packets tell about
	room          int               // for a piece of status, in bytes
	changes, wake trigger.Trigger

	mu       sync.Mutex // guards all that follows, and is never held across a wait
	table    table
	sealer   *sealer
	sequence uint64
	in, out  packet
	status   []byte        // as encoded, to tell a change
	version  uint32        // of status; zero: none
	voice    time.Duration // moment at which SetStatus was last called
	decides  bool          // this machine is a node: its status comes with every pass of its loop
	pieces   [][]byte
	turn     int  // piece that the next round carries
	burst    bool // the status is new: send all of it now
	due      time.Duration
	pinned   time.Duration            // moment of the next look at the adapters' links; of Run's goroutine only
	said     map[string]time.Duration // rate of complaints
	buffer   []byte
	keys     []string // ids of the cluster's keys, for the status
}

// New prepares keep-alives of one machine with all others of a file: self is a
// node's name or "witness". bootID is of this boot; keys are the cluster's secrets,
// of which the first signs and all are believed (empty only where the file has none, and then packets prove nothing).
func New(cfg *config.Config, self, bootID string, keys [][]byte, log *slog.Logger) *Peers {
	return create(cfg, self, bootID, keys, log, sinceBoot)
}

func create(cfg *config.Config, self, bootID string, keys [][]byte, log *slog.Logger, clock func() time.Duration) *Peers {
	var random [8]byte
	_, _ = rand.Read(random[:]) // never fails
	p := &Peers{
		keys:    KeyIDs(keys),
		cluster: cfg.Cluster, self: self, interval: cfg.Keepalive.Interval, clock: clock, log: log,
		session: session{bootID, binary.BigEndian.Uint64(random[:])}, decides: cfg.Node(self) != nil,
		known:  map[string]string{cfg.Cluster: cfg.Cluster},
		sealer: newSealer(keys...), said: make(map[string]time.Duration),
		changes: trigger.New(), wake: trigger.New(),
	}
	p.table = table{timeout: cfg.Keepalive.Timeout, since: clock()}
	for _, name := range machines(cfg, self) {
		p.known[name] = name
		p.gossip = append(p.gossip, name)
		p.table.peers = append(p.table.peers, &peer{name: name, heard: unheard})
	}
	p.known[self] = self
	p.adapters(cfg)
	p.measure()
	p.tell(p.table.since)
	return p
}

// machines lists every other node in file order, then the witness.
func machines(cfg *config.Config, self string) []string {
	var out []string
	for _, n := range cfg.Nodes {
		if n.Name != self {
			out = append(out, n.Name)
		}
	}
	if cfg.Witness != nil && cfg.Witness.Name != self {
		out = append(out, cfg.Witness.Name)
	}
	return out
}

// Unheard is what is known of the machines of a file when nobody listens.
func Unheard(cfg *config.Config, self string) []reconcile.Peer {
	return create(cfg, self, "", nil, slog.New(slog.DiscardHandler), sinceBoot).Peers()
}

// SetStatus says what every keep-alive tells of this node from now on. One that
// differs from the last is sent at once. It does not block.
func (p *Peers) SetStatus(s reconcile.NodeStatus) {
	s.Keys = p.keys
	text, err := json.Marshal(s)
	if err != nil {
		p.log.Error("status cannot be sent", "err", err)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.voice = p.clock()
	if p.version > 0 && string(text) == string(p.status) {
		return
	}
	pieces, err := encode(s, p.room)
	if err != nil {
		p.log.Error("status cannot be sent", "err", err)
		return
	}
	p.version++
	p.status, p.pieces, p.turn, p.burst = text, pieces, 0, true
	p.wake.Fire()
}

// voiceless is how long keep-alives go on without a word from the loop, which
// says its status with every pass, at least every ten seconds.
const voiceless = 30 * time.Second

// mute reports that the loop of this node makes no passes any more: it hangs on a
// disk or a pipe, say. To go on saying that all is well would keep the others
// from taking over for ever. The caller holds mu.
func (p *Peers) mute(now time.Duration) bool {
	return p.decides && p.version > 0 && now-p.voice > voiceless
}

// Peers is what is known of every other node in file order, and then of the
// witness. What it says changes only after [Peers.Changes] was fired, but for ages
// and clocks.
func (p *Peers) Peers() []reconcile.Peer {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.clock()
	out := make([]reconcile.Peer, 0, len(p.table.peers))
	for _, q := range p.table.peers {
		v := q.told
		v.Links = slices.Clone(v.Links)
		v.Clock, v.ClockKnown = q.skew, q.skewed
		for i := range v.Links {
			v.Links[i].Age = age(q.links[i].heard, now)
		}
		out = append(out, v)
	}
	return out
}

// Changes fires when what Peers says has changed in anything but ages.
func (p *Peers) Changes() <-chan struct{} { return p.changes }

// tell makes the verdict of this moment the one that is told. The caller holds
// mu, or is the only one who knows p.
func (p *Peers) tell(now time.Duration) {
	for i, v := range p.table.judge(now) {
		q := p.table.peers[i]
		if v.State != q.told.State {
			p.log.Info("peer changed", "peer", v.Name, "from", q.told.State.String(), "to", v.State.String(), "boot_id", v.BootID)
		}
		q.told, q.dirty = v, false
	}
	p.changes.Fire()
}

// complain logs at most once a minute for each reason. The caller holds mu.
func (p *Peers) complain(ctx context.Context, level slog.Level, msg string, args ...any) {
	now := p.clock()
	if last, ok := p.said[msg]; ok && now-last < time.Minute {
		return
	}
	p.said[msg] = now
	p.log.Log(ctx, level, msg, args...)
}
