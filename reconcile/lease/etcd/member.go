//go:build !aix

package etcd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
	etcdlease "go.etcd.io/etcd/server/v3/lease"

	"understudy/config"
	"understudy/reconcile"
	"understudy/reconcile/lease"
)

// MemberOptions says which member of the embedded store to start.
type MemberOptions struct {
	Config  *config.Config
	Name    string // a node of the file, or the witness
	DataDir string // made if it is not there; mode 0700
	// Keys are the cluster's shared keys, 32 bytes or more each: the first vouches for
	// this member, and all are believed.
	Keys [][]byte
	Log  *slog.Logger
}

// Member is a member of the embedded store inside this process.
type Member struct {
	etcd   *embed.Etcd
	client *clientv3.Client
	o      MemberOptions
	tls    files
	relay  *relay

	once   sync.Once
	failed chan struct{} // closed when etcd cannot go on
	why    error         // set before failed is closed
	close  sync.Once
	closed error
}

// closeLimit bounds the end of a member, failedLimit that of one that has failed:
// it may hold locks for ever.
const closeLimit, failedLimit = 15 * time.Second, time.Second

// StartMember starts a member and returns as soon as it listens; it need not
// have found its peers by then. The caller runs Run, and Run or Close ends it.
func StartMember(ctx context.Context, o MemberOptions) (*Member, error) {
	m := &Member{o: o, failed: make(chan struct{})}
	var err error
	if m.relay, err = newRelay(o.Config, o.Name, o.Log); err != nil {
		return nil, fmt.Errorf("cannot start the store's member %s: %w", o.Name, err)
	}
	if err := m.start(ctx); err != nil {
		m.relay.Close()
		return nil, fmt.Errorf("cannot start the store's member %s: %w", o.Name, err)
	}
	m.relay.admit(m.etcd.Peers[0].Addr())
	m.client = v3client.New(m.etcd.Server)
	return m, nil
}

// start starts etcd.
func (m *Member) start(ctx context.Context) error {
	cfg, err := m.configure()
	if err != nil {
		return err
	}
	// StartEtcd knows no context, and its log may end the goroutine it runs in.
	started := make(chan error, 1)
	abandoned := make(chan struct{})
	go func() {
		err := errors.New("etcd gave up")
		defer func() {
			select {
			case <-abandoned:
				if m.etcd != nil {
					m.etcd.Close()
				}
			case started <- err:
			}
		}()
		m.etcd, err = embed.StartEtcd(cfg)
	}()
	select {
	case err = <-started:
	case <-ctx.Done():
		close(abandoned)
		err = context.Cause(ctx)
	}
	select {
	case <-m.failed:
		err = m.why
	default:
	}
	if err != nil {
		return err
	}
	if err := m.sameURLs(); err != nil {
		m.etcd.Close()
		return err
	}
	return nil
}

// sameURLs compares what the store was made with to what the file says now. A
// member looks for its peers where the store says they are, for ever.
func (m *Member) sameURLs() error {
	for _, x := range m.etcd.Server.Cluster().Members() {
		all := machines(m.o.Config)
		i := slices.IndexFunc(all, func(y machine) bool { return y.name == x.Name })
		if i < 0 {
			return fmt.Errorf("%s is a member of the store in %s, but not in the file — %s", x.Name, m.o.DataDir, anew)
		}
		u := all[i].peerURL(m.o.Config.Lease.PeerPort)
		if want := u.String(); !slices.Equal(x.PeerURLs, []string{want}) {
			return fmt.Errorf("the store in %s has %s at %s, the file at %s: its machines, their order or peer_port have changed — %s",
				m.o.DataDir, x.Name, strings.Join(x.PeerURLs, " "), want, anew)
		}
	}
	return nil
}

const anew = "undo the change, or stop every member, remove its directory on all machines and start them again"

// SetUsable tells which ways to which machines work at present, as far as
// anybody knows: a lost carrier and silent keep-alives both count as no. It is
// called on every change. What the member has open on a network that has stopped
// working is dropped at once and goes over another one; a network that is not
// said to work is tried last, and where none is, nothing is dropped. usable is
// called before SetUsable returns, one call at a time, and must not call m.
func (m *Member) SetUsable(usable func(reconcile.Way) bool) { m.relay.SetUsable(usable) }

// fail takes note that etcd cannot go on.
func (m *Member) fail(why string) {
	m.once.Do(func() {
		m.why = fmt.Errorf("the store's member %s has failed: %s", m.o.Name, why)
		close(m.failed)
	})
}

// Run waits until ctx ends, closes the member and returns nil; or it returns why
// the member cannot go on. A member that has failed keeps its files open until
// the process ends: only a new process can start it again.
func (m *Member) Run(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return m.Close()
	case <-m.failed:
	case <-m.etcd.Server.StopNotify():
		m.fail("etcd has stopped")
	case err := <-m.etcd.Err():
		m.fail(fmt.Sprint(err))
	}
	m.silence()
	return errors.Join(m.why, m.Close())
}

// silence takes a member that has failed out of the cluster. Its raft may live
// on where only the back end has died; as the leader it would renew nobody's
// lease, and as a peer it would seem healthy.
func (m *Member) silence() {
	m.etcd.Server.PauseSending()
	m.relay.Close()
}

// Close ends the member. It may be called more than once.
func (m *Member) Close() error {
	m.close.Do(func() {
		limit := closeLimit
		select {
		case <-m.failed:
			limit = failedLimit
		default:
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = m.client.Close()
			m.etcd.Close()
			m.relay.Close()
		}()
		select {
		case <-done:
		case <-time.After(limit):
			m.closed = fmt.Errorf("cannot close the store's member %s: it hangs after %s", m.o.Name, limit)
		}
	})
	return m.closed
}

// Ready is closed when the member has joined its peers and serves.
func (m *Member) Ready() <-chan struct{} { return m.etcd.Server.ReadyNotify() }

// Store is the store as this member serves it, inside this process. Its calls
// end at once when the member has failed.
func (m *Member) Store() (lease.Store, error) {
	s := newStore(m.client, m.o.Config.Cluster)
	s.calls.elected = m.etcd.Server.LeaderChangedNotify
	s.calls.moved = m.relay.Moved
	s.renew = func(ctx context.Context, id clientv3.LeaseID) (int64, error) {
		return m.etcd.Server.LeaseRenew(ctx, etcdlease.LeaseID(id))
	}
	return s, nil
}
