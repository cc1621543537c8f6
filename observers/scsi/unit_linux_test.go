package scsi

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// kernel makes folders as /sys has them.
type kernel struct {
	t    *testing.T
	root string
}

func (k kernel) write(path, text string) {
	k.t.Helper()
	p := filepath.Join(k.root, path)
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		k.t.Fatal(err)
	}
	if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
		k.t.Fatal(err)
	}
}

// device is a block device with a number and what it lies upon.
func (k kernel) device(path, number string, below ...string) {
	k.t.Helper()
	dir := filepath.Join(k.root, "devices", path)
	for _, d := range []string{filepath.Join(dir, "slaves"), filepath.Join(k.root, "dev/block")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			k.t.Fatal(err)
		}
	}
	if err := os.Symlink(dir, filepath.Join(k.root, "dev/block", number)); err != nil {
		k.t.Fatal(err)
	}
	for _, b := range below {
		if err := os.Symlink(filepath.Join(k.root, "devices", b), filepath.Join(dir, "slaves", filepath.Base(b))); err != nil {
			k.t.Fatal(err)
		}
	}
}

func (k kernel) disk(name, number, wwid, state string) {
	k.t.Helper()
	k.device(name, number)
	k.write("devices/"+name+"/device/scsi_level", "7\n")
	k.write("devices/"+name+"/device/state", state+"\n")
	if wwid != "" {
		k.write("devices/"+name+"/device/wwid", wwid+"\n")
	}
}

// TestBelow: partitions, multipath, LVM over both, and what is no SCSI disk.
func TestBelow(t *testing.T) {
	k := kernel{t, t.TempDir()}
	k.disk("sda", "8:0", "naa.600140500000000a", "running")
	k.disk("sdb", "8:16", "naa.600140500000000b", "running")
	k.disk("sdc", "8:32", "naa.600140500000000b", "transport-offline")
	k.disk("sdd", "8:48", "", "running")
	k.disk("sde", "8:64", "naa.600140500000000e", "offline")
	k.device("sda/sda1", "8:1")
	k.write("devices/sda/sda1/partition", "1\n")
	k.device("dm-0", "253:0", "sdb", "sdc")       // multipath
	k.device("dm-1", "253:1", "dm-0", "sda/sda1") // a logical volume over both
	k.device("dm-2", "253:2", "sdd")              // no designation
	k.device("nvme0n1", "259:0")
	k.device("dm-3", "253:3", "sda", "nvme0n1")
	sys := System{Sys: k.root}

	a := Unit{ID: "naa.600140500000000a", Paths: []string{"/dev/sda"}, Up: []string{"/dev/sda"}}
	part := a
	part.Partly = true
	b := Unit{ID: "naa.600140500000000b", Paths: []string{"/dev/sdb", "/dev/sdc"}, Up: []string{"/dev/sdb"}}
	for _, tc := range []struct {
		major, minor uint32
		want         []Unit
		err          string
	}{
		{8, 0, []Unit{a}, ""},
		{8, 1, []Unit{part}, ""},
		{253, 0, []Unit{b}, ""},
		{253, 1, []Unit{b, part}, ""},
		{253, 2, []Unit{{Paths: []string{"/dev/sdd"}, Up: []string{"/dev/sdd"}}}, ""},
		{8, 64, []Unit{{ID: "naa.600140500000000e", Paths: []string{"/dev/sde"}, Up: []string{"/dev/sde"}}}, ""}, // none works: all are tried
		{259, 0, nil, "nvme0n1: it is no SCSI disk"},
		{253, 3, nil, "nvme0n1: it is no SCSI disk"},
		{9, 9, nil, "no such file"},
	} {
		w := walk{sys: sys, seen: map[string]bool{}}
		err := w.number(tc.major, tc.minor)
		if tc.err != "" {
			if err == nil || !strings.Contains(err.Error(), tc.err) {
				t.Errorf("%d:%d: %v, want %s", tc.major, tc.minor, err, tc.err)
			}
			continue
		}
		if err != nil || !reflect.DeepEqual(w.done(), tc.want) {
			t.Errorf("%d:%d: %+v %v, want %+v", tc.major, tc.minor, w.done(), err, tc.want)
		}
	}
	if _, err := Below(sys, "/dev/null"); err == nil || !strings.Contains(err.Error(), "no block device") {
		t.Errorf("/dev/null: %v", err)
	}
	if _, err := Below(sys, k.root+"/none"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a device that is not there: %v", err)
	}
	if _, err := Open(k.root + "/none"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
	d, err := Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if _, err := d.Keys(); err == nil || !strings.Contains(err.Error(), "cannot read its keys: SG_IO") {
		t.Errorf("keys of /dev/null: %v", err)
	}
}
