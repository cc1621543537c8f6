package site

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"understudy/reconcile/prepare"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: owners of files and mounts")
	}
}

// names are all files below a folder, so that what is left behind is seen.
func names(t *testing.T, dir string) string {
	t.Helper()
	var out []string
	must(t, filepath.WalkDir(dir, func(p string, _ os.DirEntry, err error) error {
		if p != dir {
			out = append(out, strings.TrimPrefix(p, dir))
		}
		return err
	}))
	return strings.Join(out, " ")
}

const variable = "RPC_UNSUPPORTED_NETADDRS"

// Every change is made, is made only once, and a second run leaves even the inode.
func TestChangesAreMadeOnce(t *testing.T) {
	dir := t.TempDir()
	must(t, os.MkdirAll(dir+"/etc", 0o755))
	must(t, os.WriteFile(dir+"/etc/environment", []byte("PATH=/bin\n"), 0o640))
	must(t, os.WriteFile(dir+"/etc/fstab", []byte("/dev/x /krb5 ext4 rw 0 0\n"), 0o644))
	must(t, os.Symlink("../../cell1", dir+"/.:"))
	for _, c := range []struct {
		change prepare.Change
		path   string
		want   string
	}{
		{prepare.MakeDir{Path: "/...", Mode: 0o755}, "/...", ""},
		{prepare.MakeDir{Path: "/var/lib/understudy", Mode: 0o700}, "/var/lib/understudy", ""},
		{prepare.MakeLink{Path: "/:", Target: "/.../cell1/fs"}, "/:", ""},
		{prepare.MakeLink{Path: "/.:", Target: "/.../cell1"}, "/.:", ""},
		{prepare.SetVariable{Path: "/etc/environment", Key: variable, Value: "9.3.240.1:9.3.240.66"}, "/etc/environment", "PATH=/bin\n" + variable + "=9.3.240.1:9.3.240.66\n"},
		{prepare.AddService{Path: "/etc/services", Line: prepare.KerberosLine}, "/etc/services", prepare.KerberosLine + "\n"},
		{prepare.SetOptions{Path: "/etc/fstab", Line: 1, Was: "/dev/x /krb5 ext4 rw 0 0", Now: "/dev/x /krb5 ext4 rw,noauto 0 0"}, "/etc/fstab", "/dev/x /krb5 ext4 rw,noauto 0 0\n"},
	} {
		must(t, Do(t.Context(), dir, c.change))
		before, err := os.Lstat(dir + c.path)
		must(t, err)
		must(t, Do(t.Context(), dir, c.change))
		after, err := os.Lstat(dir + c.path)
		must(t, err)
		if !os.SameFile(before, after) || !before.ModTime().Equal(after.ModTime()) {
			t.Errorf("%s: done twice", c.change.Text())
		}
		if c.want != "" {
			if got, err := os.ReadFile(dir + c.path); err != nil || string(got) != c.want {
				t.Errorf("%s: %q, %v", c.change.Text(), got, err)
			}
		}
	}
	for p, want := range map[string]string{"/:": "/.../cell1/fs", "/.:": "/.../cell1"} {
		if got, err := os.Readlink(dir + p); err != nil || got != want {
			t.Errorf("%s leads to %q, %v", p, got, err)
		}
	}
	for p, want := range map[string]os.FileMode{"/etc/environment": 0o640, "/etc/services": 0o644, "/var/lib/understudy": 0o700, "/var/lib": 0o755, "/...": 0o755} {
		if info, err := os.Stat(dir + p); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", p, info.Mode(), err)
		}
	}
	if left := names(t, dir); strings.Contains(left, tempMark) {
		t.Errorf("left behind: %s", left)
	}
}

