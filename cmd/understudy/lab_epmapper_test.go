//go:build linux

package main

import (
	"context"
	"strings"
	"testing"

	"understudy/cmd/internal/lab"
)

// A server of one's own starts after the mapper and registers in its map, with an
// endpoint that tells which host registered it.
const epmapperGroup = `
[group.rpc]
nodes = ["alpha", "beta"]
settle = "3s"

[[group.rpc.address]]
label   = "rpcsvc"
prefix  = "10.7.0.50/24"
network = "public"

[[group.rpc.filesystem]]
mount  = "/var/dce"
device = "/dev/shared0"
type   = "ext4"

[[group.rpc.application]]
profile = "samba-epmapper"

[[group.rpc.application]]
name = "answers"
run  = ["/bin/sh", "/opt/answers/serve"]
`

const smbConf = `[global]
  server role = standalone server
  interfaces = 10.7.0.50/24
  bind interfaces only = yes
  rpc start on demand helpers = no
  lock directory = /var/dce/samba/lock
  state directory = /var/dce/samba/state
  cache directory = /var/dce/samba/cache
  private dir = /var/dce/samba/private
  pid directory = /var/dce/samba/pid
  ncalrpc dir = /var/dce/samba/ncalrpc
  logging = file
  log file = /var/dce/samba/log
`

// serve registers as samba-dcerpcd itself does: its map's file takes no requests
// from the network (Samba, source3/rpc_server/epmapper/srv_epmapper.c).
const serve = `set -e
tdbtool /var/dce/samba/lock/epmdb.tdb insert \
	'12345678-1234-abcd-ef00-0123456789ab/0x00000001\00' \
	"answers\\00ncacn_ip_tcp:[4711$(wc -c </etc/hostname)]\\00"
sync -f /var/dce/samba/lock/epmdb.tdb
exec sleep 100000
`

// endpoints is the map at an address, as the client sees it.
func (b *bench) endpoints(address string) (string, int) {
	b.t.Helper()
	out, errs, code, err := b.Exec(b.ctx, lab.Client, "rpcclient", "-N", "-c", "epmlookup", "ncacn_ip_tcp:"+address+"[135]")
	b.must(err)
	return out + errs, code
}

// Samba's endpoint mapper, with its map on the shared file system: what a server
// registered on alpha is gone when beta takes over, because the file is deleted
// before the mapper starts, and it is found again as beta's server registers it;
// at the service address, and nowhere else.
func TestEndpointMapIsPurgedAtTakeover(t *testing.T) {
	needs(t, "/usr/libexec/samba/samba-dcerpcd", "/usr/libexec/samba/rpcd_epmapper", "smbcontrol", "rpcclient", "tdbtool")
	nodes, client := []string{lab.Alpha, lab.Beta}, []string{lab.Client}
	b := newBare(t, lab.Options{Groups: epmapperGroup, Files: []lab.File{
		{Path: "/var/dce", Folder: true, Hosts: nodes},
		{Path: "/opt/answers/serve", Content: serve, Hosts: nodes},
		{Path: "/etc/samba/smb.conf", Content: "[global]\n", Hosts: client},
	}})
	b.run(lab.Alpha, "mount", "/dev/shared0", "/var/dce")
	b.run(lab.Alpha, "sh", "-c", "cd /var/dce && mkdir samba && cd samba && mkdir lock state cache private pid ncalrpc && cat >smb.conf <<'E'\n"+smbConf+"E\n")
	b.run(lab.Alpha, "umount", "/var/dce")
	b.must(b.EnableServices(b.ctx))

	const iface = "abstract_syntax=12345678-1234-abcd-ef00-0123456789ab/0x00000001]"
	found := func(host, itself, own, not string) {
		t.Helper()
		b.serving(host)
		var got string
		b.must(b.Wait(b.ctx, "the endpoint of "+host+"'s server", func(context.Context) (bool, error) { // it registers when it runs
			var code int
			got, code = b.endpoints("10.7.0.50")
			return code == 0 && strings.Contains(got, "ncacn_ip_tcp:10.7.0.50["+own+","+iface), nil
		}))
		if !strings.Contains(got, "ncacn_ip_tcp:10.7.0.50[135,") || strings.Contains(got, "["+not+",") {
			t.Errorf("%s serves: %s", host, got)
		}
		if got, code := b.endpoints(itself); code == 0 || !strings.Contains(got, "NT_STATUS_CONNECTION_REFUSED") {
			t.Errorf("%s serves, and a mapper is at %s: exit %d: %s", host, itself, code, got)
		}
	}
	const ofAlpha, ofBeta = "47116", "47115" // 4711, and the length of the host's name with its end of line
	found(lab.Alpha, "10.7.0.11", ofAlpha, ofBeta)
	b.ready(lab.Beta)
	b.must(b.Crash(b.ctx, lab.Alpha))
	found(lab.Beta, "10.7.0.12", ofBeta, ofAlpha)
	// Who deleted it: the file of alpha, before the mapper could start.
	log, err := b.Log(lab.Beta)
	b.must(err)
	purged := strings.Index(log, `"path":"/var/dce/samba/lock/epmdb.tdb","count":1,"names":"epmdb.tdb"`)
	started := strings.Index(log, `"msg":"application started","node":"beta","group":"rpc","app":"samba-epmapper"`)
	if purged < 0 || started < purged {
		t.Errorf("the map was not purged before the mapper started (%d, %d)", purged, started)
	}
	b.must(b.Start(b.ctx, lab.Alpha))
	found(lab.Alpha, "10.7.0.11", ofAlpha, ofBeta)
	b.ready(lab.Beta)
}
