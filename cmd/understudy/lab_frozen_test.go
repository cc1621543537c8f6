//go:build linux

package main

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"understudy/cmd/internal/api"
	"understudy/cmd/internal/lab"
)

// The owner's host stops, understudy and its application with it, far past the lease.
// The standby has it switched off and takes over; the one that was frozen never wakes.
func TestFrozenOwnerIsFenced(t *testing.T) {
	b := newBench(t, lab.Options{})
	b.ready(lab.Beta)
	b.must(b.Freeze(b.ctx, lab.Alpha))
	g := b.serving(lab.Beta)
	if g.Claim.Evidence != "fence" {
		t.Errorf("evidence: %+v", g.Claim)
	}
	b.must(b.client.Answered(b.ctx, b.client.Mark(), 100))
}

// The owner's host stops past its lease and its watchdog's deadline, and nobody can
// fence it. When it wakes and its lease does not come back, it is reset by the fallback;
// the standby takes over on the evidence of its other boot, or it does itself. (Its lease
// may be back first where the store answers: then nobody took over, and it goes on.)
func TestFrozenOwnerThatWakesIsReset(t *testing.T) {
	// Its application takes its time, so that it is not let go before the reset.
	b := newBench(t, lab.Options{App: []string{"--stop-delay", "10s"}, Top: "[watchdog]\nmode = \"optional\"\nfallback = \"reboot\"\nrelease = \"500ms\""})
	b.ready(lab.Beta)
	before, err := b.status(lab.Alpha)
	b.must(err)
	if w := before.Watchdog; w == nil || w.Fallback != "reboot" || !w.Holds || w.FedForMS <= 0 {
		t.Fatalf("watchdog: %+v", w)
	}
	if out := b.understudy(lab.Alpha, "status"); !strings.Contains(out, "weaker fallback reboot") {
		t.Errorf("status: %s", out)
	}
	b.must(b.SetPower(b.ctx, lab.Alpha, "fail"))
	b.must(b.Freeze(b.ctx, lab.Alpha))
	frozen := time.Now()
	b.until(lab.Beta, "waiting past the owner's deadline", func(g api.GroupStatus) bool {
		return g.Claim.Holder == lab.Alpha && g.Phase == "waiting" && time.Since(frozen) > 7*time.Second
	})
	b.must(b.Cut(b.ctx, lab.Alpha))
	b.must(b.Thaw(b.ctx, lab.Alpha))
	ctx, cancel := context.WithTimeout(b.ctx, limit)
	defer cancel()
	b.must(b.Wait(ctx, "the reset of alpha", func(ctx context.Context) (bool, error) {
		hosts, err := b.Hosts(ctx)
		i := slices.IndexFunc(hosts, func(h lab.HostState) bool { return h.Name == lab.Alpha })
		return err == nil && hosts[i].On && hosts[i].BootID != before.BootID, err
	}))
	b.must(b.Heal(b.ctx, lab.Alpha))
	b.until(lab.Beta, "another boot of the owner", func(g api.GroupStatus) bool {
		return g.Claim.Epoch > before.Groups[0].Claim.Epoch && !g.Claim.Released
	})
	g, err := b.group(lab.Beta)
	b.must(err)
	if g.Claim.Evidence != "other boot id" {
		t.Errorf("evidence: %+v", g.Claim)
	}
	b.must(b.client.Answered(b.ctx, b.client.Mark(), 100))
}

// A required watchdog that this host has not: nothing on shared storage begins, and
// status says why.
func TestRequiredWatchdogThatIsNotThere(t *testing.T) {
	b := newIdle(t, lab.Options{Top: "[watchdog]\nmode = \"required\"\ndevice = \"/dev/watchdog9\""})
	for _, h := range []string{lab.Alpha, lab.Beta} {
		b.until(h, "the reason", func(g api.GroupStatus) bool {
			st, err := b.status(h)
			return err == nil && st.Watchdog != nil && !st.Watchdog.Ready && strings.Contains(st.Watchdog.Error, "/dev/watchdog9: there is none")
		})
	}
	g := b.until(lab.Alpha, "trying", func(g api.GroupStatus) bool { return strings.Contains(g.Error, "no watchdog guards this host") })
	if g.Claim.Epoch != 0 || g.Failed != "" {
		t.Errorf("claim: %+v, failed %q", g.Claim, g.Failed)
	}
	if _, _, code, err := b.Exec(b.ctx, lab.Alpha, "mountpoint", "-q", lab.SharedMount); err != nil || code == 0 {
		t.Errorf("mounted without a watchdog: %v", err)
	}
}
