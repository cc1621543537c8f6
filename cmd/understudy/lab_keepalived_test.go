//go:build linux

package main

import (
	"fmt"
	"syscall"
	"testing"

	"understudy/cmd/internal/lab"
)

// keepalivedFiles let keepalived move the address by VRRP, and its notify scripts the
// mount. It has the address before the disk, and gives the address away before the
// disk is free, so that an orderly move begins with the disk. Before the mount goes
// what this kernel remembers of the device from an earlier mount: another host has
// written to it since, and a device that somebody keeps open is not forgotten.
func keepalivedFiles() []lab.File {
	files := []lab.File{mountPoint,
		{Path: "/etc/keepalived/take", Content: `blockdev --flushbufs ` + lab.SharedDisk + ` && mount -t ext4 ` + lab.SharedDisk + ` ` + lab.SharedMount + ` && exec /opt/understudy/bin/understudy acquire files --limit 2m
`},
		{Path: "/etc/keepalived/give", Content: `/opt/understudy/bin/understudy release files --limit 1m && { ! mountpoint -q ` + lab.SharedMount + ` || umount ` + lab.SharedMount + `; }
`}}
	for host, priority := range map[string]int{lab.Alpha: 150, lab.Beta: 100} {
		files = append(files, lab.File{Path: "/etc/keepalived/keepalived.conf", Hosts: []string{host}, Content: fmt.Sprintf(`
global_defs {
  router_id %s
  script_user root
  vrrp_version 3
}
vrrp_instance files {
  state BACKUP
  nopreempt
  interface public
  virtual_router_id 51
  priority %d
  advert_int 1
  virtual_ipaddress {
    %s dev public
  }
  notify_master "/bin/sh /etc/keepalived/take"
  notify_backup "/bin/sh /etc/keepalived/give"
  notify_fault "/bin/sh /etc/keepalived/give"
}
`, host, priority, serviceAddress)})
	}
	return files
}

// keepalived starts it on a host; end ends it in order.
func (b *bench) keepalived(host string) {
	b.t.Helper()
	b.must(b.Spawn(b.ctx, host, "keepalived", "/usr/sbin/keepalived", "--dont-fork", "--log-console", "--log-detail", "--vrrp",
		"--pid", "/run/keepalived.pid", "--vrrp_pid", "/run/vrrp.pid"))
}

// keepalived moves the address there and back, its scripts the mount; a crash of the
// host that serves is its matter as well. understudy follows.
func TestExternalKeepalived(t *testing.T) {
	needs(t, "keepalived")
	b := newIdle(t, externalOptions(answers(), keepalivedFiles()...))
	b.ready(lab.Alpha)
	b.ready(lab.Beta)
	b.keepalived(lab.Alpha)
	if g := b.served(lab.Alpha); g.Role != "owner" {
		t.Errorf("alpha is %s", g.Role)
	}
	b.keepalived(lab.Beta)
	b.ask()
	for _, way := range [][2]string{{lab.Alpha, lab.Beta}, {lab.Beta, lab.Alpha}} {
		mark := b.client.Mark()
		b.run(way[0], "/bin/sh", "/etc/keepalived/give") // the disk first
		b.must(b.Signal(b.ctx, way[0], "keepalived", syscall.SIGTERM))
		_, err := b.WaitEnd(b.ctx, way[0], "keepalived")
		b.must(err)
		b.served(way[1])
		t.Logf("moved to %s by keepalived: outage %v", way[1], b.outage(mark))
		b.idle(way[0])
		b.keepalived(way[0])
	}

	mark := b.client.Mark()
	b.must(b.Crash(b.ctx, lab.Alpha))
	if g := b.served(lab.Beta); g.Role != "takeover" {
		t.Errorf("beta is %s", g.Role)
	}
	t.Logf("crash, by keepalived: outage %v", b.outage(mark))
}
