package loop

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"understudy/reconcile"
)

const lettingGoFile = file + `
[[hook]]
name = "page"
event = "release"
when = "pre"
group = "files"
command = ["/bin/page"]
limit = "10m"
`

// A hook before a letting go in order has time as long as the lease lasts. When that
// is lost while the hook hangs, the group is let go at once and without it.
func TestLostLeaseWaitsForNoHook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBedOf(t, lettingGoFile)
		b.slow["hook"] = 5 * time.Minute
		b.start(t)
		b.change(func(w *reconcile.World) {
			w.Store.Requests["files"] = reconcile.Request{Group: "files", To: "beta", By: "operator", Epoch: w.Store.Claims["files"].Epoch}
		})
		if got := b.steps(); got != "" {
			t.Fatalf("steps before the end of the hook: %s", got)
		}
		b.mu.Lock()
		b.gone = true
		b.mu.Unlock()
		b.settle()
		if got := b.steps(); !strings.HasPrefix(got, "stop server, drop svc, unmount /srv/shared") {
			t.Errorf("steps after the lease is lost: %q", got)
		}
	})
}
