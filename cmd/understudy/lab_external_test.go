//go:build linux

package main

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"

	"understudy/cmd/internal/api"
	"understudy/cmd/internal/lab"
)

// externalOptions is a lab whose file says that somebody else moves addresses and
// disks. There is no witness, and nobody can be fenced.
func externalOptions(groups string, files ...lab.File) lab.Options {
	hosts := slices.DeleteFunc(lab.DefaultHosts(), func(h lab.Host) bool { return h.Name == lab.Witness })
	return lab.Options{Hosts: hosts, Files: files, Config: func(lab.Options) string {
		return `cluster = "lab"
[lease]
store = "external"
[keepalive]
interval = "50ms"
timeout  = "500ms"
[node.alpha]
addresses = { public = "10.7.0.11/24", storage = "10.8.0.11/24" }
[node.beta]
addresses = { public = "10.7.0.12/24", storage = "10.8.0.12/24" }
` + groups
	}}
}

// answers is the lab's own application on one file system and one address.
func answers() string {
	var argv []string
	for _, a := range lab.AppCommand() {
		argv = append(argv, fmt.Sprintf("%q", a))
	}
	return fmt.Sprintf(`
[group.files]
nodes = ["alpha", "beta"]
[[group.files.address]]
label   = "svc"
prefix  = %q
network = "public"
[[group.files.filesystem]]
mount  = %q
device = %q
type   = "ext4"
[[group.files.application]]
name = "answers"
run  = [%s]
`, lab.ServiceAddress, lab.SharedMount, lab.SharedDisk, strings.Join(argv, ", "))
}

// mountPoint is a folder that the installation of every node has.
var mountPoint = lab.File{Path: lab.SharedMount, Folder: true}

const serviceAddress = "10.7.0.50/24"

// bring and take are what a person types.
func (b *bench) bring(host string) {
	b.t.Helper()
	b.run(host, "blockdev", "--flushbufs", lab.SharedDisk) // another host may have written to it
	b.run(host, "mount", lab.SharedDisk, lab.SharedMount)
	b.run(host, "ip", "address", "add", serviceAddress, "dev", lab.PublicNet)
	b.run(lab.Client, "ip", "neighbour", "flush", "all") // nobody announces what a hand adds
}

func (b *bench) take(host string) {
	b.t.Helper()
	b.run(host, "umount", lab.SharedMount)
	b.run(host, "ip", "address", "del", serviceAddress, "dev", lab.PublicNet)
}

// down waits until the application of the group has ended on a host, and fails if
// understudy has touched what is not its own.
func (b *bench) down(host string, left ...string) api.GroupStatus {
	b.t.Helper()
	g := b.until(host, "stopped", func(g api.GroupStatus) bool {
		return g.Flight == nil && slices.ContainsFunc(g.Resources, func(r api.Resource) bool { return r.Kind == "application" && r.State == "absent" })
	})
	for _, r := range g.Resources {
		if r.Kind != "application" && (r.State == "present") != slices.Contains(left, r.Kind) {
			b.t.Errorf("%s: %s %s is %s", host, r.Kind, r.Name, r.State)
		}
	}
	return g
}

// served is serving with the last step done: daemons that were just started are not
// yet verified, and the host name may still be the group's.
func (b *bench) served(host string) api.GroupStatus {
	b.t.Helper()
	return b.until(host, "serving", func(g api.GroupStatus) bool {
		return g.Claim.Holder == host && g.Phase == "serving" && g.Flight == nil
	})
}

func (b *bench) idle(host string) {
	b.t.Helper()
	b.until(host, "standing by", func(g api.GroupStatus) bool { return g.Role == "standby" && g.Flight == nil })
}

