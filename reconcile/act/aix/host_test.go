package aix

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"understudy/config"
	look "understudy/observers/aix"
	"understudy/observers/aix/aixtest"
	"understudy/reconcile"
)

const tableHeading = "$ mount\n  node       mounted        mounted over    vfs       date        options\n-------- ------ ------ ------ ----- ------\n"

func noDevice(string) (uint32, uint32, error) { return 0, 0, fs.ErrNotExist }

// host plays a record. Devices below /dev are there, each with a number of its own.
func host(t *testing.T, record string) *Host {
	return &Host{
		See: &look.System{Run: aixtest.Script(t, record), Device: func(path string) (uint32, uint32, error) {
			if path == "/dev/missing" {
				return 0, 0, fs.ErrNotExist
			}
			return 40, uint32(len(path)), nil
		}},
		Log:         slog.New(slog.DiscardHandler),
		Filesystems: func() (string, error) { return "", os.ErrNotExist },
		Spared:      func() map[int]bool { return map[int]bool{1: true, os.Getpid(): true} },
		Signal: func(p reconcile.Process, sig syscall.Signal) error {
			t.Errorf("signal %v to %d", sig, p.PID)
			return nil
		},
	}
}

// says checks an error: nil for "", else what must stand in it.
func says(t *testing.T, err error, want string) {
	t.Helper()
	if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
		t.Errorf("%v, wanted %q", err, want)
	}
}

const (
	rootOn  = "$ lsvg -o\nrootvg\n"
	bothOn  = "$ lsvg -o\nrootvg\ndcevg\n"
	known   = "$ lsvg\nrootvg\ndcevg\n"
	disks   = "$ lspv\nhdisk0  00c3545039af54e2  rootvg  active\nhdisk3  00c3546076c7701f  dcevg\n"
	learn   = "$ importvg -L dcevg hdisk3\ndcevg\n"
	groupOn = "$ lsvg dcevg\nVOLUME GROUP:       dcevg                    VG IDENTIFIER:  00x\nVG STATE:           active                   PP SIZE:        64 megabyte(s)\n" +
		"VG PERMISSION:      read/write               TOTAL PPs:      959 (61376 megabytes)\nOPEN LVs:           0                        QUORUM:         2 (Enabled)\n" +
		"TOTAL PVs:          1                        VG DESCRIPTORS: 2\nACTIVE PVs:         1                        AUTO ON:        no\n"
	listing = "$ lsvg -l dcevg\ndcevg:\nLV NAME             TYPE       LPs     PPs     PVs  LV STATE      MOUNT POINT\n"
)

func TestActivate(t *testing.T) {
	for name, c := range map[string]struct{ record, want string }{
		"off":                  {rootOn + known + disks + learn + "$ varyonvg dcevg\n" + bothOn + groupOn, ""},
		"on already":           {bothOn + groupOn, ""},
		"held by the peer":     {rootOn + known + disks + learn + "$ varyonvg dcevg\n? 1 0516-013 varyonvg: The volume group cannot be varied on because there are no good copies of the descriptor area.\n", "is it varied on elsewhere"},
		"reserved while learn": {rootOn + known + disks + "$ importvg -L dcevg hdisk3\n? 1 0516-304 importvg: Unable to find device\n", "cannot be learnt"},
		"not imported":         {rootOn + "$ lsvg\nrootvg\n", "importvg -y dcevg"},
		"no disk":              {rootOn + known + "$ lspv\nhdisk0 00c rootvg active\n", "no physical volume"},
		"unread":               {"$ lsvg -o\n? 1 0516-062 lqueryvg\n", "exit status 1"},
		"yes and not on":       {rootOn + known + disks + learn + "$ varyonvg dcevg\n" + rootOn, "lsvg -o does not show it"},
		"read-only":            {bothOn + strings.Replace(groupOn, "read/write", "passive-only", 1), "passive-only"},
	} {
		t.Run(name, func(t *testing.T) { says(t, host(t, c.record).Activate(t.Context(), "dcevg"), c.want) })
	}
	says(t, host(t, "").Activate(t.Context(), "-f"), "no name")
}

