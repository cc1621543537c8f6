package main

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"

	"understudy/cmd/internal/api"
	"understudy/reconcile"
)

// TestStatusShowsAdapters: which adapter has the service address, and which is lost and
// why, here and on a peer; nothing is said of a network whose one adapter works.
func TestStatusShowsAdapters(t *testing.T) {
	st := api.Status{
		Cluster: "cell1", Node: "alpha",
		Adapters: []api.AdapterStatus{
			{Network: "public", Address: netip.MustParsePrefix("10.7.0.11/24"), Link: "en0", State: "lost", Why: "en0 has no carrier"},
			{Network: "public", Address: netip.MustParsePrefix("10.17.0.11/24"), Link: "en1", State: "works", Carries: []string{"dcesvc"}},
			{Network: "storage", Address: netip.MustParsePrefix("10.8.0.11/24"), Link: "en2", State: "works"},
		},
		Peers: []api.PeerStatus{{Name: "beta", State: "heard", Lost: []reconcile.LostAdapter{
			{Network: "storage", Address: netip.MustParseAddr("10.8.0.12"), Why: "en2 is down"},
		}}},
	}
	var b bytes.Buffer
	printStatus(&b, st, palette{})
	flat := strings.Join(strings.Fields(b.String()), " ")
	for _, want := range []string{
		"adapters of public en0 10.7.0.11/24 lost (en0 has no carrier) en1 10.17.0.11/24 works, has dcesvc",
		"beta, adapter 10.8.0.12 of storage: lost: en2 is down",
	} {
		if !strings.Contains(flat, want) {
			t.Errorf("%q is missing in\n%s", want, b.String())
		}
	}
	if strings.Contains(flat, "adapters of storage") {
		t.Errorf("a network with one adapter that works is told of:\n%s", b.String())
	}
}
