package loop

import (
	"strings"
	"testing"
	"testing/synctest"

	"understudy/fsm"
	"understudy/reconcile"
)

// A rehearsal on the node itself: it lets go, takes up all but the application, lets
// go again as soon as all of it has been up, and serves. That is remembered.
func TestRehearsalIsRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.start(t)
		if m := b.loop.State().Snapshot.Memory["files"]; !m.Rehearsed.IsZero() {
			t.Errorf("rehearsed at %v before anything was let go", m.Rehearsed)
		}
		b.change(func(w *reconcile.World) {
			c := w.Store.Claims["files"]
			w.Store.Requests["files"] = reconcile.Request{Group: "files", To: "alpha", By: "operator", Epoch: c.Epoch, Rehearse: reconcile.RehearseOne}
		})
		b.settle()
		b.settle()
		up := "claim files, activate /dev/shared0, mount /srv/shared, address svc"
		down := "drop svc, unmount /srv/shared, release /dev/shared0, prove files, sign off files"
		b.wants(t, fsm.Owner, strings.Join([]string{"stop server", down, up, down, up, "start server, verify server"}, ", "))
		st := b.loop.State()
		if m := st.Snapshot.Memory["files"]; m.Rehearsed.IsZero() || m.Failed != "" || !st.Decisions["files"].Status.Rehearsed.Equal(m.Rehearsed) {
			t.Errorf("memory: %+v", m)
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		told := 0
		for _, r := range b.records {
			if strings.Contains(r.Why, "the rehearsal has passed: all of it but its applications was up here, and has been let go") {
				told++
			}
		}
		if told != 1 {
			t.Errorf("the passing is recorded %d times", told)
		}
	})
}
