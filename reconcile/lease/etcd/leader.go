//go:build !aix

package etcd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	"go.etcd.io/etcd/server/v3/etcdserver/api/membership"
)

// probeLimit is how long a member may take to shake hands before it counts as
// not reachable.
const probeLimit = 500 * time.Millisecond

// Health is one member as this one sees it.
type Health struct {
	Name      string
	Self      bool
	Leader    bool
	Reachable bool   // it shook hands just now; true for this one
	Why       string // why it is not reachable
}

// Leader is the name of the raft leader as this member knows it, "" if none.
func (m *Member) Leader() string {
	lead := m.etcd.Server.Leader()
	if x := m.etcd.Server.Cluster().Member(lead); lead != 0 && x != nil {
		return x.Name
	}
	return ""
}

// Members reports on every member, in the order of the file.
func (m *Member) Members(ctx context.Context) []Health {
	lead := m.Leader()
	var out []Health
	for _, x := range machines(m.o.Config) {
		h := Health{Name: x.name, Self: x.name == m.o.Name, Leader: x.name == lead, Reachable: true}
		if !h.Self {
			if err := m.probe(ctx, x); err != nil {
				h.Reachable, h.Why = false, err.Error()
			}
		}
		out = append(out, h)
	}
	return out
}

// probe shakes hands with a member over a network that works. A connection alone
// says nothing: the kernel accepts for a process that hangs.
func (m *Member) probe(ctx context.Context, x machine) error {
	info := transport.TLSInfo{CertFile: m.tls.cert, KeyFile: m.tls.key, TrustedCAFile: m.tls.ca, ServerName: x.stable.String()}
	c, err := info.ClientConfig()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, probeLimit)
	defer cancel()
	conn, _, err := m.relay.dial(ctx, x.name)
	if err != nil {
		return err
	}
	defer conn.Close()
	return tls.Client(conn, c).HandshakeContext(ctx)
}

// MoveLeader hands raft leadership to a member that away does not name: the
// witness if it answers, else the first node of the file that does. It does
// nothing when this member does not lead; an error says that nobody could take it.
func (m *Member) MoveLeader(ctx context.Context, away func(member string) bool) error {
	s := m.etcd.Server
	if s.Leader() != s.MemberID() || !away(m.o.Name) {
		return nil
	}
	all := machines(m.o.Config)
	if w := m.o.Config.Witness; w != nil {
		slices.SortStableFunc(all, func(a, b machine) int {
			switch {
			case a.name == w.Name && b.name != w.Name:
				return -1
			case b.name == w.Name && a.name != w.Name:
				return 1
			}
			return 0
		})
	}
	var errs error
	for _, x := range all {
		if x.name == m.o.Name || away(x.name) {
			continue
		}
		if err := m.probe(ctx, x); err != nil {
			errs = errors.Join(errs, err)
			continue
		}
		i := slices.IndexFunc(s.Cluster().Members(), func(y *membership.Member) bool { return y.Name == x.name })
		if i < 0 {
			continue // it has never joined
		}
		// raft takes no proposals while it hands over, and gives up by itself
		// after an election timeout.
		ctx, cancel := context.WithTimeout(ctx, m.o.Config.Lease.Election)
		err := s.MoveLeader(ctx, uint64(s.MemberID()), uint64(s.Cluster().Members()[i].ID))
		cancel()
		if err == nil {
			m.o.Log.Info("raft leadership handed over", "member", m.o.Name, "to", x.name)
			return nil
		}
		errs = errors.Join(errs, fmt.Errorf("%s: %w", x.name, err))
	}
	if errs == nil {
		errs = errors.New("there is no other member")
	}
	return fmt.Errorf("cannot hand raft leadership over: %w", errs)
}

// KeepLeaderAway hands leadership over whenever this member leads and holds
// reports true, until ctx ends. After a failure it waits longer each time, up to
// half a minute.
func (m *Member) KeepLeaderAway(ctx context.Context, holds func() bool) error {
	const shortest, longest = 250 * time.Millisecond, 30 * time.Second
	wait := shortest
	for {
		changed := m.etcd.Server.LeaderChangedNotify()
		if m.etcd.Server.Leader() == m.etcd.Server.MemberID() && holds() {
			err := m.MoveLeader(ctx, func(member string) bool { return member == m.o.Name })
			if err != nil && ctx.Err() == nil {
				m.o.Log.Warn("raft leadership stays with a holder", "member", m.o.Name, "err", err)
				wait = min(2*wait, longest)
				changed = nil // what failed a moment ago would fail again
			} else {
				wait = shortest
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-time.After(wait):
		}
	}
}
