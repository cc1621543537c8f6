//go:build linux

package lab

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/xml"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func hash(b []byte) [32]byte { return sha256.Sum256(b) }

// syscallSync forces a file to the disk and drops it from the page cache, so
// that the next read sees what is on the disk.
func syscallSync(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		return err
	}
	return unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
}

// maker starts another process that makes a lab and waits; it is this test
// binary again.
func maker(t *testing.T, name string) *os.Process {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestMakerProcess$")
	cmd.Env = append(os.Environ(), "LAB_MAKER="+name)
	out, err := cmd.StdoutPipe()
	must(t, err)
	in, err := cmd.StdinPipe()
	must(t, err)
	cmd.Stderr = t.Output()
	must(t, cmd.Start())
	t.Cleanup(func() {
		in.Close()
		cmd.Process.Kill()
		cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || line != "up\n" {
		t.Fatalf("the maker says %q, %v", line, err)
	}
	return cmd.Process
}

// TestMakerProcess is the other process of maker.
func TestMakerProcess(t *testing.T) {
	name := os.Getenv("LAB_MAKER")
	if name == "" {
		return // only as a process of another test
	}
	if _, err := Up(context.Background(), Options{Name: name, LifeLine: true}); err != nil {
		t.Fatal(err)
	}
	fmt.Println("up")
	bufio.NewReader(os.Stdin).ReadByte()
}

func TestParseMounts(t *testing.T) {
	in := "36 35 7:3 / /srv/a\\040b rw,noatime - ext4 /dev/shared0 rw\n" +
		"37 35 0:24 / /proc rw - proc proc rw\n" +
		"38 35 7:13 /x /y rw shared:1 - ext4 /dev/loop13 rw\nbroken\n"
	got := parseMounts([]byte(in))
	if len(got) != 2 || !slices.Equal(got[unix.Mkdev(7, 3)], []string{"/srv/a b"}) || !slices.Equal(got[unix.Mkdev(7, 13)], []string{"/y"}) {
		t.Errorf("got %v", got)
	}
}

func FuzzParseMounts(f *testing.F) {
	f.Add([]byte("36 35 7:3 / /srv rw - ext4 /dev/shared0 rw\n"))
	f.Fuzz(func(t *testing.T, b []byte) { parseMounts(b) })
}

func TestFenceOptions(t *testing.T) {
	for _, c := range []struct {
		args []string
		in   string
		want string
	}{
		{nil, "action=off\nplug=alpha\n", "off alpha"},
		{nil, "# a comment\n\n action = status \nport=beta\nunknown=1\n", "status beta"},
		{nil, "plug=alpha", "reboot alpha"},
		{[]string{"-o", "off", "-n", "alpha"}, "", "off alpha"},
		{[]string{"--action=on", "--plug", "beta"}, "", "on beta"},
	} {
		opt, err := fenceOptions(c.args, strings.NewReader(c.in))
		if got := opt["action"] + " " + opt["plug"]; err != nil || got != c.want {
			t.Errorf("%q %q: got %q, %v", c.args, c.in, got, err)
		}
	}
	for _, args := range [][]string{{"off"}, {"-o"}} {
		if _, err := fenceOptions(args, nil); err == nil {
			t.Errorf("%q was taken", args)
		}
	}
}

func TestFenceMetadata(t *testing.T) {
	var agent struct {
		Name    string `xml:"name,attr"`
		Actions []struct {
			Name string `xml:"name,attr"`
		} `xml:"actions>action"`
	}
	if err := xml.Unmarshal([]byte(fenceMetadata), &agent); err != nil || agent.Name != "fence_lab" || len(agent.Actions) != 8 {
		t.Errorf("%+v, %v", agent, err)
	}
}

func TestCompare(t *testing.T) {
	v := compare("1\n2\n4\n\n5", []int64{1, 2, 3})
	if !slices.Equal(v.Lost, []int64{3}) || v.Found != 3 || v.Broken != 2 || v.Acked != 3 {
		t.Errorf("%+v", v)
	}
}

func TestReport(t *testing.T) {
	c := &asker{answered: []answered{{1, 100}, {2, 200}, {3, 900}, {4, 1000}}}
	r := c.report(300)
	if r.Answers != 2 || r.Open <= 0 {
		t.Errorf("%+v", r)
	}
	// The gap that the mark lies in counts from its beginning; the last one, to
	// now, is longest here.
	if r.From != 1000 {
		t.Errorf("%+v", r)
	}
}

func TestOptions(t *testing.T) {
	for _, o := range []Options{{Name: "Demo"}, {Name: "a/b"}, {Hosts: []Host{{Name: "x"}, {Name: "x"}}},
		{Hosts: []Host{{Name: "averylonghostname"}}}} {
		if _, err := o.withDefaults(); err == nil {
			t.Errorf("%+v was taken", o)
		}
	}
	if _, err := (Options{Profile: "dfs"}).withDefaults(); err == nil {
		t.Error("a profile that is none was taken")
	}
	o, err := Options{Profile: ProfileDCE, Policy: "rotating"}.withDefaults()
	must(t, err)
	again, err := o.withDefaults()
	must(t, err)
	if text := o.Config(o); !strings.Contains(text, `hostname = "dcesvc"`) || !strings.Contains(text, `profile = "dce"`) || !strings.Contains(text, `device = "/dev/shared2"`) ||
		o.Disks != DCEDisks || len(again.Files) != len(o.Files) {
		t.Errorf("%d disks, %d and %d files:\n%s", o.Disks, len(o.Files), len(again.Files), text)
	}
	o, err = Options{Timers: TunedTimers, Policy: "rotating", Group: "restarts = 0", App: []string{"--stop-delay", "1s"}}.withDefaults()
	must(t, err)
	text := o.Config(o)
	for _, want := range []string{`timeout  = "250ms"`, `policy = "rotating"`, "restarts = 0", `"--stop-delay"`,
		`addresses = { public = "10.7.0.11/24", storage = "10.8.0.11/24" }`, `options = { plug = "beta" }`} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

func TestFiles(t *testing.T) {
	for path, ok := range map[string]bool{
		"/usr/bin/start.dce": true, "/opt/dcelocal/bin/dced": true, "/etc/krb5.conf": true,
		"/usr/lib/x": false, "etc/x": false, "/etc/../x": false,
	} {
		if err := (File{Path: path}).check(); (err == nil) != ok {
			t.Errorf("%s: %v", path, err)
		}
	}
	nodes, client := Host{Name: Alpha, Disks: true}, Host{Name: Client}
	for _, c := range []struct {
		f    File
		h    Host
		want bool
	}{{File{}, nodes, true}, {File{}, client, false}, {File{Hosts: []string{Client}}, client, true}, {File{Hosts: []string{Client}}, nodes, false}} {
		if got := c.f.on(c.h); got != c.want {
			t.Errorf("%+v on %s: %v", c.f, c.h.Name, got)
		}
	}
}
