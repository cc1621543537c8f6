//go:build linux

package main

import (
	"strings"
	"testing"

	"understudy/cmd/internal/api"
	"understudy/cmd/internal/lab"
)

// A frozen group is left alone: a killed application stays down, and a move is
// refused. It is brought up by hand with the plan that is printed, and thawed it is
// served as ever.
func TestFreezeAndStepByHand(t *testing.T) {
	b := newBench(t, lab.Options{})
	b.ready(lab.Beta)
	if _, errs, code, err := b.Exec(b.ctx, lab.Alpha, "/opt/understudy/bin/understudy", "apply", "files", "--step"); err != nil || code != exitBlocked || !strings.Contains(errs, "understudy freeze files first") {
		t.Errorf("a step of a group that is not frozen: exit %d, %v: %s", code, err, errs)
	}
	out := b.understudy(lab.Beta, "freeze", "files", "--for", "30m", "--reason", "new disks") // on whichever node
	for _, want := range []string{"files is frozen until 20", "what can still stop it", "cannot renew its lease: 4s"} {
		if !strings.Contains(out, want) {
			t.Errorf("freeze lacks %q: %s", want, out)
		}
	}
	b.until(lab.Alpha, "frozen", func(g api.GroupStatus) bool { return len(g.Waits) > 0 && strings.Contains(g.Waits[0], "new disks") })
	if out := b.understudy(lab.Alpha, "status"); !strings.Contains(strings.SplitN(out, "\n", 3)[1], "override: files is frozen by") {
		t.Errorf("status: %s", out)
	}
	if out := b.understudy(lab.Alpha, "why", "files"); !strings.Contains(out, "files is frozen by") {
		t.Errorf("why: %s", out)
	}
	b.run(lab.Alpha, "pkill", "-KILL", "-f", "lab-app")
	b.until(lab.Alpha, "left down", func(g api.GroupStatus) bool { return strings.Contains(g.Because, "nothing is done about this") })
	if _, errs, code, err := b.Exec(b.ctx, lab.Alpha, "/opt/understudy/bin/understudy", "move", "files", "beta"); err != nil || code != exitBlocked || !strings.Contains(errs, "understudy thaw files first") {
		t.Errorf("moved: exit %d, %v: %s", code, err, errs)
	}
	if out := b.understudy(lab.Alpha, "plan", "files"); !strings.Contains(out, "start") || !strings.Contains(out, "waits: frozen by") {
		t.Errorf("plan: %s", out)
	}
	if out := b.understudy(lab.Alpha, "apply", "files", "--step"); !strings.Contains(out, "done: start answers") {
		t.Errorf("step: %s", out)
	}
	b.must(b.client.Answered(b.ctx, b.client.Mark(), 20))
	if out := b.understudy(lab.Alpha, "apply", "files", "--step"); !strings.Contains(out, "nothing to do") {
		t.Errorf("step: %s", out)
	}
	b.understudy(lab.Alpha, "thaw")
	b.run(lab.Alpha, "pkill", "-KILL", "-f", "lab-app")
	b.must(b.client.Answered(b.ctx, b.client.Mark(), 20))
	b.until(lab.Alpha, "serving", func(g api.GroupStatus) bool { return g.Phase == "serving" && len(g.Waits) == 0 })
}

