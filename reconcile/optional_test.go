package reconcile

import (
	"testing"
	"time"

	"understudy/config"
)

// An optional daemon is not missed while its application is up, and keeps it from
// counting as gone.
func TestOptionalDaemon(t *testing.T) {
	run := []Process{{PID: 1, Start: 1}}
	a := config.Application{Name: "dce", Daemons: []config.Daemon{{Name: "dced"}, {Name: "dtsd", Optional: true}}}
	for _, c := range []struct {
		dced, dtsd []Process
		state      Presence
		detail     string
	}{
		{nil, nil, Absent, "not running"},
		{run, nil, Present, ""},
		{run, run, Present, ""},
		{nil, run, Wrong, "dced not running"},
	} {
		st := AppState{Group: "g", App: "dce", Daemons: []DaemonState{{Name: "dced", Processes: c.dced}, {Name: "dtsd", Processes: c.dtsd, Optional: true}}}
		s := &Snapshot{Apps: Seen[[]AppState]{Value: []AppState{st}, At: time.Unix(1, 0)}}
		if it := appItem("g", a, s); it.State != c.state || it.Detail != c.detail {
			t.Errorf("dced %d, dtsd %d: %v %q", len(c.dced), len(c.dtsd), it.State, it.Detail)
		}
	}
	if got := daemonNames(a); got != "dced" {
		t.Errorf("a verify waits for %s", got)
	}
}
