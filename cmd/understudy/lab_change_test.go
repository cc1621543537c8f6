//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"understudy/cmd/internal/api"
	"understudy/cmd/internal/lab"
)

const (
	labFile   = "/etc/understudy/understudy.toml"
	labBinary = "/opt/understudy/bin/understudy"
	moreDisk  = `
[[group.files.filesystem]]
mount  = "/srv/more"
device = "/dev/shared1"
type   = "ext4"
`
)

// counting waits until both nodes go by the same file, and it counts: that of the given
// hash, or any.
func (b *bench) counting(hash string) string {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, limit)
	defer cancel()
	got := ""
	b.must(b.Wait(ctx, "both nodes going by the file that counts "+hash, func(context.Context) (bool, error) {
		for _, h := range []string{lab.Alpha, lab.Beta} {
			st, err := b.status(h)
			if err != nil || st.Counts == "" || st.ConfigHash != st.Counts || st.Changing != "" || st.ConfigNote != "" || hash != "" && st.Counts != hash {
				return false, errors.Join(err, fmt.Errorf("%s: counts %.8s, runs %.8s, %q %q", h, st.Counts, st.ConfigHash, st.Changing, st.ConfigNote))
			}
			got = st.Counts
		}
		return true, nil
	}))
	return got
}

// change runs the verb and returns its exit code and what it wrote.
func (b *bench) change(host string, args ...string) (code int, out string) {
	b.t.Helper()
	o, errs, code, err := b.Exec(b.ctx, host, append([]string{labBinary, "change"}, args...)...)
	b.must(err)
	return code, o + errs
}

func (b *bench) mounted(host, point string) bool {
	b.t.Helper()
	_, _, code, err := b.Exec(b.ctx, host, "mountpoint", "-q", point)
	b.must(err)
	return code == 0
}

// application is the process of the application.
func (b *bench) application(host string) string {
	b.t.Helper()
	return b.run(host, "pgrep", "-f", "understudy lab-app")
}

// A file that a person edits on one node is shown, taken over on both nodes while the
// client writes, and taken back: what goes is let go first. Where one node refuses,
// nothing changes on any.
func TestChangeOnAllNodesOrOnNone(t *testing.T) {
	b := newBench(t, lab.Options{Disks: 2})
	b.ready(lab.Beta)
	first := b.counting("")
	b.run(lab.Alpha, "mkdir", "-p", "/srv/more")
	b.run(lab.Beta, "mkdir", "-p", "/srv/more")
	b.run(lab.Alpha, "cp", labFile, "/root/before.toml")

	// Edited on alpha: it is seen, and told, and nothing happens by itself.
	b.run(lab.Alpha, "sh", "-c", "cat >>"+labFile+" <<'EOF'"+moreDisk+"EOF")
	ctx, cancel := context.WithTimeout(b.ctx, limit)
	defer cancel()
	b.must(b.Wait(ctx, "alpha telling of the changed file", func(context.Context) (bool, error) {
		st, err := b.status(lab.Alpha)
		return strings.Contains(st.ConfigNote, "waits on disk") && strings.Contains(st.ConfigNote, ": it does 2 steps"), err
	}))
	code, out := b.change(lab.Alpha)
	if code != 0 || !strings.Contains(out, "mount     /srv/more") || strings.Contains(out, "stop") {
		t.Fatalf("change: exit %d: %s", code, out)
	}

	// Beta has a file of somebody's own: it refuses, and alpha goes on as before.
	b.run(lab.Beta, "cp", labFile, "/root/before.toml")
	b.run(lab.Beta, "sh", "-c", "echo '# mine' >>"+labFile)
	code, out = b.change(lab.Alpha, "--apply")
	if code != 4 || !strings.Contains(out, "beta refuses") || !strings.Contains(out, "somebody has edited it") {
		t.Errorf("change that beta refuses: exit %d: %s", code, out)
	}
	if st, err := b.status(lab.Alpha); err != nil || st.ConfigHash != first || st.Counts != first || b.mounted(lab.Alpha, "/srv/more") {
		t.Errorf("alpha changed alone: %v, %.8s", err, st.ConfigHash)
	}
	b.run(lab.Beta, "cp", "/root/before.toml", labFile)

	// What the store is built with does not change while it runs, and the line is named.
	b.run(lab.Alpha, "sh", "-c", "sed 's/^cluster *=.*/cluster = \"other\"/' "+labFile+" >/root/other.toml")
	if code, out = b.change(lab.Alpha, "--file", "/root/other.toml", "--apply"); code != 4 || !strings.Contains(out, "cluster differs") {
		t.Errorf("another cluster: exit %d: %s", code, out)
	}

	// What a node lacks, it says.
	b.run(lab.Alpha, "sh", "-c", "sed '1i socket_group = \"nosuchgroup\"' /root/before.toml >/root/group.toml")
	if code, out = b.change(lab.Alpha, "--file", "/root/group.toml", "--apply"); code != 4 || !strings.Contains(out, "understudy.toml:1: cannot give the socket to a group") {
		t.Errorf("a group that no node has: exit %d: %s", code, out)
	}

	mark, app := b.client.Mark(), b.application(lab.Alpha)
	if code, out = b.change(lab.Alpha, "--apply", "--reason", "more room"); code != 0 {
		t.Fatalf("change --apply: exit %d: %s", code, out)
	}
	second := b.counting("")
	if second == first || !b.mounted(lab.Alpha, "/srv/more") {
		t.Errorf("in force: %.8s, was %.8s: %s", second, first, out)
	}
	t.Logf("a disk added: longest gap between two answers %v", b.outage(mark))
	if now := b.application(lab.Alpha); now != app {
		t.Errorf("the application was started anew: %s, was %s", now, app)
	}
	if a, c := b.run(lab.Alpha, "cat", labFile), b.run(lab.Beta, "cat", labFile); a != c {
		t.Error("the files on disk differ")
	}

	// Back again, from the other node: what the file has not got is not left mounted.
	b.run(lab.Beta, "cp", "/root/before.toml", labFile)
	if code, out = b.change(lab.Beta, "--apply"); code != 0 {
		t.Fatalf("change back: exit %d: %s", code, out)
	}
	if third := b.counting(""); third != first || b.mounted(lab.Alpha, "/srv/more") {
		t.Errorf("in force: %.8s, wanted %.8s; still mounted: %v", third, first, b.mounted(lab.Alpha, "/srv/more"))
	}
	b.serving(lab.Alpha)
	b.must(b.client.Answered(b.ctx, b.client.Mark(), 20))
}

