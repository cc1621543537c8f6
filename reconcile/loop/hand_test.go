package loop

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"understudy/fsm"
	"understudy/reconcile"
)

func (b *bed) order(o reconcile.Order, object string) {
	b.change(func(w *reconcile.World) {
		key := reconcile.OrderKey(o, object)
		w.Store.Requests[key] = reconcile.Request{Group: key, Order: o, To: object, By: "operator", At: time.Now()}
	})
}

func TestFrozenGroupIsLeftAloneAndRepairedByHand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.start(t)
		var no *NotFrozenError
		if _, _, err := b.loop.StepByHand(t.Context(), "files"); !errors.As(err, &no) {
			t.Errorf("a step of a group that is not frozen: %v", err)
		}
		b.order(reconcile.Freeze, "files")
		b.change(func(w *reconcile.World) { lose(w, "daemon-died=server"); lose(w, "address-lost=svc") })
		time.Sleep(time.Hour) // virtual
		b.settle()
		b.wants(t, fsm.Owner, "")
		for _, want := range []struct {
			step string
			left int
		}{{"address svc", 2}, {"start server", 1}, {"", 0}} {
			step, left, err := b.loop.StepByHand(t.Context(), "files")
			if err != nil || step != want.step || left != want.left {
				t.Errorf("%q, %d left, %v; want %q, %d", step, left, err, want.step, want.left)
			}
			b.settle()
			if got := b.steps(); got != want.step {
				t.Errorf("carried out: %s", got)
			}
		}
		b.wants(t, fsm.Owner, "")
	})
}

// A step by hand that fails is told and not repeated, and makes nothing else happen.
func TestStepByHandFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.start(t)
		b.order(reconcile.Freeze, "files")
		b.change(func(w *reconcile.World) { lose(w, "address-lost=svc") })
		b.fail["address"] = errors.New("no such link")
		if _, _, err := b.loop.StepByHand(t.Context(), "files"); err == nil || !strings.Contains(err.Error(), "no such link") {
			t.Errorf("%v", err)
		}
		time.Sleep(time.Hour) // virtual
		b.settle()
		b.wants(t, fsm.Owner, "address svc")
		if m := b.loop.State().Snapshot.Memory["files"]; m.Failed != "" || m.Error != "" {
			t.Errorf("remembered: %+v", m)
		}
		b.change(func(w *reconcile.World) { b.gone = true }) // what a lost lease demands is done all the same
		if got := b.steps(); !strings.HasPrefix(got, "stop server") {
			t.Errorf("after the lease was lost: %q", got)
		}
	})
}

func TestStopLeavesAFrozenGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		ended := make(chan error, 1)
		go func() { ended <- b.loop.Run(t.Context()) }()
		b.settle()
		b.order(reconcile.Freeze, "files")
		if err := b.loop.Stop(t.Context(), "told to"); err != nil {
			t.Fatal(err)
		}
		b.settle()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if got := b.steps(); got != "" {
			t.Errorf("steps: %s", got)
		}
	})
}
