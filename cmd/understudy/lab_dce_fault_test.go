//go:build linux

package main

import (
	"strings"
	"testing"

	"understudy/cmd/internal/api"
	"understudy/cmd/internal/lab"
)

// Exit status 0 proves nothing: on alpha start.dce starts nothing, on beta secd
// ends at once. Both give up, take back what they had taken, and say what is
// missing; when it is mended, a person's word is enough.
func TestDCEStartThatOnlySaysSo(t *testing.T) {
	b := bareDCE(t, dceGroup("restarts = 0", "start_limit = \"2s\"\nstop_limit = \"3s\"\n"))
	b.fault(lab.Alpha, "start.dce.nothing")
	b.fault(lab.Beta, "start.dce.half")
	b.must(b.EnableServices(b.ctx))
	for _, h := range []string{lab.Alpha, lab.Beta} {
		b.until(h, "giving up", func(g api.GroupStatus) bool { return g.Failed != "" && g.Phase == "blocked" && g.Role == "standby" })
		if _, _, code, err := b.Exec(b.ctx, h, "mountpoint", "-q", "/var/dce"); err != nil || code == 0 {
			t.Errorf("%s still has /var/dce mounted (%v)", h, err)
		}
		if out, _, _, err := b.Exec(b.ctx, h, "pgrep", "-f", "^/opt/dcelocal/bin/"); err != nil || out != "" {
			t.Errorf("%s: daemons are left: %s %v", h, out, err)
		}
	}
	why := b.understudy(lab.Alpha, "why", "dce")
	for _, want := range []string{
		"alpha does not take it: cannot take it up here: start dce: cannot start dce of group dce: /usr/bin/start.dce: dced, secd, cdsadv, cdsd not there",
		"/usr/bin/start.dce: secd not there: it took longer than 2s — mend it, then: understudy clear dce",
	} {
		if !strings.Contains(why, want) {
			t.Errorf("why does not say %q:\n%s", want, why)
		}
	}
	b.mend(lab.Alpha)
	b.mend(lab.Beta)
	b.understudy(lab.Alpha, "clear", "dce")
	b.serving(lab.Alpha)
}

// A stop that does not: on alpha secd ignores SIGTERM, and stop.dce leaves a
// process behind that has a file on /var/dce open. Both are ended, and the group
// moves. On beta the kernel itself keeps a file open: there the group cannot be
// let go, beta says so and serves on, and alpha takes it only when beta is off.
func TestDCEStopThatLeavesThingsBehind(t *testing.T) {
	b := bareDCE(t, dceGroup("fallback = \"never\"", "stop_limit = \"3s\"\n"))
	b.fault(lab.Alpha, "secd.ignore-term")
	b.fault(lab.Alpha, "stop.dce.keep-open")
	b.must(b.EnableServices(b.ctx))
	b.serving(lab.Alpha)
	b.ready(lab.Beta)
	b.understudy(lab.Alpha, "move", "dce", "beta", "--no-wait")
	b.serving(lab.Beta)
	b.ready(lab.Alpha)

	b.fault(lab.Beta, "stop.dce.stuck")
	b.understudy(lab.Alpha, "move", "dce", "alpha", "--no-wait")
	g := b.until(lab.Beta, "not letting go", func(g api.GroupStatus) bool { return g.Error != "" })
	if !strings.Contains(g.Error, "cannot unmount /var/dce: busy, and no holder can be seen from here") {
		t.Errorf("it says %s", g.Error)
	}
	b.serving(lab.Beta)
	if g, err := b.group(lab.Alpha); err != nil || g.Role != "standby" {
		t.Errorf("alpha is %s (%v)", g.Role, err)
	}
	b.must(b.Crash(b.ctx, lab.Beta))
	b.serving(lab.Alpha)
	b.saw(lab.Alpha, "alpha start.dce done", "alpha stop.dce failed: secd, it does not end", "beta start.dce endpoints=none creds=0",
		"beta start.dce done", "beta stop.dce done", "beta start.dce done", "alpha start.dce endpoints=none creds=0", "alpha start.dce done")
}
