//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"understudy/cmd/internal/api"
	"understudy/cmd/internal/lab"
)

// TestMain makes this test binary the program itself when a lab's host, or a
// script, starts it under the program's name.
func TestMain(m *testing.M) {
	if handled, code := lab.Dispatch(os.Args); handled {
		os.Exit(code)
	}
	if filepath.Base(os.Args[0]) == "understudy" {
		main()
		return
	}
	testscript.Main(m, map[string]func(){"understudy": main})
}

// limit bounds every wait of a lab test. It is far above what is ever seen: a
// loaded machine must not fail a test that is about something else.
const limit = 60 * time.Second

// bench is a lab with a client that writes all the time, and a watcher that
// sees every moment at which two hosts have what only one may have.
type bench struct {
	*lab.Lab
	t      *testing.T
	ctx    context.Context
	client *lab.Asker
}

// newBench brings up a lab, waits until the group is served by alpha, and starts
// the client. What a test must hold at its end is checked when it ends: no
// violation, nothing acknowledged lost.
func newBench(t *testing.T, o lab.Options) *bench {
	t.Helper()
	b := newIdle(t, o)
	b.serving(lab.Alpha)
	b.ask()
	return b
}

func newIdle(t *testing.T, o lab.Options) *bench {
	t.Helper()
	o.Services = true
	return newBare(t, o)
}

// labs counts the labs of this process, for their names.
var labs atomic.Int32

// newBare brings up a lab whose hosts are idle: no resident service runs. Tests with
// labs run beside each other: they wait for time, not for processors.
func newBare(t *testing.T, o lab.Options) *bench {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: namespaces, mounts and loop devices")
	}
	t.Parallel() // each lab is its own: networks, disks, files and names
	o.Name = fmt.Sprintf("t%d-%d", os.Getpid()%1000000, labs.Add(1))
	o.LifeLine = true
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	t.Cleanup(cancel)
	l, err := lab.Up(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{Lab: l, t: t, ctx: ctx}
	t.Cleanup(b.end)
	return b
}

func (b *bench) ask() {
	b.t.Helper()
	c, err := b.Client(b.ctx)
	b.must(err)
	b.client = c
	b.must(c.Answered(b.ctx, 0, 1))
}

func (b *bench) end() {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if b.t.Failed() {
		for _, h := range []string{lab.Alpha, lab.Beta, lab.Witness} {
			if text, err := b.Log(h); err == nil {
				b.t.Logf("log of %s:\n%s", h, tail(text, 12000))
			}
		}
	}
	if v, err := b.Violations(ctx); err != nil || len(v) > 0 {
		b.t.Errorf("violations: %v (%v)", v, err)
	}
	if b.client != nil {
		b.verify(ctx)
	}
	if err := b.Down(ctx); err != nil {
		b.t.Error(err)
	}
}

// verify reads the file where it is mounted and looks for every acknowledged
// number.
func (b *bench) verify(ctx context.Context) {
	acked, err := b.client.Acked(ctx)
	if err != nil {
		b.t.Error(err)
		return
	}
	for _, h := range []string{lab.Alpha, lab.Beta} {
		v, err := b.Verify(ctx, h, acked)
		if err != nil {
			continue // not mounted there
		}
		if len(v.Lost) > 0 || v.Acked == 0 {
			b.t.Errorf("%d acknowledged, lost: %v", v.Acked, v.Lost)
		}
		return
	}
	b.t.Error("the file system is mounted on neither host at the end: nothing can be verified")
}

func tail(s string, n int) string {
	if len(s) > n {
		return "…" + s[len(s)-n:]
	}
	return s
}

func (b *bench) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// status is what a host's resident service says.
func (b *bench) status(host string) (api.Status, error) {
	var st api.Status
	out, errs, code, err := b.Exec(b.ctx, host, "/opt/understudy/bin/understudy", "status", "--json")
	if err != nil {
		return st, err
	}
	if code != 0 {
		return st, fmt.Errorf("status of %s: exit %d: %s", host, code, errs)
	}
	return st, json.Unmarshal([]byte(out), &st)
}

// group is the one group as a host sees it.
func (b *bench) group(host string) (api.GroupStatus, error) {
	st, err := b.status(host)
	if err != nil {
		return api.GroupStatus{}, err
	}
	if len(st.Groups) != 1 {
		return api.GroupStatus{}, fmt.Errorf("%s says nothing of the group yet", host)
	}
	return st.Groups[0], nil
}

