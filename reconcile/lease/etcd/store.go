//go:build !aix

package etcd

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"understudy/reconcile"
	"understudy/reconcile/lease"
)

// store implements lease.Store over a client of etcd. Every write that decides
// is one transaction whose comparisons make a repetition harmless, so it does
// not matter whether await, or a client below, repeats it.
type store struct {
	*clientv3.Client
	prefix string
	// renew extends a lease; ErrLeaseNotFound if there is none. It gives the
	// time the lease has from now on, in seconds.
	renew func(ctx context.Context, id clientv3.LeaseID) (int64, error)
	calls calls

	mu    sync.Mutex
	nodes map[clientv3.LeaseID]string // the node that each lease was granted to
}

var _ lease.Store = (*store)(nil)

func newStore(c *clientv3.Client, cluster string) *store {
	s := &store{Client: c, prefix: "/understudy/" + cluster + "/", calls: newCalls(), nodes: map[clientv3.LeaseID]string{}}
	s.renew = func(ctx context.Context, id clientv3.LeaseID) (int64, error) {
		r, err := c.KeepAliveOnce(ctx, id)
		if err != nil {
			return 0, err
		}
		return r.TTL, nil
	}
	return s
}

// seconds is ttl as etcd counts it, never less.
func seconds(ttl time.Duration) int64 { return int64((ttl + time.Second - 1) / time.Second) }

// Grant implements lease.Store.
func (s *store) Grant(ctx context.Context, node, bootID string, ttl time.Duration) (lease.LeaseID, error) {
	return await(ctx, &s.calls, func(ctx context.Context) (lease.LeaseID, error) {
		id, err := s.grant(ctx, node, bootID, ttl)
		if err != nil {
			return 0, err
		}
		s.mu.Lock()
		s.nodes[id] = node
		s.mu.Unlock()
		return lease.LeaseID(id), nil
	})
}

func (s *store) grant(ctx context.Context, node, bootID string, ttl time.Duration) (id clientv3.LeaseID, err error) {
	value, err := encode(alive{bootID})
	if err != nil {
		return 0, err
	}
	got, err := s.Client.Grant(ctx, seconds(ttl))
	if err != nil {
		return 0, err
	}
	id = got.ID
	if time.Duration(got.TTL)*time.Second < ttl {
		return 0, fmt.Errorf("cannot use a lease of %d s: %s was asked for", got.TTL, ttl)
	}
	for {
		r, err := s.Txn(ctx).Then(
			clientv3.OpGet(s.prefix+live+node), clientv3.OpGet(s.prefix+fenced+node), clientv3.OpGet(s.prefix+confirms+node),
		).Commit()
		if err != nil {
			return 0, err
		}
		was, f, c := only(r, 0), only(r, 1), only(r, 2)
		var fence reconcile.FenceRecord
		var confirm reconcile.Confirmation
		if f != nil {
			err = decode(f, &fence)
		}
		if c != nil {
			err = errors.Join(err, decode(c, &confirm))
		}
		if err == nil && (fence.BootID == bootID || confirm.BootID == bootID) {
			err = lease.ErrFenced
		}
		if was != nil && err == nil {
			var there alive
			if err = decode(was, &there); err == nil && there.BootID != bootID {
				err = lease.ErrOtherBoot
			}
		}
		if err != nil {
			_, _ = s.Client.Revoke(ctx, id) // else it runs out
			return 0, err
		}
		r, err = s.Txn(ctx).If(
			clientv3.Compare(clientv3.ModRevision(s.prefix+fenced+node), "=", f.GetModRevision()),
			clientv3.Compare(clientv3.ModRevision(s.prefix+confirms+node), "=", c.GetModRevision()),
			clientv3.Compare(clientv3.ModRevision(s.prefix+live+node), "=", was.GetModRevision()),
		).Then(clientv3.OpPut(s.prefix+live+node, value, clientv3.WithLease(id))).Commit()
		if err != nil {
			return 0, err
		}
		if !r.Succeeded {
			continue // one of them has changed in between
		}
		if was != nil && was.Lease != 0 {
			if _, err := s.Client.Revoke(ctx, clientv3.LeaseID(was.Lease)); err != nil && !errors.Is(err, rpctypes.ErrLeaseNotFound) {
				return 0, fmt.Errorf("cannot end this node's earlier lease: %w", err)
			}
		}
		return id, nil
	}
}

// only is the one key of the nth range of a transaction, nil if there is none.
func only(r *clientv3.TxnResponse, n int) *mvccpb.KeyValue {
	if kvs := r.Responses[n].GetResponseRange().Kvs; len(kvs) > 0 {
		return kvs[0]
	}
	return nil
}

