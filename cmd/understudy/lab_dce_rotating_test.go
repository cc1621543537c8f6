//go:build linux

package main

import (
	"context"
	"strings"
	"syscall"
	"testing"

	"understudy/cmd/internal/lab"
	"understudy/cmd/internal/lab/standin"
)

// fault makes a stand-in misbehave on a host until it is mended or rebooted.
func (b *bench) fault(host, name string) {
	b.t.Helper()
	if _, known := standin.Faults[name]; !known {
		b.t.Fatalf("no fault is named %s", name)
	}
	b.run(host, "sh", "-c", "mkdir -p "+standin.FaultDir+" && touch "+standin.FaultDir+"/"+name)
}

func (b *bench) mend(host string) {
	b.t.Helper()
	b.run(host, "rm", "-rf", standin.FaultDir)
}

// await waits until a stand-in on a host has said something, read on that host.
func (b *bench) await(host, line string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, limit)
	defer cancel()
	b.must(b.Wait(ctx, line, func(context.Context) (bool, error) {
		out, _, _, err := b.Exec(ctx, host, "cat", standin.LogFile)
		for l := range strings.Lines(out) {
			if containsAll(strings.TrimSpace(l), strings.Fields(line)) {
				return true, nil
			}
		}
		return false, err
	}))
}

func (b *bench) named(host, want string) {
	b.t.Helper()
	if got := strings.TrimSpace(b.run(host, "uname", "-n")); got != want {
		b.t.Errorf("%s is called %s, want %s", host, got, want)
	}
}

// Rotating: DCE is started and stopped under the service's name, and the node has
// its own name back afterwards; also when understudy gets SIGKILL in the middle of
// a start that hangs. A node that comes back stands by, and nothing moves to it.
func TestDCERotatingNamesTheHostAroundStartAndStop(t *testing.T) {
	b := newDCE(t, dceGroup("policy = \"rotating\"\nhostname = \"dcesvc\"", `stop_limit = "3s"`))
	b.serving(lab.Alpha)
	b.named(lab.Alpha, "alpha")
	b.ready(lab.Beta)

	b.fault(lab.Beta, "start.dce.hang")
	b.must(b.Crash(b.ctx, lab.Alpha))
	b.await(lab.Beta, "beta start.dce hostname=dcesvc endpoints=none creds=0")
	b.named(lab.Beta, "dcesvc")
	b.must(b.SignalService(b.ctx, lab.Beta, syscall.SIGKILL))
	_, err := b.WaitEnd(b.ctx, lab.Beta, "understudy")
	b.must(err)
	b.named(lab.Beta, "dcesvc") // nobody was left to put it back
	b.mend(lab.Beta)
	b.must(b.StartService(b.ctx, lab.Beta))
	g := b.serving(lab.Beta)
	b.named(lab.Beta, "beta")
	if g.Role != "owner" {
		t.Errorf("beta is %s", g.Role)
	}

	b.must(b.Start(b.ctx, lab.Alpha))
	b.ready(lab.Alpha)
	if now := b.serving(lab.Beta); now.Claim.Epoch != g.Claim.Epoch {
		t.Errorf("the group moved: epoch %d, was %d", now.Claim.Epoch, g.Claim.Epoch)
	}
	b.understudy(lab.Alpha, "move", "dce", "alpha", "--reason", "maintenance")
	b.serving(lab.Alpha)
	b.named(lab.Alpha, "alpha")
	b.named(lab.Beta, "beta")
	b.saw(lab.Alpha, "alpha start.dce hostname=dcesvc", "alpha start.dce done",
		"beta start.dce hostname=dcesvc endpoints=none creds=0", "beta start.dce hostname=dcesvc endpoints=none creds=0", "beta start.dce done",
		"beta stop.dce hostname=dcesvc", "beta stop.dce done", "alpha start.dce hostname=dcesvc endpoints=none creds=0")
}
