//go:build !aix

package etcd

import (
	"testing"

	"go.etcd.io/etcd/api/v3/mvccpb"
)

// FuzzView reads any key and value of the store: what cannot be read is an error,
// and never a claim that is not there.
func FuzzView(f *testing.F) {
	f.Add("claims/g", []byte(`{"group":"g","holder":"alpha","boot_id":"a1","epoch":3}`))
	f.Add("live/alpha", []byte(`{"boot_id":"a1"}`))
	f.Add("fenced/alpha", []byte(`{"node":"alpha","boot_id":"a1","at":"x"}`))
	f.Add("confirms/alpha", []byte(`[]`))
	f.Add("requests/g", []byte(``))
	f.Add("other", []byte("\xff"))
	f.Add("claims/", []byte("null"))
	f.Fuzz(func(t *testing.T, name string, value []byte) {
		kv := &mvccpb.KeyValue{Key: []byte("/understudy/c/" + name), Value: value, ModRevision: 7}
		v, err := view("/understudy/c/", []*mvccpb.KeyValue{kv}, 9)
		if err == nil && v.Revision != 9 {
			t.Errorf("revision %d", v.Revision)
		}
	})
}