// A person moves the mount and the address: it is started when both are there and
// not before, restarted where it dies, stopped when one of them goes, and moved
// there and back with the two words.
func TestExternalByHand(t *testing.T) {
	b := newIdle(t, externalOptions(answers(), mountPoint))
	b.ready(lab.Alpha)
	b.ready(lab.Beta)
	b.run(lab.Alpha, "mount", lab.SharedDisk, lab.SharedMount)
	g := b.until(lab.Alpha, "waiting for the rest", func(g api.GroupStatus) bool { return g.Phase == "waiting" })
	if !strings.Contains(g.Reason, lab.SharedMount+", and not svc (not on any link)") || g.Role != "standby" {
		t.Errorf("%s: %s", g.Role, g.Reason)
	}
	if why := b.understudy(lab.Alpha, "why", "files"); !strings.Contains(why, "not wholly on alpha") || !strings.Contains(why, "not svc") {
		t.Errorf("why: %s", why)
	}
	b.run(lab.Alpha, "ip", "address", "add", serviceAddress, "dev", lab.PublicNet)
	if g := b.served(lab.Alpha); g.Role != "owner" {
		t.Errorf("alpha is %s", g.Role)
	}
	b.ask()

	pid := b.run(lab.Alpha, "pgrep", "-f", "lab-app")
	mark := b.client.Mark()
	b.run(lab.Alpha, "pkill", "-KILL", "-f", "lab-app")
	t.Logf("daemon killed: outage %v", b.outage(mark))
	if now := b.run(lab.Alpha, "pgrep", "-f", "lab-app"); now == pid {
		t.Error("the application was not restarted")
	}
	b.served(lab.Alpha)

	b.run(lab.Alpha, "ip", "address", "del", serviceAddress, "dev", lab.PublicNet)
	b.down(lab.Alpha, "mount")
	b.run(lab.Alpha, "ip", "address", "add", serviceAddress, "dev", lab.PublicNet)
	b.served(lab.Alpha)

	for _, way := range [][2]string{{lab.Alpha, lab.Beta}, {lab.Beta, lab.Alpha}} {
		mark := b.client.Mark()
		b.understudy(way[0], "release", "files")
		b.down(way[0], "mount", "address")
		b.take(way[0])
		b.bring(way[1])
		b.understudy(way[1], "acquire", "files")
		g := b.served(way[1])
		if want := map[string]string{lab.Alpha: "owner", lab.Beta: "takeover"}[way[1]]; g.Role != want {
			t.Errorf("%s is %s", way[1], g.Role)
		}
		t.Logf("moved to %s by hand: outage %v", way[1], b.outage(mark))
		b.idle(way[0])
	}
	if _, errs, code, err := b.Exec(b.ctx, lab.Alpha, "/opt/understudy/bin/understudy", "move", "files", "beta"); err != nil || code != 2 || !strings.Contains(errs, "the other manager does") {
		t.Errorf("move: exit %d, %v: %s", code, err, errs)
	}
	if plan := b.understudy(lab.Alpha, "plan", "--what-if", "address-lost=svc"); !strings.Contains(plan, "1  stop      answers") {
		t.Errorf("plan: %s", plan)
	}
	if status := b.understudy(lab.Alpha, "status"); !strings.Contains(status, "another manager moves addresses and disks") || !strings.Contains(status, "on alpha ·") {
		t.Errorf("status: %s", status)
	}
}

// The program is killed and comes back while the group is served: it carries on. What
// was released while its word still counts stays down across another restart.
func TestExternalSurvivesItsOwnDeath(t *testing.T) {
	b := newIdle(t, externalOptions(answers(), mountPoint))
	b.ready(lab.Alpha)
	b.bring(lab.Alpha)
	b.served(lab.Alpha)
	b.ask()
	pid := b.run(lab.Alpha, "pgrep", "-f", "lab-app")
	again := func() {
		b.must(b.SignalService(b.ctx, lab.Alpha, syscall.SIGKILL))
		_, err := b.WaitEnd(b.ctx, lab.Alpha, "understudy")
		b.must(err)
		b.must(b.StartService(b.ctx, lab.Alpha))
	}
	again()
	b.served(lab.Alpha)
	if now := b.run(lab.Alpha, "pgrep", "-f", "lab-app"); now != pid {
		t.Errorf("the application was restarted: pid %s, was %s", now, pid)
	}
	b.understudy(lab.Alpha, "release", "files")
	again()
	b.until(lab.Alpha, "keeping it down", func(g api.GroupStatus) bool { return g.Event == "yield" && g.Phase == "waiting" })
	b.down(lab.Alpha, "mount", "address")
	b.understudy(lab.Alpha, "acquire", "files")
	b.served(lab.Alpha)
	b.must(b.client.Answered(b.ctx, b.client.Mark(), 20))
}

// externalDCE is the guide's group in a rotating form: it has a host name.
func externalDCE() string {
	return `
[group.dce]
policy   = "rotating"
nodes    = ["alpha", "beta"]
hostname = "dcesvc"

[[group.dce.address]]
label   = "dcesvc"
prefix  = "10.7.0.50/24"
network = "public"
` + lab.DCEFilesystems("dce") + `
[[group.dce.application]]
profile = "dce"
`
}

var dceMounts = []string{"/krb5", "/etc/dce", "/var/dce"}

// bringDCE is bring for the guide's three file systems.
func (b *bench) bringDCE(host string) {
	b.t.Helper()
	for i, m := range dceMounts {
		b.run(host, "blockdev", "--flushbufs", fmt.Sprintf("/dev/shared%d", i))
		b.run(host, "mount", fmt.Sprintf("/dev/shared%d", i), m)
	}
	b.run(host, "ip", "address", "add", serviceAddress, "dev", lab.PublicNet)
}

