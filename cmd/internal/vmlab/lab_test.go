//go:build linux

package vmlab

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// The networks of the guests, and the faults on them.
func TestFabric(t *testing.T) {
	f := newFabric()
	cards := map[string]net.Conn{}
	for _, name := range []string{"n1", "n2", "n3"} {
		ours, theirs := net.Pipe()
		cards[name] = ours
		done := make(chan struct{})
		go func() { defer close(done); f.attach(name, theirs) }()
		t.Cleanup(func() { _ = ours.Close(); <-done })
	}
	for n := 0; n < len(cards); runtime.Gosched() {
		f.mu.Lock()
		n = len(f.ports)
		f.mu.Unlock()
	}
	frame := func(to, from byte) []byte {
		return append([]byte{0x52, 0, 0, 0, 0, to, 0x52, 0, 0, 0, 0, from, 8, 0}, fmt.Sprintf("from %d", from)...)
	}
	send := func(name string, frame []byte) {
		t.Helper()
		b := binary.BigEndian.AppendUint32(nil, uint32(len(frame)))
		if _, err := cards[name].Write(append(b, frame...)); err != nil {
			t.Fatal(err)
		}
	}
	hears := func(name string, limit time.Duration) bool {
		t.Helper()
		_ = cards[name].SetReadDeadline(time.Now().Add(limit))
		var head [4]byte
		if _, err := io.ReadFull(cards[name], head[:]); err != nil {
			return false
		}
		_, err := io.ReadFull(cards[name], make([]byte, binary.BigEndian.Uint32(head[:])))
		return err == nil
	}
	const long, short = 20 * time.Second, 100 * time.Millisecond
	send("n1", frame(2, 1)) // nobody knows where n2 is
	if !hears("n2", long) || !hears("n3", long) {
		t.Fatal("a frame to an unknown card does not reach all")
	}
	send("n2", frame(1, 2))
	if !hears("n1", long) || hears("n3", short) {
		t.Fatal("a frame to a known card does not reach it alone")
	}
	f.set("n1", "n2", Fault{Cut: true})
	send("n1", frame(2, 1))
	if hears("n2", short) {
		t.Fatal("a frame went through a cut wire")
	}
	send("n2", frame(1, 2))
	if !hears("n1", long) {
		t.Fatal("the other direction is cut, too")
	}
	f.set("n1", "n2", Fault{Delay: time.Millisecond})
	send("n1", frame(2, 1))
	if !hears("n2", long) {
		t.Fatal("a delayed frame is lost")
	}
}

func TestInitialRAMDisk(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("modules.list", "kernel/b.ko\nkernel/a.ko\n")
	write("kernel/a.ko", "AAAAA")
	write("kernel/b.ko", "B")
	write("program", "the program")
	if err := initialRAMDisk(dir, filepath.Join(dir, "program"), filepath.Join(dir, "initrd")); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "initrd"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	contents := map[string]string{}
	for len(b) > 0 {
		var magic string
		var f [13]int
		if _, err := fmt.Sscanf(string(b[:6]), "%6s", &magic); err != nil || magic != "070701" {
			t.Fatalf("%q %v", b[:6], err)
		}
		for i := range f {
			if _, err := fmt.Sscanf(string(b[6+8*i:14+8*i]), "%08x", &f[i]); err != nil {
				t.Fatal(err)
			}
		}
		up := func(n int) int { return (n + 3) / 4 * 4 }
		name := strings.TrimSuffix(string(b[110:110+f[11]]), "\x00")
		at := up(110 + f[11])
		names = append(names, name)
		contents[name] = string(b[at : at+f[6]])
		b = b[at+up(f[6]):]
	}
	if contents["understudy"] != "the program" || contents["mod/a.ko"] != "AAAAA" || contents["modules.list"] != "b.ko\na.ko\n" || names[len(names)-1] != "TRAILER!!!" {
		t.Errorf("%v %v", names, contents)
	}
	if err := initialRAMDisk(dir+"/nowhere", filepath.Join(dir, "program"), filepath.Join(dir, "initrd")); err == nil {
		t.Error("an archive without modules")
	}
}

func TestScenariosAreReachable(t *testing.T) {
	var out, errs strings.Builder
	if code := Verb(t.Context(), nil, &out, &errs); code != 0 {
		t.Fatal(code, errs.String())
	}
	for _, sc := range Scenarios {
		if !strings.Contains(out.String(), sc.Name) || sc.Run == nil || sc.Lab.Guests == 0 {
			t.Errorf("%s is not in the help, or has nothing to run", sc.Name)
		}
	}
	for _, args := range [][]string{{"nosuch"}, {"all", "more"}, {"lvm", "nosuch"}} {
		if code := Verb(t.Context(), args, &out, &errs); code != 2 {
			t.Error(args, code)
		}
	}
	if err := Static("/proc/self/exe"); err != nil && !strings.Contains(err.Error(), "CGO_ENABLED=0") {
		t.Error(err)
	}
}

// The counter's rate is the same however often it is measured.
func TestClockParameter(t *testing.T) {
	var rates []int
	for range 3 {
		var khz int
		for _, p := range clockParameter() {
			if _, err := fmt.Sscanf(p, "tsc_early_khz=%d", &khz); err != nil {
				t.Fatal(p, err)
			}
		}
		rates = append(rates, khz)
	}
	if a, b := slices.Min(rates), slices.Max(rates); (b-a)*100 > b {
		t.Errorf("between %d and %d kHz", a, b)
	}
}