// until waits until the group on a host is as wanted.
func (b *bench) until(host, what string, cond func(api.GroupStatus) bool) api.GroupStatus {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, limit)
	defer cancel()
	var last api.GroupStatus
	if err := b.Wait(ctx, host+" "+what, func(context.Context) (bool, error) {
		g, err := b.group(host)
		last = g
		return err == nil && cond(g), err
	}); err != nil {
		b.t.Fatalf("%v; last seen: %+v", err, last)
	}
	return last
}

func (b *bench) serving(host string) api.GroupStatus {
	b.t.Helper()
	return b.until(host, "serving", func(g api.GroupStatus) bool {
		return g.Claim.Holder == host && !g.Claim.Released && g.Phase == "serving" && g.Flight == nil
	})
}

func (b *bench) ready(host string) {
	b.t.Helper()
	b.until(host, "standing by", func(g api.GroupStatus) bool { return g.Role == "standby" && g.Ready })
}

// run is a command on a host that must succeed.
func (b *bench) run(host string, argv ...string) string {
	b.t.Helper()
	out, errs, code, err := b.Exec(b.ctx, host, argv...)
	if err != nil || code != 0 {
		b.t.Fatalf("%s: %v: exit %d, %v: %s%s", host, argv, code, err, out, errs)
	}
	return out
}

func (b *bench) understudy(host string, argv ...string) string {
	b.t.Helper()
	return b.run(host, append([]string{"/opt/understudy/bin/understudy"}, argv...)...)
}

// outage is the longest time without an answer since a mark, once the client has
// been answered again for a while.
func (b *bench) outage(mark time.Duration) time.Duration {
	b.t.Helper()
	b.must(b.client.Answered(b.ctx, b.client.Mark(), 20))
	gap, err := b.client.Gap(b.ctx, mark)
	b.must(err)
	return gap
}

func TestCrashTakeoverAndReintegration(t *testing.T) {
	b := newBench(t, lab.Options{})
	b.ready(lab.Beta)
	mark := b.client.Mark()
	b.must(b.Crash(b.ctx, lab.Alpha))
	g := b.serving(lab.Beta)
	if g.Role != "takeover" || g.Claim.Evidence != "fence" {
		t.Errorf("beta is %s by %s", g.Role, g.Claim.Evidence)
	}
	t.Logf("crash: outage %v", b.outage(mark))
	if why := b.understudy(lab.Beta, "why", "files"); !strings.Contains(why, "alpha is silent on public and storage; its fence confirms off") {
		t.Errorf("why: %s", why)
	}

	mark = b.client.Mark()
	b.must(b.Start(b.ctx, lab.Alpha))
	if g := b.serving(lab.Alpha); g.Role != "owner" || g.Claim.Evidence != "clean release" {
		t.Errorf("alpha is %s by %s", g.Role, g.Claim.Evidence)
	}
	b.ready(lab.Beta)
	t.Logf("reintegration: outage %v", b.outage(mark))
}

func TestRotatingDoesNotMoveBack(t *testing.T) {
	b := newBench(t, lab.Options{Policy: "rotating"})
	b.ready(lab.Beta)
	b.must(b.Crash(b.ctx, lab.Alpha))
	if g := b.serving(lab.Beta); g.Role != "owner" {
		t.Errorf("beta is %s", g.Role)
	}
	epoch := b.serving(lab.Beta).Claim.Epoch
	b.must(b.Start(b.ctx, lab.Alpha))
	b.ready(lab.Alpha)
	b.must(b.client.Answered(b.ctx, b.client.Mark(), 200)) // a second and more of service beside a ready alpha
	if g := b.serving(lab.Beta); g.Claim.Epoch != epoch {
		t.Errorf("the group moved: epoch %d, was %d", g.Claim.Epoch, epoch)
	}
}

func TestPlannedMoveThereAndBack(t *testing.T) {
	b := newBench(t, lab.Options{})
	for _, to := range []string{lab.Beta, lab.Alpha} {
		b.ready(to)
		mark := b.client.Mark()
		b.understudy(lab.Alpha, "move", "files", to, "--reason", "maintenance")
		g := b.serving(to)
		if g.Claim.Evidence != "clean release" || !strings.Contains(g.Claim.Pinned, "maintenance") {
			t.Errorf("claim: %+v", g.Claim)
		}
		t.Logf("move to %s: outage %v", to, b.outage(mark))
	}
}

func TestDaemonKilledIsRestartedInPlace(t *testing.T) {
	b := newBench(t, lab.Options{})
	epoch := b.serving(lab.Alpha).Claim.Epoch
	mark := b.client.Mark()
	b.run(lab.Alpha, "pkill", "-KILL", "-f", "lab-app")
	outage := b.outage(mark)
	if g := b.serving(lab.Alpha); g.Claim.Epoch != epoch {
		t.Errorf("epoch %d, was %d", g.Claim.Epoch, epoch)
	}
	t.Logf("daemon killed: outage %v", outage)
}