// Renew implements lease.Store. Before it renews it reads the live entry, which
// takes a majority: a leader that has just been resumed, or cut off, renews
// leases on its own for up to two election timeouts, because it has not heard
// yet that it leads no more.
func (s *store) Renew(ctx context.Context, id lease.LeaseID) error {
	s.mu.Lock()
	node, ok := s.nodes[clientv3.LeaseID(id)]
	s.mu.Unlock()
	if !ok {
		return lease.ErrNoLease
	}
	left, err := await(ctx, &s.calls, func(ctx context.Context) (int64, error) {
		r, err := s.read(ctx, s.prefix+live+node)
		if err != nil {
			return 0, err
		}
		if len(r.Kvs) == 0 || r.Kvs[0].Lease != int64(id) {
			return 0, nil
		}
		return s.renew(ctx, clientv3.LeaseID(id))
	})
	if gone(err) || err == nil && left <= 0 {
		s.mu.Lock()
		delete(s.nodes, clientv3.LeaseID(id))
		s.mu.Unlock()
		return lease.ErrNoLease
	}
	return err
}

// Revoke implements lease.Store.
func (s *store) Revoke(ctx context.Context, node, bootID string) error {
	return s.do(ctx, func(ctx context.Context) error {
		id, err := s.liveLease(ctx, node, bootID)
		if err != nil || id == 0 {
			return err
		}
		return s.end(ctx, id)
	})
}

// end revokes a lease; one that is not there is no error.
func (s *store) end(ctx context.Context, id clientv3.LeaseID) error {
	if _, err := s.Client.Revoke(ctx, id); err != nil && !gone(err) {
		return err
	}
	return nil
}

// liveLease is the lease of a node's live entry, zero if there is none of that boot.
func (s *store) liveLease(ctx context.Context, node, bootID string) (clientv3.LeaseID, error) {
	r, err := s.read(ctx, s.prefix+live+node)
	if err != nil || len(r.Kvs) == 0 {
		return 0, err
	}
	var a alive
	if err := decode(r.Kvs[0], &a); err != nil || a.BootID != bootID {
		return 0, err
	}
	return clientv3.LeaseID(r.Kvs[0].Lease), nil
}

// Take implements lease.Store.
func (s *store) Take(ctx context.Context, id lease.LeaseID, next reconcile.Claim, was int64) (int64, error) {
	if id == 0 {
		return 0, lease.ErrNoLease
	}
	value, err := encode(next)
	if err != nil {
		return 0, err
	}
	var attempts atomic.Int32
	return await(ctx, &s.calls, func(ctx context.Context) (int64, error) {
		again := attempts.Add(1) > 1
		key, holder := s.prefix+claims+next.Group, s.prefix+live+next.Holder
		r, err := s.Txn(ctx).If(
			clientv3.Compare(clientv3.ModRevision(key), "=", was),
			clientv3.Compare(clientv3.LeaseValue(holder), "=", clientv3.LeaseID(id)),
		).Then(
			clientv3.OpPut(key, value),
		).Else(
			clientv3.OpGet(holder), clientv3.OpGet(key),
		).Commit()
		switch {
		case err != nil:
			return 0, err
		case r.Succeeded:
			return r.Header.Revision, nil
		}
		if kv := only(r, 1); again && kv.GetModRevision() > was && string(kv.GetValue()) == value {
			return kv.ModRevision, nil // an earlier attempt had arrived
		}
		if kv := only(r, 0); kv == nil || kv.Lease != int64(id) {
			return 0, lease.ErrNoLease
		}
		return 0, lease.ErrChanged
	})
}

// View implements lease.Store.
func (s *store) View(ctx context.Context) (reconcile.StoreView, error) {
	return await(ctx, &s.calls, func(ctx context.Context) (reconcile.StoreView, error) {
		r, err := s.read(ctx, s.prefix, clientv3.WithPrefix())
		if err != nil {
			return reconcile.StoreView{}, err
		}
		return view(s.prefix, r.Kvs, r.Header.Revision)
	})
}

// Watch implements lease.Store. It ends when etcd ends the watch; whoever calls
// it begins again and looks.
func (s *store) Watch(ctx context.Context, changed func()) error {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	events := s.Client.Watch(ctx, s.prefix, clientv3.WithPrefix(), clientv3.WithKeysOnly(), clientv3.WithCreatedNotify())
	for {
		select {
		case <-ctx.Done():
			return nil
		case r, ok := <-events:
			if ctx.Err() != nil {
				return nil
			}
			if !ok {
				return errors.New("the watch has ended")
			}
			if err := r.Err(); err != nil {
				return err
			}
			changed()
		}
	}
}

func (s *store) do(ctx context.Context, f func(context.Context) error) error {
	_, err := await(ctx, &s.calls, func(ctx context.Context) (struct{}, error) { return struct{}{}, f(ctx) })
	return err
}
