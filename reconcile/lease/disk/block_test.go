package disk

import (
	"bytes"
	"reflect"
	"testing"
	"time"

	"understudy/reconcile"
)

func someBlock(reason string) *block {
	v := (*value)(nil).clone()
	v.Rev = 7
	v.Claims["g"] = claim{Claim: reconcile.Claim{Group: "g", Holder: "x", BootID: "x1", Epoch: 3, Reason: reason, At: time.Date(2024, 2, 29, 1, 2, 3, 4, time.UTC)}, Rev: 6}
	v.Live["x"] = live{ID: 5, Boot: "x1", TTL: 5 * time.Second, Slot: 1}
	v.Done[1] = done{Op: "n/1", Result: 6}
	v = v.clone()
	return &block{Node: "x", Boot: "x1", Nonce: "n", Join: 2, Begun: 9, Voted: 9, Decided: true, Value: v, Beats: map[int64]uint64{5: 44}, seq: 12}
}

// What is written is read; one bit or one sector that is different is not.
func TestBlocks(t *testing.T) {
	key := []byte("k")
	for _, size := range []int{0, 3000, 20000} {
		b := someBlock(bulky(size))
		head, tail, err := b.encode(key, 1)
		if err != nil {
			t.Fatal(err)
		}
		f, err := parseFirst(head, key, 1)
		if err != nil {
			t.Fatal(err)
		}
		if f.tail() != len(tail) || (size > BlockSize) != (len(tail) > 0) {
			t.Errorf("%d bytes: a tail of %d, read as %d", size, len(tail), f.tail())
		}
		got, err := f.block(tail)
		if err != nil {
			t.Fatal(err)
		}
		got.Value = got.Value.clone() // an empty map is read as none
		if !reflect.DeepEqual(got, b) {
			t.Errorf("got %+v, want %+v", got, b)
		}
		if _, err := parseFirst(head, key, 0); err == nil {
			t.Error("it passes in another slot")
		}
		if _, err := parseFirst(head, []byte("l"), 1); err == nil {
			t.Error("it passes with another key")
		}
		for i := range head {
			torn := bytes.Clone(head)
			torn[i] ^= 0x10
			if f, err := parseFirst(torn, key, 1); err == nil {
				t.Fatalf("bit of byte %d: %+v", i, f)
			}
		}
		for i := 0; i < len(tail); i += 97 {
			torn := bytes.Clone(tail)
			torn[i] ^= 0x10
			if _, err := f.block(torn); err == nil {
				t.Fatalf("bit of byte %d of the tail", i)
			}
		}
	}
	if _, _, err := someBlock(bulky(70000)).encode(key, 1); err != errTooBig {
		t.Errorf("what does not fit: %v", err)
	}
}

// Eight nodes and fifty groups fit into a slot.
func TestFiftyGroupsFit(t *testing.T) {
	v := (*value)(nil).clone()
	for i := range 50 {
		g := "group-" + string(rune('a'+i/26)) + string(rune('a'+i%26))
		v.Claims[g] = claim{Claim: reconcile.Claim{
			Group: g, Holder: "node-with-a-long-name", BootID: "329d8ce9-b335-4a8c-8664-0ef54dfa5ab4", From: "another-with-a-long-name", Epoch: uint64(i),
			Evidence: reconcile.Evidence{Kind: reconcile.EvidenceFenced, Detail: bulky(100)}, Reason: bulky(200), Pinned: bulky(50), At: time.Unix(int64(i), 5),
		}, Rev: int64(i)}
	}
	b := &block{Begun: 1, Voted: 1, Value: v}
	if _, tail, err := b.encode([]byte("k"), 0); err != nil || len(tail) > 8*BlockSize {
		t.Errorf("%d blocks behind the first: %v", len(tail)/BlockSize, err)
	}
}

// FuzzBlock gives the parser blocks that pass the checksum and hold anything.
func FuzzBlock(f *testing.F) {
	key := []byte("k")
	head, _, err := someBlock("r").encode(key, 1)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(head, []byte{})
	head, tail, err := someBlock(bulky(9000)).encode(key, 1)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(head, tail)
	f.Add(make([]byte, BlockSize), []byte{})
	f.Fuzz(func(t *testing.T, head, tail []byte) {
		if one, err := parseFirst(head, key, 1); err == nil && one != nil {
			_, _ = one.block(tail)
		}
		if len(head) == BlockSize { // as if whoever wrote it had the key
			copy(head, slotMagic)
			copy(head[8:], []byte{0, 0, 0, version, 0, 0, 0, 1})
			copy(head[blockMAC:], sum(key, head, blockMAC))
			one, err := parseFirst(head, key, 1)
			if err != nil || one == nil {
				return
			}
			if b, err := one.block(tail); err == nil {
				r := reading{blocks: []*block{b, nil}}
				if v, ok := r.decided(); ok {
					v.view(nil)
				}
				if _, _, err := b.encode(key, 1); err != nil && err != errTooBig {
					t.Error(err)
				}
			}
		}
		_, _ = parseHeader(head, key)
	})
}