// A node that was off gets the file when it returns, before it stands by; and whoever
// asks may be killed at any moment: both nodes end with the same file.
func TestChangeWithANodeOffAndWithAKilledCoordinator(t *testing.T) {
	// A machine under load must not take longer over a restart than beta waits.
	b := newBench(t, lab.Options{
		Extra: "\n[keepalive]\ntimeout = \"4s\"\n",
		Files: []lab.File{{Path: "/etc/group", Content: "root:x:0:\noperators:x:4242:\n"}},
	})
	b.ready(lab.Beta)
	first := b.counting("")
	b.must(b.Crash(b.ctx, lab.Beta))
	b.run(lab.Alpha, "sh", "-c", "sed -e '1i socket_group = \"operators\"' -e 's/^policy.*/&\\nrestarts = 7/' "+labFile+" >/root/new.toml")
	ctx, cancel := context.WithTimeout(b.ctx, limit)
	defer cancel()
	b.must(b.Wait(ctx, "a refusal without beta", func(context.Context) (bool, error) {
		code, out := b.change(lab.Alpha, "--file", "/root/new.toml", "--apply")
		return code == 4 && strings.Contains(out, "--without beta"), nil
	}))
	b.must(b.Wait(ctx, "the change without beta, whose lease has ended", func(context.Context) (bool, error) {
		code, out := b.change(lab.Alpha, "--file", "/root/new.toml", "--apply", "--without", "beta")
		if code != 0 && !strings.Contains(out, "its lease has not ended yet") {
			t.Fatalf("change --without beta: exit %d: %s", code, out)
		}
		return code == 0, nil
	}))
	b.must(b.Start(b.ctx, lab.Beta)) // with the file of its installation
	second := b.counting("")
	if second == first {
		t.Error("nothing has changed")
	}
	for _, h := range []string{lab.Alpha, lab.Beta} {
		if got := strings.TrimSpace(b.run(h, "stat", "-c", "%G %a", defaultSocket)); got != "operators 660" {
			t.Errorf("socket of %s: %s", h, got)
		}
	}
	b.ready(lab.Beta)

	mark, app := b.client.Mark(), b.application(lab.Alpha)
	for i := range 3 {
		b.run(lab.Alpha, "sh", "-c", fmt.Sprintf("sed 's/^restarts.*/restarts = %d/' %s >/root/next.toml", 8+i, labFile))
		b.must(b.Spawn(b.ctx, lab.Alpha, "asks", labBinary, "change", "--file", "/root/next.toml", "--apply"))
		deadline := b.client.Mark() + time.Duration(i)*80*time.Millisecond
		b.must(b.Wait(ctx, "a moment", func(context.Context) (bool, error) { return b.client.Mark() >= deadline, nil }))
		b.must(b.SignalService(b.ctx, lab.Alpha, syscall.SIGKILL))
		if _, err := b.WaitEnd(b.ctx, lab.Alpha, "understudy"); err != nil {
			t.Fatal(err)
		}
		b.must(b.StartService(b.ctx, lab.Alpha))
		if _, err := b.WaitEnd(b.ctx, lab.Alpha, "asks"); err != nil {
			t.Fatal(err)
		}
		t.Logf("killed after %d ms: %.8s counts", 80*i, b.counting(""))
	}
	b.serving(lab.Alpha)
	b.ready(lab.Beta)
	t.Logf("coordinator killed three times: longest gap between two answers %v", b.outage(mark))
	if now := b.application(lab.Alpha); now != app {
		t.Errorf("the application was started anew: %s, was %s", now, app)
	}
}

