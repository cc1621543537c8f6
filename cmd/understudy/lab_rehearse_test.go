//go:build linux

package main

import (
	"encoding/json"
	"strings"
	"testing"

	"understudy/cmd/internal/api"
	"understudy/cmd/internal/lab"
)

// A standby rehearses: it takes up disk and address through claim and lease, starts
// nothing, lets go with proof, and the group is back where it was. Both nodes tell it.
func TestRehearsalOnTheStandby(t *testing.T) {
	b := newBench(t, lab.Options{})
	b.ready(lab.Beta)
	if out := b.understudy(lab.Alpha, "status"); !strings.Contains(out, "ready, never rehearsed") {
		t.Errorf("status: %s", out)
	}
	if out, errs, code, err := b.Exec(b.ctx, lab.Alpha, "/opt/understudy/bin/understudy", "rehearse", "files", "beta"); err != nil || code != 1 || !strings.Contains(errs, "files is down while it is rehearsed on beta") {
		t.Errorf("not asked: exit %d, %v: %s%s", code, err, out, errs)
	}
	out := b.understudy(lab.Alpha, "rehearse", "files", "beta", "--yes", "files", "--reason", "before the season")
	if !strings.Contains(out, "beta has rehearsed files: taken up, and let go with proof") {
		t.Errorf("said: %s", out)
	}
	g := b.until(lab.Alpha, "serving again", func(g api.GroupStatus) bool {
		return g.Claim.Holder == lab.Alpha && g.Claim.Epoch == 3 && g.Phase == "serving"
	})
	if g.Claim.Evidence != "clean release" || g.Claim.Pinned != "" || g.Claim.Rehearsal != "" {
		t.Errorf("claim: %+v", g.Claim)
	}
	b.must(b.client.Answered(b.ctx, b.client.Mark(), 20))
	b.ready(lab.Beta)
	history := b.understudy(lab.Beta, "history")
	for _, want := range []string{"mount /srv/shared", "address svc", "prove files", "sign off files", "the rehearsal has passed"} {
		if !strings.Contains(history, want) {
			t.Errorf("beta's history lacks %q:\n%s", want, history)
		}
	}
	if strings.Contains(history, "start answers") {
		t.Errorf("beta started the application:\n%s", history)
	}
	if now := b.until(lab.Beta, "telling its rehearsal", func(g api.GroupStatus) bool { return g.Ready && !g.Rehearsed.IsZero() }); now.Rehearsed.Before(g.Claim.At.AddDate(0, 0, -1)) {
		t.Errorf("rehearsed at %v", now.Rehearsed)
	}
	if out := b.understudy(lab.Alpha, "status"); !strings.Contains(out, "ready, rehearsed 20") {
		t.Errorf("status: %s", out)
	}

	// The items of beta have their proof from it, also after a restart.
	if _, err := b.StopService(b.ctx, lab.Beta); err != nil {
		t.Fatal(err)
	}
	b.must(b.StartService(b.ctx, lab.Beta))
	b.ready(lab.Beta)
	items := b.prepared(lab.Beta)
	for name, want := range map[string]string{
		"rehearsal of files": "it has, last on 20", "release of files": "nothing of it is here", "shared key": "mode 0600, long enough",
		"configuration file": "here and on alpha", "programs of files": ", as on alpha", "device /dev/shared0": "block device", "mount point /srv/shared": "an empty directory",
	} {
		if it := items[name]; it.State != "done" || !strings.Contains(it.Seen, want) {
			t.Errorf("%s: %+v", name, it)
		}
	}
	st, err := b.status(lab.Beta)
	b.must(err)
	for _, p := range st.Peers {
		if p.ClockMS == nil || *p.ClockMS > 60_000 || *p.ClockMS < -60_000 { // one machine's clock
			t.Errorf("clock of %s: %v", p.Name, p.ClockMS)
		}
	}
	if it := b.prepared(lab.Alpha)["mount point /srv/shared"]; it.Seen != "mounted now" {
		t.Errorf("alpha: %+v", it)
	}
}

// preparedItem is an item of `prepare --json`.
type preparedItem struct {
	Name, Seen, State string
	Way               string `json:"way_out"`
}