// A drained node hands over, stays without a group over a restart, and gets its group
// back when it is drained no more.
func TestDrain(t *testing.T) {
	b := newBench(t, lab.Options{})
	b.ready(lab.Beta)
	mark := b.client.Mark()
	out := b.understudy(lab.Alpha, "drain", "alpha", "--until-cleared", "--reason", "new memory")
	if !strings.Contains(out, "alpha is drained until it is taken back") || !strings.Contains(out, "taken by beta") {
		t.Errorf("drain: %s", out)
	}
	b.serving(lab.Beta)
	b.must(b.client.Answered(b.ctx, b.client.Mark(), 20))
	t.Logf("outage %s", b.outage(mark))
	if _, err := b.StopService(b.ctx, lab.Alpha); err != nil {
		t.Fatal(err)
	}
	b.must(b.StartService(b.ctx, lab.Alpha))
	b.until(lab.Alpha, "drained after a restart", func(g api.GroupStatus) bool {
		return g.Role == "standby" && !g.Ready && strings.Contains(g.Reason, "drained by") && strings.Contains(g.Reason, "understudy undrain alpha")
	})
	if out := b.understudy(lab.Beta, "why", "files"); !strings.Contains(out, "alpha is drained by") {
		t.Errorf("why: %s", out)
	}
	if _, errs, code, err := b.Exec(b.ctx, lab.Beta, "/opt/understudy/bin/understudy", "move", "files", "alpha"); err != nil || code != exitBlocked || !strings.Contains(errs, "not ready") {
		t.Errorf("moved: exit %d, %v: %s", code, err, errs)
	}
	b.understudy(lab.Beta, "undrain", "alpha")
	b.serving(lab.Alpha)
	b.must(b.client.Answered(b.ctx, b.client.Mark(), 20))
}

// Stopped to be down: everything is let go, and nobody takes it before the node starts
// again.
func TestStopKeepsDown(t *testing.T) {
	b := newBench(t, lab.Options{Top: `stop = "leave"`})
	b.ready(lab.Beta)
	b.understudy(lab.Alpha, "stop", "--mode", "stop", "--reason", "maintenance of the hall")
	g := b.until(lab.Beta, "waiting", func(g api.GroupStatus) bool {
		return g.Claim.Released && len(g.Waits) > 0 && strings.Contains(g.Waits[0], "alpha was stopped with it")
	})
	if !strings.Contains(g.Waits[0], "maintenance of the hall") || !strings.Contains(g.Waits[0], "understudy clear files") {
		t.Errorf("waits: %q", g.Waits)
	}
	if out := b.understudy(lab.Beta, "status"); !strings.Contains(out, "override: files is stopped by alpha") {
		t.Errorf("status: %s", out)
	}
	if out := b.run(lab.Alpha, "cat", "/proc/self/mountinfo"); strings.Contains(out, lab.SharedMount) {
		t.Errorf("alpha has still mounted it: %s", out)
	}
	if ended, err := b.WaitEnd(b.ctx, lab.Alpha, "understudy"); err != nil || ended.Code != 0 {
		t.Fatalf("end: %+v %v", ended, err)
	}
	b.must(b.StartService(b.ctx, lab.Alpha))
	b.serving(lab.Alpha)
	b.must(b.client.Answered(b.ctx, b.client.Mark(), 20))

	// A person may have it elsewhere.
	b.ready(lab.Beta)
	b.understudy(lab.Alpha, "stop", "--mode", "stop")
	b.until(lab.Beta, "waiting", func(g api.GroupStatus) bool { return g.Claim.Released && len(g.Waits) > 0 })
	b.understudy(lab.Beta, "clear", "files")
	b.serving(lab.Beta)
	b.must(b.client.Answered(b.ctx, b.client.Mark(), 20))
}

// The file says what SIGTERM does: with "leave" nothing is touched, the other node waits
// past the keepalive timeout, and the next start carries on.
func TestDeclaredLeave(t *testing.T) {
	b := newBench(t, lab.Options{Top: `stop = "leave"`})
	b.ready(lab.Beta)
	before := b.serving(lab.Alpha)
	mark := b.client.Mark()
	if ended, err := b.StopService(b.ctx, lab.Alpha); err != nil || ended.Code != 0 {
		t.Fatalf("stop: %+v %v", ended, err)
	}
	b.until(lab.Beta, "waiting for alpha to be back", func(g api.GroupStatus) bool {
		return len(g.Waits) > 0 && strings.Contains(g.Waits[0], "alpha ended and left what it holds as it is")
	})
	b.must(b.StartService(b.ctx, lab.Alpha))
	b.must(b.client.Answered(b.ctx, b.client.Mark(), 20))
	if g := b.serving(lab.Alpha); g.Claim.Epoch != before.Claim.Epoch {
		t.Errorf("epoch %d, was %d: %s", g.Claim.Epoch, before.Claim.Epoch, g.Claim.Reason)
	}
	t.Logf("outage %s", b.outage(mark))
}
