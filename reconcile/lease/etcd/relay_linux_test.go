package etcd

import (
	"testing"
	"time"
)

// A machine loses one of two networks, with or without a word of it. It and the
// others go on over the other one, and nobody is elected for it.
func TestOneNetworkIsLost(t *testing.T) {
	t.Parallel()
	if !inNamespace(t) {
		return
	}
	hosts := wires(t)
	// What is measured on an idle machine is a third of these or less.
	const told, untold = time.Second, 2 * time.Second
	for _, c := range []struct {
		what, leader, cut, network string
		silent                     bool
	}{
		{"a follower loses its carrier", "witness", "alpha", "a", false},
		{"the leader loses its carrier", "alpha", "alpha", "b", false},
		{"the leader's cable is cut", "alpha", "alpha", "a", true},
		{"a follower's cable is cut", "witness", "alpha", "a", true},
		{"a follower's other cable is cut", "witness", "alpha", "b", true},
		{"the witness's cable is cut as the leader", "witness", "witness", "a", true},
	} {
		lead(t, hosts, c.leader)
		h := hosts[c.cut]
		term := h.last().Term
		began := time.Now()
		limit := untold
		if c.silent {
			h.plug(c.network, false)
		} else {
			h.carrier(c.network, false)
		}
		if !c.silent && c.cut != c.leader {
			limit = told
		}
		over := began.Add(1200 * time.Millisecond) // above the election timeout
		for _, name := range []string{"alpha", "beta"} {
			for _, kind := range []string{"renew", "take"} {
				hosts[name].until(kind+" goes on", func(event) bool { return hosts[name].succeeded(kind, over) })
				gap := hosts[name].gap(kind, began, over)
				t.Logf("%s, network %s: %s did not %s for %s", c.what, c.network, name, kind, gap.Round(time.Millisecond))
				if gap > limit {
					t.Errorf("%s, network %s: %s did not %s for %s", c.what, c.network, name, kind, gap)
				}
			}
		}
		if n := h.last().Term - term; n != 0 && c.cut != c.leader {
			t.Errorf("%s, network %s: %d elections", c.what, c.network, n)
		} else {
			t.Logf("%s, network %s: %d elections", c.what, c.network, n)
		}
		if c.silent {
			h.plug(c.network, true)
		} else {
			h.carrier(c.network, true)
		}
	}
	for name, h := range hosts {
		e := h.usage()
		t.Logf("%s: %d goroutines, %d KiB", name, e.Threads, e.RSS)
		if e.Threads > 400 {
			t.Errorf("%s has %d goroutines", name, e.Threads)
		}
	}
}
