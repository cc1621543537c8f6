package daemons

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"understudy/config"
	"understudy/observers/trigger"
	"understudy/reconcile"
)

// The services of a node are looked at behind the applications of the groups, those
// of other nodes are not, and they are probed like any application.
func TestServicesAreSeenAndProbed(t *testing.T) {
	one := start(t, "sleep", "86399")
	service := func(name string, nodes ...string) config.Service {
		return config.Service{Nodes: nodes, Application: config.Application{
			Name: name, Daemons: []config.Daemon{{Name: "d", Match: `^sleep 86399$`}},
			Probes: []config.Probe{{Command: []string{"/bin/true"}}}, ProbeInterval: 10 * time.Millisecond, ProbeLimit: 10 * time.Second,
		}}
	}
	cfg := file1(config.Daemon{Name: "d", Match: "^no such program$"})
	cfg.Services = []config.Service{service("client", "alpha", "beta"), service("other", "beta")}
	r, err := NewReader(cfg, "alpha", t.TempDir(), boot)
	must(t, err)
	fired := trigger.New()
	p := NewProber(fired.Fire, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	defer func() { cancel(); <-ended }()
	for {
		states, err := r.Look(ctx, time.Now())
		must(t, err)
		if len(states) != 2 || states[1].Group != reconcile.NodeGroup || states[1].App != "client" {
			t.Fatalf("%+v", states)
		}
		if ps := states[1].Daemons[0].Processes; len(ps) != 1 || ps[0].PID != one.Process.Pid {
			t.Fatalf("its processes are %+v", ps)
		}
		p.Set(cfg, states)
		if states[1].Probe == reconcile.ProbeGood {
			return
		}
		select {
		case <-fired:
		case <-ctx.Done():
			t.Fatal("no verdict")
		}
	}
}
