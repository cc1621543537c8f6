package disk

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"understudy/reconcile/lease"
)

// A client joins when the disk answers, loses its lease when its path goes, and
// joins again when another path is there; the other node keeps on meanwhile.
func TestClientJoinsAndJoinsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlatter(t)
		y, _ := join(t, p, "y", "y1")
		var mu sync.Mutex
		var now *path // nil: the device is not there
		o := quick
		o.Node, o.Boot = "x", "x1"
		c := NewClient(func() (Device, error) {
			mu.Lock()
			defer mu.Unlock()
			if now == nil {
				return nil, errors.New("no such device")
			}
			return now, nil
		}, o)
		plug := func(h *path) {
			mu.Lock()
			defer mu.Unlock()
			now = h
		}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { _ = c.Run(ctx) })
		var heard atomic.Int64
		wg.Go(func() { _ = c.Watch(ctx, func() { heard.Add(1) }) })
		defer wg.Wait()
		defer cancel()

		time.Sleep(3 * time.Second)
		if _, err := c.View(ctx); err == nil {
			t.Error("a view of no disk")
		}
		h := &path{p: p}
		plug(h)
		time.Sleep(5 * time.Second)
		id, err := c.Grant(ctx, "x", "x1", 5*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Renew(ctx, id); err != nil {
			t.Fatal(err)
		}
		h.die()
		plug(nil)
		if err := c.Renew(ctx, id); err == nil {
			t.Error("renewed without a path")
		}
		before := heard.Load()
		for range 30 {
			time.Sleep(quick.Poll)
			if v, err := y.View(ctx); err != nil {
				t.Fatalf("%+v, %v", v, err)
			}
		}
		if v, err := y.View(ctx); err != nil || v.Live["x"] != "" {
			t.Errorf("%+v, %v", v, err)
		}
		plug(&path{p: p})
		time.Sleep(10 * time.Second)
		if err := c.Renew(ctx, id); !errors.Is(err, lease.ErrNoLease) {
			t.Errorf("the old lease: %v", err)
		}
		if _, err := c.Grant(ctx, "x", "x1", 5*time.Second); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Second)
		if v, err := y.View(ctx); err != nil || v.Live["x"] != "x1" {
			t.Errorf("%+v, %v", v, err)
		}
		if heard.Load() == before {
			t.Error("the watch did not live on")
		}
	})
}
