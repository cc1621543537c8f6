package loop

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"understudy/fsm"
	"understudy/reconcile"
)

// An application that starts nowhere: this node takes the group up again and again as
// the other one gives it up, and the budget ends it. Nothing moves then for as long as
// nobody clears it, on whichever node.
func TestBudgetOfFailoversEndsPingPong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.start(t)
		for range 10 { // beta takes it and gives it up, and alpha is never told that it failed
			b.change(func(w *reconcile.World) {
				c := w.Store.Claims["files"]
				c.Holder, c.BootID, c.Epoch, c.Released, c.GaveUp = "beta", w.Host("beta").BootID, c.Epoch+1, true, "cannot start server"
				w.Store.Claims["files"] = c
				w.Store.Revision++
			})
			time.Sleep(time.Minute) // virtual
			b.settle()
		}
		claims := strings.Count(b.steps(), "claim files")
		if claims != 3 {
			t.Errorf("taken %d times, want 3", claims)
		}
		d := b.loop.State().Decisions["files"]
		if d.Phase != reconcile.Blocked || d.Transition.To != fsm.Standby || !strings.Contains(d.Status.Reason, "understudy clear files") {
			t.Errorf("%s, %s: %s", d.Transition.To, d.Phase, d.Status.Reason)
		}
		b.change(func(w *reconcile.World) { // on any node
			key := reconcile.OrderKey(reconcile.Clear, "files")
			w.Store.Requests[key] = reconcile.Request{Group: key, To: "files", Order: reconcile.Clear, Epoch: w.Store.Claims["files"].Epoch, At: time.Now()}
		})
		if got := b.steps(); !strings.Contains(got, "claim files") {
			t.Errorf("after clear: %q", got)
		}
	})
}

// A start that fails on both nodes ends there, and a person's word on another node is
// heeded here once.
func TestClearOnAnotherNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.start(t)
		at := time.Now()
		fail := func() {
			if err := b.loop.do(t.Context(), func() {
				m := b.loop.memory["files"]
				m.Failed = "cannot take it up here"
				b.loop.memory["files"] = m
			}); err != nil {
				t.Fatal(err)
			}
		}
		clear := func() {
			b.change(func(w *reconcile.World) {
				key := reconcile.OrderKey(reconcile.Clear, "files")
				w.Store.Requests[key] = reconcile.Request{Group: key, To: "files", Order: reconcile.Clear, At: at}
			})
		}
		failed := func() string { return b.loop.State().Snapshot.Memory["files"].Failed }
		fail()
		clear()
		if failed() != "" {
			t.Errorf("not cleared: %s", failed())
		}
		fail()
		clear() // the same word
		if failed() == "" {
			t.Error("one word has cleared two failures")
		}
		at = at.Add(time.Hour)
		clear()
		if failed() != "" {
			t.Errorf("a new word was not heeded: %s", failed())
		}
	})
}
