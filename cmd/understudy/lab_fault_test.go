//go:build linux

package main

import (
	"strings"
	"syscall"
	"testing"

	"understudy/cmd/internal/api"
	"understudy/cmd/internal/lab"
)

// hanging is the default cluster with an application whose start never returns.
func hanging(o lab.Options) string {
	text := lab.DefaultConfig(o)
	head, _, _ := strings.Cut(text, "[[group.files.application]]")
	return head + `
[[group.files.application]]
name        = "stuck"
start       = ["/usr/bin/sleep", "600"]
stop        = ["/usr/bin/true"]
start_limit = "1s"
daemons     = [{ name = "stuckd", exe = "/opt/stuck/stuckd" }]
`
}

// A start script that hangs is ended at its limit and what was taken up is
// undone; the other node tries; and when that fails too the group stays down and
// both say why, instead of going to and fro.
func TestStartThatHangsOnBothNodesStaysDownAndSaysWhy(t *testing.T) {
	b := newIdle(t, lab.Options{Config: hanging})
	for _, h := range []string{lab.Alpha, lab.Beta} {
		b.until(h, "giving up", func(g api.GroupStatus) bool { return g.Failed != "" && g.Phase == "blocked" && g.Role == "standby" })
	}
	before, err := b.group(lab.Alpha)
	b.must(err)
	if !before.Claim.Released || before.Claim.Epoch != 2 {
		t.Errorf("claim: %+v", before.Claim)
	}
	why := b.understudy(lab.Alpha, "why", "files")
	if !strings.Contains(why, "files is nowhere") || !strings.Contains(why, "longer than 1s") || !strings.Contains(why, "understudy clear files") {
		t.Errorf("why: %s", why)
	}
	for _, h := range []string{lab.Alpha, lab.Beta} {
		if _, _, code, err := b.Exec(b.ctx, h, "mountpoint", "-q", lab.SharedMount); err != nil || code == 0 {
			t.Errorf("%s still has %s mounted (%v)", h, lab.SharedMount, err)
		}
		if out, _, _, err := b.Exec(b.ctx, h, "pgrep", "-x", "sleep"); err != nil || out != "" {
			t.Errorf("%s: the script still runs: %s %v", h, out, err)
		}
	}
	// A person who has mended it lets every node try again; here it fails again on
	// both, with an epoch each and no more than that.
	b.understudy(lab.Alpha, "clear", "files")
	g := b.until(lab.Alpha, "giving up again", func(g api.GroupStatus) bool {
		return g.Claim.Epoch == 4 && g.Claim.Released && g.Failed != "" && g.Phase == "blocked"
	})
	if !g.Claim.Released {
		t.Errorf("claim: %+v", g.Claim)
	}
}

// apply does now what would be tried again later, and only the plan that was
// printed.
func TestApplyTriesAtOnceAndOnlyThePrintedPlan(t *testing.T) {
	b := newBench(t, lab.Options{})
	b.ready(lab.Beta)
	b.must(b.SetPower(b.ctx, lab.Alpha, "fail"))
	b.must(b.Crash(b.ctx, lab.Alpha))
	// The pause between attempts grows; wait until it is long.
	b.until(lab.Beta, "waiting", func(g api.GroupStatus) bool { return g.Phase == "waiting" && g.Error != "" })
	_, errs, code, err := b.Exec(b.ctx, lab.Beta, "/opt/understudy/bin/understudy", "apply", "files", "--expect", "000000")
	if err != nil || code != 4 || !strings.Contains(errs, "understudy plan files") {
		t.Errorf("apply of another plan: exit %d, %v: %s", code, err, errs)
	}
	_, errs, code, err = b.Exec(b.ctx, lab.Beta, "/opt/understudy/bin/understudy", "apply", "files")
	if err != nil || code != 1 || !strings.Contains(errs, "fence") {
		t.Errorf("apply while the fence fails: exit %d, %v: %s", code, err, errs)
	}
	b.must(b.SetPower(b.ctx, lab.Alpha, "ok"))
	b.understudy(lab.Beta, "apply", "files")
	b.serving(lab.Beta)
	b.must(b.client.Answered(b.ctx, b.client.Mark(), 20))
}

