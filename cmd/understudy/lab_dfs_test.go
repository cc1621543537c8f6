//go:build linux

package main

import (
	"strings"
	"testing"

	"understudy/cmd/internal/api"
	"understudy/cmd/internal/lab"
)

// dfsGroup is a group with DCE and DFS: an aggregate beside the file systems, and
// more keys of the group and of DFS.
func dfsGroup(more, dfs string) string {
	return dceGroup(more, "") + `
[[group.dce.aggregate]]
device = "` + lab.AggregateDev + `"

[[group.dce.application]]
profile = "dfs"
local_paths = [] # no client of DFS
` + dfs
}

func newDFS(t *testing.T, more, dfs string) *bench {
	t.Helper()
	b := bareDCE(t, dfsGroup(more, dfs))
	b.must(b.ConfigureDFS(b.ctx, lab.Alpha))
	b.must(b.EnableServices(b.ctx))
	b.serving(lab.Alpha)
	b.ready(lab.Beta)
	return b
}

// state is that of one of a group's resources.
func state(g api.GroupStatus, name string) string {
	for _, r := range g.Resources {
		if r.Name == name {
			return r.State
		}
	}
	return "unknown"
}

// boot is a host's boot id, as its resident service says.
func (b *bench) boot(host string) string {
	b.t.Helper()
	st, err := b.status(host)
	b.must(err)
	return st.BootID
}

// DFS, cascading, by hand: the crash takeover starts DCE before DFS. The owner
// comes back, and nothing moves: the kernel of the standby holds the disks until
// it is rebooted, and both nodes say so. A person reboots it, and the owner takes
// the group up with the proof of another boot.
func TestDFSReintegrationWaitsForTheRebootOfTheStandby(t *testing.T) {
	b := newDFS(t, "", "")
	b.must(b.Crash(b.ctx, lab.Alpha))
	if g := b.serving(lab.Beta); g.Claim.Evidence != "fence" || g.Dirty != "dfs" {
		t.Errorf("beta: %s, dirty %q", g.Claim.Evidence, g.Dirty)
	}
	b.must(b.Start(b.ctx, lab.Alpha))
	b.ready(lab.Alpha)
	const waits = "alpha is back, has higher priority and is ready, but dfs has run here since its boot"
	b.until(lab.Beta, "waiting for its reboot", func(g api.GroupStatus) bool {
		return g.Phase == "serving" && len(g.Waits) > 0 && strings.HasPrefix(g.Waits[0], waits)
	})
	for host, want := range map[string]string{
		lab.Alpha: "beta, dce: alpha is back", // what beta waits for, told by alpha
		lab.Beta:  "needs a reboot to let go: dfs has run on beta since its boot",
	} {
		if got := b.understudy(host, "status"); !strings.Contains(got, want) {
			t.Errorf("status of %s does not say %q:\n%s", host, want, got)
		}
	}

	// A person's word stops it there. Nothing is unmounted, and alpha does not take it.
	b.understudy(lab.Alpha, "move", "dce", "alpha", "--no-wait")
	g := b.until(lab.Beta, "stopped", func(g api.GroupStatus) bool {
		return len(g.Waits) > 0 && g.Flight == nil && state(g, "dfs") == "absent" && state(g, "dce") == "absent"
	})
	if want := "beta must be shut down or rebooted: dfs has run here since its boot and holds the disks — reboot beta; alpha takes dce up when beta has another boot id or is proven off"; g.Waits[0] != want {
		t.Errorf("beta waits for %q, want %q", g.Waits[0], want)
	}
	if state(g, "/var/dce") != "present" || state(g, "/krb5") != "present" {
		t.Errorf("beta unmounted: %+v", g.Resources)
	}
	if g, err := b.group(lab.Alpha); err != nil || g.Role != "standby" {
		t.Errorf("alpha is %s (%v)", g.Role, err)
	}
	b.must(b.Crash(b.ctx, lab.Beta))
	b.must(b.Start(b.ctx, lab.Beta))
	if g := b.serving(lab.Alpha); g.Claim.Evidence != "other boot id" {
		t.Errorf("evidence: %+v", g.Claim)
	}
	b.ready(lab.Beta)
	b.saw(lab.Alpha, "alpha start.dce endpoints=none", "alpha start.dce done", "alpha start.dfs", "alpha start.dfs done, "+lab.AggregateDev+",",
		"beta start.dce endpoints=none", "beta start.dce done", "beta start.dfs", "beta stop.dfs", "beta stop.dfs done,", "beta stop.dce", "beta stop.dce done",
		"alpha start.dce endpoints=none", "alpha start.dce done", "alpha start.dfs")
}

