package peers

import (
	"context"
	"log/slog"
	"runtime"
	"testing"
	"time"
)

// BenchmarkPacket is the work of one packet sent and one received, without the socket.
func BenchmarkPacket(b *testing.B) {
	w := newWorld("alpha", "beta", "witness")
	w.run(2000 * ms)
	alpha, beta := w.nodes["alpha"], w.nodes["beta"]
	b.ReportAllocs()
	for b.Loop() {
		alpha.buffer = alpha.buffer[:0]
		alpha.compose(w.now, alpha.wires[0].to[0], 0)
		beta.take(context.Background(), beta.wires[0], alpha.buffer)
	}
	if beta.table.peer("alpha").heard != w.now {
		b.Fatal("not accepted")
	}
}

// BenchmarkSocket is one packet sent and received through the kernel.
func BenchmarkSocket(b *testing.B) {
	cfg := threeOn("127.0.0.0")
	cfg.Keepalive.Interval = time.Hour
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	alpha := New(cfg, "alpha", "x", [][]byte{[]byte("k")}, slog.New(slog.DiscardHandler))
	beta := New(cfg, "beta", "y", [][]byte{[]byte("k")}, slog.New(slog.DiscardHandler))
	done := make(chan struct{}, 2)
	go func() { alpha.wires[0].serve(ctx, alpha); done <- struct{}{} }()
	go func() { beta.wires[0].serve(ctx, beta); done <- struct{}{} }()
	for alpha.wires[0].conn.Load() == nil || beta.wires[0].conn.Load() == nil {
		runtime.Gosched()
	}
	buf := make([]byte, 300)
	for b.Loop() {
		alpha.wires[0].send(ctx, alpha, buf, alpha.wires[0].to[0])
		for !beta.wires[0].drained() {
		}
	}
	cancel()
	<-done
	<-done
}
