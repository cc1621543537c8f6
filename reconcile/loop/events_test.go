package loop

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"understudy/fsm"
	"understudy/reconcile"
	"understudy/reconcile/journal"
)

const eventsFile = file + `
[[hook]]
name = "first"
event = "node_down"
command = ["/bin/first"]
[[hook]]
name = "second"
event = "node_down"
command = ["/bin/second"]
[[hook]]
name = "back"
event = "node_up"
command = ["/bin/back"]
[[hook]]
name = "wire"
event = "network_down"
command = ["/bin/wire"]
nodes = ["alpha"]
[[hook]]
name = "others"
event = "network_down"
command = ["/bin/others"]
nodes = ["beta"]
[[hook]]
name = "wire-back"
event = "network_up"
command = ["/bin/wire-back"]
`

func down(node string, is bool) func(*reconcile.World) {
	return func(w *reconcile.World) { w.Down[node] = is }
}

func carrier(on bool) func(*reconcile.World) {
	return func(w *reconcile.World) {
		h := w.Host("alpha")
		h.Links.Value = slices.Clone(h.Links.Value)
		h.Links.Value[0].Carrier = on
	}
}

func (b *bed) ran() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []string
	for _, r := range b.records {
		if strings.HasPrefix(r.Step, "hook ") {
			out = append(out, fmt.Sprintf("%s %s: %s", r.Kind, r.Step, r.Why))
		}
	}
	b.records = nil
	return out
}

// Hooks without a group are told of changes, never of what the first look shows, in
// order and one at a time.
func TestHooksAreToldOfChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBedOf(t, eventsFile)
		b.w.Down["beta"] = true
		b.start(t)
		b.wants(t, fsm.Owner, "")
		for _, c := range []struct {
			name   string
			change func(*reconcile.World)
			want   []string
		}{
			{"it comes", down("beta", false), []string{"done hook back: beta is heard"}},
			{"nothing", func(*reconcile.World) {}, nil},
			{"it goes", down("beta", true), []string{"done hook first: beta is silent on public", "done hook second: beta is silent on public"}},
			{"a wire breaks", carrier(false), []string{"done hook wire: network public is not usable here: public has no carrier"}},
			{"it is mended", carrier(true), []string{"done hook wire-back: network public is usable here"}},
		} {
			b.change(c.change)
			if got := b.ran(); !slices.Equal(got, c.want) {
				t.Errorf("%s:\n got %q\nwant %q", c.name, got, c.want)
			}
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		if slices.ContainsFunc(b.done, func(s string) bool { return !strings.HasPrefix(s, "hook ") }) {
			t.Errorf("something else was done: %q", b.done)
		}
	})
}

// A hook that hangs holds up no pass and no plan; those behind it wait, and what is
// too much is dropped, counted and recorded. A hook that fails is recorded.
func TestHooksHoldNothingUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBedOf(t, eventsFile)
		b.start(t)
		b.slow["hook"] = 20 * time.Second
		for range queueLimit {
			b.change(down("beta", true))
			b.change(down("beta", false))
		}
		q := b.loop.State().Hooks
		if q.Waiting != queueLimit || q.Dropped != 3*queueLimit-queueLimit-1 {
			t.Errorf("%+v", q)
		}
		if !b.said(journal.Note, fmt.Sprintf("was not run: %d others wait; dropped so far: %d", queueLimit, q.Dropped)) {
			t.Error("the record does not say that hooks were dropped")
		}
		b.slow["hook"] = 0
		b.steps()
		b.change(func(w *reconcile.World) {
			reconcile.Lose(w.Host("alpha"), w.Config.Group("files"), reconcile.WhatIf{Kind: reconcile.AddressLost, Name: "svc"})
		})
		if got := b.steps(); !strings.HasPrefix(got, "address svc") {
			t.Errorf("the repair waits for the hooks: %s", got)
		}
		b.fail["hook"] = fmt.Errorf("exit status 1")
		time.Sleep(time.Minute)
		b.settle()
		if q := b.loop.State().Hooks; q.Waiting != 0 || !b.said(journal.Failed, "exit status 1") {
			t.Errorf("%+v, %q", q, b.ran())
		}
	})
}

// What people are told is in the record and counted.
func TestNoticesAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBedOf(t, strings.Replace(file, `run = ["/bin/server"]`, `run = ["/bin/server"]
purge = [{ path = "/srv/shared/creds", tree = true }]
notice = "log in again"`, 1))
		b.start(t)
		if n := b.loop.State().Notices; len(n) != 0 {
			t.Fatalf("%+v", n)
		}
		for range 2 {
			b.change(func(w *reconcile.World) {
				reconcile.Lose(w.Host("alpha"), w.Config.Group("files"), reconcile.WhatIf{Kind: reconcile.DaemonDied, Name: "server"})
			})
		}
		if n := b.loop.State().Notices["files"]; n.Count != 2 || n.Text != "log in again" || n.App != "server" {
			t.Errorf("%+v", n)
		}
		if !b.said(journal.Done, "notify server log in again") {
			t.Errorf("%+v", b.records)
		}
	})
}
