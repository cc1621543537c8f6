package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"understudy/cmd/internal/api"
	"understudy/config"
)

// TestConfirmSaysWhatHappensIfItWakes: before a person's word is taken he reads what
// would stop a node that is not off but frozen, group by group.
func TestConfirmSaysWhatHappensIfItWakes(t *testing.T) {
	st := api.Status{Node: "beta", Groups: []api.GroupStatus{
		{Group: "db", Claim: api.ClaimStatus{Holder: "alpha", Epoch: 3}},
		{Group: "web", Claim: api.ClaimStatus{Holder: "alpha", Epoch: 2}},
		{Group: "gone", Claim: api.ClaimStatus{Holder: "alpha", Epoch: 1, Released: true}},
		{Group: "ours", Claim: api.ClaimStatus{Holder: "beta", Epoch: 1}},
	}}
	plain := &config.Config{Groups: []config.Group{{Name: "db", Reservation: config.ReservationRequired}, {Name: "web"}}}
	guarded := &config.Config{Groups: plain.Groups, Lease: config.Lease{TTL: time.Minute, Margin: time.Second}, Watchdog: config.Watchdog{Mode: config.WatchdogRequired}}
	for name, tc := range map[string]struct {
		cfg     *config.Config
		db, web string
	}{
		"reserved":    {plain, "its disks refuse its writes", "NOTHING STOPS ITS WRITES"},
		"watched":     {guarded, "its disks refuse its writes", "its watchdog resets it"},
		"file broken": {nil, "count on nothing", "count on nothing"},
	} {
		var b bytes.Buffer
		ifItWakes(&b, tc.cfg, st, "alpha")
		lines := strings.Split(strings.TrimSpace(b.String()), "\n")
		if len(lines) != 3 || !strings.Contains(lines[1], "db") || !strings.Contains(lines[1], tc.db) || !strings.Contains(lines[2], "web") || !strings.Contains(lines[2], tc.web) {
			t.Errorf("%s:\n%s", name, b.String())
		}
	}
	var b bytes.Buffer
	if ifItWakes(&b, plain, st, "gamma"); b.Len() > 0 {
		t.Errorf("a node that holds nothing: %s", b.String())
	}
}
