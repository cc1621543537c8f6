//go:build !aix

package etcd

import (
	"encoding/json"
	"fmt"
	"strings"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"understudy/reconcile"
)

// The kinds of key below /understudy/<cluster>/. Values are JSON; what follows
// the kind is the name of a group or of a node.
const (
	claims   = "claims/"   // group: reconcile.Claim
	live     = "live/"     // node: alive, under the node's lease
	fenced   = "fenced/"   // node: reconcile.FenceRecord
	confirms = "confirms/" // node: reconcile.Confirmation
	requests = "requests/" // group: reconcile.Request, under a lease of its own
)

// alive is the value of a live key.
type alive struct {
	BootID string `json:"boot_id"`
}

// encode makes the value of a key. Equal values give equal bytes: transactions
// compare them.
func encode(v any) (string, error) {
	b, err := json.Marshal(v)
	return string(b), err
}

// decode reads what encode wrote. What it cannot read is an error, not absent.
func decode(kv *mvccpb.KeyValue, v any) error {
	if err := json.Unmarshal(kv.Value, v); err != nil {
		return fmt.Errorf("cannot read %s at revision %d: %w", kv.Key, kv.ModRevision, err)
	}
	return nil
}

// view makes a view of every key below prefix.
func view(prefix string, kvs []*mvccpb.KeyValue, revision int64) (reconcile.StoreView, error) {
	v := reconcile.StoreView{
		Revision: revision,
		Claims:   map[string]reconcile.Claim{},
		Live:     map[string]string{},
		Fenced:   map[string]reconcile.FenceRecord{},
		Confirms: map[string]reconcile.Confirmation{},
		Requests: map[string]reconcile.Request{},
	}
	for _, kv := range kvs {
		kind, name, ok := strings.Cut(strings.TrimPrefix(string(kv.Key), prefix), "/")
		if !ok {
			continue
		}
		var err error
		switch kind + "/" {
		case claims:
			var c reconcile.Claim
			err = decode(kv, &c)
			c.Revision = kv.ModRevision
			v.Claims[name] = c
		case live:
			var a alive
			err = decode(kv, &a)
			v.Live[name] = a.BootID
		case fenced:
			var f reconcile.FenceRecord
			err = decode(kv, &f)
			v.Fenced[name] = f
		case confirms:
			var c reconcile.Confirmation
			err = decode(kv, &c)
			v.Confirms[name] = c
		case requests:
			var r reconcile.Request
			err = decode(kv, &r)
			v.Requests[name] = r
		}
		if err != nil {
			return reconcile.StoreView{}, err
		}
	}
	return v, nil
}
