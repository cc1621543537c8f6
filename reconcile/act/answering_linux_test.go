package act

import (
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A path that hangs in the kernel is left out soon, is not asked a second time while it
// hangs, and what it brings late is dropped.
func TestAnsweringLeavesOutWhatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f flights
		back := make(chan struct{})
		var dropped []string
		var hung atomic.Int32
		ask := func(path string) (string, error) {
			switch path {
			case "hangs":
				hung.Add(1)
				<-back
			case "slow":
				time.Sleep(otherPaths / 2)
			case "gone":
				return "", errors.New("no such device")
			}
			return path, nil
		}
		drop := func(p string) { dropped = append(dropped, p) }
		for range 2 {
			began := time.Now()
			got, failed := answering(t.Context(), &f, []string{"slow", "hangs", "gone", "good"}, ask, drop)
			if !slices.Equal(got, []string{"slow", "good"}) || len(failed) != 2 {
				t.Errorf("got %v, failed %v", got, failed)
			}
			if !strings.Contains(failed[0].Error(), "hangs: ") || !strings.Contains(failed[1].Error(), "no such device") {
				t.Errorf("failed %v", failed)
			}
			if took := time.Since(began); took > 2*otherPaths {
				t.Errorf("it took %s", took)
			}
		}
		if n := hung.Load(); n != 1 {
			t.Errorf("asked %d times while it hung", n)
		}
		close(back)
		synctest.Wait()
		if !slices.Equal(dropped, []string{"hangs"}) {
			t.Errorf("dropped %v", dropped)
		}
		if got, failed := answering(t.Context(), &f, []string{"gone"}, ask, drop); len(got) != 0 || len(failed) != 1 {
			t.Errorf("got %v, failed %v", got, failed)
		}
	})
}
