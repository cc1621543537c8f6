package main

import (
	"bytes"
	"strings"
	"testing"

	"understudy/cmd/internal/api"
	"understudy/reconcile"
)

// TestStatusSaysWhoMustBeRebooted: a person reads on both nodes that only a reboot
// lets go of the disks, and `move` shows what it waits for.
func TestStatusSaysWhoMustBeRebooted(t *testing.T) {
	waits := "beta must be shut down or rebooted: dfs has run here since its boot and holds the disks — reboot beta"
	st := api.Status{
		Cluster: "cell1", Node: "beta",
		Groups: []api.GroupStatus{{Group: "dce", Policy: "cascading", Role: "rejoining", Phase: "waiting", Dirty: "dfs", Waits: []string{waits}}},
		Peers: []api.PeerStatus{{Name: "alpha", State: "heard", Groups: []reconcile.GroupStatus{
			{Group: "dce", Phase: reconcile.Waiting, Dirty: true},
		}}},
	}
	var b bytes.Buffer
	printStatus(&b, st, palette{})
	flat := strings.Join(strings.Fields(b.String()), " ")
	for _, want := range []string{"needs a reboot to let go: dfs has run on beta since its boot", "waits: " + waits, "dce rejoining, waiting, needs a reboot"} {
		if !strings.Contains(flat, want) {
			t.Errorf("%q is missing in\n%s", want, b.String())
		}
	}
	if done, line := moveLine(st, api.MoveRequest{Group: "dce", To: "alpha"}); done || line != "beta waits: "+waits {
		t.Errorf("move says %v, %q", done, line)
	}
	st.Node = "alpha"
	if done, line := moveLine(st, api.MoveRequest{Group: "dce", To: "alpha"}); done || line != "alpha waits: "+waits {
		t.Errorf("move says %v, %q", done, line)
	}
}