func TestDeactivate(t *testing.T) {
	for name, c := range map[string]struct{ record, want string }{
		"on":              {bothOn + listing + "krb5lv  jfs2  16 16 1  closed/syncd  /krb5\n$ varyoffvg dcevg\n" + rootOn, ""},
		"off already":     {rootOn, ""},
		"mounted":         {bothOn + listing + "loglv00  jfs2log  1 1 1  open/syncd  N/A\nkrb5lv  jfs2  16 16 1  open/syncd  /krb5\n", "in use: loglv00, krb5lv (/krb5)"},
		"refused":         {bothOn + listing + "$ varyoffvg dcevg\n? 1 0516-012 lvaryoffvg: Logical volume must be closed.\n", "must be closed"},
		"yes and still":   {bothOn + listing + "$ varyoffvg dcevg\n" + bothOn, "still shows it"},
		"listing unread":  {bothOn + "$ lsvg -l dcevg\nnonsense\n", "no heading"},
		"volumes unknown": {"$ lsvg -o\n? 1 no\n", "exit status 1"},
	} {
		t.Run(name, func(t *testing.T) { says(t, host(t, c.record).Deactivate(t.Context(), "dcevg"), c.want) })
	}
}

func TestMount(t *testing.T) {
	dir := t.TempDir()
	point := dir + "/krb5"
	fsys := config.Filesystem{Mount: point, Device: "/dev/krb5lv", Type: "jfs2", Volume: "dcevg"}
	line := func(device, at, rest string) string {
		return "         " + device + "    " + at + "    " + rest + "\n"
	}
	none := tableHeading
	here := tableHeading + line("/dev/krb5lv", point, "jfs2   Jul 17 13:22 rw,log=/dev/loglv00")
	check := "$ fsck -p -f -V jfs2 /dev/krb5lv\n"
	stanza := point + ":\n\tdev = /dev/krb5lv\n\tvfs = jfs2\n\tlog = /dev/loglv00\n\tmount = false\n"
	for name, c := range map[string]struct {
		record, etc, want string
		change            func(*config.Filesystem)
	}{
		"plain":             {record: none + check + "$ mount -v jfs2 /dev/krb5lv " + point + "\n" + here},
		"its log":           {record: none + check + "$ mount -v jfs2 -o log=/dev/loglv00 /dev/krb5lv " + point + "\n" + here, etc: stanza},
		"a log declared":    {record: none + check + "$ mount -v jfs2 -o log=INLINE /dev/krb5lv " + point + "\n" + here, etc: stanza, change: func(f *config.Filesystem) { f.Options = []string{"log=INLINE"} }},
		"already":           {record: here},
		"elsewhere":         {record: tableHeading + line("/dev/krb5lv", "/mnt", "jfs2   Jul 17 13:22 rw"), want: "mounted at /mnt already"},
		"something else":    {record: tableHeading + line("/dev/otherlonger", point, "jfs2   Jul 17 13:22 rw"), want: "/dev/otherlonger (jfs2) is mounted there"},
		"another type":      {record: tableHeading + line("/dev/krb5lv", point, "jfs   Jul 17 13:22 rw"), want: "mounted there as jfs"},
		"read-only":         {record: tableHeading + line("/dev/krb5lv", point, "jfs2   Jul 17 13:22 ro"), want: "read-only"},
		"damaged":           {record: none + "$ fsck -p -f -V jfs2 /dev/krb5lv\n? 8 unrecovered errors\n", want: "could not mend"},
		"refused":           {record: none + check + "$ mount -v jfs2 /dev/krb5lv " + point + "\n? 1 0506-324 Cannot mount /dev/krb5lv\n", want: "0506-324"},
		"yes and not there": {record: none + check + "$ mount -v jfs2 /dev/krb5lv " + point + "\n" + none, want: "does not show it"},
		"unread":            {record: "$ mount\n? 1 no\n", want: "cannot read the mount table"},
		"no device":         {record: none, want: "volume group varied on", change: func(f *config.Filesystem) { f.Device = "/dev/missing" }},
		"another stanza":    {record: none, etc: strings.Replace(stanza, "/dev/krb5lv", "/dev/hd1", 1), want: "/etc/filesystems has /dev/hd1"},
		"mounted at boot":   {record: none, etc: strings.Replace(stanza, "false", "true", 1), want: "at every boot"},
		"a bad point":       {want: "not an absolute, clean path", change: func(f *config.Filesystem) { f.Mount = "/krb5/../etc" }},
		"over the network": {record: none + "$ mount -v nfs3 -o ro nfs1:/export " + point + "\n" + tableHeading + "nfs1  /export  " + point + "  nfs3   Jul 17 13:22 ro\n",
			change: func(f *config.Filesystem) { f.Device, f.Type, f.Options = "nfs1:/export", "nfs3", []string{"ro"} }},
	} {
		t.Run(name, func(t *testing.T) {
			h, f := host(t, c.record), fsys
			if c.etc != "" {
				h.Filesystems = func() (string, error) { return c.etc, nil }
			}
			if c.change != nil {
				c.change(&f)
			}
			says(t, h.Mount(t.Context(), f), c.want)
		})
	}
	if fi, err := os.Stat(point); err != nil || !fi.IsDir() {
		t.Error("the mount point was not made")
	}
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Symlink(dir, dir+"/link"))
	must(os.WriteFile(dir+"/file", nil, 0o600))
	for _, p := range []string{dir + "/link/krb5", dir + "/file", dir + "/no/such"} {
		f := fsys
		f.Mount = p
		if err := host(t, none).Mount(t.Context(), f); err == nil {
			t.Errorf("mounted at %s", p)
		}
	}
}

