//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"understudy/cmd/internal/api"
)

var chaosNodes = []string{Alpha, Beta, "gamma", "delta"}

// A chaosGroup is one of the groups of a chaos run.
type chaosGroup struct {
	name, mount, policy, extra string
	address                    netip.Prefix
	disk                       int
}

func (g chaosGroup) file() string { return g.mount + "/log" }

func (g chaosGroup) target() string {
	return netip.AddrPortFrom(g.address.Addr(), ServicePort).String()
}

var chaosGroups = []chaosGroup{
	{name: "files", policy: "cascading"},
	{name: "mail", policy: "cascading", extra: "settle = \"2s\""},
	{name: "jobs", policy: "rotating", extra: "on_release_failure = \"self-fence\""},
}

// stint is one cluster under chaos.
type stint struct {
	r      *chaosRun
	n      int
	l      *Lab
	api    *services
	nodes  []string
	groups []chaosGroup
	sum    stintSum

	life, hush     context.CancelFunc
	looks, writing sync.WaitGroup // the goroutines that they end

	mu      sync.Mutex
	seen    map[string]nodeSeen
	claims  map[string]map[uint64]api.ClaimStatus // by group and epoch
	writers []chaosWriter
	running map[string]int // writers that were started, by host and group
	filters map[int]Filter
	nextID  int
	calm    bool // nobody has to be down now
	notes   []Event
	began   int64 // CLOCK_MONOTONIC of the first fault
	ended   int64 // of the last check of the service
}

// nodeSeen is a node's last word of itself.
type nodeSeen struct {
	at time.Time // of the question; zero: the last one had no answer
	st api.Status
}

func newStint(r *chaosRun, n, nodes int) *stint {
	s := &stint{r: r, n: n, nodes: chaosNodes[:nodes], groups: slices.Clone(chaosGroups), seen: make(map[string]nodeSeen),
		claims: make(map[string]map[uint64]api.ClaimStatus), running: make(map[string]int), filters: make(map[int]Filter)}
	for i := range s.groups {
		g := &s.groups[i]
		g.mount, g.disk = "/srv/"+g.name, i
		g.address = netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 7, 0, byte(50 + i)}), 24)
		s.claims[g.name] = make(map[uint64]api.ClaimStatus)
	}
	return s
}

// witnessed reports whether the cluster has a witness: an even number of nodes
// needs one more vote.
func (s *stint) witnessed() bool { return s.r.Store == "embedded" && len(s.nodes)%2 == 0 }

func (s *stint) options() Options {
	o := s.r.o
	o.LifeLine, o.Services = true, false // until the store is there
	o.Hosts = nil
	for i, name := range s.nodes {
		h := DefaultHosts()[0]
		h.Name, h.Addresses = name, addressesAt(21+i, networks...)
		o.Hosts = append(o.Hosts, h)
	}
	for _, h := range DefaultHosts()[2:] {
		if h.Name == Client || s.witnessed() {
			o.Hosts = append(o.Hosts, h)
		}
	}
	o.Disks, o.DiskMiB, o.StateMiB = len(s.groups), 64, 512
	if s.r.Store == "disk" {
		o.Disks++
		o.Extra += fmt.Sprintf("\n[lease]\nstore  = \"disk\"\ndevice = \"/dev/shared%d\"\n", len(s.groups))
	}
	var b strings.Builder
	for i, g := range s.groups {
		nodes := slices.Concat(s.nodes[i%len(s.nodes):], s.nodes[:i%len(s.nodes)])
		fmt.Fprintf(&b, `
[group.%[1]s]
policy = %[2]q
nodes = [%[3]s]
failovers = 0
%[4]s

[[group.%[1]s.address]]
label = %[1]q
prefix = %[5]q
network = %[6]q

[[group.%[1]s.filesystem]]
mount = %[7]q
device = "/dev/shared%[8]d"
type = "ext4"

[[group.%[1]s.application]]
name = %[1]q
run = [%[9]q, "lab-log", "--name", %[1]q, "--listen", %[10]q, "--file", %[11]q]
`, g.name, g.policy, `"`+strings.Join(nodes, `", "`)+`"`, g.extra, g.address, PublicNet, g.mount, g.disk, binaryInside, g.target(), g.file())
		o.Files = append(o.Files, File{Path: g.mount, Folder: true})
	}
	o.Groups = b.String()
	return o
}

