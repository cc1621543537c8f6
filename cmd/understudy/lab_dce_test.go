//go:build linux

package main

import (
	"fmt"
	"strings"
	"testing"

	"understudy/cmd/internal/lab"
	"understudy/cmd/internal/lab/standin"
)

// dceGroup is a group with profile dce on the three file systems of the guide,
// with more keys of the group and of the application.
func dceGroup(more, app string) string {
	return `
[group.dce]
nodes = ["alpha", "beta"]
` + more + `

[[group.dce.address]]
label   = "dcesvc"
prefix  = "10.7.0.50/24"
network = "public"
` + lab.DCEFilesystems("dce") + `
[[group.dce.application]]
profile = "dce"
` + app
}

// newDCE brings up a lab with the stand-ins for DCE and DFS installed, configures
// DCE on the shared disks, and starts understudy. Nobody serves yet.
func newDCE(t *testing.T, groups string, more ...lab.File) *bench {
	t.Helper()
	b := bareDCE(t, groups, more...)
	b.must(b.EnableServices(b.ctx))
	return b
}

// bareDCE is newDCE before understudy is started.
func bareDCE(t *testing.T, groups string, more ...lab.File) *bench {
	t.Helper()
	b := newBare(t, lab.Options{Groups: groups, Disks: lab.DCEDisks, DiskMiB: 32, Files: append(lab.DCEFiles(), more...)})
	b.must(b.ConfigureDCE(b.ctx, lab.Alpha, "dced", "secd", "cdsadv", "cdsd"))
	return b
}

// told are the lines of the stand-ins' log, read where the shared disk is.
func (b *bench) told(host string) []string {
	b.t.Helper()
	return strings.Split(strings.TrimSpace(b.run(host, "cat", standin.LogFile)), "\n")
}

// saw fails unless the log has lines that contain these, in this order.
func (b *bench) saw(host string, want ...string) {
	b.t.Helper()
	lines := b.told(host)
	rest := lines
	for _, w := range want {
		at := -1
		for i, l := range rest {
			if containsAll(l, strings.Fields(w)) {
				at = i
				break
			}
		}
		if at < 0 {
			b.t.Errorf("the stand-ins do not say %q, or not there:\n%s", w, strings.Join(lines, "\n"))
			return
		}
		rest = rest[at+1:]
	}
}

func containsAll(line string, words []string) bool {
	have := " " + line + " "
	for _, w := range words {
		if !strings.Contains(have, " "+w+" ") {
			return false
		}
	}
	return true
}

// mapping is the endpoint map at an address, as the client sees it.
func (b *bench) mapping(address string) string {
	b.t.Helper()
	return b.run(lab.Client, "rpccp", "show", "mapping", "ncacn_ip_tcp:"+address)
}

// Cascading, with the profile itself: after a crash the endpoints and credentials
// of the last holder are gone before start.dce runs, it is told what to keep off
// and called under the node's own name; when the owner is back, stop.dce runs on
// the standby before anything begins on the owner, and the files go again.
func TestDCEFailoverAndReintegrationCascading(t *testing.T) {
	b := newDCE(t, dceGroup("", ""))
	b.serving(lab.Alpha)
	b.ready(lab.Beta)
	if got := b.mapping("10.7.0.50"); strings.Count(got, "10.7.0.50[") != 2 || strings.Contains(got, "10.7.0.11[") || strings.Contains(got, "10.8.") {
		t.Errorf("endpoints: %s", got)
	}
	b.run(lab.Alpha, "test", "-s", "/var/dce/dced/Ep.db", "-a", "-s", "/opt/dcelocal/var/security/creds/dcecred_41200001")

	b.must(b.Crash(b.ctx, lab.Alpha))
	if g := b.serving(lab.Beta); g.Role != "takeover" || g.Claim.Evidence != "fence" {
		t.Errorf("beta is %s by %s", g.Role, g.Claim.Evidence)
	}
	if got := b.mapping("10.7.0.50"); strings.Count(got, "10.7.0.50[") != 2 || strings.Contains(got, "10.7.0.12[") {
		t.Errorf("endpoints: %s", got)
	}
	b.must(b.Start(b.ctx, lab.Alpha))
	if g := b.serving(lab.Alpha); g.Role != "owner" || g.Claim.Evidence != "clean release" {
		t.Errorf("alpha is %s by %s", g.Role, g.Claim.Evidence)
	}
	b.ready(lab.Beta)
	start := func(node, number string) string {
		return fmt.Sprintf("%s start.dce hostname=%s RPC_UNSUPPORTED_NETADDRS=10.7.0.%s:10.8.0.%s endpoints=none creds=0", node, node, number, number)
	}
	b.saw(lab.Alpha, start("alpha", "11"), "alpha start.dce done", start("beta", "12"), "beta start.dce done",
		"beta stop.dce hostname=beta", "beta stop.dce done", start("alpha", "11"), "alpha start.dce done")
}