func TestUnmount(t *testing.T) {
	at := func(lines ...string) string { return tableHeading + strings.Join(lines, "") }
	krb5 := "         /dev/krb5lv      /krb5            jfs2   Jul 17 13:22 rw\n"
	inner := "         /dev/other1      /krb5/sub        jfs2   Jul 17 13:22 rw\n"
	busy := "$ umount /krb5\n? 1 umount: 0506-349 Cannot unmount /dev/krb5lv: The requested resource is busy.\n"
	for name, c := range map[string]struct{ record, want string }{
		"mounted":        {at(krb5) + "$ umount /krb5\n" + at(), ""},
		"not mounted":    {at(), ""},
		"twice":          {at(krb5, krb5) + "$ umount /krb5\n" + at(krb5) + "$ umount /krb5\n" + at(), ""},
		"something else": {at("         /dev/elsewhere   /krb5            jfs2   Jul 17 13:22 rw\n"), "not the group's"},
		"a mount below":  {at(krb5, inner), "umount /krb5/sub first"},
		"unread":         {"$ mount\n? 1 no\n", "cannot read the mount table"},
		"holders unread": {at(krb5) + busy + "$ fuser -c -x /krb5\n? 1 fuser: no\n", "fuser -c -x /krb5 ended"},
	} {
		t.Run(name, func(t *testing.T) {
			says(t, host(t, c.record).Unmount(t.Context(), "/dev/krb5lv", "/krb5"), c.want)
		})
	}
	says(t, host(t, "").Unmount(t.Context(), "/dev/hd4", "/"), "below /")
}

