package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"understudy/cmd/internal/api"
	"understudy/reconcile"
	"understudy/reconcile/loop"
)

func TestServicesInStatusAndWhy(t *testing.T) {
	st := &loop.State{
		Snapshot: reconcile.Snapshot{Memory: map[string]reconcile.Memory{
			reconcile.ServiceKey("dfs-client"): {Error: "start dfs-client: exit status 1", Restarts: make([]time.Time, 2)},
		}},
		Services: reconcile.Services{
			Items: []reconcile.Item{
				{Kind: reconcile.AppItem, Name: "dce-client", State: reconcile.Present},
				{Kind: reconcile.AppItem, Name: "dfs-client", State: reconcile.Absent, Detail: "not running"},
				{Kind: reconcile.AppItem, Name: "dfs", State: reconcile.Wrong, Detail: "dfsd not running"},
			},
			Plan: reconcile.Plan{Waits: []reconcile.Reason{{Text: "dfs-client: start dfs-client: exit status 1", Way: "it is started again by itself"}}},
		},
	}
	out := api.Status{Node: "alpha", Services: serviceStatuses(st), Hooks: &api.HookStatus{Waiting: 1, Dropped: 2}}
	out.Groups = []api.GroupStatus{{Group: "dce", Notice: noticeStatus(loop.Notice{App: "dce", Text: "log in again", At: time.Date(2026, 11, 22, 12, 0, 0, 0, time.Local), Count: 3})}}
	var b bytes.Buffer
	printStatus(&b, out, palette{})
	for _, want := range []string{
		"hooks: 2 were not run, because too many waited; 1 wait\n",
		"  notice: log in again (2026-11-22 12:00:00, 3 times since understudy started)\n",
		"\nservices · alpha\n  service  dce-client  present\n  service  dfs-client  absent\n  service  dfs         wrong (dfsd not running)\n",
		"  waits: dfs-client: start dfs-client: exit status 1 — it is started again by\n    itself\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
	for name, want := range map[string]string{
		"dce-client": "dce-client is a service of alpha: it is kept up there whoever holds the groups.",
		"dfs-client": "dfs-client is a service of alpha: it is kept up there whoever holds the groups.\n" +
			"It is not up: not running.\nIt waits: dfs-client: start dfs-client: exit status 1 — it is started again by itself.",
	} {
		if got, err := api.Why(out, name); err != nil || got != want {
			t.Errorf("why %s: %q, %v", name, got, err)
		}
	}
	if noticeStatus(loop.Notice{}) != nil {
		t.Error("a notice that nobody was given")
	}
}
