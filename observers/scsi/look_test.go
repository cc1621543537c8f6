package scsi

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"understudy/reconcile"
)

// TestLookWaitsForNoDisk: a disk that hangs is unknown, is asked once, and keeps no
// other waiting; when it has answered it is asked again.
func TestLookWaitsForNoDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang, asked := make(chan struct{}), 0
		o := &Observer{read: func(_ System, a Ask) []reconcile.Reservation {
			if a.Object == "hangs" {
				asked++
				<-hang
			}
			return []reconcile.Reservation{{Object: a.Object, Disk: "sdx", Paths: 1}}
		}}
		asks := []Ask{{Object: "hangs", Devices: []string{"/dev/a"}}, {Object: "answers", Devices: []string{"/dev/b"}}, {Object: "vg", Why: "not read yet"}}
		why := func(r []reconcile.Reservation) string {
			var out []string
			for _, d := range r {
				out = append(out, d.Object+": "+d.Why)
			}
			return strings.Join(out, "; ")
		}
		began := time.Now()
		if got := why(o.Look(t.Context(), asks)); got != "hangs: no answer within 1.5s; answers: ; vg: not read yet" {
			t.Error(got)
		}
		time.Sleep(time.Minute) // of the bubble
		if got := why(o.Look(t.Context(), asks)); !strings.HasPrefix(got, "hangs: no answer for 1m2s — look at the path to the storage; answers: ;") {
			t.Error(got)
		}
		if took := time.Since(began) - time.Minute; took != patience || asked != 1 {
			t.Errorf("took %s, asked %d times", took, asked)
		}
		close(hang)
		synctest.Wait()
		if got := why(o.Look(t.Context(), asks)); got != "hangs: ; answers: ; vg: not read yet" || asked != 2 {
			t.Errorf("%s, asked %d times", got, asked)
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		o.Look(gone, asks)
		synctest.Wait()
	})
}

// TestLookBelowNothing: what is no disk is unknown, never unreserved.
func TestLookBelowNothing(t *testing.T) {
	var o Observer
	for _, a := range []Ask{{Object: "x", Devices: []string{"/dev/null"}}, {Object: "x", Devices: []string{"/nosuch"}}} {
		if got := o.Look(t.Context(), []Ask{a}); len(got) != 1 || got[0].Why == "" || got[0].Object != "x" {
			t.Errorf("%+v", got)
		}
	}
}
