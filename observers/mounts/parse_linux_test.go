package mounts

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/sys/mountinfo"
	"pgregory.net/rapid"

	"understudy/reconcile"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		name, in string
		want     reconcile.Mount
		wantErr  string
	}{
		{"plain", "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue\n",
			reconcile.Mount{ID: 36, Major: 98, Root: "/mnt1", Point: "/mnt2", FSType: "ext3", Source: "/dev/root"}, ""},
		{"no optional fields", "1 1 0:5 / / rw - devtmpfs devtmpfs rw\n",
			reconcile.Mount{ID: 1, Minor: 5, Root: "/", Point: "/", FSType: "devtmpfs", Source: "devtmpfs"}, ""},
		{"several optional fields", "1 1 0:5 / / rw shared:1 master:2 propagate_from:3 - tmpfs none rw\n",
			reconcile.Mount{ID: 1, Minor: 5, Root: "/", Point: "/", FSType: "tmpfs", Source: "none"}, ""},
		{"empty source", "40 35 0:40 / /mnt rw - tmpfs  rw,size=4k\n",
			reconcile.Mount{ID: 40, Minor: 40, Root: "/", Point: "/mnt", FSType: "tmpfs"}, ""},
		{"source is a dash", "40 35 0:40 / /mnt rw - tmpfs - rw\n",
			reconcile.Mount{ID: 40, Minor: 40, Root: "/", Point: "/mnt", FSType: "tmpfs", Source: "-"}, ""},
		{"escapes", `40 35 0:40 /a\134b /mnt/a\040b\011c\012d rw - tmpfs x\043y rw` + "\n",
			reconcile.Mount{ID: 40, Minor: 40, Root: `/a\b`, Point: "/mnt/a b\tc\nd", FSType: "tmpfs", Source: "x#y"}, ""},
		{"read-only mount", "40 35 8:1 / /mnt ro,noatime - ext4 /dev/sda1 rw\n",
			reconcile.Mount{ID: 40, Major: 8, Minor: 1, Root: "/", Point: "/mnt", FSType: "ext4", Source: "/dev/sda1", ReadOnly: true}, ""},
		{"read-only super block", "40 35 8:1 / /mnt rw - ext4 /dev/sda1 ro,errors=remount-ro\n",
			reconcile.Mount{ID: 40, Major: 8, Minor: 1, Root: "/", Point: "/mnt", FSType: "ext4", Source: "/dev/sda1", ReadOnly: true}, ""},
		{"remount-ro on errors is not read-only", "40 35 8:1 / /mnt rw - ext4 /dev/sda1 rw,errors=remount-ro\n",
			reconcile.Mount{ID: 40, Major: 8, Minor: 1, Root: "/", Point: "/mnt", FSType: "ext4", Source: "/dev/sda1"}, ""},
		{"deleted", "40 35 8:1 / /mnt//deleted rw - ext4 /dev/sda1 rw\n",
			reconcile.Mount{ID: 40, Major: 8, Minor: 1, Root: "/", Point: "/mnt//deleted", FSType: "ext4", Source: "/dev/sda1"}, ""},
		{"cut off", "40 35 8:1 / /mnt rw - ext4 /dev/sda1 rw", reconcile.Mount{}, "line 1 is cut off"},
		{"no separator", "40 35 8:1 / /mnt rw ext4 /dev/sda1 rw\n", reconcile.Mount{}, "separator"},
		{"no number", "x 35 8:1 / /mnt rw - ext4 /dev/sda1 rw\n", reconcile.Mount{}, "mount id"},
		{"no device", "40 35 8 / /mnt rw - ext4 /dev/sda1 rw\n", reconcile.Mount{}, "major:minor"},
		{"blank line", "\n", reconcile.Mount{}, "fields"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Parse([]byte(c.in))
			if c.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), c.wantErr) {
					t.Fatalf("error %v, want %q in it", err, c.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff([]reconcile.Mount{c.want}, got); d != "" {
				t.Error(d)
			}
		})
	}
}

// A line longer than any fixed buffer is read.
func TestParseLongLine(t *testing.T) {
	in := "40 35 0:40 / /mnt rw - overlay o rw,lowerdir=" + strings.Repeat("/x:", 100_000) + "\n"
	if got, err := Parse([]byte(in)); err != nil || len(got) != 1 {
		t.Fatalf("%d mounts, error %v", len(got), err)
	}
}

// escape is what the kernel does (seq_file's mangle_path).
func escape(s string) string {
	return strings.NewReplacer(" ", `\040`, "\t", `\011`, "\n", `\012`, `\`, `\134`, "#", `\043`).Replace(s)
}

func line(m reconcile.Mount) string {
	ro := "rw"
	if m.ReadOnly {
		ro = "ro"
	}
	return fmt.Sprintf("%d 1 %d:%d %s %s %s shared:1 - %s %s rw\n", m.ID, m.Major, m.Minor,
		escape(m.Root), escape(m.Point), ro, escape(m.FSType), escape(m.Source))
}

func TestPrintedTableIsReadBack(t *testing.T) {
	text := rapid.StringMatching(`[ -~\t\nä]{0,12}`)
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SliceOf(rapid.Custom(func(t *rapid.T) reconcile.Mount {
			return reconcile.Mount{
				ID: rapid.IntRange(0, 1<<30).Draw(t, "id"), Major: rapid.Uint32().Draw(t, "major"), Minor: rapid.Uint32().Draw(t, "minor"),
				Root: "/" + text.Draw(t, "root"), Point: "/" + text.Draw(t, "point"),
				FSType: rapid.StringMatching(`[a-z.]{1,8}`).Draw(t, "type"), Source: text.Draw(t, "source"), ReadOnly: rapid.Bool().Draw(t, "ro"),
			}
		})).Draw(t, "table")
		var b bytes.Buffer
		for _, m := range want {
			b.WriteString(line(m))
		}
		got, err := Parse(b.Bytes())
		if err != nil || !cmp.Equal(append([]reconcile.Mount{}, want...), got) {
			t.Fatalf("%v %s", err, cmp.Diff(want, got))
		}
	})
}

// FuzzParse: no panic; and what both parsers accept, both read alike.
func FuzzParse(f *testing.F) {
	f.Add("36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue\n")
	f.Add("40 35 0:40 / /mnt rw - tmpfs  rw\n")
	f.Add("40 35 0:40 / /mnt\\040x rw - tmpfs - ro\n")
	f.Fuzz(func(t *testing.T, in string) {
		got, err := Parse([]byte(in))
		if err != nil || strings.ContainsAny(in, "\r") || strings.Contains(in, " - ") && strings.Count(in, " - ") > strings.Count(in, "\n") {
			return
		}
		other, err := mountinfo.GetMountsFromReader(strings.NewReader(in), nil)
		if err != nil || len(other) != len(got) {
			return
		}
		for i, o := range other {
			if g := got[i]; g.ID != o.ID || g.Source != o.Source && !strings.Contains(in, " - ") {
				t.Fatalf("read %+v, moby/sys/mountinfo %+v", g, o)
			}
		}
	})
}

func BenchmarkRead(b *testing.B) {
	var table Table
	for b.Loop() {
		if _, err := table.Read(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
