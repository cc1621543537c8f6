package main

import (
	"context"
	"log/slog"
	"net"
	"path/filepath"
	"testing"
	"time"

	"understudy/cmd/internal/api"
	"understudy/config"
)

// The service manager knows of a stop before the program begins to end, so that a
// start that is asked for right after "understudy stop" is one, and not nothing.
func TestStopIsToldFirst(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	told, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer told.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	heard := &grave{}
	last := &lastWords{peers: heard, journal: heard, log: slog.New(slog.DiscardHandler)}
	r := &resident{last: last, stops: make(chan api.StopRequest, 1)}
	r.cfg.Store(&config.Config{Stop: config.StopHandOver})
	r.stops <- api.StopRequest{Mode: string(config.StopLeave), By: "a test"}
	left := false
	err = r.signals(t.Context(), context.Background(), func() {
		left = true
		if err := told.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Error(err)
		}
		b := make([]byte, 64)
		if n, err := told.Read(b); err != nil || string(b[:n]) != "STOPPING=1" {
			t.Errorf("%q %v", b[:n], err)
		}
	}, slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil || !left {
		t.Errorf("%v %v", left, err)
	}
	last.mu.Lock()
	defer last.mu.Unlock()
	if !last.away || !last.status.Away {
		t.Error("the peers are not told that it is to come back")
	}
}
