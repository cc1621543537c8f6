//go:build !aix

package etcd

import (
	"context"
	"errors"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"understudy/reconcile"
)

// PutFence implements lease.Store. The record and the end of the live entry are
// one transaction; the lease itself is revoked beside it, so that both share the
// members' fsync.
func (s *store) PutFence(ctx context.Context, f reconcile.FenceRecord) error {
	record, err := encode(f)
	if err != nil {
		return err
	}
	value, err := encode(alive{f.BootID})
	if err != nil {
		return err
	}
	return s.do(ctx, func(ctx context.Context) error {
		id, err := s.liveLease(ctx, f.Node, f.BootID)
		if err != nil {
			return err
		}
		var revoke error
		var wg sync.WaitGroup
		if id != 0 {
			wg.Go(func() { revoke = s.end(ctx, id) })
		}
		key := s.prefix + live + f.Node
		_, put := s.Txn(ctx).If(
			clientv3.Compare(clientv3.Value(key), "=", value),
		).Then(
			clientv3.OpPut(s.prefix+fenced+f.Node, record), clientv3.OpDelete(key),
		).Else(
			clientv3.OpPut(s.prefix+fenced+f.Node, record),
		).Commit()
		wg.Wait()
		return errors.Join(put, revoke)
	})
}

// PutConfirm implements lease.Store.
func (s *store) PutConfirm(ctx context.Context, c reconcile.Confirmation) error {
	value, err := encode(c)
	if err != nil {
		return err
	}
	return s.do(ctx, func(ctx context.Context) error {
		_, err := s.Put(ctx, s.prefix+confirms+c.Node, value)
		return err
	})
}

// PutRequest implements lease.Store.
func (s *store) PutRequest(ctx context.Context, r reconcile.Request, ttl time.Duration) error {
	value, err := encode(r)
	if err != nil {
		return err
	}
	return s.do(ctx, func(ctx context.Context) error {
		if ttl >= reconcile.UntilCleared { // else the leases of former ones would pile up
			_, err := s.Put(ctx, s.prefix+requests+r.Group, value)
			return err
		}
		got, err := s.Client.Grant(ctx, seconds(ttl))
		if err != nil {
			return err
		}
		_, err = s.Put(ctx, s.prefix+requests+r.Group, value, clientv3.WithLease(got.ID))
		return err
	})
}

// DeleteRequest implements lease.Store.
func (s *store) DeleteRequest(ctx context.Context, group string) error {
	return s.do(ctx, func(ctx context.Context) error {
		_, err := s.Delete(ctx, s.prefix+requests+group)
		return err
	})
}
