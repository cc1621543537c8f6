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

// oneDisk is a path to a disk with some registrations. It does not answer where the
// array does not show the disk by it.
type oneDisk struct {
	keys []Key
	err  error
}

func (d oneDisk) Keys() (Keys, error)        { return Keys{Keys: d.keys}, d.err }
func (d oneDisk) Reservation() (Held, error) { return Held{Key: d.keys[0], Type: 5}, d.err }
func (d oneDisk) Close() error               { return nil }

// TestLookCountsPathsThatAnswer: a path that the kernel calls running, and by which the
// disk says nothing, cannot be registered; it is none to wait for.
func TestLookCountsPathsThatAnswer(t *testing.T) {
	silent := &StatusError{Status: checkCondition, Sense: illegalRequest, ASC: 0x25}
	paths := map[string]oneDisk{"/dev/sda": {err: silent}, "/dev/sdb": {keys: []Key{7}}, "/dev/sdc": {keys: []Key{7}}}
	for _, tc := range []struct {
		up   []string
		want int
	}{
		{[]string{"/dev/sda", "/dev/sdb"}, 1},
		{[]string{"/dev/sdb", "/dev/sda"}, 1},
		{[]string{"/dev/sdb", "/dev/sdc"}, 2}, // one is to be registered yet
		{[]string{"/dev/sdb"}, 1},
	} {
		r := readUnit(Unit{Paths: tc.up, Up: tc.up}, func(path string) (reader, error) { return paths[path], nil })
		if r.Why != "" || r.Up != tc.want || r.Paths != len(tc.up) || len(r.Keys) != 1 {
			t.Errorf("%v: %+v", tc.up, r)
		}
	}
	r := readUnit(Unit{Paths: []string{"/dev/sda"}, Up: []string{"/dev/sda"}}, func(path string) (reader, error) { return paths[path], nil })
	if !strings.HasPrefix(r.Why, "sda: the disk does not know this command") {
		t.Errorf("%+v", r)
	}
}
