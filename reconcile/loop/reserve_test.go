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

// An extra lock that cannot be put back ends no service that is well, however often it
// is tried, and it is put back when that works.
func TestReservationThatCannotBePutBackEndsNoService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBedOf(t, strings.Replace(file, "restarts = 2", "restarts = 2\nreservation = \"required\"", 1))
		b.start(t)
		b.wants(t, fsm.Owner, "")
		var key reconcile.ReservationKey
		b.change(func(w *reconcile.World) {
			b.fail["reserve"] = errors.New("sdb: one path does not answer")
			key = w.Reserved["/dev/shared0"]
			delete(w.Reserved, "/dev/shared0")
		})
		if key == 0 {
			t.Fatal("the model has not reserved it")
		}
		time.Sleep(5 * time.Minute)
		b.settle()
		if got := b.steps(); strings.Count(got, "reserve") < 5 || strings.Trim(strings.ReplaceAll(got, "reserve /dev/shared0", ""), ", ") != "" {
			t.Errorf("steps: %s", got)
		}
		m := b.loop.State().Snapshot.Memory["files"]
		if b.role() != fsm.Owner || m.Failed != "" || len(m.Restarts) != 0 || !strings.Contains(m.Error, "does not answer") {
			t.Errorf("%s, memory %+v", b.role(), m)
		}
		b.change(func(*reconcile.World) { delete(b.fail, "reserve") })
		time.Sleep(5 * time.Minute)
		b.settle()
		if got := b.steps(); got != "reserve /dev/shared0" || b.w.Reserved["/dev/shared0"] != key {
			t.Errorf("steps: %s, reserved %v", got, b.w.Reserved)
		}
	})
}
