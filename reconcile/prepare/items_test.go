package prepare

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"net/netip"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"understudy/config"
	"understudy/reconcile"
)

var update = flag.Bool("update", false, "rewrite the golden texts")

// file is the guide's example: boot adapter 9.3.240.1, service 9.3.240.2, standby
// 9.3.240.66, DCE and DFS on shared file systems, the cache on each node's own disk.
const file = `
cluster = "cell1"
[witness]
address = "9.3.240.13"
[node.alpha]
addresses = { public = "9.3.240.1/24" }
fence = { agent = "fence_ipmilan" }
[node.beta]
addresses = { public = "9.3.240.1/24" }
fence = { agent = "fence_ipmilan" }
[group.dce]
policy = "POLICY"
nodes = ["alpha", "beta"]
[[group.dce.address]]
label = "dcesvc"
prefix = "9.3.240.2/24"
network = "public"
[[group.dce.filesystem]]
mount = "/krb5"
device = "/dev/krb5"
type = "ext4"
[[group.dce.filesystem]]
mount = "/etc/dce"
device = "/dev/etcdce"
type = "ext4"
[[group.dce.filesystem]]
mount = "/var/dce"
device = "/dev/vardce"
type = "ext4"
[[group.dce.filesystem]]
mount = "/var/dce/adm/dfs/cache"
device = "/dev/cache"
type = "ext4"
local = true
[[group.dce.application]]
name = "dce"
kind = "dce-server"
roles = ["security", "cds"]
start = ["/usr/bin/start.dce"]
stop = ["/usr/bin/stop.dce"]
daemons = [{ name = "dced", exe = "/opt/dcelocal/bin/dced" }]
configured = ["/etc/dce/dce_cf.db"]
rpc_exclude = true
rpc_interfaces = ["RPC_UNSUPPORTED_NETIFCS", "RPC_UNSUPPORTED_NETIFS"]
requirements = [{ name = "DCE", command = ["/usr/bin/dce-level", "-v"], at_least = "3.1" }]
[[group.dce.application]]
name = "dfs"
kind = "dfs-server"
roles = ["file-server"]
start = ["/usr/bin/start.dfs"]
stop = ["/usr/bin/stop.dfs"]
daemons = [{ name = "bosserver", exe = "/opt/dcelocal/bin/bosserver" }]
reboot_to_release = true
[[hook]]
name = "page"
event = "takeover"
when = "post"
group = "dce"
command = ["/usr/local/sbin/page"]
`

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func parsed(t testing.TB, edits ...string) *config.Config {
	t.Helper()
	text := strings.NewReplacer(append(edits, "POLICY", "cascading", `[node.beta]
addresses = { public = "9.3.240.1/24" }`, `[node.beta]
addresses = { public = "9.3.240.67/24" }`)...).Replace(file)
	c, err := config.Parse("test.toml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// ready are the facts of a node on which everything is as it should be, with nothing
// of the group on it.
func ready(c *config.Config, node string) *Facts {
	f := &Facts{
		Node: node, StateDir: "/var/lib/understudy", Cell: "cell1", CellFrom: "the word of alpha",
		Paths: map[string]reconcile.Seen[Path]{}, Names: map[string]reconcile.Seen[[]netip.Addr]{}, Versions: map[string]reconcile.Seen[Output]{},
	}
	own := c.Node(node).Addresses[0].Prefix
	second := netip.MustParsePrefix("9.3.240.66/24") // the standby adapter
	if node == "beta" {
		second = netip.MustParsePrefix("9.3.240.68/24")
	}
	f.Snapshot = reconcile.Snapshot{
		At: noon, Node: node, Mounts: reconcile.Read([]reconcile.Mount{}, noon),
		Addrs: reconcile.Read([]reconcile.Addr{
			{Link: "lo", Prefix: netip.MustParsePrefix("127.0.0.1/8")}, {Link: "en0", Prefix: own},
			{Link: "en1", Prefix: second}, {Link: "en0", Prefix: netip.MustParsePrefix("fe80::1/64")},
		}, noon),
	}
	var devices []reconcile.Device
	for _, g := range c.Groups {
		for i, fs := range g.Filesystems {
			devices = append(devices, reconcile.Device{Path: fs.Device, Present: true, Major: 8, Minor: uint32(i)})
		}
		for _, a := range g.Addresses {
			f.Names[a.Label] = reconcile.Read([]netip.Addr{a.Prefix.Addr()}, noon)
		}
		if g.Hostname != "" {
			f.Names[g.Hostname] = reconcile.Read([]netip.Addr{g.Addresses[0].Prefix.Addr()}, noon)
		}
	}
	f.Snapshot.Devices = reconcile.Read(devices, noon)
	for _, a := range append(Asks(c, node, f.StateDir), WireAsks(c, node, &f.Snapshot)...) {
		p := Path{}
		switch {
		case a.List || a.Path == fileSpace:
			p = Path{Kind: Directory, Mode: 0o755 | os.ModeDir}
		case a.Path == f.StateDir:
			p = Path{Kind: Directory, Mode: 0o700 | os.ModeDir}
		case a.Path == c.KeyFile:
			p = Path{Kind: RegularFile, Mode: 0o600, Data: []byte("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n")}
		case a.Path == EnvironmentFile:
			p = Path{Kind: RegularFile, Mode: 0o644, Data: []byte("PATH=/bin\n")}
			for _, v := range [][2]string{{netAddrs, own.Addr().String() + ":" + second.Addr().String()}, {"RPC_UNSUPPORTED_NETIFCS", "en1"}, {"RPC_UNSUPPORTED_NETIFS", "en1"}} {
				p.Data, _ = PutVariable(p.Data, v[0], v[1])
			}
		case a.Path == ServicesFile:
			p = Path{Kind: RegularFile, Mode: 0o644, Data: []byte(KerberosLine + "\n")}
		case a.Path == dfsLink:
			p = Path{Kind: Link, Target: "/.../cell1/fs"}
		case a.Path == cellLink:
			p = Path{Kind: Link, Target: "/.../cell1"}
		case a.Digest || a.Path == "/usr/sbin/fence_ipmilan":
			p = Path{Kind: RegularFile, Mode: 0o755, Digest: "d-" + a.Path}
		case a.Kernel:
			value := map[string]string{"arp_ignore": "1\n", "arp_announce": "2\n", "rp_filter": "0\n"}[path.Base(a.Path)]
			p = Path{Kind: RegularFile, Data: []byte(value)}
		}
		f.Paths[a.Path] = reconcile.Read(p, noon)
	}
	for _, argv := range Commands(c, node) {
		f.Versions[VersionKey(argv)] = reconcile.Read(Output{Text: "DCE 3.1.0.2"}, noon)
	}
	other := "alpha"
	if node == other {
		other = "beta"
	}
	peer := PeerFact{Name: other, Heard: true, ConfigHash: c.Hash, Cell: "cell1", ClockKnown: true, Clock: 2 * time.Second, Programs: map[string]string{}}
	f.Resident = Resident{Answers: true, Groups: map[string]GroupFact{}, Peers: []PeerFact{peer}}
	for i := range c.Groups {
		f.Resident.Groups[c.Groups[i].Name] = GroupFact{Clean: true, Rehearsed: noon}
		peer.Programs[c.Groups[i].Name] = Digest(c, &c.Groups[i], f.Paths)
	}
	return f
}

func put(f *Facts, path string, p Path) { f.Paths[path] = reconcile.Read(p, noon) }

func mount(f *Facts, points ...string) {
	for _, p := range points {
		f.Snapshot.Mounts.Value = append(f.Snapshot.Mounts.Value, reconcile.Mount{Point: p})
	}
}

func text(data string) Path { return Path{Kind: RegularFile, Mode: 0o644, Data: []byte(data)} }

// TestReadyNode has nothing to be told of a node that is ready, on either side.
func TestReadyNode(t *testing.T) {
	for _, policy := range []string{`"cascading"`, `"rotating"` + "\nhostname = \"dcesvc\""} {
		for _, node := range []string{"alpha", "beta"} {
			c := parsed(t, `"POLICY"`, policy)
			for _, it := range Items(c, ready(c, node)) {
				if it.Matters() {
					t.Errorf("%s, %s: %s %s: %s", policy, node, it.State, it.Name, it.Seen)
				}
			}
		}
	}
}

func TestItems(t *testing.T) {
	io := errors.New("input/output error")
	unread := func(path string) func(*Facts) {
		return func(f *Facts) { f.Paths[path] = reconcile.Unread[Path](io, noon) }
	}
	for _, c := range []struct {
		name, node, item string
		change           func(*Facts)
		want             State
		seen, way        string
	}{
		{"S90 another file", "beta", "configuration file", func(f *Facts) { f.Resident.Peers[0].ConfigHash = "0123456789" }, Blocked, "alpha runs 01234567", "copy"},
		{"S90 nobody heard", "beta", "configuration file", func(f *Facts) { f.Resident = Resident{} }, Unknown, "no other node is heard", "copy"},
		{"S90 no key, first", "alpha", "shared key", func(f *Facts) { put(f, "/etc/understudy/cluster.key", Path{}) }, ToDo, "not there", "scp -p"},
		{"S90 no key, second", "beta", "shared key", func(f *Facts) { put(f, "/etc/understudy/cluster.key", Path{}) }, ByHand, "not there", "scp -p alpha:"},
		{"S90 key for all", "beta", "shared key", func(f *Facts) { put(f, "/etc/understudy/cluster.key", text("x")) }, Blocked, "mode 0644", "chmod 600"},
		{"S90 short key", "beta", "shared key", func(f *Facts) {
			put(f, "/etc/understudy/cluster.key", Path{Kind: RegularFile, Mode: 0o600, Data: []byte("c2hvcnQ=")})
		}, Blocked, "not base64 of 32", "move it away"},
		{"S90 key unread", "beta", "shared key", unread("/etc/understudy/cluster.key"), Unknown, "input/output error", "by hand"},
		{"S90 no state", "beta", "state folder /var/lib/understudy", func(f *Facts) { put(f, "/var/lib/understudy", Path{}) }, ToDo, "not there", ""},
		{"S90 state of others", "beta", "state folder /var/lib/understudy", func(f *Facts) {
			put(f, "/var/lib/understudy", Path{Kind: Directory, Mode: 0o777})
		}, Blocked, "mode 0777", "chmod 700"},
		{"clock two minutes off", "beta", "clocks", func(f *Facts) { f.Resident.Peers[0].Clock = -121 * time.Second }, ByHand, "121 s from alpha", "NTP"},
		{"clock five minutes off", "beta", "clocks", func(f *Facts) { f.Resident.Peers[0].Clock = 300 * time.Second }, Blocked, "300 s", "NTP"},
		{"no fence agent", "beta", "fence agent for alpha", func(f *Facts) { put(f, "/usr/sbin/fence_ipmilan", Path{}) }, Blocked, "not there", "install"},

		{"S30 not in hosts", "beta", "name dcesvc", func(f *Facts) { f.Names["dcesvc"] = reconcile.Read[[]netip.Addr](nil, noon) }, ByHand, "does not resolve", "9.3.240.2"},
		{"S30 elsewhere", "beta", "name dcesvc", func(f *Facts) {
			f.Names["dcesvc"] = reconcile.Read([]netip.Addr{netip.MustParseAddr("9.3.240.9")}, noon)
		}, Blocked, "9.3.240.9", "correct"},
		{"S30 two addresses", "beta", "name dcesvc", func(f *Facts) {
			f.Names["dcesvc"] = reconcile.Read([]netip.Addr{netip.MustParseAddr("9.3.240.2"), netip.MustParseAddr("9.3.240.9")}, noon)
		}, Blocked, "9.3.240.9", "correct"},
		{"S30 no answer", "beta", "name dcesvc", func(f *Facts) { delete(f.Names, "dcesvc") }, Unknown, "not read", "by hand"},

		{"S93 no mount point", "alpha", "mount point /krb5", func(f *Facts) { put(f, "/krb5", Path{}) }, ToDo, "not there", ""},
		{"S93 mount point is a file", "alpha", "mount point /krb5", func(f *Facts) { put(f, "/krb5", text("")) }, Blocked, "a file", "remove"},
		{"S93 files below it", "alpha", "mount point /krb5", func(f *Facts) {
			put(f, "/krb5", Path{Kind: Directory, Entries: []string{"krb.conf", "v5srvtab"}})
		}, Blocked, "not empty: krb.conf, v5srvtab", "move it away"},
		{"S93 mounted", "alpha", "mount point /krb5", func(f *Facts) {
			mount(f, "/krb5")
			put(f, "/krb5", Path{Kind: Directory, Entries: []string{"krb.conf"}})
		}, Done, "mounted now", ""},
		{"S70 cache below what is not here", "alpha", "mount point /var/dce/adm/dfs/cache", nil, Unknown, "lies on /var/dce, which is not mounted", "taken up"},
		{"S70 cache below what is here", "alpha", "mount point /var/dce/adm/dfs/cache", func(f *Facts) {
			mount(f, "/var/dce")
			put(f, "/var/dce/adm/dfs/cache", Path{})
		}, ToDo, "not there", ""},
		{"S93 mounts unread", "alpha", "mount point /krb5", func(f *Facts) { f.Snapshot.Mounts = reconcile.Unread[[]reconcile.Mount](io, noon) }, Unknown, "input/output", ""},
		{"S105 fstab at boot", "beta", "no automount of /krb5", func(f *Facts) { put(f, FstabFile, text("/dev/krb5 /krb5 ext4 defaults 0 2\n")) }, ToDo, "line 1 of /etc/fstab mounts /dev/krb5 at boot", "daemon-reload"},
		{"S105 fstab by another name", "beta", "no automount of /krb5", func(f *Facts) {
			put(f, FstabFile, text("UUID=1-2 /mnt ext4 defaults 0 2\n"))
			f.Same = map[string]string{"UUID=1-2": "/dev/krb5"}
		}, ToDo, "mounts UUID=1-2 at boot", ""},
		{"S105 fstab by hand", "beta", "no automount of /krb5", func(f *Facts) { put(f, FstabFile, text("/dev/krb5 /krb5 ext4 noauto 0 0\n")) }, Done, "noauto", ""},
		{"S105 unit", "beta", "no automount of /krb5", func(f *Facts) {
			put(f, "/etc/systemd/system/local-fs.target.wants/krb5.mount", Path{Kind: Link, Target: "/etc/systemd/system/krb5.mount"})
		}, Blocked, "krb5.mount mounts it at boot", "systemctl disable --now krb5.mount"},
		{"S105 automount unit", "beta", "no automount of /var/dce", func(f *Facts) { put(f, "/etc/systemd/system/var-dce.automount", text("")) }, Blocked, "var-dce.automount", "disable"},
		{"S105 masked unit", "beta", "no automount of /var/dce", func(f *Facts) {
			put(f, "/etc/systemd/system/var-dce.automount", Path{Kind: Link, Target: "/dev/null"})
		}, Done, "no line", ""},
		{"S36 no disk", "beta", "device /dev/krb5", func(f *Facts) { f.Snapshot.Devices.Value[0].Present = false }, Blocked, "not there", "attach"},
		{"S36 disks unread", "beta", "device /dev/krb5", func(f *Facts) { f.Snapshot.Devices = reconcile.Unread[[]reconcile.Device](io, noon) }, Unknown, "input/output", ""},

		{"S43 no line", "alpha", netAddrs, func(f *Facts) { put(f, EnvironmentFile, text("PATH=/bin\n")) }, ToDo, "no such line", "new sessions"},
		{"S43 no file", "alpha", netAddrs, func(f *Facts) { put(f, EnvironmentFile, Path{}) }, ToDo, "no such line", ""},
		{"S43 another value", "alpha", netAddrs, func(f *Facts) { put(f, EnvironmentFile, text(netAddrs+"=9.3.240.1\n")) }, ToDo, "it is 9.3.240.1", ""},
		{"S43 another order", "alpha", netAddrs, func(f *Facts) { put(f, EnvironmentFile, text(netAddrs+"=9.3.240.66:9.3.240.1\n")) }, Done, "", ""},
		{"S43 two lines", "alpha", netAddrs, func(f *Facts) {
			put(f, EnvironmentFile, text(netAddrs+"=9.3.240.1:9.3.240.66\n"+netAddrs+"=9.3.240.1:9.3.240.66\n"))
		}, ToDo, "there are 2 lines", ""},
		{"S43 unread", "alpha", netAddrs, unread(EnvironmentFile), Unknown, "input/output", ""},
		{"S41 own address down", "alpha", netAddrs, func(f *Facts) { f.Snapshot.Addrs.Value = f.Snapshot.Addrs.Value[2:] }, Blocked, "9.3.240.1 of this node is on no link", "bring"},
		{"S41 addresses unread", "alpha", netAddrs, func(f *Facts) { f.Snapshot.Addrs = reconcile.Unread[[]reconcile.Addr](io, noon) }, Unknown, "input/output", ""},
		{"S41 service address here", "alpha", netAddrs, func(f *Facts) {
			f.Snapshot.Addrs.Value = append(f.Snapshot.Addrs.Value, reconcile.Addr{Link: "en0", Prefix: netip.MustParsePrefix("9.3.240.2/24")})
		}, Done, "the line is there", ""},
		{"S42 eleven", "alpha", netAddrs, func(f *Facts) {
			for i := range 9 {
				f.Snapshot.Addrs.Value = append(f.Snapshot.Addrs.Value, reconcile.Addr{Link: "en2", Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)}), 24)})
			}
		}, Blocked, "11 addresses are to be excluded, and the variable takes 10", "none is left out"},
		{"S44 links", "alpha", "RPC_UNSUPPORTED_NETIFS", func(f *Facts) { put(f, EnvironmentFile, Path{}) }, ToDo, "shares en0", ""},

		{"S108 never", "beta", "rehearsal of dce", func(f *Facts) { f.Resident.Groups["dce"] = GroupFact{Clean: true} }, ByHand, "never", "understudy rehearse dce beta"},
		{"S108 nobody to ask", "beta", "rehearsal of dce", func(f *Facts) { f.Resident = Resident{} }, Unknown, "no resident service", "understudy rehearse"},
		{"S108 has", "beta", "rehearsal of dce", nil, Done, "2026-11-22 12:00", ""},
		{"S97 not here", "alpha", "take up dce", nil, ByHand, "not here: /krb5, /etc/dce, /var/dce, /var/dce/adm/dfs/cache, dcesvc", "rehearse dce alpha --hold"},
		{"S97 nothing installed", "alpha", "take up dce", func(f *Facts) { put(f, "/usr/bin/start.dce", Path{}) }, ByHand, "not here", "leave its applications out of the file"},
		{"S97 here", "alpha", "take up dce", func(f *Facts) {
			mount(f, "/krb5", "/etc/dce", "/var/dce", "/var/dce/adm/dfs/cache")
			f.Snapshot.Addrs.Value = append(f.Snapshot.Addrs.Value, reconcile.Addr{Link: "en0", Prefix: netip.MustParsePrefix("9.3.240.2/24")})
		}, Done, "all of it", ""},
		{"S98 not installed", "alpha", "install dce", func(f *Facts) { put(f, "/usr/bin/start.dce", Path{}) }, ByHand, "/usr/bin/start.dce", "install"},
		{"S13 older", "beta", "version of DCE", func(f *Facts) {
			f.Versions[VersionKey([]string{"/usr/bin/dce-level", "-v"})] = reconcile.Read(Output{Text: "DCE 2.2.1"}, noon)
		}, Blocked, "it is 2.2.1", "3.1"},
		{"S13 ten is more than nine", "beta", "version of DCE", func(f *Facts) {
			f.Versions[VersionKey([]string{"/usr/bin/dce-level", "-v"})] = reconcile.Read(Output{Text: "DCE 3.10"}, noon)
		}, Done, "3.10", ""},
		{"S13 not there", "beta", "version of DCE", func(f *Facts) {
			f.Versions[VersionKey([]string{"/usr/bin/dce-level", "-v"})] = reconcile.Read(Output{Missing: true}, noon)
		}, ByHand, "not there", "install DCE 3.1"},
		{"S13 hangs", "beta", "version of DCE", func(f *Facts) {
			f.Versions[VersionKey([]string{"/usr/bin/dce-level", "-v"})] = reconcile.Unread[Output](errors.New("no answer within 10 s"), noon)
		}, Unknown, "no answer", "by hand"},
		{"S38 configured on the standby", "beta", "dce configured", func(f *Facts) { put(f, "/etc/dce/dce_cf.db", text("cellname /.../cell1\n")) }, Blocked, "own disk: /etc/dce/dce_cf.db", "fork"},
		{"S38 configured where it is mounted", "beta", "dce configured", func(f *Facts) {
			mount(f, "/etc/dce")
			put(f, "/etc/dce/dce_cf.db", text("cellname /.../cell1\n"))
		}, Done, "on the shared disk", ""},
		{"S38 unread", "beta", "dce configured", unread("/etc/dce/dce_cf.db"), Unknown, "input/output", ""},
		{"S99 configured", "alpha", "configure dce", func(f *Facts) { put(f, "/etc/dce/dce_cf.db", text("")) }, Done, "dce_cf.db", ""},

		{"S111 absent", "beta", "/...", func(f *Facts) { put(f, "/...", Path{}) }, ToDo, "not there", ""},
		{"S111 a file", "beta", "/...", func(f *Facts) { put(f, "/...", text("")) }, Blocked, "a file", "remove"},
		{"S112 absent", "beta", "/:", func(f *Facts) { put(f, "/:", Path{}) }, ToDo, "not there", ""},
		{"S112 as printed", "beta", "/:", func(f *Facts) { put(f, "/:", Path{Kind: Link, Target: "../../cell1/fs"}) }, ToDo, "leads to ../../cell1/fs", ""},
		{"S112 another cell", "beta", "/.:", func(f *Facts) { put(f, "/.:", Path{Kind: Link, Target: "/.../old"}) }, ToDo, "leads to /.../old", ""},
		{"S112 a directory", "beta", "/.:", func(f *Facts) { put(f, "/.:", Path{Kind: Directory}) }, Blocked, "a directory, and not a link", "move it away"},
		{"S112 no cell", "beta", "/:", func(f *Facts) { f.Cell = ""; put(f, "/:", Path{}) }, ByHand, "not known", "--cell NAME"},
		{"S113 absent", "beta", "services kerberos5", func(f *Facts) { put(f, ServicesFile, text("ssh 22/tcp\n")) }, ToDo, "no line", ""},
		{"S113 another port", "beta", "services kerberos5", func(f *Facts) { put(f, ServicesFile, text("kerberos5 750/udp\n")) }, Blocked, "750/udp", "correct"},
		{"S113 unread", "beta", "services kerberos5", unread(ServicesFile), Unknown, "input/output", ""},

		{"S101 no hook", "beta", "/usr/local/sbin/page", func(f *Facts) { put(f, "/usr/local/sbin/page", Path{}) }, Blocked, "not there", "put it there"},
		{"S101 not for all to write", "beta", "/usr/local/sbin/page", func(f *Facts) {
			put(f, "/usr/local/sbin/page", Path{Kind: RegularFile, Mode: 0o775})
		}, Blocked, "mode 0775", "chmod go-w"},
		{"S101 of somebody else", "beta", "/usr/local/sbin/page", func(f *Facts) {
			put(f, "/usr/local/sbin/page", Path{Kind: RegularFile, Mode: 0o755, UID: 1000})
		}, Blocked, "uid 1000", "chown root"},
		{"S101 cannot be run", "beta", "/usr/local/sbin/page", func(f *Facts) { put(f, "/usr/local/sbin/page", text("")) }, Blocked, "cannot be run", "chmod 755"},
		{"S101 checksum", "beta", "/usr/local/sbin/page", nil, Done, "sha256 d-/usr/local/sbin/page", ""},
		{"S101 differs", "beta", "programs of dce", func(f *Facts) {
			put(f, "/usr/local/sbin/page", Path{Kind: RegularFile, Mode: 0o755, Digest: "other"})
		}, Blocked, "otherwise on alpha", "copy the right ones"},
		{"S101 same", "beta", "programs of dce", nil, Done, "as on alpha", ""},
		{"S101 nobody to compare with", "beta", "programs of dce", func(f *Facts) { f.Resident.Peers[0].Heard = false }, Unknown, "alpha not heard", ""},
		{"S101 unread", "beta", "programs of dce", unread("/usr/local/sbin/page"), Unknown, "not every program", ""},
		{"S103 mounted", "alpha", "release of dce", func(f *Facts) { mount(f, "/krb5"); f.Resident = Resident{} }, ByHand, "/krb5", "first /usr/bin/stop.dfs, then /usr/bin/stop.dce, then shut this node down"},
		{"S103 held", "alpha", "release of dce", func(f *Facts) { mount(f, "/krb5"); f.Resident.Groups["dce"] = GroupFact{Holder: "alpha"} }, Done, "held here", ""},
		{"S115 clean", "beta", "release of dce", nil, Done, "nothing of it is here", ""},
		{"S116", "beta", "start dce", func(f *Facts) { f.Resident = Resident{} }, ByHand, "no resident", "systemctl start understudy, on alpha and then on the others"},
		{"one wire", "beta", "ARP on en0 and en1", func(f *Facts) { put(f, wireFile("all", "arp_ignore"), text("0\n")) }, Done, "keep them apart", ""},
		{"one wire, ignore", "beta", "ARP on en0 and en1", func(f *Facts) {
			put(f, wireFile("all", "arp_ignore"), text("0\n"))
			put(f, wireFile("en1", "arp_ignore"), text("0\n"))
		}, ByHand, "en1: arp_ignore is 0", "sysctl -w net/ipv4/conf/all/arp_ignore=1, and"},
		{"one wire, announce", "beta", "ARP on en0 and en1", func(f *Facts) {
			put(f, wireFile("all", "arp_announce"), text("0\n"))
			put(f, wireFile("en0", "arp_announce"), text("1\n"))
		}, ByHand, "en0: arp_announce is 1", "all/arp_announce=2"},
		{"one wire, strict", "beta", "ARP on en0 and en1", func(f *Facts) { put(f, wireFile("en1", "rp_filter"), text("1\n")) }, ByHand, "en1: rp_filter is 1", "sysctl -w net/ipv4/conf/en1/rp_filter=2"},
		{"one wire, strict for all, loose here", "beta", "ARP on en0 and en1", func(f *Facts) {
			put(f, wireFile("all", "rp_filter"), text("1\n"))
			put(f, wireFile("en0", "rp_filter"), text("2\n"))
			put(f, wireFile("en1", "rp_filter"), text("2\n"))
		}, Done, "keep them apart", ""},
		{"one wire, unread", "beta", "ARP on en0 and en1", unread(wireFile("en0", "rp_filter")), Unknown, "rp_filter of en0 could not be read", "by hand"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := parsed(t)
			f := ready(cfg, c.node)
			if c.change != nil {
				c.change(f)
			}
			items := Items(cfg, f)
			i := slices.IndexFunc(items, func(it Item) bool { return it.Name == c.item })
			if i < 0 {
				t.Fatalf("no item %q", c.item)
			}
			it := items[i]
			if it.State != c.want || !strings.Contains(it.Seen, c.seen) || !strings.Contains(it.Way, c.way) {
				t.Errorf("%s: %q, way %q; want %s: %q, way %q", it.State, it.Seen, it.Way, c.want, c.seen, c.way)
			}
			sane(t, items)
			if again := Items(cfg, f); cmp.Diff(items, again) != "" {
				t.Error("the same facts give other items")
			}
		})
	}
}

