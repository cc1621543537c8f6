package aix

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// From the tests of ohai's filesystem plugin for AIX, and from IBM's reference of
// mount for the name of a server that fills its column.
const mountText = `  node       mounted        mounted over    vfs       date        options
-------- ---------------  ---------------  ------ ------------ ---------------
         /dev/hd4         /                jfs2   Jul 17 13:22 rw,log=/dev/hd8
         /dev/hd9var      /var             jfs2   Jul 17 13:22 rw,log=/dev/hd8
         /proc            /proc            procfs Jul 17 13:22 rw
         /dev/livedump    /var/adm/ras/livedump jfs2   Apr 19 07:48 rw,log=/dev/hd8
         /dev/fslv02      /scratch         jfs2   Mar 24 12:15 rw,log=INLINE
         /dev/cd0         /cdrom           cdrfs  Mar  4 12:15 ro
192.168.1.11 /stage/middleware /stage/middleware nfs3   Jul 17 13:24 ro,bg,hard,intr,sec=sys
`

func TestParseMounts(t *testing.T) {
	got, err := ParseMounts(mountText)
	if err != nil {
		t.Fatal(err)
	}
	log := []string{"rw", "log=/dev/hd8"}
	want := []Mount{
		{Device: "/dev/hd4", Point: "/", VFS: "jfs2", Options: log},
		{Device: "/dev/hd9var", Point: "/var", VFS: "jfs2", Options: log},
		{Device: "/proc", Point: "/proc", VFS: "procfs", Options: []string{"rw"}},
		{Device: "/dev/livedump", Point: "/var/adm/ras/livedump", VFS: "jfs2", Options: log},
		{Device: "/dev/fslv02", Point: "/scratch", VFS: "jfs2", Options: []string{"rw", "log=INLINE"}},
		{Device: "/dev/cd0", Point: "/cdrom", VFS: "cdrfs", Options: []string{"ro"}},
		{Node: "192.168.1.11", Device: "/stage/middleware", Point: "/stage/middleware", VFS: "nfs3", Options: []string{"ro", "bg", "hard", "intr", "sec=sys"}},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if !got[5].ReadOnly() || got[0].ReadOnly() || got[6].Source() != "192.168.1.11:/stage/middleware" || got[0].Source() != "/dev/hd4" {
		t.Errorf("%+v", got)
	}
}

func TestParseMountsRefuses(t *testing.T) {
	heading := "  node       mounted        mounted over    vfs       date        options\n-------- ------ ------ ------ ----- ------\n"
	for name, text := range map[string]string{
		"nothing at all":      "",
		"no heading":          "/dev/hd4 on / type jfs2 (rw)\n",
		"a blank in a name":   heading + "         /dev/hd4         /a b   jfs2   Jul 17 13:22 rw\n",
		"no date":             heading + "         /dev/hd4         /      jfs2   rw\n",
		"a relative point":    heading + "         /dev/hd4         x      jfs2   Jul 17 13:22 rw\n",
		"a node and no point": heading + "server   /dev/hd4         jfs2   Jul 17 13:22 rw\n",
		"cut off":             heading + "         /dev/hd4         /      jfs2   Jul 17\n",
	} {
		if got, err := ParseMounts(text); err == nil {
			t.Errorf("%s: read as %+v", name, got)
		}
	}
	if got, err := ParseMounts(heading); err != nil || len(got) != 0 {
		t.Errorf("an empty table: %v, %v", got, err)
	}
}

// The form is that of the file's own reference; the sample is in the manual of the
// Perl module Sys::Filesystem (AIX part).
func TestParseFilesystems(t *testing.T) {
	got, err := ParseFilesystems(`* This version of /etc/filesystems assumes that only the root file system
/:
	dev       = /dev/hd4
	vol       = "root"
	mount     = automatic
	vfs       = jfs2
	log       = /dev/hd8

/scratch:
	dev       = /dev/fslv02
	log       = INLINE
	mount     = true
`)
	want := []Stanza{
		{"/", map[string]string{"dev": "/dev/hd4", "vol": "root", "mount": "automatic", "vfs": "jfs2", "log": "/dev/hd8"}},
		{"/scratch", map[string]string{"dev": "/dev/fslv02", "log": "INLINE", "mount": "true"}},
	}
	if err != nil || !cmp.Equal(want, got) {
		t.Error(err, cmp.Diff(want, got))
	}
	for _, bad := range []string{"dev = /dev/hd4\n", "/:\n\tnonsense\n"} {
		if got, err := ParseFilesystems(bad); err == nil {
			t.Errorf("%q read as %+v", bad, got)
		}
	}
}

// From the tests of ohai's network plugin for AIX.
const ifconfigText = `en0: flags=1e080863,480<UP,BROADCAST,NOTRAILERS,RUNNING,SIMPLEX,MULTICAST,GROUPRT,64BIT,CHECKSUM_OFFLOAD(ACTIVE),CHAIN> metric 1
        inet 172.29.174.58 netmask 0xffffc000 broadcast 172.29.191.255
        inet 172.29.174.59 broadcast 172.29.191.255
        inet 172.29.174.60 netmask 0xffffc000 broadcast 172.29.191.255
        inet6 fe80::887a:4eff:feff:9c0b/64
     tcp_sendspace 262144 tcp_recvspace 262144 rfc1323 1
en1: flags=1e080822,480<BROADCAST,NOTRAILERS,SIMPLEX>
        inet 172.31.10.211 netmask 0xfffffc00 broadcast 172.31.11.255
lo0: flags=e08084b,c0<UP,BROADCAST,LOOPBACK,RUNNING,SIMPLEX,MULTICAST,GROUPRT,64BIT,LARGESEND,CHAIN>
        inet 127.0.0.1 netmask 0xff000000 broadcast 127.255.255.255
        inet6 ::1%1/0
         tcp_sendspace 131072 tcp_recvspace 131072 rfc1323 1
`

var samePrefix = cmpopts.EquateComparable(netip.Prefix{}, netip.Addr{})

func TestParseIfconfig(t *testing.T) {
	got, err := ParseIfconfig(ifconfigText)
	p := netip.MustParsePrefix
	want := []Interface{
		{"en0", true, true, []netip.Prefix{p("172.29.174.58/18"), p("172.29.174.59/32"), p("172.29.174.60/18"), p("fe80::887a:4eff:feff:9c0b/64")}},
		{"en1", false, false, []netip.Prefix{p("172.31.10.211/22")}},
		{"lo0", true, true, []netip.Prefix{p("127.0.0.1/8"), p("::1/0")}},
	}
	if err != nil || !cmp.Equal(want, got, samePrefix) {
		t.Error(err, cmp.Diff(want, got, samePrefix))
	}
	for name, bad := range map[string]string{
		"address first":      "\tinet 192.0.2.1 netmask 0xffffff00\n",
		"no flags":           "en0: nonsense\n",
		"no address":         "en0: flags=1<UP>\n\tinet\n",
		"wrong family":       "en0: flags=1<UP>\n\tinet 2001:db8::1/64\n",
		"a mask with holes":  "en0: flags=1<UP>\n\tinet 192.0.2.1 netmask 0xff00ff00\n",
		"a mask that is not": "en0: flags=1<UP>\n\tinet 192.0.2.1 netmask 255.255.255.0\n",
		"too long a prefix":  "en0: flags=1<UP>\n\tinet6 2001:db8::1/129\n",
	} {
		if got, err := ParseIfconfig(bad); err == nil {
			t.Errorf("%s: read as %+v", name, got)
		}
	}
}

// The lines are in the source of several inventories of AIX hosts; that hardware
// addresses come without leading zeros is noted in Python's uuid module.
const netstatText = `Name  Mtu   Network     Address            Ipkts Ierrs    Opkts Oerrs  Coll
en0   1500  link#2      9a.91.23.c6.58.b  9810797     0   350193     0     0
en0   1500  192.168.0   192.168.1.21      9810797     0   350193     0     0
en1*  1500  link#3      fa.bc.de.f7.62.4        0     0        0     0     0
lo0   16896 link#1                         248105     0   248105     0     0
lo0   16896 127         127.0.0.1          248105     0   248105     0     0
lo0   16896 ::1%1                          248105     0   248105     0     0
`

func TestParseNetstat(t *testing.T) {
	got, err := ParseNetstat(netstatText)
	want := []Adapter{{"en0", 2, "9a:91:23:c6:58:0b"}, {"en1", 3, "fa:bc:de:f7:62:04"}, {"lo0", 1, ""}}
	if err != nil || !cmp.Equal(want, got) {
		t.Error(err, cmp.Diff(want, got))
	}
	for _, bad := range []string{"", "Kernel Interface table\n", "Name  Mtu   Network     Address\nen0 1500 link#x\n"} {
		if got, err := ParseNetstat(bad); err == nil {
			t.Errorf("%q read as %+v", bad, got)
		}
	}
}

// The ways of saying it are in IBM's pages about entstat for physical adapters and
// for those of a Virtual I/O Server, and in monitoring scripts that look for them.
func TestParseEntstat(t *testing.T) {
	for text, want := range map[string]Carrier{
		"Driver Flags: Up Broadcast Running\n\tSimplex 64BitSupport\n\nLink Status: Up\nMedia Speed Running: 10 Gbps\n\tPCIe Link Speed: 5.0 Gbps\n": CarrierUp,
		"Link Status : Up\n":   CarrierUp,
		"Link Status : Down\n": CarrierDown,
		"Logical Port Link State: Up\nPhysical Port Link State: Down\n": CarrierDown,
		"Link Status : Down\nLink Status : Up\n":                        CarrierUp, // an EtherChannel
		"Driver Flags: Up Broadcast Running\n":                          CarrierUnknown,
		"Link Status : Unknown\n":                                       CarrierUnknown,
		"":                                                              CarrierUnknown,
	} {
		if got := ParseEntstat(text); got != want {
			t.Errorf("%q is %v, wanted %v", text, got, want)
		}
	}
}

// From the tests of ohai's network plugin for AIX.
func TestParseARP(t *testing.T) {
	text := "  ? (172.29.131.16) at 6e:87:70:0:40:3 [ethernet] stored in bucket 16\n\n  ? (172.29.131.17) at (incomplete)\nbucket:    0     contains:    0 entries\nThere are 2 entries in the arp table.\n"
	for ip, want := range map[string]string{"172.29.131.16": "6e:87:70:00:40:03", "172.29.131.17": "", "172.29.131.1": ""} {
		if got := ParseARP(text, netip.MustParseAddr(ip)); got != want {
			t.Errorf("%s at %q, wanted %q", ip, got, want)
		}
	}
}

// From the tests of OpenSVC's and of others' readers of lsvg.
const (
	lsvgText = `VOLUME GROUP:       dfsvg                    VG IDENTIFIER:  00082a6a0000d400000001321aa20bf2
VG STATE:           active                   PP SIZE:        64 megabyte(s)
VG PERMISSION:      read/write               TOTAL PPs:      959 (61376 megabytes)
MAX LVs:            256                      FREE PPs:       717 (45888 megabytes)
LVs:                11                       USED PPs:       242 (15488 megabytes)
OPEN LVs:           10                       QUORUM:         2 (Enabled)
TOTAL PVs:          2                        VG DESCRIPTORS: 2
STALE PVs:          0                        STALE PPs:      0
ACTIVE PVs:         1                        AUTO ON:        yes
MAX PPs per VG:     32512
MAX PPs per PV:     1016                     MAX PVs:        32
`
	lsvgLText = `dcevg:
LV NAME             TYPE       LPs     PPs     PVs  LV STATE      MOUNT POINT
loglv00             jfs2log    1       1       1    open/syncd    N/A
krb5lv              jfs2       16      32      2    open/stale    /krb5
varlv               jfs2       16      16      1    closed/syncd  /var/dce
agg1                jfs        4       4       1    closed/syncd  N/A
`
	lspvText = `hdisk0          00c3545039af54e2                    rootvg          active
hdisk1          00c3546076c7701f                    dcevg
hdisk2          none                                None
hdisk3          00c3546076c7702f                    datavg          concurrent
`
)

func TestParseVolumeGroups(t *testing.T) {
	g, err := ParseVolumeGroup(lsvgText)
	if want := (VolumeGroup{Name: "dfsvg", State: "active", Permission: "read/write", PVs: 2, ActivePVs: 1, OpenLVs: 10, AutoOn: true}); err != nil || g != want || !g.Active() {
		t.Errorf("%+v, %v", g, err)
	}
	if (VolumeGroup{State: "active", Permission: "passive-only"}).Active() {
		t.Error("passive is active")
	}
	lvs, err := ParseLogicalVolumes(lsvgLText)
	want := []LogicalVolume{{"loglv00", "jfs2log", true, false, ""}, {"krb5lv", "jfs2", true, true, "/krb5"}, {"varlv", "jfs2", false, false, "/var/dce"}, {"agg1", "jfs", false, false, ""}}
	if err != nil || !cmp.Equal(want, lvs) {
		t.Error(err, cmp.Diff(want, lvs))
	}
	pvs, err := ParsePhysicalVolumes(lspvText)
	wantPV := []PhysicalVolume{{"hdisk0", "00c3545039af54e2", "rootvg", "active"}, {"hdisk1", "00c3546076c7701f", "dcevg", ""}, {"hdisk2", "", "", ""}, {"hdisk3", "00c3546076c7702f", "datavg", "concurrent"}}
	if err != nil || !cmp.Equal(wantPV, pvs) {
		t.Error(err, cmp.Diff(wantPV, pvs))
	}
	names, err := ParseNames("rootvg\ndcevg\n")
	if err != nil || !cmp.Equal([]string{"rootvg", "dcevg"}, names) {
		t.Error(names, err)
	}
	for _, bad := range []string{"", "dcevg:\n", "LV NAME TYPE LPs PPs PVs LV STATE MOUNT POINT\nx jfs2 1 1 1\n", "LV NAME TYPE LPs PPs PVs LV STATE MOUNT POINT\nx jfs2 1 1 1 ???? /x\n"} {
		if v, err := ParseLogicalVolumes(bad); err == nil {
			t.Errorf("%q read as %+v", bad, v)
		}
	}
	for _, bad := range []string{"", "VOLUME GROUP: x  VG STATE: active  VG PERMISSION: read/write\n", "0516-010 lsvg: Volume group must be varied on; use varyonvg command.\n"} {
		if v, err := ParseVolumeGroup(bad); err == nil {
			t.Errorf("%q read as %+v", bad, v)
		}
	}
	if v, err := ParsePhysicalVolumes("0516-1396 : The physical volume hdisk1, was not found in the\n"); err == nil {
		t.Errorf("read as %+v", v)
	}
	if v, err := ParseNames("0516-306 lsvg: Unable to find volume group\n"); err == nil {
		t.Errorf("read as %+v", v)
	}
}

// The columns are those of IBM's reference of ps; the processes are made up.
func TestParsePS(t *testing.T) {
	got, err := ParsePS(`     PID     PPID     ELAPSED COMMAND
       1        0 12-03:04:05 /etc/init
 3408150        1    01:02:03 /opt/dcelocal/bin/dced -b  two blanks
 3408151        1       00:01 secd
 3408152  3408151             <defunct>
 3408153        1           - ksh -c x
`)
	h := time.Hour
	want := []Listed{
		{1, 0, 12*24*h + 3*h + 4*time.Minute + 5*time.Second, "/etc/init"},
		{3408150, 1, h + 2*time.Minute + 3*time.Second, "/opt/dcelocal/bin/dced -b  two blanks"},
		{3408151, 1, time.Second, "secd"},
		{3408153, 1, -1, "ksh -c x"},
	}
	if err != nil || !cmp.Equal(want, got) {
		t.Error(err, cmp.Diff(want, got))
	}
	for _, bad := range []string{"", "PID TTY TIME CMD\n", "PID PPID ELAPSED COMMAND\nx 1 00:01 y\n", "PID PPID ELAPSED COMMAND\n1\n"} {
		if got, err := ParsePS(bad); err == nil {
			t.Errorf("%q read as %+v", bad, got)
		}
	}
}

// From ansible's tests of service_facts, and IBM's reference of lssrc.
const lssrcText = `Subsystem         Group            PID          Status
 sendmail         mail             5243302      active
 aso                               6029758      active
 nfsd             nfs                           inoperative
 qdaemon                                        inoperative
`

func TestParseLssrc(t *testing.T) {
	got, err := ParseLssrc(lssrcText)
	want := []Subsystem{{"sendmail", "mail", 5243302, "active"}, {"aso", "", 6029758, "active"}, {"nfsd", "nfs", 0, "inoperative"}, {"qdaemon", "", 0, "inoperative"}}
	if err != nil || !cmp.Equal(want, got) {
		t.Error(err, cmp.Diff(want, got))
	}
	for _, bad := range []string{"", "0513-085 The x Subsystem is not on file.\n", "Subsystem Group PID Status\na b c d e\n", "Subsystem Group PID Status\na b c active\n"} {
		if got, err := ParseLssrc(bad); err == nil {
			t.Errorf("%q read as %+v", bad, got)
		}
	}
}

// The lines are those of many pages on AIX that look for a listening port.
func TestParseSockets(t *testing.T) {
	got, err := ParseSockets(`Active Internet connections (including servers)
Proto Recv-Q Send-Q  Local Address          Foreign Address        (state)
tcp        0      0  *.135                  *.*                    LISTEN
tcp4       0      0  127.0.0.1.49213        *.*                    LISTEN
tcp4       0     48  10.1.2.3.22            10.9.8.7.50000         ESTABLISHED
tcp6       0      0  ::1.25                 *.*                    LISTEN
udp        0      0  *.135                  *.*
udp4       0      0  10.1.2.3.88            *.*
udp        0      0  *.*                    *.*

Active UNIX domain sockets
SADR/PCB         Type   Recv-Q Send-Q Inode            Conn             Refs             Nextref          Addr
f1000e0000b9d808 dgram       0      0 f1000b02a06da020                0                0                0 /dev/log
`)
	want := "*:135/tcp 127.0.0.1:49213/tcp [::1]:25/tcp *:135/udp 10.1.2.3:88/udp"
	var words []string
	for _, s := range got {
		words = append(words, s.String())
	}
	if err != nil || strings.Join(words, " ") != want {
		t.Error(words, err)
	}
	for _, bad := range []string{"", "Local Address\ntcp 0 *.135 LISTEN\n", "Local Address\ntcp 0 0 x *.* LISTEN\n", "Local Address\nudp 0 0 *.99999 *.*\n", "Local Address\nudp 0 0 a.b.c.5 *.*\n"} {
		if got, err := ParseSockets(bad); err == nil {
			t.Errorf("%q read as %v", bad, got)
		}
	}
}

func TestParseFuser(t *testing.T) {
	// IBM's reference of fuser: numbers on standard output, letters beside.
	for text, want := range map[string][]int{"": nil, "\n": nil, "   3408150  5243302\n": {3408150, 5243302}, "/home: 3408150c(root) 5243302 s\n": {3408150, 5243302}} {
		if got, err := ParseFuser(text); err != nil || !cmp.Equal(want, got) {
			t.Errorf("%q read as %v, %v", text, got, err)
		}
	}
	if got, err := ParseFuser("fuser: cannot find /x\n"); err == nil {
		t.Errorf("read as %v", got)
	}
}

// The line is in the tests of ohai's uptime plugin for AIX.
func TestParseBoot(t *testing.T) {
	for text, want := range map[string]string{
		"   .        system boot Sep 24 17:52     \n": "09241752-aix",
		"   .        system boot Feb 29 00:05\n":      "02290005-aix",
		"   .        system boot May  7 15:57\n":      "05071557-aix",
	} {
		if got, err := ParseBoot(text); err != nil || got != want {
			t.Errorf("%q is %q, %v", text, got, err)
		}
	}
	for _, bad := range []string{"", "\n", ". system boot Sep 31 10:00\n", ". system boot 2014-01-23 21:18\n", ". system boot Sep 24 17:52\n. system boot Sep 25 17:52\n"} {
		if got, err := ParseBoot(bad); err == nil {
			t.Errorf("%q is %q", bad, got)
		}
	}
}

// Nothing that a command could print makes a parser panic, and no line is lost
// without an error.
func FuzzParse(f *testing.F) {
	for _, s := range []string{mountText, ifconfigText, netstatText, lsvgText, lsvgLText, lspvText, lssrcText, "PID PPID ELAPSED COMMAND\n1 0 1-00:00:00 x\n", ". system boot Sep 24 17:52\n", "/:\n\tdev = x\n", " 123 4c(root)\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if m, err := ParseMounts(s); err == nil {
			for _, m := range m {
				if m.Device == "" || m.Point == "" || m.Point[0] != '/' || m.VFS == "" {
					t.Fatalf("%+v", m)
				}
			}
		}
		if is, err := ParseIfconfig(s); err == nil {
			for _, i := range is {
				for _, p := range i.Addrs {
					if !p.IsValid() || i.Name == "" {
						t.Fatalf("%+v", i)
					}
				}
			}
		}
		if ps, err := ParsePS(s); err == nil {
			for _, p := range ps {
				if p.PID < 0 || p.PPID < 0 {
					t.Fatalf("%+v", p)
				}
			}
		}
		if ss, err := ParseLssrc(s); err == nil {
			for _, s := range ss {
				if s.Name == "" || s.Status == "" {
					t.Fatalf("%+v", s)
				}
			}
		}
		if g, err := ParseVolumeGroup(s); err == nil && g.Name == "" {
			t.Fatalf("%+v", g)
		}
		if id, err := ParseBoot(s); err == nil && len(id) != len("09241752-aix") {
			t.Fatal(id)
		}
		if p, err := ParsePsinfo([]byte(s)); err == nil && (p.PID < 0 || p.Start.IsZero()) {
			t.Fatalf("%+v", p)
		}
		_, _ = ParseFilesystems(s)
		_, _ = ParseNetstat(s)
		_ = ParseEntstat(s)
		_ = ParseARP(s, netip.MustParseAddr("192.0.2.1"))
		_, _ = ParseNames(s)
		_, _ = ParseLogicalVolumes(s)
		_, _ = ParsePhysicalVolumes(s)
		_, _ = ParseFuser(s)
		_, _ = ParseSockets(s)
	})
}