// Those who hold a mount are told to end, and ended at half time, each once.
func TestUnmountLadder(t *testing.T) {
	h := host(t, "")
	start := time.Unix(1e9, 7)
	h.See.Proc = aixtest.Proc(t, map[int][]byte{
		70: aixtest.Psinfo(70, 1, 1, start, "polite", "", 1),
		71: aixtest.Psinfo(71, 1, 1, start, "stubborn", "", 1),
		72: aixtest.Psinfo(72, 1, 1, start, "zombie", "", 0),
	})
	mounted := true
	alive := map[int]bool{70: true, 71: true}
	sent := []string{}
	h.See.Run = func(_ context.Context, argv ...string) (string, error) {
		switch strings.Join(argv, " ") {
		case "mount":
			text := strings.TrimPrefix(tableHeading, "$ mount\n")
			if mounted {
				text += "         /dev/krb5lv      /krb5            jfs2   Jul 17 13:22 rw\n"
			}
			return text, nil
		case "umount /krb5":
			if len(alive) > 0 {
				return "", &look.ExitError{Argv: argv, Code: 1, Stderr: "busy"}
			}
			mounted = false
			return "", nil
		case "fuser -c -x /krb5":
			text := " 72 73"
			if alive[70] {
				text += " 70"
			}
			if alive[71] {
				text += " 71"
			}
			return text + "\n", nil
		}
		t.Errorf("unexpected command %q", argv)
		return "", errors.New("unexpected")
	}
	h.Signal = func(p reconcile.Process, sig syscall.Signal) error {
		if p.Start != uint64(start.UnixNano()) {
			t.Errorf("process %d is known by start %d", p.PID, p.Start)
		}
		name := map[int]string{70: "polite", 71: "stubborn"}[p.PID]
		sent = append(sent, sig.String()+" "+name)
		if p.PID == 70 || sig == syscall.SIGKILL {
			delete(alive, p.PID)
		}
		return nil
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	if err := h.Unmount(ctx, "/dev/krb5lv", "/krb5"); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(sent, ", "); got != "terminated polite, terminated stubborn, killed stubborn" {
		t.Error(got)
	}
	// One of them is this program: then nobody is signalled.
	mounted, alive, sent = true, map[int]bool{70: true}, nil
	h.Spared = func() map[int]bool { return map[int]bool{70: true} }
	says(t, h.Unmount(ctx, "/dev/krb5lv", "/krb5"), "this program, its parent or process 1")
	if len(sent) > 0 {
		t.Error(sent)
	}
}

func network(addresses ...string) string {
	s := "$ ifconfig -a\nen0: flags=1e080863,480<UP,BROADCAST,RUNNING>\n"
	for _, a := range addresses {
		s += "\tinet " + a + " netmask 0xffffff00 broadcast 192.0.2.255\n"
	}
	s += "en1: flags=1e080863,480<UP,BROADCAST,RUNNING>\n\tinet 198.51.100.10 netmask 0xffffff00 broadcast 198.51.100.255\nen2: flags=0<BROADCAST>\n"
	s += "$ netstat -in\nName Mtu Network Address\nen0 1500 link#2 0.1.2.3.4.5 0\nen1 1500 link#3 0.1.2.3.4.6 0\nen2* 1500 link#4 0.1.2.3.4.7 0\n"
	return s + "$ entstat -d ent0\nLink Status : Up\n$ entstat -d ent1\nLink Status : Down\n"
}

func TestAddAddress(t *testing.T) {
	add := "$ ifconfig en0 192.0.2.50 netmask 255.255.255.0 alias\n"
	probe := "$ arp -d 192.0.2.50\n? 1 0821-291 Cannot find host\n$ ping -c 1 -w 1 192.0.2.50\n"
	silent := probe + "? 1\n$ arp -an\n  ? (192.0.2.50) at (incomplete)\n"
	for name, c := range map[string]struct {
		record, link string
		careful      bool
		want         string
	}{
		"absent":            {network("192.0.2.10") + add + network("192.0.2.10", "192.0.2.50"), "en0", false, ""},
		"here already":      {network("192.0.2.10", "192.0.2.50"), "en0", true, ""},
		"nobody has it":     {network("192.0.2.10") + silent + add + network("192.0.2.50"), "en0", true, ""},
		"it answers ping":   {network("192.0.2.10") + probe, "en0", true, "another host answers"},
		"it answers ARP":    {network("192.0.2.10") + probe + "? 1\n$ arp -an\n  ? (192.0.2.50) at 0:4:ac:5e:34:b5 [ethernet] stored in bucket 27\n", "en0", true, "00:04:ac:5e:34:b5 answers"},
		"no carrier":        {network("192.0.2.10"), "en1", false, "no carrier"},
		"link down":         {network("192.0.2.10"), "en2", false, "is down"},
		"no link":           {network("192.0.2.10"), "en9", false, "no link en9"},
		"refused":           {network("192.0.2.10") + "$ ifconfig en0 192.0.2.50 netmask 255.255.255.0 alias\n? 1 0821-050\n", "en0", false, "0821-050"},
		"yes and not there": {network("192.0.2.10") + add + network("192.0.2.10"), "en0", false, "the link does not have it"},
		"unread":            {"$ ifconfig -a\n? 1 no\n", "en0", false, "cannot list addresses"},
	} {
		t.Run(name, func(t *testing.T) {
			says(t, host(t, c.record).AddAddress(t.Context(), c.link, netip.MustParsePrefix("192.0.2.50/24"), c.careful), c.want)
		})
	}
	// On another link, and with another prefix: it is moved.
	h := host(t, network("198.51.100.77")+"$ ifconfig en0 198.51.100.77 delete\n$ ifconfig en0 198.51.100.77 netmask 255.255.252.0 alias\n"+
		strings.Replace(network("198.51.100.77"), "0xffffff00", "0xfffffc00", 1))
	says(t, h.AddAddress(t.Context(), "en0", netip.MustParsePrefix("198.51.100.77/22"), true), "")
	six := strings.Replace(network(), "en1:", "\tinet6 2001:db8::50/64\nen1:", 1)
	h = host(t, network()+"$ ifconfig en0 inet6 alias 2001:db8::50/64\n"+six)
	says(t, h.AddAddress(t.Context(), "en0", netip.MustParsePrefix("2001:db8::50/64"), true), "")
	h = host(t, six+"$ ifconfig en0 inet6 2001:db8::50 delete\n"+network())
	says(t, h.DropAddress(t.Context(), netip.MustParseAddr("2001:db8::50")), "")
}

func TestDropAddress(t *testing.T) {
	drop := "$ ifconfig en0 192.0.2.50 delete\n"
	for name, c := range map[string]struct{ record, want string }{
		"here":          {network("192.0.2.10", "192.0.2.50") + drop + network("192.0.2.10"), ""},
		"gone":          {network("192.0.2.10"), ""},
		"refused":       {network("192.0.2.50") + drop + "? 1 no\n", "exit status 1"},
		"comes back":    {network("192.0.2.50") + drop + network("192.0.2.50"), "it is on en0 again"},
		"unread after":  {network("192.0.2.50") + drop + "$ ifconfig -a\n? 1 no\n", "cannot list addresses"},
		"unread before": {"$ ifconfig -a\nnonsense\n", "cannot list addresses"},
	} {
		t.Run(name, func(t *testing.T) {
			says(t, host(t, c.record).DropAddress(t.Context(), netip.MustParseAddr("192.0.2.50")), c.want)
		})
	}
}

func TestNotMounted(t *testing.T) {
	says(t, host(t, tableHeading).NotMounted(t.Context(), "/dev/plain"), "")
	says(t, host(t, tableHeading+"         /dev/plain   /x   jfs2   Jul 17 13:22 rw\n").NotMounted(t.Context(), "/dev/plain"), "still mounted at /x")
	says(t, host(t, "$ mount\n? 1 no\n").NotMounted(t.Context(), "/dev/plain"), "cannot let /dev/plain go")
}

func TestHostname(t *testing.T) {
	says(t, host(t, "$ hostname dcesvc\n").SetHostname(t.Context(), "dcesvc"), "")
	says(t, host(t, "$ hostname dcesvc\n? 1 no\n").SetHostname(t.Context(), "dcesvc"), "exit status 1")
}

func TestLeft(t *testing.T) {
	g := config.Group{
		Addresses: []config.ServiceAddress{{Prefix: netip.MustParsePrefix("192.0.2.50/24")}},
		Volumes:   []config.Volume{{Name: "dcevg"}, {Name: "rootvg"}},
		Filesystems: []config.Filesystem{
			{Mount: "/krb5", Device: "/dev/krb5lv", Type: "jfs2", Volume: "dcevg"},
			{Mount: "/plain", Device: "/dev/plain", Type: "jfs2"},
			{Mount: "/cache", Device: "/dev/cachelv", Type: "jfs2", Volume: "rootvg", Local: true},
		},
	}
	nothing := tableHeading + network("192.0.2.10") + rootOn + "$ fuser -f -x /dev/plain\n"
	if left := host(t, nothing).Left(t.Context(), g); len(left) != 0 {
		t.Error(left)
	}
	everything := tableHeading + "         /dev/krb5lv      /mnt             jfs2   Jul 17 13:22 rw\n         /dev/longername  /plain           jfs2   Jul 17 13:22 rw\n" +
		network("192.0.2.50") + bothOn + "$ fuser -f -x /dev/plain\n 77\n"
	want := "/dev/krb5lv is mounted at /mnt; /dev/longername is mounted at /plain; 192.0.2.50 is on en0; volume group dcevg is varied on; /dev/plain is used by processes [77]"
	if left := strings.Join(host(t, everything).Left(t.Context(), g), "; "); left != want {
		t.Error(left)
	}
	unknown := "$ mount\n? 1 no\n$ ifconfig -a\n? 1 no\n$ lsvg -o\n? 1 no\n$ fuser -f -x /dev/plain\n? 1 no\n"
	if left := host(t, unknown).Left(t.Context(), g); len(left) != 4 {
		t.Errorf("%d things are unknown: %v", len(left), left)
	}
}

// No step of this package runs a command that forces anything.
func TestNothingIsForced(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		for _, bad := range []string{`"varyonvg", "-`, `"umount", "-`, `"-k"`, `"-kxuc"`, `"varyoffvg", "-`} {
			if strings.Contains(string(text), bad) {
				t.Errorf("%s holds %s", file, bad)
			}
		}
	}
}