func TestAddressDeletedByHandComesBack(t *testing.T) {
	b := newBench(t, lab.Options{})
	mark := b.client.Mark()
	b.run(lab.Alpha, "ip", "address", "del", "10.7.0.50/24", "dev", "public")
	outage := b.outage(mark)
	b.serving(lab.Alpha)
	t.Logf("address deleted: outage %v", outage)
}

func TestUnmountedByHandComesBack(t *testing.T) {
	b := newBench(t, lab.Options{})
	mark := b.client.Mark()
	b.run(lab.Alpha, "umount", "-l", lab.SharedMount)
	b.until(lab.Alpha, "noticing", func(g api.GroupStatus) bool { return g.Phase != "serving" || g.Event == "held" })
	b.must(b.client.Answered(b.ctx, b.client.Mark(), 50))
	b.serving(lab.Alpha)
	b.run(lab.Alpha, "mountpoint", "-q", lab.SharedMount)
	t.Logf("unmounted by hand: outage %v", b.outage(mark))
}

func TestWitnessGoneChangesNothing(t *testing.T) {
	b := newBench(t, lab.Options{})
	b.ready(lab.Beta)
	epoch := b.serving(lab.Alpha).Claim.Epoch
	mark := b.client.Mark()
	b.must(b.Crash(b.ctx, lab.Witness))
	b.must(b.client.Answered(b.ctx, mark, 1000)) // longer than ttl and every timeout
	g := b.serving(lab.Alpha)
	if g.Claim.Epoch != epoch {
		t.Errorf("epoch %d, was %d", g.Claim.Epoch, epoch)
	}
	b.ready(lab.Beta)
	t.Logf("the longest time without an answer: %v", b.outage(mark))
}

func TestCutOffOwnerLetsGoAndStandbyWaitsForEvidence(t *testing.T) {
	b := newBench(t, lab.Options{})
	b.ready(lab.Beta)
	b.must(b.SetPower(b.ctx, lab.Alpha, "fail"))
	b.must(b.Cut(b.ctx, lab.Alpha))
	// Without evidence beta waits, and says what for.
	b.until(lab.Beta, "waiting, and saying why", func(g api.GroupStatus) bool {
		if g.Phase != "waiting" || g.Error == "" {
			return false
		}
		why := b.understudy(lab.Beta, "why", "files")
		return strings.Contains(why, "confirm-down alpha") && strings.Contains(why, "files is on alpha")
	})
	// Alpha lets go by its own deadline.
	b.until(lab.Alpha, "letting go", func(g api.GroupStatus) bool {
		for _, r := range g.Resources {
			if r.State != "absent" {
				return false
			}
		}
		return g.Role == "rejoining"
	})
	if g, err := b.group(lab.Beta); err != nil || g.Role != "standby" {
		t.Errorf("beta took over without evidence: %+v %v", g, err)
	}
	// With evidence it takes over: the fence works now.
	b.must(b.SetPower(b.ctx, lab.Alpha, "ok"))
	if g := b.serving(lab.Beta); g.Claim.Evidence != "fence" {
		t.Errorf("evidence: %s", g.Claim.Evidence)
	}
}

func TestCutOffOwnerComesBackByItself(t *testing.T) {
	b := newBench(t, lab.Options{})
	b.ready(lab.Beta)
	b.must(b.SetPower(b.ctx, lab.Alpha, "fail"))
	b.must(b.Cut(b.ctx, lab.Alpha))
	b.until(lab.Alpha, "letting go", func(g api.GroupStatus) bool { return g.Role == "rejoining" })
	b.must(b.Heal(b.ctx, lab.Alpha))
	b.must(b.client.Answered(b.ctx, b.client.Mark(), 50))
}

func TestOperatorsWordIsEvidence(t *testing.T) {
	b := newBench(t, lab.Options{})
	b.ready(lab.Beta)
	b.must(b.SetPower(b.ctx, lab.Alpha, "fail"))
	if _, errs, code, err := b.Exec(b.ctx, lab.Beta, "/opt/understudy/bin/understudy", "confirm-down", "alpha", "--yes", "alpha"); err != nil || code != 4 || !strings.Contains(errs, "heard") {
		t.Errorf("confirmed a node that is heard: exit %d, %v: %s", code, err, errs)
	}
	b.must(b.Crash(b.ctx, lab.Alpha))
	b.until(lab.Beta, "waiting", func(g api.GroupStatus) bool { return g.Phase == "waiting" && g.Error != "" })
	b.understudy(lab.Beta, "confirm-down", "alpha", "--yes", "alpha", "--reason", "pulled the plug")
	if g := b.serving(lab.Beta); g.Claim.Evidence != "operator" || !strings.Contains(g.Claim.Detail, "pulled the plug") {
		t.Errorf("claim: %+v", g.Claim)
	}
	b.must(b.client.Answered(b.ctx, b.client.Mark(), 20))
}

