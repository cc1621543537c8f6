package loop

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"understudy/fsm"
	"understudy/reconcile"
	"understudy/reconcile/journal"
)

const servicesFile = file + `
[[service]]
name = "client"
start = ["/bin/client-up"]
stop = ["/bin/client-down"]
daemons = [{ name = "clientd", exe = "/bin/clientd" }]
[[service]]
name = "second"
run = ["/bin/second"]
[[service]]
name = "elsewhere"
run = ["/bin/elsewhere"]
nodes = ["beta"]
`

// kill ends a service's processes on alpha.
func kill(names ...string) func(*reconcile.World) {
	return func(w *reconcile.World) {
		h := w.Host("alpha")
		apps := slices.Clone(h.Apps.Value)
		for i, st := range apps {
			if st.Group == reconcile.NodeGroup && slices.Contains(names, st.App) {
				apps[i].Daemons = []reconcile.DaemonState{{Name: st.Daemons[0].Name}}
			}
		}
		h.Apps.Value = apps
	}
}

func (b *bed) said(kind journal.Kind, words string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.ContainsFunc(b.records, func(r journal.Record) bool {
		return r.Kind == kind && strings.Contains(r.Group+" "+r.Step+" "+r.Why+" "+r.Err, words)
	})
}

// Services are kept up with and without a lease, in their order, and the group has
// nothing to do with it.
func TestServicesAreKeptUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBedOf(t, servicesFile)
		b.start(t)
		b.wants(t, fsm.Owner, "")
		b.change(kill("client", "second"))
		b.wants(t, fsm.Owner, "start client, verify client, start second, verify second")
		if !b.said(journal.Seen, "@node  client not running; second not running") {
			t.Errorf("the record does not say it: %+v", b.records)
		}
		b.gone = true
		b.change(kill("second"))
		time.Sleep(time.Second) // virtual: its second start within the window waits
		b.settle()
		if got := b.steps(); !strings.Contains(got, "start second") || !strings.Contains(got, "verify second") || strings.Contains(got, "client") {
			t.Errorf("without a lease: %s", got)
		}
	})
}

// A service that always fails is tried for ever, less and less often, and the one
// behind it has its turn.
func TestServiceIsNeverGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBedOf(t, servicesFile)
		b.start(t)
		b.failing("client", errors.New("it does not like it here"))
		b.change(kill("client", "second"))
		time.Sleep(time.Second)
		b.settle()
		if got := b.steps(); !strings.Contains(got, "start second, verify second") {
			t.Fatalf("the one behind it waits: %s", got)
		}
		starts := 0
		for range 60 {
			time.Sleep(10 * time.Second)
			b.settle()
			starts += strings.Count(b.steps(), "start client")
		}
		if starts < 15 || starts > 30 {
			t.Errorf("%d starts in ten minutes", starts)
		}
		if b.loop.State().Services.Plan.Waits[0].Text != "client: start client: it does not like it here" {
			t.Errorf("it waits for %+v", b.loop.State().Services.Plan.Waits)
		}
		b.failing("client", nil)
		time.Sleep(lastBackoff)
		b.settle()
		if got := b.steps(); !strings.Contains(got, "start client, verify client") || !b.said(journal.Note, "@node  client is up") {
			t.Errorf("steps: %s", got)
		}
		b.wants(t, fsm.Owner, "")
	})
}

// Leaving does not stop a service, and one that is being started does not hold the
// leaving up.
func TestServicesOutliveUnderstudy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBedOf(t, servicesFile)
		ended := make(chan error, 1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		go func() { ended <- b.loop.Run(ctx) }()
		b.settle()
		b.slow["start"] = 90 * time.Second
		b.change(kill("second"))
		if err := b.loop.Stop(ctx, "told to"); err != nil {
			t.Fatal(err)
		}
		b.settle()
		began := time.Now()
		if err := <-ended; err != nil || time.Since(began) > time.Second {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
		if got, want := b.steps(), "stop server, drop svc, unmount /srv/shared, release /dev/shared0, prove files, sign off files"; got != want {
			t.Errorf("steps:\n got %s\nwant %s", got, want)
		}
	})
}
