package loop

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"understudy/config"
	"understudy/reconcile"
)

// TestLastWordsComeBeforeTheReset: why the group cannot be let go is made sure of
// before this host is reset, and a reset without it does not happen.
func TestLastWordsComeBeforeTheReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.loop.config().Groups[0].OnReleaseFailure = config.RebootOnReleaseFailure
		var said []string
		b.loop.opt.LastWords = func(group, reason string) { said = append(said, "says of "+group+": "+reason) }
		b.loop.opt.SelfFence = func(reason string) { said = append(said, "resets: "+reason) }
		b.start(t)
		b.change(func(w *reconcile.World) { b.fail["unmount"] = errors.New("target is busy"); b.gone = true })
		if len(said) < 2 || !strings.HasPrefix(said[0], "says of files: files cannot be let go: unmount /srv/shared: target is busy") ||
			!strings.HasPrefix(said[1], "resets: files cannot be let go") {
			t.Errorf("%q", said)
		}
	})
}

// TestWhatAPeerSaysOfItsEndIsRecorded once for each thing that it says, in the history
// of what it holds.
func TestWhatAPeerSaysOfItsEndIsRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.start(t)
		say := func(text string) {
			b.change(func(w *reconcile.World) {
				c := w.Store.Claims["files"]
				c.Holder, c.BootID = "beta", "b9"
				w.Store.Claims["files"] = c
				b.sees = func(s *reconcile.Snapshot) {
					s.Peers = slices.Clone(s.Peers)
					for i := range s.Peers {
						if s.Peers[i].Name == "beta" {
							s.Peers[i].LastWord = reconcile.LastWord{BootID: "b9", Text: text}
						}
					}
				}
			})
		}
		say("the watchdog resets it in 5s")
		say("the watchdog resets it in 5s")
		say("")
		say("it resets itself: files cannot be let go")
		var got []string
		for _, r := range b.records {
			if strings.HasPrefix(r.Why, "beta said") {
				got = append(got, fmt.Sprintf("%s: %s", r.Group, r.Why))
			}
		}
		want := []string{"files: beta said: the watchdog resets it in 5s", "files: beta said: it resets itself: files cannot be let go"}
		if !slices.Equal(got, want) {
			t.Errorf("%q", got)
		}
	})
}
