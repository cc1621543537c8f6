package peers

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"understudy/reconcile"
)

func drawPacket(t *rapid.T) packet {
	name := rapid.StringMatching(`[a-z0-9-]{1,12}`)
	ages := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) heardAge {
		h := heardAge{name: name.Draw(t, "name"), ok: rapid.Bool().Draw(t, "ok")}
		if h.ok {
			h.age = time.Duration(rapid.IntRange(0, 1<<31).Draw(t, "age")) * time.Millisecond
		}
		return h
	}), 0, 6)
	k := packet{
		session: session{name.Draw(t, "boot"), rapid.Uint64().Draw(t, "incarnation")}, sequence: rapid.Uint64().Draw(t, "sequence"),
		cluster: name.Draw(t, "cluster"), sender: name.Draw(t, "sender"), receiver: name.Draw(t, "receiver"), network: name.Draw(t, "network"),
		challenge: newNonce(), echo: newNonce(), hears: ages.Draw(t, "hears"), heard: ages.Draw(t, "heard"),
		status: chunk{rapid.Uint32().Draw(t, "version"), rapid.Byte().Draw(t, "index"), rapid.Byte().Draw(t, "of"), rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "text")},
		clock:  rapid.Uint64().Draw(t, "clock"),
	}
	return k
}

func TestPacketIsReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawPacket(t)
		s := newSealer([]byte("key"))
		sealed := s.sign(want.append(nil))
		body := newSealer([]byte("key")).open(sealed)
		var got packet
		if err := got.parse(body, nil); err != nil {
			t.Fatal(err)
		}
		if len(want.hears)+len(got.hears) == 0 {
			got.hears = want.hears
		}
		if len(want.heard)+len(got.heard) == 0 {
			got.heard = want.heard
		}
		if !bytes.Equal(got.status.text, want.status.text) {
			t.Fatal("the status differs")
		}
		got.status.text, want.status.text = nil, nil
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("got %+v\nwant %+v", got, want)
		}
		// One bit changed anywhere, or another key: refused.
		i := rapid.IntRange(0, len(sealed)-1).Draw(t, "byte")
		sealed[i] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		if s.open(sealed) != nil {
			t.Fatal("a damaged packet is accepted")
		}
		if newSealer([]byte("other")).open(s.sign(want.append(nil))) != nil {
			t.Fatal("a packet of another key is accepted")
		}
		// While the key is changed, the first signs and both are believed.
		both := newSealer([]byte("new"), []byte("key"))
		if both.open(s.sign(want.append(nil))) == nil {
			t.Fatal("a packet of the former key is refused")
		}
		if s.open(both.sign(want.append(nil))) != nil || newSealer([]byte("new")).open(both.sign(want.append(nil))) == nil {
			t.Fatal("it is not the first key that signs")
		}
	})
}

func TestPacketCutOff(t *testing.T) {
	k := packet{session: session{"b", 1}, cluster: "c", sender: "s", receiver: "r", network: "n",
		hears: []heardAge{{"n", time.Second, true}}, heard: []heardAge{{"m", 0, false}}, status: chunk{1, 0, 1, []byte("{}")}}
	whole := k.append(nil)
	for n := range whole {
		if new(packet).parse(whole[:n], nil) == nil {
			t.Errorf("%d of %d bytes are accepted", n, len(whole))
		}
	}
	if err := new(packet).parse(append(whole, "what a later version adds"...), nil); err != nil {
		t.Error(err)
	}
	whole[2]++
	if err := new(packet).parse(whole, nil); err == nil || !strings.Contains(err.Error(), "version 2") {
		t.Error(err)
	}
}

func FuzzParse(f *testing.F) {
	k := packet{session: session{"b", 1}, cluster: "c", sender: "s", receiver: "r", network: "n",
		hears: []heardAge{{"n", time.Second, true}}, heard: []heardAge{{"m", 0, false}}, status: chunk{1, 0, 1, []byte("{}")}}
	f.Add(k.append(nil))
	f.Add([]byte("us\x01"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var k packet
		if k.parse(b, nil) != nil {
			return
		}
		if again := k.append(nil); !bytes.HasPrefix(b, again) {
			t.Fatalf("%x is written as %x", b, again)
		}
	})
}

// A status of any size arrives in any order of its pieces, and never in parts.
func TestPieces(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := bytes.Repeat([]byte("x"), rapid.IntRange(0, 2000).Draw(t, "size"))
		parts := cut(want, rapid.IntRange(10, 500).Draw(t, "piece"))
		var s pieces
		index := make([]int, len(parts))
		for i := range index {
			index[i] = i
		}
		for n, i := range rapid.Permutation(index).Draw(t, "permutation") {
			got := s.add(chunk{7, uint8(i), uint8(len(parts)), parts[i]})
			if (got != nil || len(want) == 0) != (n == len(parts)-1) {
				t.Fatalf("after %d of %d pieces: %q", n+1, len(parts), got)
			}
			if n == len(parts)-1 && !bytes.Equal(got, want) {
				t.Fatal("another text came out")
			}
		}
		if s.add(chunk{6, 0, 1, nil}) != nil || s.add(chunk{7, 0, 1, nil}) != nil {
			t.Fatal("an old piece is taken")
		}
	})
}

// A thousand groups fit, with their reasons or without.
func TestLargeStatus(t *testing.T) {
	s := reconcile.NodeStatus{ConfigHash: "x"}
	for i := range 1000 {
		s.Groups = append(s.Groups, reconcile.GroupStatus{Group: fmt.Sprint("group", i), Phase: reconcile.Waiting, Reason: strings.Repeat("because ", 40)})
	}
	out, err := encode(s, 900)
	if err != nil || len(out) > maxPieces {
		t.Fatalf("%d pieces, %v", len(out), err)
	}
}
