package loop

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"understudy/config"
	"understudy/reconcile"
)

// hanging makes the mount table of the bed's host unreadable, or readable again.
func (b *bed) hanging(yes bool) {
	b.change(func(*reconcile.World) {
		b.sees = nil
		if yes {
			b.sees = func(s *reconcile.Snapshot) {
				s.Mounts = reconcile.Unread[[]reconcile.Mount](errors.New("the disk hangs"), s.At)
			}
		}
	})
}

// TestUnreadForTooLongIsSaidOnce, and the clock starts anew after all could be read.
func TestUnreadForTooLongIsSaidOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.start(t)
		b.settle()
		said := func(prefix string) (n int) {
			b.mu.Lock()
			defer b.mu.Unlock()
			for _, r := range b.records {
				if strings.HasPrefix(r.Why, prefix) {
					n++
				}
			}
			return n
		}
		phase := func() reconcile.Phase {
			b.mu.Lock()
			defer b.mu.Unlock()
			return b.status.Group("files").Phase
		}
		for range 3 { // each time shorter than the limit
			b.hanging(true)
			time.Sleep(50 * time.Second)
			b.hanging(false)
			time.Sleep(time.Second)
		}
		if n := said("for 6"); n != 0 || phase() != reconcile.Serving {
			t.Errorf("%d notes, %s", n, phase())
		}
		b.hanging(true)
		time.Sleep(61 * time.Second) // nothing happens meanwhile: the clock itself wakes the loop
		synctest.Wait()
		if n := said("for 60 s"); n != 1 || phase() != reconcile.Blocked {
			t.Errorf("%d notes, %s", n, phase())
		}
		time.Sleep(5 * time.Minute)
		if n := said("for 6"); n != 1 {
			t.Errorf("%d notes", n)
		}
		b.hanging(false)
		if n := said("all of it can be read again"); n != 1 || phase() != reconcile.Serving {
			t.Errorf("%d notes, %s", n, phase())
		}
		if len(b.done) > 0 {
			t.Errorf("touched: %q", b.done)
		}
	})
}

// TestUnreadForTooLongResetsTheHost where that is declared and another node is ready,
// with the reason first.
func TestUnreadForTooLongResetsTheHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.loop.config().Groups[0].OnReleaseFailure = config.RebootOnReleaseFailure
		var words []string
		b.loop.opt.LastWords = func(group, reason string) { words = append(words, group+": "+reason) }
		b.start(t)
		b.hanging(true)
		time.Sleep(59 * time.Second)
		if len(b.done) > 0 {
			t.Errorf("too early: %q", b.done)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if !slices.Equal(b.done, []string{"reboot (this host)"}) {
			t.Errorf("%q", b.done)
		}
		if len(words) != 1 || !strings.HasPrefix(words[0], "files: for 60 s") || !strings.Contains(words[0], "the disk hangs") || !strings.Contains(words[0], "beta is ready") {
			t.Errorf("%q", words)
		}
	})
}