// The command that is printed for people does the same.
func TestCommandsDoTheSame(t *testing.T) {
	needRoot(t)
	services := "ssh\t22/tcp\n"
	start := func() string {
		dir := t.TempDir()
		must(t, os.MkdirAll(dir+"/etc", 0o755))
		must(t, os.WriteFile(dir+"/etc/environment", []byte("A=1\nexport "+variable+"=7\n"+variable+"=8\nB=\"2\"\n"), 0o644))
		must(t, os.WriteFile(dir+"/etc/services", []byte(services), 0o644))
		must(t, os.WriteFile(dir+"/etc/fstab", []byte("# c\n/dev/x\t/a\\040b ext4 rw 0 0\n"), 0o644))
		must(t, os.Symlink("/nowhere", dir+"/:"))
		return dir
	}
	changes := func(dir string) []prepare.Change {
		return []prepare.Change{
			prepare.MakeDir{Path: dir + "/...", Mode: 0o755},
			prepare.MakeLink{Path: dir + "/:", Target: "/.../cell1/fs"},
			prepare.SetVariable{Path: dir + "/etc/environment", Key: variable, Value: "9.3.240.1:9.3.240.66"},
			prepare.AddService{Path: dir + "/etc/services", Line: prepare.KerberosLine},
			prepare.SetOptions{Path: dir + "/etc/fstab", Line: 2, Was: "/dev/x\t/a\\040b ext4 rw 0 0", Now: "/dev/x\t/a\\040b ext4 rw,noauto 0 0"},
		}
	}
	ours, theirs := start(), start()
	for _, c := range changes(ours) {
		must(t, Do(t.Context(), "/", c))
	}
	for _, c := range changes(theirs) {
		if out, err := exec.Command("sh", "-c", c.Command()).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", c.Command(), err, out)
		}
	}
	if a, b := names(t, ours), names(t, theirs); a != b {
		t.Errorf("%s\n%s", a, b)
	}
	for _, p := range []string{"/etc/services", "/etc/fstab"} {
		a, err := os.ReadFile(ours + p)
		must(t, err)
		b, err := os.ReadFile(theirs + p)
		must(t, err)
		if !bytes.Equal(a, b) {
			t.Errorf("%s: %q by us, %q by hand", p, a, b)
		}
	}
	a, err := os.ReadFile(ours + "/etc/environment")
	must(t, err)
	b, err := os.ReadFile(theirs + "/etc/environment")
	must(t, err)
	if got := prepare.Variables(b)[variable]; len(got) != 1 || got[0] != prepare.Variables(a)[variable][0] {
		t.Errorf("%q by us, %q by hand", a, b)
	}
	key := ours + "/key"
	out, err := exec.Command("sh", "-c", prepare.WriteKey{Path: key}.Command()).CombinedOutput()
	info, serr := os.Stat(key)
	if err != nil || serr != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v %s", err, serr, out)
	}
}

func TestKeyIsNeverReplaced(t *testing.T) {
	dir := t.TempDir()
	c := prepare.WriteKey{Path: "/etc/understudy/cluster.key"}
	must(t, Do(t.Context(), dir, c))
	key, err := os.ReadFile(dir + c.Path)
	must(t, err)
	info, err := os.Stat(dir + c.Path)
	must(t, err)
	if info.Mode().Perm() != 0o600 || len(key) != 45 {
		t.Errorf("mode %v, %d bytes", info.Mode(), len(key))
	}
	if err := Do(t.Context(), dir, c); err == nil || !strings.Contains(err.Error(), "never replaced") {
		t.Errorf("error %v", err)
	}
	if now, err := os.ReadFile(dir + c.Path); err != nil || !bytes.Equal(now, key) {
		t.Error("the key is another")
	}
	if got := names(t, dir); got != "/etc /etc/understudy /etc/understudy/cluster.key" {
		t.Error(got)
	}
}