// up brings the cluster up and waits until it serves.
func (s *stint) up(ctx context.Context) error {
	l, err := Up(ctx, s.options())
	if err != nil {
		return err
	}
	s.l, s.api = l, &services{l: l}
	s.sum.Nodes = len(s.nodes)
	if s.r.Store == "disk" {
		_, errs, code, e := l.Exec(ctx, s.nodes[0], binaryInside, "disk", "init", "--force")
		if err = e; err == nil && code != 0 {
			err = fmt.Errorf("cannot make the store: %s", errs)
		}
	}
	if err == nil {
		err = l.EnableServices(ctx)
	}
	if err != nil {
		limit, cancel := within(context.WithoutCancel(ctx), downLimit)
		defer cancel()
		return errors.Join(err, l.Down(limit))
	}
	look, life := context.WithCancel(context.WithoutCancel(ctx))
	write, hush := context.WithCancel(look)
	s.life, s.hush = life, hush
	for _, n := range s.nodes {
		s.looks.Go(func() { s.watchNode(look, n) })
	}
	s.writing.Go(func() { s.keepWriting(write) })
	return nil
}

// stop ends what looks and writes.
func (s *stint) stop() {
	s.life()
	s.looks.Wait()
	s.writing.Wait()
}

// play lets rounds of faults happen. Each is healed; after most of them the
// service must become whole, after the others the next one begins at once.
func (s *stint) play(ctx, after context.Context, for_ time.Duration) error {
	if err := s.whole(after, "after the boot"); err != nil || ctx.Err() != nil {
		return err
	}
	s.began = monotonic()
	until := time.Now().Add(for_)
	for round := 0; time.Now().Before(until) && ctx.Err() == nil; round++ {
		dice := rand.New(rand.NewPCG(s.r.Seed, uint64(s.n)<<32|uint64(round)))
		if err := s.round(ctx, dice); err != nil {
			return err
		}
		s.heal(after)
		if dice.IntN(4) > 0 {
			if err := s.whole(after, fmt.Sprintf("after round %d", round+1)); err != nil {
				return err
			}
		}
		if err := s.safe(after); err != nil {
			return err
		}
	}
	s.heal(after)
	if err := s.whole(after, "at the end"); err != nil {
		return err
	}
	s.ended = monotonic()
	return s.safe(after)
}

// errBroken marks the error of a promise that was not kept.
var errBroken = errors.New("a promise was broken")

// safe asks the watchers.
func (s *stint) safe(ctx context.Context) error {
	all, err := s.l.Violations(ctx)
	if err != nil {
		return err
	}
	for _, v := range all {
		s.r.broken = append(s.r.broken, v.String())
	}
	if len(all) > 0 {
		return fmt.Errorf("%w: %s", errBroken, all[0])
	}
	return nil
}

// note is something that the timeline should tell.
func (s *stint) note(who, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	s.mu.Lock()
	s.notes = append(s.notes, Event{At: time.Now(), Mono: time.Duration(monotonic()), Host: who, What: text})
	s.mu.Unlock()
	s.r.tell(who, "%s", text)
}

// watchNode asks a node for its status, all the time.
func (s *stint) watchNode(ctx context.Context, node string) {
	for ctx.Err() == nil {
		began := time.Now()
		st, err := s.status(ctx, node)
		s.mu.Lock()
		if err != nil {
			s.seen[node] = nodeSeen{}
		} else {
			s.seen[node] = nodeSeen{at: began, st: st}
			for _, g := range st.Groups {
				if _, ok := s.claims[g.Group][g.Claim.Epoch]; !ok && g.Claim.Epoch > 0 && s.claims[g.Group] != nil {
					s.claims[g.Group][g.Claim.Epoch] = g.Claim
				}
			}
		}
		s.mu.Unlock()
		select {
		case <-ctx.Done():
		case <-time.After(250 * time.Millisecond):
		}
	}
}

func (s *stint) status(ctx context.Context, node string) (api.Status, error) {
	ctx, cancel := within(ctx, 3*time.Second)
	defer cancel()
	var st api.Status
	var err error
	for _, fresh := range []bool{false, true} { // another boot has another process 1
		var c *api.Client
		if c, err = s.api.client(ctx, node, fresh); err == nil {
			if st, err = c.Status(ctx); err == nil {
				break
			}
		}
	}
	return st, err
}

// client is the way to a node's service for an operator.
func (s *stint) client(ctx context.Context, node string) (*api.Client, error) {
	return s.api.client(ctx, node, true)
}

// holder is the node that holds a group, as far as is known; "" if nobody is known to.
func (s *stint) holder(group string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	last, who := uint64(0), ""
	for _, n := range s.nodes {
		for _, g := range s.seen[n].st.Groups {
			if g.Group == group && g.Claim.Epoch > last && !g.Claim.Released {
				last, who = g.Claim.Epoch, g.Claim.Holder
			}
		}
	}
	return who
}
