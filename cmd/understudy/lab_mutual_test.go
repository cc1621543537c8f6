//go:build linux

package main

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"understudy/cmd/internal/api"
	"understudy/cmd/internal/lab"
)

// mutualLog is on a host's own disk: what its applications and hooks were told.
const mutualLog = "/var/lib/understudy/told"

// mutualFiles are an application or a DCE client that only says what it was told
// and stays, and a hook that says what it is about.
func mutualFiles() []lab.File {
	return []lab.File{
		{Path: "/srv/payroll", Folder: true}, {Path: "/srv/orders", Folder: true},
		{Path: "/usr/sbin/lab-app", Content: `#!/bin/sh
# app up NAME SECONDS, app down NAME
case $1 in
up)
	echo "$2 may not use $RPC_UNSUPPORTED_NETADDRS" >>` + mutualLog + `
	setsid sleep $3 </dev/null >/dev/null 2>&1 &
	echo $! >/run/$2.pid ;;
down)
	echo "$2 stops" >>` + mutualLog + `
	kill $(cat /run/$2.pid) ;;
esac
`},
		{Path: "/usr/sbin/lab-told", Content: `#!/bin/sh
echo "hook $UNDERSTUDY_WHEN $UNDERSTUDY_EVENT ${UNDERSTUDY_GROUP:-of nobody} $UNDERSTUDY_FROM$UNDERSTUDY_PEER $UNDERSTUDY_TO" >>` + mutualLog + `
`},
	}
}

func mutualGroups() string {
	app := func(table, name, kind string, seconds int) string {
		return fmt.Sprintf(`
[[%s]]
name = %q
kind = %q
start = ["/bin/sh", "/usr/sbin/lab-app", "up", %[2]q, "%[4]d"]
stop = ["/bin/sh", "/usr/sbin/lab-app", "down", %[2]q]
daemons = [{ name = "d", match = "^sleep %[4]d$" }]
rpc_exclude = true
`, table, name, kind, seconds)
	}
	var b strings.Builder
	for i, g := range [][2]string{{"payroll", `"alpha", "beta"`}, {"orders", `"beta", "alpha"`}} {
		fmt.Fprintf(&b, `
[group.%s]
nodes = [%s]
[[group.%[1]s.address]]
label = %[1]q
prefix = "10.7.0.%[3]d/24"
network = "public"
[[group.%[1]s.filesystem]]
mount = "/srv/%[1]s"
device = "/dev/shared%[4]d"
type = "ext4"
%[5]s`, g[0], g[1], 50+i, i, app("group."+g[0]+".application", g[0], "dce-application", 90001+i))
	}
	b.WriteString(app("service", "dce-client", "dce-client", 90009))
	for _, h := range [][3]string{{"down-stop", "node_down", "pre"}, {"down-start", "node_down", "post"}, {"up-stop", "node_up", "pre"}, {"up-start", "node_up", "post"}} {
		fmt.Fprintf(&b, "\n[[hook]]\nname = %q\nevent = %q\nwhen = %q\ngroup = \"payroll\"\ncommand = [\"/bin/sh\", \"/usr/sbin/lab-told\"]\n", h[0], h[1], h[2])
	}
	b.WriteString("\n[[hook]]\nname = \"page\"\nevent = \"node_down\"\ncommand = [\"/bin/sh\", \"/usr/sbin/lab-told\"]\n")
	return b.String()
}

// both waits until two hosts serve a group each, and every client is up.
func (b *bench) both(payroll, orders string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, limit)
	defer cancel()
	var last api.Status
	for group, host := range map[string]string{"payroll": payroll, "orders": orders} {
		if err := b.Wait(ctx, host+" serves "+group, func(context.Context) (bool, error) {
			st, err := b.status(host)
			last = st
			up := len(st.Services) == 1 && st.Services[0].State == "present"
			for _, g := range st.Groups {
				if g.Group == group {
					return up && g.Phase == "serving" && g.Claim.Holder == host && !g.Claim.Released, err
				}
			}
			return false, err
		}); err != nil {
			b.t.Fatalf("%v; last seen: %+v", err, last)
		}
	}
}

// heard fails unless the log of a host has these lines, in this order.
func (b *bench) heard(host string, want ...string) {
	b.t.Helper()
	text := b.run(host, "cat", mutualLog)
	rest := text
	for _, w := range want {
		_, after, ok := strings.Cut(rest, w+"\n")
		if !ok {
			b.t.Errorf("%s was not told %q, or not there:\n%s", host, w, text)
			return
		}
		rest = after
	}
}

// Mutual takeover of applications, there and back: each is kept to its own address
// wherever it runs, the client of a node to that of the group at home there; what
// runs is not restarted. Around it the guide's hooks, and one that is only told.
func TestMutualTakeover(t *testing.T) {
	b := newIdle(t, lab.Options{Groups: mutualGroups(), Disks: 2, DiskMiB: 32, Files: mutualFiles()})
	b.both(lab.Alpha, lab.Beta)
	b.heard(lab.Alpha, "dce-client may not use 10.7.0.11:10.8.0.11", "payroll may not use 10.7.0.11:10.8.0.11")
	b.heard(lab.Beta, "dce-client may not use 10.7.0.12:10.8.0.12", "orders may not use 10.7.0.12:10.8.0.12")
	pids := func() string { return b.run(lab.Beta, "cat", "/run/orders.pid", "/run/dce-client.pid") }
	before := pids()

	b.must(b.Crash(b.ctx, lab.Alpha))
	b.both(lab.Beta, lab.Beta)
	b.heard(lab.Beta, "payroll may not use 10.7.0.12:10.7.0.51:10.8.0.12", "hook post node_down payroll alpha beta")
	b.heard(lab.Beta, "hook post node_down of nobody alpha ")

	b.must(b.Start(b.ctx, lab.Alpha))
	b.both(lab.Alpha, lab.Beta)
	b.heard(lab.Beta, "hook pre node_up payroll beta alpha", "payroll stops")
	b.heard(lab.Alpha, "dce-client may not use 10.7.0.11:10.8.0.11", "payroll may not use 10.7.0.11:10.8.0.11",
		"dce-client may not use 10.7.0.11:10.8.0.11", "payroll may not use 10.7.0.11:10.8.0.11", "hook post node_up payroll beta alpha")
	if after := pids(); after != before || b.run(lab.Beta, "grep", "-c", "orders", mutualLog) != "1\n" {
		t.Errorf("what ran on beta was restarted: %s, then %s", before, after)
	}

	// A client that dies is started again, and leaving does not stop it.
	b.run(lab.Beta, "sh", "-c", "kill $(cat /run/dce-client.pid)")
	b.both(lab.Alpha, lab.Beta)
	if got := b.understudy(lab.Beta, "why", "dce-client"); !strings.Contains(got, "is a service of beta") {
		t.Errorf("why: %s", got)
	}
	if got := b.understudy(lab.Beta, "history", "@node"); !strings.Contains(got, "start dce-client") || !strings.Contains(got, "hook page") {
		t.Errorf("history: %s", got)
	}
}