// prepared is what a host says that it needs.
func (b *bench) prepared(host string) map[string]preparedItem {
	b.t.Helper()
	out, errs, code, err := b.Exec(b.ctx, host, "/opt/understudy/bin/understudy", "prepare", "--json")
	if err != nil || code != exitOK && code != exitBlocked {
		b.t.Fatalf("prepare on %s: exit %d, %v: %s", host, code, err, errs)
	}
	var v struct{ Items []preparedItem }
	b.must(json.Unmarshal([]byte(out), &v))
	items := map[string]preparedItem{}
	for _, it := range v.Items {
		items[it.Name] = it
	}
	return items
}

// Disk and address are held without the application for as long as a person likes,
// and a move ends it. A rehearsal that fails is told, and the group is served again
// where it was.
func TestRehearsalThatHoldsAndOneThatFails(t *testing.T) {
	b := newBench(t, lab.Options{})
	b.ready(lab.Beta)
	b.understudy(lab.Beta, "rehearse", "files", "beta", "--hold", "--yes", "files")
	b.run(lab.Beta, "mountpoint", "-q", lab.SharedMount)
	if out := b.run(lab.Beta, "ip", "-4", "address", "show", "dev", "public"); !strings.Contains(out, "10.7.0.50/24") {
		t.Errorf("no service address: %s", out)
	}
	if out, _, code, err := b.Exec(b.ctx, lab.Beta, "pgrep", "-f", "lab-app"); err != nil || code != 1 {
		t.Errorf("the application runs: %s %v", out, err)
	}
	g := b.until(lab.Beta, "holding", func(g api.GroupStatus) bool { return g.Phase == "waiting" && g.Claim.Rehearsal == "hold" })
	if len(g.Waits) == 0 || !strings.Contains(g.Waits[0], "without its applications") {
		t.Errorf("waits: %q", g.Waits)
	}
	// It is a rehearsal for the next run of the program too.
	if _, err := b.StopService(b.ctx, lab.Alpha); err != nil {
		t.Fatal(err)
	}
	b.must(b.StartService(b.ctx, lab.Alpha))
	b.ready(lab.Alpha)
	b.until(lab.Beta, "holding on", func(g api.GroupStatus) bool { return g.Claim.Rehearsal == "hold" && g.Claim.Epoch == 2 })
	b.understudy(lab.Beta, "move", "files", "alpha")
	b.must(b.client.Answered(b.ctx, b.client.Mark(), 20))

	b.ready(lab.Beta)
	b.run(lab.Beta, "sh", "-c", "rmdir /srv/shared && touch /srv/shared")
	out, errs, code, err := b.Exec(b.ctx, lab.Alpha, "/opt/understudy/bin/understudy", "rehearse", "files", "beta", "--yes", "files")
	if err != nil || code != 1 || !strings.Contains(errs, "the rehearsal has failed on beta") || !strings.Contains(errs, "mount") {
		t.Errorf("exit %d, %v: %s%s", code, err, out, errs)
	}
	b.until(lab.Alpha, "serving again", func(g api.GroupStatus) bool {
		return g.Claim.Holder == lab.Alpha && g.Claim.Rehearsal == "" && g.Phase == "serving"
	})
	b.must(b.client.Answered(b.ctx, b.client.Mark(), 20))
	if _, errs, code, err := b.Exec(b.ctx, lab.Alpha, "/opt/understudy/bin/understudy", "rehearse", "files", "beta", "--yes", "files"); err != nil || code != exitBlocked || !strings.Contains(errs, "not ready") {
		t.Errorf("a node that failed may rehearse: exit %d, %v: %s", code, err, errs)
	}
	if it := b.prepared(lab.Beta)["mount point /srv/shared"]; it.State != "blocked" || it.Seen != "it is a file" {
		t.Errorf("beta: %+v", it)
	}
	b.run(lab.Beta, "rm", "/srv/shared")
	b.understudy(lab.Beta, "prepare", "--apply")
	b.understudy(lab.Beta, "clear", "files")
	b.ready(lab.Beta)
	b.understudy(lab.Alpha, "rehearse", "files", "beta", "--yes", "files")
	b.must(b.client.Answered(b.ctx, b.client.Mark(), 20)) // it has gone back
}
