package daemons

import (
	"fmt"

	"understudy/reconcile"
)

// tally makes one verdict out of the latest probes of one start of an application: it
// is bad when least of the latest of were. The zero value counts the first bad one.
type tally struct {
	least, of int
	latest    []bool // bad ones are true; at most of them
	bad       int    // of the latest
	good      bool   // one was good since the start
	why       string // of the last that was bad
}

// add takes the answer of one probe, and returns the verdict of all.
func (t *tally) add(v verdict) verdict {
	bad := v.probe == reconcile.ProbeBad
	t.latest = append(t.latest, bad)
	if bad {
		t.bad, t.why = t.bad+1, v.why
	} else {
		t.good = true
	}
	if len(t.latest) > max(t.of, 1) {
		if t.latest[0] {
			t.bad--
		}
		t.latest = t.latest[1:]
	}
	switch {
	case t.bad == 0:
		return v
	case t.bad >= max(t.least, 1):
		if t.of <= 1 {
			return v
		}
		return verdict{probe: reconcile.ProbeBad, why: fmt.Sprintf("%d of the latest %d bad: %s", t.bad, t.of, t.why)}
	}
	out := verdict{doubt: fmt.Sprintf("probe: %d of %d bad: %s", t.bad, t.of, t.why)}
	if t.good {
		out.probe = reconcile.ProbeGood
	}
	return out
}
