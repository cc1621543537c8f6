//go:build linux

package main

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"understudy/cmd/internal/api"
	"understudy/cmd/internal/lab"
)

// mutual is a group of a mutual takeover: an application that needs DCE, with a
// file system and an address of its own.
func mutual(name, nodes, address string, disk int) string {
	return fmt.Sprintf(`
[group.%[1]s]
nodes = [%[2]s]

[[group.%[1]s.address]]
label   = "%[1]ssvc"
prefix  = "%[3]s/24"
network = "public"

[[group.%[1]s.filesystem]]
mount  = "/srv/%[1]s"
device = "/dev/shared%[4]d"
type   = "ext4"

[[group.%[1]s.application]]
name = "%[1]s"
kind = "dce-application"
run  = ["/opt/dcelocal/bin/dceapp", "%[1]s"]
rpc_exclude = true
`, name, nodes, address, disk)
}

const dceClient = `
[[service]]
name    = "dce-client"
kind    = "dce-client"
start   = ["/usr/bin/start.dce"]
stop    = ["/usr/bin/stop.dce"]
daemons = [{ name = "dced", exe = "/opt/dcelocal/bin/dced" }, { name = "cdsadv", exe = "/opt/dcelocal/bin/cdsadv" }]
rpc_exclude = true
`

// groupOn is one of several groups as a host sees it.
func (b *bench) groupOn(host, name, what string, cond func(api.GroupStatus) bool) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, limit)
	defer cancel()
	var last api.Status
	if err := b.Wait(ctx, name+" "+what+" on "+host, func(context.Context) (bool, error) {
		st, err := b.status(host)
		last = st
		for _, g := range st.Groups {
			if g.Group == name && cond(g) {
				return true, err
			}
		}
		return false, err
	}); err != nil {
		b.t.Fatalf("%v; last seen: %+v", err, last)
	}
}

func serves(host string) func(api.GroupStatus) bool {
	return func(g api.GroupStatus) bool {
		return g.Claim.Holder == host && !g.Claim.Released && g.Phase == "serving"
	}
}

// Mutual takeover: each node runs a DCE client of its own and is the home of an
// application. When one is lost, the other takes its application and its address
// beside its own: the application is told to keep to the address it came with; the
// client, the other application and what both have registered stay as they were,
// and nothing is purged.
func TestDCEMutualTakeoverLeavesThePeerAlone(t *testing.T) {
	nodes := []string{lab.Alpha, lab.Beta}
	files := lab.DCEFiles()
	for _, name := range []string{"web", "mail"} {
		files = append(files, lab.File{Path: "/srv/" + name, Folder: true, Hosts: nodes})
	}
	b := newBare(t, lab.Options{Top: `configuration = "mutual-takeover"`, Disks: 2, DiskMiB: 32, Files: files,
		Groups: mutual("web", `"alpha", "beta"`, "10.7.0.50", 0) + mutual("mail", `"beta", "alpha"`, "10.7.0.51", 1) + dceClient})
	for _, h := range nodes { // clients are configured on each, on disks of its own
		b.run(h, "config.dce", lab.CellName, h, "dced", "cdsadv")
	}
	b.must(b.EnableServices(b.ctx))
	b.groupOn(lab.Alpha, "web", "served", serves(lab.Alpha))
	b.groupOn(lab.Beta, "mail", "served", serves(lab.Beta))
	b.groupOn(lab.Beta, "web", "standing by", func(g api.GroupStatus) bool { return g.Ready })

	web, mail := regexp.MustCompile(`web ncacn_ip_tcp:(\S+)\[`), regexp.MustCompile(`mail ncacn_ip_tcp:(\S+)\[\d+\]`)
	only := func(what *regexp.Regexp, at, want string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(b.ctx, limit)
		defer cancel()
		var got string
		if err := b.Wait(ctx, "the endpoint", func(ctx context.Context) (bool, error) { // it registers when it runs
			var err error
			got, _, _, err = b.Exec(ctx, lab.Client, "rpccp", "show", "mapping", "ncacn_ip_tcp:"+at)
			return what.MatchString(got), err
		}); err != nil {
			t.Error(err)
		}
		all := what.FindAllStringSubmatch(got, -1)
		if len(all) != 1 || all[0][1] != want {
			t.Errorf("the map at %s: want one endpoint, of %s:\n%s", at, want, got)
		}
	}
	only(web, "10.7.0.50", "10.7.0.50")
	only(mail, "10.7.0.51", "10.7.0.51")
	pids := func() string { return b.run(lab.Beta, "pgrep", "-f", "^/opt/dcelocal/bin/") }
	before, endpoint := pids(), mail.FindString(b.mapping("10.7.0.51"))
	b.run(lab.Beta, "sh", "-c", "echo ticket >/var/dce/security/creds/dcecred_person")

	b.must(b.Crash(b.ctx, lab.Alpha))
	b.groupOn(lab.Beta, "web", "served", serves(lab.Beta))
	only(web, "10.7.0.50", "10.7.0.50")
	if now := mail.FindString(b.mapping("10.7.0.51")); now != endpoint {
		t.Errorf("mail is at %q, was at %q", now, endpoint)
	}
	after := pids()
	for pid := range strings.Lines(before) {
		if !strings.Contains("\n"+after, "\n"+pid) {
			t.Errorf("beta restarted process %s; they were\n%sand are\n%s", strings.TrimSpace(pid), before, after)
		}
	}
	b.run(lab.Beta, "test", "-s", "/var/dce/security/creds/dcecred_person")
	env := func(name string) string {
		return b.run(lab.Beta, "sh", "-c", `tr '\0' '\n' <"/proc/$(pgrep -f "dceapp `+name+`$")/environ" | grep RPC_UNSUPPORTED_NETADDRS`)
	}
	if got := env("web"); got != "RPC_UNSUPPORTED_NETADDRS=10.7.0.12:10.7.0.51:10.8.0.12\n" {
		t.Errorf("web on beta has %s", got)
	}
	if got := env("mail"); got != "RPC_UNSUPPORTED_NETADDRS=10.7.0.12:10.8.0.12\n" {
		t.Errorf("mail on beta has %s", got)
	}

	b.must(b.Start(b.ctx, lab.Alpha))
	b.run(lab.Alpha, "config.dce", lab.CellName, lab.Alpha, "dced", "cdsadv") // its local disk is the lab's memory
	b.groupOn(lab.Alpha, "web", "served", serves(lab.Alpha))
	only(web, "10.7.0.50", "10.7.0.50")
	if now := mail.FindString(b.mapping("10.7.0.51")); now != endpoint {
		t.Errorf("mail is at %q, was at %q", now, endpoint)
	}
}