func TestKilledUnderstudyIsNotNoticed(t *testing.T) {
	b := newBench(t, lab.Options{})
	b.ready(lab.Beta)
	before := b.serving(lab.Alpha)
	pid := b.run(lab.Alpha, "pgrep", "-f", "lab-app")
	mark := b.client.Mark()
	b.must(b.SignalService(b.ctx, lab.Alpha, syscall.SIGKILL))
	_, err := b.WaitEnd(b.ctx, lab.Alpha, "understudy")
	b.must(err)
	b.must(b.StartService(b.ctx, lab.Alpha))
	g := b.serving(lab.Alpha)
	b.must(b.client.Answered(b.ctx, b.client.Mark(), 400)) // beyond every timeout
	if g = b.serving(lab.Alpha); g.Claim.Epoch != before.Claim.Epoch {
		t.Errorf("epoch %d, was %d: %s", g.Claim.Epoch, before.Claim.Epoch, g.Claim.Reason)
	}
	if now := b.run(lab.Alpha, "pgrep", "-f", "lab-app"); now != pid {
		t.Errorf("the application was restarted: pid %s, was %s", now, pid)
	}
	t.Logf("the longest time without an answer: %v", b.outage(mark))
}

func TestBothBootAtOnce(t *testing.T) {
	b := newBench(t, lab.Options{})
	b.ready(lab.Beta)
	b.must(b.Crash(b.ctx, lab.Beta))
	b.must(b.Crash(b.ctx, lab.Alpha))
	b.must(b.Start(b.ctx, lab.Beta))
	b.must(b.Start(b.ctx, lab.Alpha))
	g := b.serving(lab.Alpha) // its home, although beta was first
	if g.Claim.Evidence != "other boot id" {
		t.Errorf("evidence: %+v", g.Claim)
	}
	b.must(b.client.Answered(b.ctx, b.client.Mark(), 20))
}

func TestWrongConfigIsRefusedAndTheClusterGoesOn(t *testing.T) {
	b := newBench(t, lab.Options{})
	b.ready(lab.Beta)
	const file = "/etc/understudy/understudy.toml"
	b.run(lab.Beta, "sh", "-c", "echo 'ttll = 3' >>"+file)
	ctx, cancel := context.WithTimeout(b.ctx, limit)
	defer cancel()
	b.must(b.Wait(ctx, "beta saying that the file is refused", func(context.Context) (bool, error) {
		st, err := b.status(lab.Beta)
		return strings.Contains(st.ConfigNote, "refused"), err
	}))
	b.ready(lab.Beta) // the old file stays in force
	if _, err := b.StopService(b.ctx, lab.Beta); err != nil {
		t.Fatal(err)
	}
	_, errs, code, err := b.Exec(b.ctx, lab.Beta, "/opt/understudy/bin/understudy", "run")
	if err != nil || code != 1 || !strings.Contains(errs, "ttll") {
		t.Errorf("run with a wrong file: exit %d, %v: %s", code, err, errs)
	}
	mark := b.client.Mark()
	b.must(b.client.Answered(b.ctx, mark, 300))
	b.serving(lab.Alpha)
}

func TestStopHandsOver(t *testing.T) {
	b := newBench(t, lab.Options{})
	b.ready(lab.Beta)
	mark := b.client.Mark()
	ended, err := b.StopService(b.ctx, lab.Alpha)
	if err != nil || ended.Code != 0 {
		t.Fatalf("stop: %+v %v", ended, err)
	}
	if g := b.serving(lab.Beta); g.Claim.Evidence != "clean release" {
		t.Errorf("evidence: %s", g.Claim.Evidence)
	}
	t.Logf("stop: outage %v", b.outage(mark))
}

func TestLinkDownMovesTheGroup(t *testing.T) {
	b := newBench(t, lab.Options{})
	b.ready(lab.Beta)
	mark := b.client.Mark()
	b.must(b.LinkDown(b.ctx, lab.Alpha, lab.PublicNet))
	if g := b.serving(lab.Beta); g.Claim.Evidence != "clean release" {
		t.Errorf("evidence: %s (%s)", g.Claim.Evidence, g.Claim.Detail)
	}
	t.Logf("link down: outage %v", b.outage(mark))
}
