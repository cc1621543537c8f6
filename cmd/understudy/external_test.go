package main

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"understudy/reconcile"
)

// An operator's word outlives the program, and nothing is claimed or fenced where
// another manager decides.
func TestOutside(t *testing.T) {
	dir := t.TempDir()
	o := openOutside(dir, slog.New(slog.NewTextHandler(t.Output(), nil)))
	w := reconcile.Confirmation{Node: "beta", BootID: "b7", By: "root", Reason: "seen off"}
	if err := o.Confirm(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	select {
	case <-o.Changes():
	default:
		t.Error("nobody was told to look again")
	}
	o = openOutside(dir, slog.New(slog.NewTextHandler(t.Output(), nil)))
	if v := o.View(); !v.OK() || v.Value.Confirms["beta"] != w {
		t.Errorf("after a restart: %+v (%v)", v.Value.Confirms, v.Why())
	}
	if l := o.Lease(); !l.Until.IsZero() {
		t.Errorf("a lease: %+v", l)
	}
	for _, s := range []reconcile.Step{reconcile.TakeClaim{Group: "g"}, reconcile.SignOff{Group: "g"}, reconcile.Fence{Node: "beta"}} {
		if own, err := o.Do(t.Context(), s); !own || err == nil {
			t.Errorf("%T: %v %v", s, own, err)
		}
	}
	if own, err := o.Do(t.Context(), reconcile.Stop{Group: "g"}); own || err != nil {
		t.Errorf("a stop: %v %v", own, err)
	}
	if err := o.Ask(t.Context(), reconcile.Request{Group: "g"}); err == nil || !strings.Contains(err.Error(), "the other manager does") {
		t.Errorf("a move: %v", err)
	}
}

// With store external an order is kept on this node: over a restart, until it ends.
func TestOrdersOutside(t *testing.T) {
	dir := t.TempDir()
	log := slog.New(slog.DiscardHandler)
	key := reconcile.OrderKey(reconcile.Freeze, "files")
	frozen := func(o *outside) bool {
		s := reconcile.Snapshot{Store: o.View()}
		_, ok := reconcile.Frozen(&s, "files")
		return ok
	}
	o := openOutside(dir, log)
	ask := func(at time.Time) {
		t.Helper()
		if err := o.Ask(t.Context(), reconcile.Request{Group: key, To: "files", Order: reconcile.Freeze, At: at, Lasts: time.Hour}); err != nil {
			t.Fatal(err)
		}
	}
	ask(time.Now())
	if !frozen(o) || !frozen(openOutside(dir, log)) {
		t.Error("the order is not kept")
	}
	ask(time.Now().Add(-2 * time.Hour))
	if frozen(o) || frozen(openOutside(dir, log)) {
		t.Error("the order does not end")
	}
	ask(time.Now())
	if err := o.Withdraw(t.Context(), key); err != nil || frozen(o) || frozen(openOutside(dir, log)) {
		t.Errorf("the order was not taken back: %v", err)
	}
	if err := o.Ask(t.Context(), reconcile.Request{Group: "files", To: "beta"}); err == nil {
		t.Error("a move was taken")
	}
}
