package site

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"understudy/config"
	"understudy/reconcile"
	"understudy/reconcile/prepare"
)

// root is a small system in a folder.
func root(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{"etc/real", "usr/bin", "krb5/sub", "empty"} {
		must(t, os.MkdirAll(filepath.Join(dir, d), 0o755))
	}
	for name, text := range map[string]string{"etc/real/services": "ssh 22/tcp\n", "etc/hosts": "9.3.240.2 dcesvc DCESVC2 # 9.9.9.9 x\n::1 dcesvc\n# 1.1.1.1 dcesvc\n", "krb5/krb.conf": "x", "usr/bin/tool": "#!/bin/sh\n"} {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	for name, to := range map[string]string{
		"etc/services": "/etc/real/services", "etc/up": "../../../../etc/hosts", "loop": "loop2", "loop2": "/loop", "gone": "/nothing/here", "bin": "usr/bin", ".:": "/.../cell1",
	} {
		must(t, os.Symlink(to, filepath.Join(dir, name)))
	}
	return dir
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Links of a system in a folder lead within the folder, as they will when it is the
// root.
func TestResolve(t *testing.T) {
	dir := root(t)
	for _, c := range []struct {
		name string
		last bool
		want string
	}{
		{"/etc/services", true, "/etc/real/services"}, {"/etc/services", false, "/etc/services"}, {"/etc/up", true, "/etc/hosts"},
		{"/bin/tool", true, "/usr/bin/tool"}, {"/bin/tool", false, "/usr/bin/tool"}, {"/bin", false, "/bin"}, {"/../../etc/hosts", true, "/etc/hosts"},
		{"/gone", true, "/nothing/here"}, {"/not/there", true, "/not/there"}, {"/etc/hosts/x", true, "/etc/hosts/x"}, {"/", true, ""}, {"/.:", true, "/.../cell1"},
	} {
		got, err := Resolve(dir, c.name, c.last)
		if err != nil || got != dir+c.want {
			t.Errorf("%s: %s, %v; want %s", c.name, got, err, dir+c.want)
		}
	}
	if _, err := Resolve(dir, "/loop", true); err == nil {
		t.Error("a circle of links was followed")
	}
}

func FuzzResolve(f *testing.F) {
	f.Add("/etc/services", "/../x")
	f.Add("/a/../b/link", "link/link")
	f.Fuzz(func(t *testing.T, name, target string) {
		dir := t.TempDir()
		if os.Symlink(target, filepath.Join(dir, "link")) != nil {
			return
		}
		for _, p := range []string{name, "/link", "/link/" + name} {
			if got, err := Resolve(dir, p, true); err == nil && got != dir && !strings.HasPrefix(got, dir+"/") {
				t.Fatalf("%q by %q leads to %q", p, target, got)
			}
		}
	})
}

func TestPaths(t *testing.T) {
	dir := root(t)
	must(t, os.Chmod(filepath.Join(dir, "usr/bin/tool"), 0o755))
	must(t, os.WriteFile(filepath.Join(dir, "etc/huge"), nil, 0o644))
	must(t, os.Truncate(filepath.Join(dir, "etc/huge"), maxText+1))
	var cache Cache
	asks := []prepare.Ask{
		{Path: "/etc/services", Data: true}, {Path: "/.:", Link: true}, {Path: "/krb5", List: true}, {Path: "/empty", List: true}, {Path: "/usr/bin/tool", Digest: true},
		{Path: "/not/there"}, {Path: "/etc/hosts/x"}, {Path: "/loop"}, {Path: "/etc/huge", Data: true}, {Path: "/proc/sys/kernel/ostype", Kernel: true, Data: true},
	}
	old := time.Now().Add(-time.Hour)
	must(t, os.Chtimes(filepath.Join(dir, "usr/bin/tool"), old, old))
	for range 2 { // the second time from the cache
		got := Paths(t.Context(), dir, asks, &cache)
		for path, want := range map[string]func(prepare.Path) bool{
			"/etc/services": func(p prepare.Path) bool { return p.Kind == prepare.RegularFile && string(p.Data) == "ssh 22/tcp\n" },
			"/.:":           func(p prepare.Path) bool { return p.Kind == prepare.Link && p.Target == "/.../cell1" },
			"/krb5":         func(p prepare.Path) bool { return p.Kind == prepare.Directory && len(p.Entries) == 2 },
			"/empty":        func(p prepare.Path) bool { return p.Kind == prepare.Directory && len(p.Entries) == 0 },
			"/usr/bin/tool": func(p prepare.Path) bool {
				return p.Mode.Perm() == 0o755 && len(p.Digest) == 64
			},
			"/not/there":              func(p prepare.Path) bool { return p.Kind == prepare.Nothing },
			"/etc/hosts/x":            func(p prepare.Path) bool { return p.Kind == prepare.Nothing },
			"/proc/sys/kernel/ostype": func(p prepare.Path) bool { return string(p.Data) == "Linux\n" },
		} {
			if s := got[path]; !s.OK() || !want(s.Value) {
				t.Errorf("%s: %+v", path, s)
			}
		}
		for _, path := range []string{"/loop", "/etc/huge"} {
			if got[path].OK() {
				t.Errorf("%s: %+v", path, got[path])
			}
		}
	}
	before := Paths(t.Context(), dir, asks, &cache)["/usr/bin/tool"].Value.Digest
	must(t, os.WriteFile(filepath.Join(dir, "usr/bin/tool"), []byte("#!/bin/sh \n"), 0o755))
	must(t, os.Chtimes(filepath.Join(dir, "usr/bin/tool"), old, old)) // somebody sets the time back
	if now := Paths(t.Context(), dir, asks, &cache)["/usr/bin/tool"].Value.Digest; now == before {
		t.Error("a changed program has the checksum that it had")
	}
}

const file = `
cluster = "c"
[witness]
address = "10.7.0.13"
[node.alpha]
addresses = { public = "10.7.0.11/24" }
fence = { agent = "fence_x" }
[node.beta]
addresses = { public = "10.7.0.12/24" }
fence = { agent = "fence_x" }
[group.g]
nodes = ["alpha", "beta"]
[[group.g.address]]
label = "dcesvc"
prefix = "10.7.0.50/24"
[[group.g.filesystem]]
mount = "/krb5"
device = "/dev/null-disk"
type = "ext4"
[[group.g.application]]
name = "a"
run = ["/bin/sleep"]
requirements = [
	{ name = "shell", command = ["/bin/sh", "-c", "echo Shell 5.2; exit 1"], at_least = "5" },
	{ name = "none", command = ["/nosuch/program"], at_least = "1" },
	{ name = "mute", command = ["/bin/false"], at_least = "1" },
]
`

func TestLook(t *testing.T) {
	c, err := config.Parse("t", []byte(file))
	must(t, err)
	f := Look(t.Context(), c, "alpha", "/var/lib/understudy", "", reconcile.Snapshot{})
	for cmd, want := range map[int]prepare.Output{0: {Text: "Shell 5.2\n"}, 1: {Missing: true}} {
		argv := c.Groups[0].Applications[0].Requirements[cmd].Command
		if s := f.Versions[prepare.VersionKey(argv)]; !s.OK() || s.Value != want {
			t.Errorf("%v: %+v", argv, s)
		}
	}
	if s := f.Versions[prepare.VersionKey([]string{"/bin/false"})]; s.OK() {
		t.Errorf("a command that fails and says nothing: %+v", s)
	}
	if _, ok := f.Names["dcesvc"]; !ok {
		t.Error("the name was not looked up")
	}

	f = Look(t.Context(), c, "alpha", "/var/lib/understudy", root(t), reconcile.Snapshot{})
	if s := f.Names["dcesvc"]; !s.OK() || len(s.Value) != 2 || s.Value[0] != netip.MustParseAddr("9.3.240.2") {
		t.Errorf("by the table of hosts: %+v", s)
	}
	if len(f.Versions) != 0 {
		t.Error("a program of another root was run")
	}
}

// A command that hangs is killed with its children at its limit, and is unknown.
func TestOutputIsBounded(t *testing.T) {
	out, err := output(t.Context(), []string{"/bin/sh", "-c", "yes | head -c 1000000; echo 1.2"})
	if err != nil || len(out.Text) != maxOutput {
		t.Errorf("%d bytes, %v", len(out.Text), err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	began := time.Now()
	if _, err := output(ctx, []string{"/bin/sh", "-c", "sleep 600 & sleep 600"}); err == nil || time.Since(began) > 10*time.Second {
		t.Errorf("%v after %v", err, time.Since(began))
	}
}