// The literal case of the guide: somebody else moves the IP label and the disks, and
// understudy purges, sets the host name, starts, and puts the host name back; when
// the label goes, it stops under the group's host name and puts it back again.
func TestExternalDCERotating(t *testing.T) {
	o := externalOptions(externalDCE(), lab.DCEFiles()...)
	o.Disks, o.DiskMiB = lab.DCEDisks, 32
	b := newBare(t, o)
	b.must(b.ConfigureDCE(b.ctx, lab.Alpha, "dced", "secd", "cdsadv", "cdsd"))
	b.must(b.EnableServices(b.ctx))
	name := func(host string) {
		t.Helper()
		if got := strings.TrimSpace(b.run(host, "hostname")); got != host {
			t.Errorf("the host name of %s is %s", host, got)
		}
	}
	b.ready(lab.Alpha)
	b.ready(lab.Beta)
	b.bringDCE(lab.Alpha)
	b.served(lab.Alpha)
	name(lab.Alpha)
	b.run(lab.Alpha, "test", "-s", "/var/dce/dced/Ep.db", "-a", "-s", "/opt/dcelocal/var/security/creds/dcecred_41200001")

	b.run(lab.Alpha, "ip", "address", "del", serviceAddress, "dev", lab.PublicNet) // nobody said a word before
	b.until(lab.Alpha, "stopped", func(g api.GroupStatus) bool { return g.Role == "standby" && g.Flight == nil })
	name(lab.Alpha)
	for _, m := range dceMounts {
		b.run(lab.Alpha, "umount", m)
	}
	b.bringDCE(lab.Beta)
	if g := b.served(lab.Beta); g.Role != "owner" {
		t.Errorf("beta is %s", g.Role)
	}
	name(lab.Beta)
	start := func(node, number string) string {
		return fmt.Sprintf("%s start.dce hostname=dcesvc RPC_UNSUPPORTED_NETADDRS=10.7.0.%s:10.8.0.%s endpoints=none creds=0", node, number, number)
	}
	b.saw(lab.Beta, start("alpha", "11"), "alpha start.dce done", "alpha stop.dce hostname=dcesvc", "alpha stop.dce done",
		start("beta", "12"), "beta start.dce done")
}

// The rule of DFS where nobody keeps claims: who has run it holds its disks until it
// is rebooted. A release says so; a node that has the disks waits for the proof that
// the other has ended, also when it was restarted meanwhile and the other is silent:
// another boot, or a person's word, kept on the node where it was said.
func TestExternalDFSWaitsForTheReboot(t *testing.T) {
	group := strings.NewReplacer("rotating", "cascading", `hostname = "dcesvc"`, "").Replace(externalDCE()) + `
[[group.dce.application]]
profile     = "dfs"
local_paths = [] # no client of DFS
`
	o := externalOptions(group, lab.DCEFiles()...)
	o.Disks, o.DiskMiB = lab.DCEDisks, 32
	b := newBare(t, o)
	b.must(b.ConfigureDCE(b.ctx, lab.Alpha, "dced", "secd", "cdsadv", "cdsd"))
	b.must(b.EnableServices(b.ctx))
	b.ready(lab.Alpha)
	b.ready(lab.Beta)
	release := func(host string) {
		t.Helper()
		out, errs, code, err := b.Exec(b.ctx, host, "/opt/understudy/bin/understudy", "release", "dce")
		if err != nil || code != 4 || !strings.Contains(errs, "dfs has run since the boot of this host and holds them") {
			t.Errorf("release on %s: exit %d, %v: %s%s", host, code, err, out, errs)
		}
		if _, _, code, err := b.Exec(b.ctx, host, "umount", "/var/dce"); err != nil || code == 0 {
			t.Errorf("/var/dce of %s could be unmounted: %v", host, err)
		}
	}
	waiting := func(host, text string) {
		t.Helper()
		b.until(host, "waiting: "+text, func(g api.GroupStatus) bool {
			return g.Role == "standby" && g.Phase == "waiting" && strings.Contains(g.Reason, text)
		})
	}

	b.bringDCE(lab.Alpha)
	b.served(lab.Alpha)
	release(lab.Alpha)
	b.must(b.Crash(b.ctx, lab.Alpha)) // it is shut down
	b.bringDCE(lab.Beta)
	waiting(lab.Beta, "alpha is silent, and must be shut down or rebooted: dfs has run there since its boot")
	b.must(b.SignalService(b.ctx, lab.Beta, syscall.SIGKILL))
	_, err := b.WaitEnd(b.ctx, lab.Beta, "understudy")
	b.must(err)
	b.must(b.StartService(b.ctx, lab.Beta))
	waiting(lab.Beta, "alpha is silent, and must be shut down or rebooted: dfs has run there since its boot")
	b.understudy(lab.Beta, "confirm-down", "alpha", "--yes", "alpha", "--reason", "seen off")
	b.served(lab.Beta)

	b.must(b.Start(b.ctx, lab.Alpha))
	b.ready(lab.Alpha)
	release(lab.Beta)
	b.must(b.Crash(b.ctx, lab.Beta))
	b.bringDCE(lab.Alpha)
	waiting(lab.Alpha, "beta is silent, and must be shut down or rebooted")
	b.must(b.Start(b.ctx, lab.Beta))
	b.served(lab.Alpha)
	b.ready(lab.Beta)
}
