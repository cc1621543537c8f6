package aix

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	look "understudy/observers/aix"
	"understudy/observers/aix/aixtest"
)

// onMount gives the test a mount namespace of its own, with a file system mounted
// at a directory of its own. The thread of the test ends with it.
func onMount(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: mounts a file system")
	}
	runtime.LockOSThread() // and never unlocked: the thread goes with the goroutine
	must(t, unix.Unshare(unix.CLONE_FS|unix.CLONE_NEWNS))
	must(t, unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	point := filepath.Join(t.TempDir(), "var", "dce")
	must(t, os.MkdirAll(point, 0o755))
	must(t, unix.Mount("shared", point, "tmpfs", 0, ""))
	t.Cleanup(func() { _ = unix.Unmount(point, unix.MNT_DETACH) }) // on the test's own thread
	return point
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func purger(t *testing.T, points ...string) *Host {
	table := tableHeading
	for _, p := range points {
		table += fmt.Sprintf("         /dev/varlv       %s         jfs2   Jul 17 13:22 rw\n", p)
	}
	return &Host{See: &look.System{Run: aixtest.Script(t, table), Device: noDevice}}
}

func put(t *testing.T, path string) string {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(t, os.WriteFile(path, nil, 0o600))
	return path
}

func exists(path string) bool { _, err := os.Lstat(path); return err == nil }

func TestPurge(t *testing.T) {
	mount := onMount(t)
	file := put(t, mount+"/dced/Ep.db")
	for range 2 { // done already is done
		if _, err := purger(t, mount).Purge(t.Context(), file, mount, false); err != nil || exists(file) {
			t.Fatal(err)
		}
	}
	creds := mount + "/security/creds"
	outside := put(t, filepath.Join(filepath.Dir(mount), "outside"))
	for i := range 600 {
		put(t, fmt.Sprintf("%s/dce_%d", creds, i))
	}
	put(t, creds+"/.hidden")
	put(t, creds+"/deep/er/x")
	must(t, os.Symlink(outside, creds+"/link"))
	must(t, os.Symlink(filepath.Dir(outside), creds+"/dirlink"))
	must(t, unix.Mkfifo(creds+"/pipe", 0o600))
	done, err := purger(t, mount).Purge(t.Context(), creds, mount, true)
	if err != nil || done.Count != 605 || len(done.Names) != namesKept {
		t.Errorf("%d deleted, %d named, %v", done.Count, len(done.Names), err)
	}
	if !exists(creds+"/deep/er") || exists(creds+"/deep/er/x") || exists(creds+"/link") || !exists(outside) {
		t.Error("a directory is gone, a file is left, or a link was followed")
	}
}

func TestPurgeRefuses(t *testing.T) {
	mount := onMount(t)
	file := put(t, mount+"/dced/Ep.db")
	other := put(t, filepath.Join(filepath.Dir(mount), "own", "Ep.db"))
	must(t, os.Symlink(filepath.Dir(other), mount+"/link"))
	must(t, os.Symlink(other, mount+"/dced/filelink"))
	inner := mount + "/inner"
	must(t, os.MkdirAll(inner, 0o755))
	must(t, unix.Mount("foreign", inner, "tmpfs", 0, ""))
	defer func() { _ = unix.Unmount(inner, unix.MNT_DETACH) }()
	foreign := put(t, inner+"/x")
	must(t, unix.Mknod(mount+"/dced/device", unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3))))
	plain := filepath.Dir(mount) + "/plain"
	put(t, plain+"/Ep.db")
	for name, c := range map[string]struct {
		path, mount string
		tree        bool
		table       []string
		why         string
	}{
		"nothing is mounted":          {plain + "/Ep.db", plain, false, []string{mount}, "nothing is mounted"},
		"the table is wrong":          {plain + "/Ep.db", plain, false, []string{plain}, "nothing is mounted there"},
		"a mount on the way":          {inner + "/x", mount, false, []string{mount, inner}, "mounted in the way"},
		"a mount the table hides":     {inner + "/x", mount, false, []string{mount}, "another mount"},
		"a hidden mount below a tree": {mount, mount, true, []string{mount}, ""},
		"a link on the way":           {mount + "/link/Ep.db", mount, false, []string{mount}, "symbolic link"},
		"a link":                      {mount + "/dced/filelink", mount, false, []string{mount}, "symbolic link"},
		"a directory":                 {mount + "/dced", mount, false, []string{mount}, "it is a directory"},
		"a device":                    {mount + "/dced/device", mount, false, []string{mount}, "it is a device"},
	} {
		_, err := purger(t, c.table...).Purge(t.Context(), c.path, c.mount, c.tree)
		if err == nil || !strings.Contains(strings.ReplaceAll(err.Error(), "device is a device", "it is a device"), c.why) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, path := range []string{foreign, other, plain + "/Ep.db"} {
		if !exists(path) {
			t.Errorf("%s is gone", path)
		}
	}
	for name, c := range map[string][2]string{"outside": {"/etc/passwd", mount}, "the mount itself": {mount, mount}, "up": {mount + "/../own/Ep.db", mount}, "the root": {file, "/"}} {
		h := &Host{}
		if _, err := h.Purge(t.Context(), c[0], c[1], false); err == nil {
			t.Errorf("%s was purged", name)
		}
	}
}