// understudy itself is replaced node by node, the standby first, while a client writes:
// two versions side by side, and no outage. UNDERSTUDY_OLD names a binary of an older
// version to begin with; without it this program is the older one.
func TestUpgradeNodeByNode(t *testing.T) {
	old := os.Getenv("UNDERSTUDY_OLD")
	if os.Geteuid() != 0 {
		t.Skip("needs root: namespaces, mounts and loop devices")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	// The same program under another version, without building it once more.
	const nextVersion = "9.9.9-dev"
	stamped := bytes.ReplaceAll(program, []byte(version), []byte(nextVersion))
	b := newBench(t, lab.Options{})
	b.ready(lab.Beta)
	inside := func(host, name string, data []byte) string { // as the host sees it
		dir := filepath.Join(b.Dir(), host, name)
		b.must(os.MkdirAll(dir, 0o755))
		b.must(os.WriteFile(filepath.Join(dir, "understudy"), data, 0o755)) // under its own name
		return "/var/lib/understudy/" + name + "/understudy"
	}
	replace := func(host, program string) {
		b.must(b.SignalService(b.ctx, host, syscall.SIGQUIT)) // as `understudy stop --mode leave`
		if _, err := b.WaitEnd(b.ctx, host, "understudy"); err != nil {
			t.Fatal(err)
		}
		b.must(b.Spawn(b.ctx, host, "understudy", program, "run"))
	}
	runs := func(host, what string, cond func(api.Status) bool) {
		ctx, cancel := context.WithTimeout(b.ctx, limit)
		defer cancel()
		b.must(b.Wait(ctx, host+" "+what, func(context.Context) (bool, error) {
			st, err := b.status(host)
			if err == nil && !cond(st) {
				err = fmt.Errorf("%s runs %s, spoken %d, peers %+v", host, st.Version, st.Spoken, st.Peers)
			}
			return err == nil, err
		}))
	}
	spoken := 2
	if old != "" {
		spoken = 1
		data, err := os.ReadFile(old)
		b.must(err)
		for _, h := range []string{lab.Beta, lab.Alpha} {
			replace(h, inside(h, "old", data))
			runs(h, "running the old version", func(st api.Status) bool { return st.Speaks == 0 })
		}
		b.ready(lab.Beta)
	}
	before := b.serving(lab.Alpha)
	mark, app := b.client.Mark(), b.application(lab.Alpha)
	replace(lab.Beta, inside(lab.Beta, "next", stamped))
	runs(lab.Beta, "running the new version beside the old one", func(st api.Status) bool {
		return st.Version == nextVersion && st.Spoken == spoken && len(st.Peers) > 0 && st.Peers[0].State == "heard"
	})
	b.ready(lab.Beta)
	b.must(b.client.Answered(b.ctx, b.client.Mark(), 200))
	replace(lab.Alpha, inside(lab.Alpha, "next", stamped))
	runs(lab.Alpha, "running the new version", func(st api.Status) bool { return st.Version == nextVersion && st.Spoken == 2 })
	after := b.serving(lab.Alpha)
	b.ready(lab.Beta)
	b.counting("")
	if after.Claim.Epoch != before.Claim.Epoch {
		t.Errorf("epoch %d, was %d: %s", after.Claim.Epoch, before.Claim.Epoch, after.Claim.Reason)
	}
	if now := b.application(lab.Alpha); now != app {
		t.Errorf("the application was started anew: %s, was %s", now, app)
	}
	t.Logf("upgrade of both nodes: longest gap between two answers %v", b.outage(mark))
}