// A group that declares self-fence and cannot be let go resets its host: what
// holds the disk there ends with it, and the other boot is evidence.
func TestSelfFenceWhenTheDiskCannotBeLetGo(t *testing.T) {
	b := newBench(t, lab.Options{Group: `on_release_failure = "self-fence"`})
	b.ready(lab.Beta)
	before, err := b.status(lab.Alpha)
	b.must(err)
	// A mount of somebody's below ours is not ours to take off.
	b.run(lab.Alpha, "sh", "-c", "mkdir -p "+lab.SharedMount+"/other && mount -t tmpfs other "+lab.SharedMount+"/other")
	b.understudy(lab.Alpha, "move", "files", "beta", "--no-wait")
	g := b.serving(lab.Beta)
	if e := g.Claim.Evidence; e != "other boot id" && e != "fence" { // whichever was known first
		t.Errorf("evidence: %+v", g.Claim)
	}
	const word = "resets itself: files cannot be let go"
	if why := b.understudy(lab.Beta, "why", "files"); !strings.Contains(why, word) {
		t.Errorf("beta does not know why alpha ended: %s", why)
	}
	if h := b.understudy(lab.Beta, "history", "files"); !strings.Contains(h, "alpha said: it "+word) {
		t.Errorf("nor does its record: %s", h)
	}
	after, err := b.status(lab.Alpha)
	if err == nil && after.BootID == before.BootID {
		t.Error("alpha was not reset")
	}
	b.must(b.client.Answered(b.ctx, b.client.Mark(), 20))
}

// The standby alone is cut off. It must not fence the owner, which serves with a
// majority: silence all round says more about oneself.
func TestCutOffStandbyFencesNobody(t *testing.T) {
	b := newBench(t, lab.Options{})
	b.ready(lab.Beta)
	boot, err := b.status(lab.Alpha)
	b.must(err)
	mark := b.client.Mark()
	b.must(b.Cut(b.ctx, lab.Beta))
	b.until(lab.Beta, "losing its lease", func(g api.GroupStatus) bool { return g.Event == "lease-lost" })
	b.must(b.client.Answered(b.ctx, b.client.Mark(), 200))
	b.must(b.Heal(b.ctx, lab.Beta))
	b.ready(lab.Beta)
	now, err := b.status(lab.Alpha)
	b.must(err)
	if now.BootID != boot.BootID || now.Groups[0].Claim.Epoch != boot.Groups[0].Claim.Epoch {
		t.Errorf("alpha was fenced or lost the group: %+v", now.Groups[0].Claim)
	}
	t.Logf("the longest time without an answer: %v", b.outage(mark))
}

// SIGQUIT leaves at once: nothing is touched, nobody is fenced, and a new start
// carries on.
func TestLeavingTouchesNothing(t *testing.T) {
	b := newBench(t, lab.Options{})
	b.ready(lab.Beta)
	before := b.serving(lab.Alpha)
	mark := b.client.Mark()
	b.must(b.SignalService(b.ctx, lab.Alpha, syscall.SIGQUIT))
	if ended, err := b.WaitEnd(b.ctx, lab.Alpha, "understudy"); err != nil || ended.Code != 0 {
		t.Errorf("end: %+v %v", ended, err)
	}
	b.must(b.StartService(b.ctx, lab.Alpha))
	b.must(b.client.Answered(b.ctx, b.client.Mark(), 400)) // beyond every timeout
	if g := b.serving(lab.Alpha); g.Claim.Epoch != before.Claim.Epoch {
		t.Errorf("epoch %d, was %d: %s", g.Claim.Epoch, before.Claim.Epoch, g.Claim.Reason)
	}
	t.Logf("the longest time without an answer: %v", b.outage(mark))
}