// The same where the file declares that the node reboots itself: stop.dfs, stop.dce,
// the reboot, and then the owner.
func TestDFSReintegrationByAutomaticReboot(t *testing.T) {
	b := newDFS(t, `reboot = "automatic"`, "")
	b.must(b.Crash(b.ctx, lab.Alpha))
	b.serving(lab.Beta)
	before := b.boot(lab.Beta)
	b.must(b.Start(b.ctx, lab.Alpha))
	if g := b.serving(lab.Alpha); g.Claim.Evidence != "other boot id" {
		t.Errorf("evidence: %+v", g.Claim)
	}
	b.ready(lab.Beta)
	if b.boot(lab.Beta) == before {
		t.Error("beta was not rebooted")
	}
	b.saw(lab.Alpha, "beta start.dfs", "beta stop.dfs", "beta stop.dfs done,", "beta stop.dce", "beta stop.dce done", "alpha start.dce endpoints=none", "alpha start.dfs")
}

// A start.dfs that fails on the standby: DFS and DCE are stopped there, and nothing
// is unmounted, for the kernel may hold the disks by now. The owner, back meanwhile,
// takes the group when the standby has been shut down.
func TestDFSFailedStartIsUndoneByAReboot(t *testing.T) {
	b := newDFS(t, "restarts = 0", `start_limit = "2s"
stop_limit = "3s"
daemons = [ # the stand-in's stop.dfs ends them all
	{ name = "bosserver", exe = "/opt/dcelocal/bin/bosserver" },
	{ name = "fxd", exe = "/opt/dcelocal/bin/fxd" },
	{ name = "dfsbind", exe = "/opt/dcelocal/bin/dfsbind" },
]
`)
	b.fault(lab.Beta, "start.dfs.half")
	b.must(b.Crash(b.ctx, lab.Alpha))
	g := b.until(lab.Beta, "waiting for its reboot", func(g api.GroupStatus) bool {
		return len(g.Waits) > 0 && g.Flight == nil && state(g, "dce") == "absent" && strings.Contains(g.Waits[0], "reboot")
	})
	if want := "beta must be shut down or rebooted: dfs has run here since its boot and holds the disks"; !strings.HasPrefix(g.Waits[0], want) {
		t.Errorf("beta waits for %q, want %q", g.Waits[0], want)
	}
	if !strings.Contains(g.Failed, "fxd, dfsbind not there") {
		t.Errorf("beta failed: %s", g.Failed)
	}
	if state(g, "/var/dce") != "present" {
		t.Errorf("beta unmounted: %+v", g.Resources)
	}
	b.must(b.Start(b.ctx, lab.Alpha))
	b.ready(lab.Alpha)
	b.must(b.Crash(b.ctx, lab.Beta)) // shut down, and a person says so; alpha gives it time to boot
	b.until(lab.Alpha, "giving beta time", func(g api.GroupStatus) bool {
		return strings.HasPrefix(g.Reason, "beta stood still to be shut down or rebooted, and is silent")
	})
	b.understudy(lab.Alpha, "confirm-down", "beta", "--yes", "beta", "--reason", "shut down")
	if g := b.serving(lab.Alpha); g.Claim.Evidence != "operator" {
		t.Errorf("evidence: %+v", g.Claim)
	}
	b.must(b.Start(b.ctx, lab.Beta))
	b.until(lab.Beta, "remembering that it failed", func(g api.GroupStatus) bool { return g.Failed != "" && g.Phase == "blocked" && g.Role == "standby" })
	b.understudy(lab.Beta, "clear", "dce") // mended, says a person
	b.ready(lab.Beta)
	b.saw(lab.Alpha, "beta start.dce", "beta start.dfs", "beta stop.dfs", "beta stop.dce done", "alpha start.dce endpoints=none creds=0", "alpha start.dfs")
}
