package aix_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"understudy/observers/aix"
	"understudy/observers/aix/aixtest"
	"understudy/reconcile"
)

func system(t *testing.T, record string) *aix.System {
	return &aix.System{Run: aixtest.Script(t, record), Device: func(path string) (uint32, uint32, error) {
		switch path {
		case "/dev/krb5lv":
			return 40, 2, nil
		case "/dev/broken":
			return 0, 0, errors.New("input or output error")
		}
		return 0, 0, fs.ErrNotExist
	}}
}

const heading = "  node       mounted        mounted over    vfs       date        options\n-------- ------ ------ ------ ----- ------\n"

func TestMounts(t *testing.T) {
	got, err := system(t, "$ mount\n"+heading+`         /dev/krb5lv      /krb5            jfs2   Jul 17 13:22 rw,log=/dev/loglv00
         /proc            /proc            procfs Jul 17 13:22 rw
nfs1     /export          /mnt             nfs3   Jul 17 13:24 ro
`).Mounts(t.Context())
	want := []reconcile.Mount{
		{ID: 1, Major: 40, Minor: 2, Root: "/", Point: "/krb5", FSType: "jfs2", Source: "/dev/krb5lv"},
		{ID: 2, Root: "/", Point: "/proc", FSType: "procfs", Source: "/proc"},
		{ID: 3, Root: "/", Point: "/mnt", FSType: "nfs3", Source: "nfs1:/export", ReadOnly: true},
	}
	if err != nil || !cmp.Equal(want, got) {
		t.Error(err, cmp.Diff(want, got))
	}
	for _, record := range []string{
		"$ mount\n? 1 0506-301 cannot\n",
		"$ mount\nnonsense\n",
		"$ mount\n" + heading + "         /dev/broken      /x     jfs2   Jul 17 13:22 rw\n",
	} {
		if got, err := system(t, record).Mounts(t.Context()); err == nil {
			t.Errorf("%q read as %+v", record, got)
		}
	}
}

const network = `$ ifconfig -a
en0: flags=1e080863,480<UP,BROADCAST,NOTRAILERS,RUNNING,SIMPLEX>
        inet 192.0.2.10 netmask 0xffffff00 broadcast 192.0.2.255
        inet 192.0.2.50 netmask 0xffffff00 broadcast 192.0.2.255
en1: flags=1e080863,480<UP,BROADCAST,NOTRAILERS,RUNNING,SIMPLEX>
        inet 198.51.100.10 netmask 0xffffff00 broadcast 198.51.100.255
lo0: flags=e08084b,c0<UP,BROADCAST,LOOPBACK,RUNNING,SIMPLEX>
        inet 127.0.0.1 netmask 0xff000000 broadcast 127.255.255.255
$ netstat -in
Name  Mtu   Network     Address            Ipkts Ierrs    Opkts Oerrs  Coll
en0   1500  link#2      9a.91.23.c6.58.b  9810797     0   350193     0     0
en1   1500  link#3      9a.91.23.c6.58.c  9810797     0   350193     0     0
lo0   16896 link#1                         248105     0   248105     0     0
`

func TestNetwork(t *testing.T) {
	links, addrs, err := system(t, network+`$ entstat -d ent0
Link Status : Down
$ entstat -d ent1
? 1 entstat: 0909-003 Unable to connect to device ent1, errno = 2
`).Network(t.Context())
	wantLinks := []reconcile.Link{
		{Index: 1, Name: "lo0", Up: true, Carrier: true},
		{Index: 2, Name: "en0", MAC: "9a:91:23:c6:58:0b", Up: true},
		{Index: 3, Name: "en1", MAC: "9a:91:23:c6:58:0c", Up: true, Carrier: true},
	}
	p := netip.MustParsePrefix
	wantAddrs := []reconcile.Addr{
		{Link: "en0", Prefix: p("192.0.2.10/24")}, {Link: "en0", Prefix: p("192.0.2.50/24")},
		{Link: "en1", Prefix: p("198.51.100.10/24")}, {Link: "lo0", Prefix: p("127.0.0.1/8")},
	}
	same := cmpopts.EquateComparable(netip.Prefix{})
	if err != nil || !cmp.Equal(wantLinks, links) || !cmp.Equal(wantAddrs, addrs, same) {
		t.Error(err, cmp.Diff(wantLinks, links), cmp.Diff(wantAddrs, addrs, same))
	}
	came := strings.Replace(network, "en1   1500  link#3", "en2   1500  link#3", 1)
	came = strings.Replace(came, "en0: flags=1e080863,480<UP,BROADCAST,NOTRAILERS,RUNNING", "en0: flags=1e080822,480<BROADCAST", 1)
	if _, _, err := system(t, came).Network(t.Context()); err == nil {
		t.Error("an interface that came between the listings is no error")
	}
}

