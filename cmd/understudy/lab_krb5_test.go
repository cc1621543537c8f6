//go:build linux

package main

import (
	"strings"
	"testing"

	"understudy/cmd/internal/lab"
)

const krb5Group = `
[group.kdc]
nodes = ["alpha", "beta"]
settle = "3s"

[[group.kdc.address]]
label   = "kdcsvc"
prefix  = "10.7.0.50/24"
network = "public"

[[group.kdc.filesystem]]
mount  = "/krb5"
device = "/dev/shared0"
type   = "ext4"

[[group.kdc.application]]
profile = "krb5-kdc"
`

// The realm's own files: kdc.conf(5), krb5.conf(5).
const (
	kdcConf = `
[kdcdefaults]
  kdc_listen = 10.7.0.50:88
  kdc_tcp_listen = 10.7.0.50:88
[realms]
  LAB.EXAMPLE = {
    database_name = /krb5/principal
    key_stash_file = /krb5/stash
    supported_enctypes = aes256-cts-hmac-sha1-96:normal
  }
[logging]
  kdc = FILE:/krb5/kdc.log
`
	krb5Conf = `
[libdefaults]
  default_realm = LAB.EXAMPLE
  dns_lookup_kdc = false
  dns_lookup_realm = false
  dns_canonicalize_hostname = false
[realms]
  LAB.EXAMPLE = {
    kdc = 10.7.0.50
  }
`
)

// krb5 is a realm in a lab.
type krb5 struct{ *bench }

// admin is kadmin.local on a host that has the realm's file system.
func (k krb5) admin(host, query string) string {
	k.t.Helper()
	return k.run(host, "env", "KRB5_CONFIG=/krb5/krb5.conf", "KRB5_KDC_PROFILE=/krb5/kdc.conf", "kadmin.local", "-q", query)
}

// add makes a principal and gives the client its key.
func (k krb5) add(host, name string) {
	k.t.Helper()
	k.admin(host, "addprinc -randkey "+name)
	k.admin(host, "ktadd -k /krb5/"+name+".keytab "+name)
	key := k.run(host, "base64", "-w0", "/krb5/"+name+".keytab")
	k.run(lab.Client, "sh", "-c", "echo "+key+" | base64 -d >/root/"+name+".keytab")
}

// ticket asks the KDC for a ticket, from the client and with its key.
func (k krb5) ticket(name string) {
	k.t.Helper()
	k.run(lab.Client, "kinit", "-k", "-t", "/root/"+name+".keytab", "-c", "FILE:/root/"+name+".cc", name)
	if list := k.run(lab.Client, "klist", "-c", "FILE:/root/"+name+".cc"); !strings.Contains(list, "krbtgt/LAB.EXAMPLE@LAB.EXAMPLE") {
		k.t.Errorf("%s has no ticket: %s", name, list)
	}
}

// A realm of MIT Kerberos: a ticket is had before and after the power of its host
// is cut, and again when it has gone home; a principal added a moment before the
// cut is there afterwards, and a ticket from before is good.
func TestKerberosRealmOutlivesItsHost(t *testing.T) {
	needs(t, "krb5kdc", "kadmin.local", "kdb5_util", "kinit", "klist", "kvno")
	var files []lab.File
	for _, h := range []string{lab.Alpha, lab.Beta} {
		files = append(files, lab.File{Path: "/krb5", Folder: true, Hosts: []string{h}})
	}
	files = append(files, lab.File{Path: "/etc/krb5.conf", Content: krb5Conf, Hosts: []string{lab.Client}})
	b := newBare(t, lab.Options{Groups: krb5Group, Files: files})
	k := krb5{b}
	b.run(lab.Alpha, "mount", "/dev/shared0", "/krb5")
	b.run(lab.Alpha, "sh", "-c", "cat >/krb5/kdc.conf <<'E'\n"+kdcConf+"E\ncat >/krb5/krb5.conf <<'E'\n"+krb5Conf+"E\n")
	b.run(lab.Alpha, "env", "KRB5_CONFIG=/krb5/krb5.conf", "KRB5_KDC_PROFILE=/krb5/kdc.conf", "kdb5_util", "create", "-s", "-P", "of the lab only")
	k.admin(lab.Alpha, "addprinc -randkey probe/understudy")
	k.admin(lab.Alpha, "ktadd -k /krb5/probe.keytab probe/understudy")
	k.add(lab.Alpha, "alice")
	b.run(lab.Alpha, "umount", "/krb5")
	b.must(b.EnableServices(b.ctx))

	b.serving(lab.Alpha)
	b.ready(lab.Beta)
	k.ticket("alice")
	k.add(lab.Alpha, "bob")
	b.must(b.Crash(b.ctx, lab.Alpha))
	if g := b.serving(lab.Beta); g.Claim.Evidence != "fence" {
		t.Errorf("evidence: %+v", g.Claim)
	}
	k.ticket("bob")
	b.run(lab.Client, "kvno", "-c", "FILE:/root/alice.cc", "probe/understudy") // with the ticket of alpha's KDC
	k.ticket("alice")
	k.add(lab.Beta, "carol")

	b.must(b.Start(b.ctx, lab.Alpha))
	if g := b.serving(lab.Alpha); g.Claim.Evidence != "clean release" {
		t.Errorf("evidence: %+v", g.Claim)
	}
	b.ready(lab.Beta)
	k.ticket("carol")
	if out, _, code, err := b.Exec(b.ctx, lab.Beta, "pgrep", "krb5kdc"); err != nil || code != 1 {
		t.Errorf("a KDC on the standby: %s %v", out, err)
	}
}
