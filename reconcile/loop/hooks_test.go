package loop

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"understudy/reconcile"
	"understudy/reconcile/journal"
)

const hooksFile = file + `
[[hook]]
name = "before"
event = "acquire"
when = "pre"
group = "files"
command = ["/bin/before"]
on_failure = "stop"
[[hook]]
name = "after"
event = "takeover"
group = "files"
command = ["/bin/after"]
[[hook]]
name = "last"
event = "acquire"
group = "files"
command = ["/bin/last"]
`

// orphan is beta gone with the group, and alpha free to take it on the fence's word.
func orphan(w *reconcile.World) {
	c := w.Store.Claims["files"]
	c.Holder, c.BootID = "beta", w.Host("beta").BootID
	w.Store.Claims["files"] = c
	w.Store.Fenced["beta"] = reconcile.FenceRecord{Node: "beta", BootID: c.BootID, By: "alpha", Agent: "fence_test"}
	w.Down["beta"] = true
	h := w.Host("alpha")
	g := w.Config.Group("files")
	reconcile.Lose(h, g, reconcile.WhatIf{Kind: reconcile.MountLost, Name: "/srv/shared"})
	reconcile.Lose(h, g, reconcile.WhatIf{Kind: reconcile.AddressLost, Name: "svc"})
	reconcile.Lose(h, g, reconcile.WhatIf{Kind: reconcile.DaemonDied, Name: "server"})
}

// A hook whose failure is ignored is recorded, and the plan goes on; one whose
// failure stops is a step that failed, before the storage is touched.
func TestHookFailureInAPlan(t *testing.T) {
	for _, c := range []struct{ name, fails, want, not string }{
		{"ignored", "hook after", "verify server, hook after, hook last", ""},
		{"stops", "hook before", "claim files, hook before", "mount"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBedOf(t, hooksFile)
				orphan(b.w)
				b.fail[c.fails] = errors.New("exit status 1")
				b.start(t)
				time.Sleep(100 * time.Millisecond)
				b.settle()
				if got := b.steps(); !strings.Contains(got, c.want) || c.not != "" && strings.Contains(got, c.not) {
					t.Errorf("steps: %s", got)
				}
				if !b.said(journal.Failed, "files "+c.fails+"  exit status 1") {
					t.Error("the record does not say that the hook failed")
				}
				b.mu.Lock()
				delete(b.fail, c.fails)
				b.mu.Unlock()
				time.Sleep(time.Minute)
				b.settle()
				if d := b.loop.State().Decisions["files"]; d.Phase != reconcile.Serving {
					t.Errorf("it is %s: %s", d.Phase, d.Because)
				}
			})
		})
	}
}