func TestVolumes(t *testing.T) {
	on := `$ lsvg -o
rootvg
dcevg
`
	group := func(state, permission string, active int, auto string) string {
		return fmt.Sprintf("$ lsvg dcevg\nVOLUME GROUP:       dcevg                    VG IDENTIFIER:  00x\nVG STATE:           %s                   PP SIZE:        64 megabyte(s)\n"+
			"VG PERMISSION:      %s               TOTAL PPs:      959 (61376 megabytes)\nOPEN LVs:           2                       QUORUM:         2 (Enabled)\n"+
			"TOTAL PVs:          2                        VG DESCRIPTORS: 2\nACTIVE PVs:         %d                        AUTO ON:        %s\n", state, permission, active, auto)
	}
	disks := "$ lspv\nhdisk0  00c3545039af54e2  rootvg  active\nhdisk1  00c3546076c7701f  dcevg\nhdisk2  00c3546076c7702f  None\n"
	known := "$ lsvg\nrootvg\ndcevg\ndfsvg\n"
	for name, c := range map[string]struct {
		record string
		volume string
		want   reconcile.VolumeState
	}{
		"off":            {known + "$ lsvg -o\nrootvg\n" + disks, "dcevg", reconcile.VolumeState{Visible: true}},
		"on":             {known + on + disks + group("active", "read/write", 2, "no"), "dcevg", reconcile.VolumeState{Visible: true, Active: true, Ours: true}},
		"a disk missing": {known + on + disks + group("active", "read/write", 1, "no"), "dcevg", reconcile.VolumeState{Active: true, Ours: true, Missing: 1}},
		"auto on":        {known + on + disks + group("active", "read/write", 2, "yes"), "dcevg", reconcile.VolumeState{Visible: true, Active: true, Ours: true, Why: "it is varied on at every boot — chvg -a n dcevg"}},
		"passive":        {known + on + disks + group("active", "passive-only", 2, "no"), "dcevg", reconcile.VolumeState{Visible: true, Active: true, Ours: true, Why: "it is varied on, but active, passive-only"}},
		"no disk":        {known + "$ lsvg -o\nrootvg\n" + disks, "dfsvg", reconcile.VolumeState{Why: "no physical volume of it is here — cfgmgr"}},
		"not imported":   {known + "$ lsvg -o\nrootvg\n" + disks, "webvg", reconcile.VolumeState{Why: "this host does not know it — importvg -y webvg hdiskN"}},
	} {
		t.Run(name, func(t *testing.T) {
			c.want.Name = c.volume
			got, err := system(t, c.record).Volumes(t.Context(), []string{c.volume})
			if err != nil || len(got) != 1 || !reflect.DeepEqual(got[0], c.want) {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
	if got, err := system(t, "$ lsvg\n? 1 0516-062 lqueryvg: Unable to read\n").Volumes(t.Context(), []string{"dcevg"}); err == nil {
		t.Errorf("a failure is %+v", got)
	}
	if got, err := system(t, "").Volumes(t.Context(), nil); err != nil || len(got) != 0 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestBootAndHostname(t *testing.T) {
	s := system(t, "$ who -b\n   .        system boot Sep 24 17:52\n$ who -b\n$ hostname\nalpha\n$ hostname\n\n")
	if id, err := s.BootID(t.Context()); err != nil || id != "09241752-aix" {
		t.Error(id, err)
	}
	if id, err := s.BootID(t.Context()); err == nil {
		t.Errorf("an empty utmp is boot %q", id)
	}
	if name, err := s.Hostname(t.Context()); err != nil || name != "alpha" {
		t.Error(name, err)
	}
	if name, err := s.Hostname(t.Context()); err == nil {
		t.Errorf("nothing is host name %q", name)
	}
}

func TestProcesses(t *testing.T) {
	start := time.Date(2026, 3, 1, 12, 0, 0, 5, time.UTC)
	s := system(t, `$ ps -A -o pid,ppid,etime,args
 PID PPID ELAPSED COMMAND
   1    0 01:00:00 /etc/init
  77    1    00:05 /opt/dcelocal/bin/dced -b
$ ps -o pid,ppid,etime,args -p 77
 PID PPID ELAPSED COMMAND
  77    1    00:05 /opt/dcelocal/bin/dced -b
$ ps -o pid,ppid,etime,args -p 78
 PID PPID ELAPSED COMMAND
? 1
$ ps -o pid,ppid,etime,args -p 78
? 2 ps: cannot
$ fuser -c -x /krb5
 77 77 80
/krb5:
$ fuser -c -x /krb5
? 1 fuser: 0506-351 cannot
$ lssrc -a
Subsystem         Group            PID          Status
 inetd            tcpip            1639148      active
`)
	s.Proc = aixtest.Proc(t, map[int][]byte{77: aixtest.Psinfo(77, 1, 70, start, "dced", "/opt/dcelocal/bin/dced -b", 4), 99: aixtest.Psinfo(98, 1, 1, start, "x", "", 1)})
	if p, err := s.Process(77); err != nil || p.Session != 70 || !p.Start.Equal(start) {
		t.Errorf("%+v, %v", p, err)
	}
	if _, err := s.Process(78); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if p, err := s.Process(99); err == nil {
		t.Errorf("a file of another process: %+v", p)
	}
	all, err := s.Commands(t.Context())
	if err != nil || len(all) != 2 || all[77] != "/opt/dcelocal/bin/dced -b" {
		t.Error(all, err)
	}
	for _, want := range []string{"/opt/dcelocal/bin/dced -b", ""} {
		pid := 77
		if want == "" {
			pid = 78
		}
		if got, err := s.Command(t.Context(), pid); err != nil || got != want {
			t.Error(got, err)
		}
	}
	if got, err := s.Command(t.Context(), 78); err == nil {
		t.Errorf("a failure is %q", got)
	}
	if got, err := s.Users(t.Context(), "/krb5"); err != nil || !cmp.Equal([]int{77, 80}, got) {
		t.Error(got, err)
	}
	if got, err := s.Users(t.Context(), "/krb5"); err == nil {
		t.Errorf("a failure is %v", got)
	}
	if got, err := s.Subsystems(t.Context()); err != nil || len(got) != 1 {
		t.Error(got, err)
	}
}

// A psinfo that does not describe this process is not understood: then nothing is
// known of any process.
func TestLayoutIsChecked(t *testing.T) {
	for name, b := range map[string][]byte{
		"another parent":  aixtest.Psinfo(os.Getpid(), os.Getppid()+1, 1, time.Now(), "x", "", 1),
		"a start in 1970": aixtest.Psinfo(os.Getpid(), os.Getppid(), 1, time.Unix(5, 0), "x", "", 1),
		"ended":           aixtest.Psinfo(os.Getpid(), os.Getppid(), 1, time.Now(), "x", "", 0),
		"too short":       make([]byte, 100),
		"no file":         nil,
	} {
		s := system(t, "")
		s.Proc = aixtest.Proc(t, map[int][]byte{77: aixtest.Psinfo(77, 1, 1, time.Now(), "dced", "", 1)})
		aixtest.Put(t, s.Proc, os.Getpid(), b)
		for range 2 {
			if p, err := s.Process(77); err == nil {
				t.Errorf("%s: process 77 is %+v", name, p)
			}
		}
	}
}

func TestParsePsinfo(t *testing.T) {
	start := time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC)
	b := aixtest.Psinfo(3408150, 1, 3408100, start, "dced", "/opt/dcelocal/bin/dced -b", 3)
	got, err := aix.ParsePsinfo(b)
	want := aix.Psinfo{PID: 3408150, PPID: 1, PGID: 3408150, Session: 3408100, Start: start, Name: "dced", Args: "/opt/dcelocal/bin/dced -b"}
	if err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
	b[335] = 'Z'
	if got, err := aix.ParsePsinfo(b); err != nil || !got.Zombie {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := aix.ParsePsinfo(aixtest.Psinfo(5, 1, 5, start, "x", "", 0)); err != nil || !got.Zombie {
		t.Errorf("%+v, %v", got, err)
	}
	binary.BigEndian.PutUint32(b[104:], 2e9)
	if got, err := aix.ParsePsinfo(b); err == nil {
		t.Errorf("two seconds of nanoseconds: %+v", got)
	}
	if got, err := aix.ParsePsinfo(b[:300]); err == nil {
		t.Errorf("cut off: %+v", got)
	}
}

// A process is known by the name that the kernel keeps, and by its path where it
// calls itself by one.
func TestRuns(t *testing.T) {
	dir := t.TempDir()
	for _, d := range []string{"bin", "other"} {
		if err := os.MkdirAll(dir+"/"+d, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(dir+"/"+d+"/dced", nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(dir+"/usr", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(dir+"/bin/dced", dir+"/usr/dced"); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		kernel, args string
		want         bool
	}{
		"by its path":                {"dced", dir + "/bin/dced -b", true},
		"by its name":                {"dced", "dced -b", true},
		"by another name":            {"dced", "dced: 3 clients", true},
		"through a link":             {"dced", dir + "/usr/dced -b", true},
		"of another folder":          {"dced", dir + "/other/dced -b", false},
		"replaced on disk":           {"dced", dir + "/gone/dced", true},
		"another program":            {"secd", "secd", false},
		"a script that is so called": {"ksh", dir + "/bin/dced", true},
		"no arguments":               {"dced", "", true},
	} {
		t.Run(name, func(t *testing.T) {
			p := aix.Psinfo{PID: 7, Name: c.kernel, Args: c.args}
			if got, err := p.Runs(dir + "/bin/dced"); err != nil || got != c.want {
				t.Errorf("%v, %v", got, err)
			}
		})
	}
	long := aix.Psinfo{Name: "a_very_long_nam", Args: "x"}
	if ok, err := long.Runs("/bin/a_very_long_name_of_a_program"); !ok || err != nil {
		t.Error("the beginning of a long name is no match")
	}
	if ok, _ := (aix.Psinfo{Name: "a_very", Args: "x"}).Runs("/bin/a_very_long_name_of_a_program"); ok {
		t.Error("a short name is the beginning of a long one")
	}
	if p := (aix.Psinfo{Name: "dced", Args: "dced: x"}); p.Program() != "dced" {
		t.Error(p.Program())
	}
	if p := (aix.Psinfo{Name: "dced", Args: "/x/dced -b"}); p.Program() != "/x/dced" {
		t.Error(p.Program())
	}
}

// The whole of a volume group is read when another group is on than before, and not
// at every look.
func TestVolumeObserver(t *testing.T) {
	all := "$ lsvg\nrootvg\ndcevg\n$ lsvg -o\nrootvg\n$ lspv\nhdisk1  00c3546076c7701f  dcevg\n"
	on := "$ lsvg\nrootvg\ndcevg\n$ lsvg -o\nrootvg\ndcevg\n$ lspv\nhdisk1  00c3546076c7701f  dcevg  active\n$ lsvg dcevg\nVOLUME GROUP:  dcevg  VG IDENTIFIER: 0\n" +
		"VG STATE:  active  PP SIZE: 4\nVG PERMISSION:  read/write  TOTAL PPs: 9\nTOTAL PVs:  1  X: 1\nACTIVE PVs:  1  AUTO ON:  no\nOPEN LVs:  0  Q: 1\n"
	o := aix.NewVolumeObserver(system(t, "$ lsvg -o\nrootvg\n"+all+"$ lsvg -o\nrootvg\n$ lsvg -o\nrootvg\ndcevg\n"+on+"$ lsvg -o\n? 1 0516-1201 lsvg: Warning: Volume group is locked\n"))
	for _, want := range []bool{false, false, true} {
		got, err := o.Look(t.Context(), []string{"dcevg"})
		if err != nil || len(got) != 1 || got[0].Active != want || !got[0].Visible {
			t.Fatalf("%+v, %v", got, err)
		}
	}
	if got, err := o.Look(t.Context(), []string{"dcevg"}); err == nil {
		t.Errorf("a failure is %+v", got)
	}
	if got, err := o.Look(t.Context(), nil); err != nil || len(got) != 0 {
		t.Errorf("%+v, %v", got, err)
	}
}

// Exec is tested with programs of this system.
func TestExec(t *testing.T) {
	out, err := aix.Exec(t.Context(), "env")
	if err != nil || !strings.Contains(out, "TZ=UTC0\n") || !strings.Contains(out, "LC_ALL=C\n") || strings.Contains(out, "GOPATH") {
		t.Errorf("%q, %v", out, err)
	}
	exit := (*aix.ExitError)(nil)
	if out, err := aix.Exec(t.Context(), "sh", "-c", "echo out; echo why >&2; exit 3"); !errors.As(err, &exit) || exit.Code != 3 || exit.Stderr != "why" || out != "out\n" {
		t.Errorf("%q, %v", out, err)
	}
	for _, name := range []string{"no-such-program-here", "../bin/sh", ""} {
		if _, err := aix.Exec(t.Context(), name); err == nil {
			t.Errorf("%q was run", name)
		}
	}
	if _, err := aix.Exec(t.Context(), "sh", "-c", "yes | head -c 5000000"); err == nil {
		t.Error("a flood was read as if it were whole")
	}
	// A command that does not end is killed with all that it has started.
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	began := time.Now()
	if _, err := aix.Exec(ctx, "sh", "-c", "sleep 600 & sleep 600"); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("it took %v", took)
	}
}