// sane is what holds for every list of items.
func sane(t *testing.T, items []Item) {
	t.Helper()
	last, names := Cluster, map[string]bool{}
	for _, it := range items {
		if it.Section < last || len(it.Rows) == 0 || it.Want == "" || it.Seen == "" || names[it.Name+it.Group] {
			t.Errorf("%+v", it)
		}
		last, names[it.Name+it.Group] = it.Section, true
		if (it.State == ToDo) != (len(it.Changes) > 0) || it.State != Done && it.State != ToDo && it.Way == "" {
			t.Errorf("%s has no way out: %+v", it.Name, it)
		}
	}
	var b bytes.Buffer
	Text(&b, items)
	for line := range strings.Lines(b.String()) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 80 && len(strings.Fields(line)) > 2 && !strings.Contains(line, "  by: ") {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	if _, err := json.Marshal(items); err != nil {
		t.Error(err)
	}
}

// TestGuide prints what the guide's third chapter comes to on two bare nodes, to be
// read beside it.
func TestGuide(t *testing.T) {
	for _, node := range []string{"alpha", "beta"} {
		c := parsed(t)
		f := ready(c, node)
		for p := range f.Paths {
			f.Paths[p] = reconcile.Read(Path{}, noon)
		}
		for _, a := range WireAsks(c, node, &f.Snapshot) {
			put(f, a.Path, text("0\n"))
		}
		put(f, "/usr/sbin/fence_ipmilan", Path{Kind: RegularFile, Mode: 0o755})
		put(f, EnvironmentFile, text("PATH=/bin\n"))
		put(f, ServicesFile, text("ssh 22/tcp\n"))
		put(f, FstabFile, text("/dev/root / ext4 rw 0 1\n/dev/krb5 /krb5 ext4 defaults 0 2\n"))
		f.Versions[VersionKey([]string{"/usr/bin/dce-level", "-v"})] = reconcile.Read(Output{Missing: true}, noon)
		f.Resident = Resident{}
		if node == "alpha" {
			f.Cell = ""
		}
		f.CellFrom = "--cell"
		var b bytes.Buffer
		items := Items(c, f)
		Text(&b, items)
		b.WriteString("\n" + Summary(items) + "\n")
		sane(t, items)
		golden := "testdata/" + node + ".txt"
		if *update {
			if err := os.MkdirAll("testdata", 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(golden, b.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(string(want), b.String()); d != "" {
			t.Errorf("%s (-want +got):\n%s", golden, d)
		}
	}
}
