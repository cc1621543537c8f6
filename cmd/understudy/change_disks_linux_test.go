package main

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"understudy/config"
)

// A disk that goes to another group under another name would be let go by one node and
// taken up by another at the same time.
func TestSameDiskUnderAnotherName(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to make device files")
	}
	dir := t.TempDir()
	disk, other, link := filepath.Join(dir, "disk"), filepath.Join(dir, "other"), filepath.Join(dir, "by-id")
	for i, path := range []string{disk, other} {
		if err := unix.Mknod(path, unix.S_IFBLK|0o600, int(unix.Mkdev(7, uint32(240+i)))); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(disk, link); err != nil {
		t.Fatal(err)
	}
	group := func(name string, devices ...string) config.Group {
		g := config.Group{Name: name}
		for _, d := range devices {
			g.Filesystems = append(g.Filesystems, config.Filesystem{Device: d, Mount: "/srv/" + filepath.Base(d)})
		}
		return g
	}
	file := func(groups ...config.Group) *config.Config { return &config.Config{Groups: groups} }
	absent := filepath.Join(dir, "absent")
	for _, test := range []struct {
		what      string
		old, next *config.Config
	}{
		{"goes to another group", file(group("a", link, absent), group("b")), file(group("a", absent), group("b", disk))},
		{"goes to a new group", file(group("a", disk)), file(group("c", link))},
	} {
		if got := sameDisks(test.old, test.next); len(got) != 1 || got[0].from != "a" || deviceNumber(got[0].was) != deviceNumber(got[0].is) {
			t.Errorf("%s: %+v", test.what, got)
		}
	}
	for _, test := range []struct {
		what      string
		old, next *config.Config
	}{
		{"another name in its own group", file(group("a", link), group("b")), file(group("a", disk), group("b"))},
		{"another disk", file(group("a", link), group("b")), file(group("a"), group("b", other))},
		{"one that is not there", file(group("a", absent)), file(group("a"), group("b", absent+"2"))},
	} {
		if got := sameDisks(test.old, test.next); len(got) > 0 {
			t.Errorf("%s: %+v", test.what, got)
		}
	}
}