// What is not ours stays: owner, mode, labels, a link that leads to the file, and
// everything that is no link where a link should be.
func TestWhatIsThereStays(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	must(t, os.MkdirAll(dir+"/etc/real", 0o755))
	must(t, os.WriteFile(dir+"/etc/real/env", []byte("A=1"), 0o600))
	must(t, os.Chown(dir+"/etc/real/env", 12, 34))
	labelled := unix.Setxattr(dir+"/etc/real/env", "user.note", []byte("x"), 0) == nil
	must(t, os.Symlink("/etc/real/env", dir+"/etc/environment"))
	must(t, Do(t.Context(), dir, prepare.SetVariable{Path: "/etc/environment", Key: "B", Value: "2"}))
	info, err := os.Stat(dir + "/etc/real/env")
	must(t, err)
	st := info.Sys().(*syscall.Stat_t)
	if st.Uid != 12 || st.Gid != 34 || info.Mode().Perm() != 0o600 {
		t.Errorf("owner %d:%d, mode %v", st.Uid, st.Gid, info.Mode())
	}
	if to, err := os.Readlink(dir + "/etc/environment"); err != nil || to != "/etc/real/env" {
		t.Errorf("the link leads to %q, %v", to, err)
	}
	value := make([]byte, 8)
	if n, err := unix.Getxattr(dir+"/etc/real/env", "user.note", value); labelled && (err != nil || string(value[:n]) != "x") {
		t.Errorf("attribute %q, %v", value, err)
	}

	must(t, os.Mkdir(dir+"/:", 0o755))
	must(t, os.WriteFile(dir+"/:/mine", nil, 0o644))
	must(t, os.WriteFile(dir+"/...", nil, 0o644))
	for _, c := range []prepare.Change{
		prepare.MakeLink{Path: "/:", Target: "/.../cell1/fs"}, prepare.MakeDir{Path: "/...", Mode: 0o755},
		prepare.SetVariable{Path: "/:", Key: "A", Value: "1"},
		prepare.SetOptions{Path: "/etc/real/env", Line: 1, Was: "other", Now: "new"},
	} {
		if err := Do(t.Context(), dir, c); err == nil {
			t.Errorf("%s: done", c.Text())
		}
	}
	if _, err := os.Stat(dir + "/:/mine"); err != nil {
		t.Error(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Do(ended, dir, prepare.MakeDir{Path: "/new", Mode: 0o755}); err == nil {
		t.Error("a change was made after the end")
	}
}

// A disk that is full changes nothing: the file is what it was, and nothing is left
// beside it.
func TestDiskFullChangesNothing(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	must(t, unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"))
	t.Cleanup(func() { must(t, unix.Unmount(dir, 0)) })
	must(t, os.Mkdir(dir+"/etc", 0o755))
	old := strings.Repeat("# a line that was here before\n", 300)
	for _, name := range []string{"environment", "services"} {
		must(t, os.WriteFile(dir+"/etc/"+name, []byte(old), 0o644))
	}
	fill, err := os.Create(dir + "/fill")
	must(t, err)
	for {
		if _, err := fill.Write(make([]byte, 4096)); err != nil {
			break
		}
	}
	must(t, fill.Close())
	before := names(t, dir)
	for _, c := range []prepare.Change{
		prepare.SetVariable{Path: "/etc/environment", Key: variable, Value: "9.3.240.1"},
		prepare.AddService{Path: "/etc/services", Line: prepare.KerberosLine},
		prepare.WriteKey{Path: "/etc/understudy/cluster.key"},
	} {
		if err := Do(t.Context(), dir, c); err == nil || !strings.Contains(err.Error(), "no space left") {
			t.Errorf("%s: %v", c.Text(), err)
		}
	}
	for _, name := range []string{"environment", "services"} {
		if got, err := os.ReadFile(dir + "/etc/" + name); err != nil || string(got) != old {
			t.Errorf("%s has changed: %d bytes, %v", name, len(got), err)
		}
	}
	if now := names(t, dir); now != before && now != before+" /etc/understudy" && !strings.Contains(now, "/etc/services /etc/understudy") {
		t.Errorf("left behind:\n%s\nwas\n%s", now, before)
	}
	must(t, os.Remove(dir+"/fill"))
	must(t, Do(t.Context(), dir, prepare.AddService{Path: "/etc/services", Line: prepare.KerberosLine}))
}

// What a run that was killed has left is gone after the next.
func TestLeftoversGo(t *testing.T) {
	dir := t.TempDir()
	must(t, os.MkdirAll(dir+"/etc", 0o755))
	must(t, os.WriteFile(dir+"/etc/.environment"+tempMark+"0102", []byte("half"), 0o600))
	must(t, Do(t.Context(), dir, prepare.SetVariable{Path: "/etc/environment", Key: "A", Value: "1"}))
	if got := names(t, dir); got != "/etc /etc/environment" {
		t.Error(got)
	}
}
