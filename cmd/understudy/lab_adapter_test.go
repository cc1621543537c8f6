//go:build linux

package main

import (
	"strings"
	"testing"

	"understudy/cmd/internal/api"
	"understudy/cmd/internal/lab"
)

// The adapter that has the service address loses its cable: the address goes to the
// other adapter of the network on the same host, the clients' writes go on, and neither
// the group nor its application notices. It does not go back when the cable is back.
// Then that adapter is cut off with its carrier up, where the other node alone could tell
// and perhaps has lost its own: the address goes to the first again, which works. Then
// the first is cut off, where a third machine is silent too. Only when both are lost
// does the group move.
func TestAdapterLost(t *testing.T) {
	b := newBench(t, lab.Options{Hosts: lab.StandbyHosts(), Timers: lab.TunedTimers})
	b.ready(lab.Beta)
	before := b.serving(lab.Alpha)
	pid := b.run(lab.Alpha, "pgrep", "-f", "lab-app")
	on := func(link string) bool {
		return strings.Contains(b.run(lab.Alpha, "ip", "-o", "address", "show", "dev", link), "10.7.0.50/")
	}
	same := func(when string) {
		t.Helper()
		if g := b.serving(lab.Alpha); g.Claim.Epoch != before.Claim.Epoch {
			t.Errorf("%s: epoch %d, was %d: %s", when, g.Claim.Epoch, before.Claim.Epoch, g.Claim.Reason)
		}
		if now := b.run(lab.Alpha, "pgrep", "-f", "lab-app"); now != pid {
			t.Errorf("%s: the application was restarted: pid %s, was %s", when, now, pid)
		}
	}
	quiet := b.client.Mark()
	b.must(b.client.Answered(b.ctx, quiet, 100))
	t.Logf("before: longest gap %v", b.outage(quiet))
	mark := b.client.Mark()
	b.must(b.LinkDown(b.ctx, lab.Alpha, lab.PublicNet))
	gap := b.outage(mark)
	same("cable pulled")
	if !on(lab.StandbyLink) || on(lab.PublicNet) {
		t.Error("cable pulled: the address is not on the second adapter alone")
	}
	t.Logf("cable pulled: outage %v", gap)
	b.until(lab.Alpha, "saying so", func(api.GroupStatus) bool {
		st, err := b.status(lab.Alpha)
		return err == nil && len(st.Adapters) == 3 && st.Adapters[0].State == "lost" && len(st.Adapters[0].Carries) == 0 &&
			st.Adapters[1].State == "works" && len(st.Adapters[1].Carries) == 1
	})

	b.must(b.LinkUp(b.ctx, lab.Alpha, lab.PublicNet))
	b.must(b.client.Answered(b.ctx, b.client.Mark(), 200)) // beyond every timeout
	same("cable back")
	if !on(lab.StandbyLink) {
		t.Error("cable back: the address has gone back by itself")
	}

	mark = b.client.Mark()
	b.must(b.Cut(b.ctx, lab.Alpha, lab.StandbyLink)) // with its carrier up; the other node alone is on that wire
	gap = b.outage(mark)
	same("second adapter cut off")
	if !on(lab.PublicNet) {
		t.Error("second adapter cut off: the address is not on the first adapter")
	}
	t.Logf("second adapter cut off with its carrier up: outage %v", gap)
	b.must(b.Heal(b.ctx, lab.Alpha, lab.StandbyLink))
	b.must(b.client.Answered(b.ctx, b.client.Mark(), 200))

	mark = b.client.Mark()
	b.must(b.Cut(b.ctx, lab.Alpha, lab.PublicNet)) // with its carrier up
	gap = b.outage(mark)
	same("cut off")
	if !on(lab.StandbyLink) {
		t.Error("cut off: the address is not on the second adapter")
	}
	t.Logf("cut off with its carrier up: outage %v", gap)

	mark = b.client.Mark()
	b.must(b.LinkDown(b.ctx, lab.Alpha, lab.PublicNet, lab.StandbyLink))
	if g := b.serving(lab.Beta); g.Claim.Evidence != "clean release" {
		t.Errorf("both lost: evidence %s", g.Claim.Evidence)
	}
	t.Logf("both lost: outage %v", b.outage(mark))
}
