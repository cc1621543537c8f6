//go:build !aix

package etcd

import (
	"context"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// repeated marks the context of a call that await makes again.
type repeated struct{}

// read is a linearizable read. A repetition of it goes through the log, as a
// write does: etcd repeats its own question to the leader only after half a
// second, and lets no other read pass it meanwhile (readIndexRetryTime).
func (s *store) read(ctx context.Context, key string, opts ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	if ctx.Value(repeated{}) == nil {
		return s.Get(ctx, key, opts...)
	}
	// Only a transaction that could write goes through the log. This one cannot:
	// no key was created before the first revision.
	r, err := s.Txn(ctx).If(
		clientv3.Compare(clientv3.CreateRevision(key), "<", 0),
	).Then(
		clientv3.OpDelete(key),
	).Else(
		clientv3.OpGet(key, opts...),
	).Commit()
	if err != nil {
		return nil, err
	}
	got := (*etcdserverpb.RangeResponse)(r.Responses[0].GetResponseRange())
	return &clientv3.GetResponse{Header: r.Header, Kvs: got.Kvs, More: got.More, Count: got.Count}, nil
}
