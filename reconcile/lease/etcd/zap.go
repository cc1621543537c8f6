//go:build !aix

package etcd

import (
	"context"
	"log/slog"
	"runtime"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// bridge hands etcd's log lines to slog.
type bridge struct {
	log    *slog.Logger
	fields []zapcore.Field
}

// newLogger makes the logger of a member. etcd ends the process when it cannot
// write its log (lg.Fatal); here the goroutine that says so ends instead, and
// stop learns why: the lease runs out in its own time, and this host lets go in
// order.
func newLogger(log *slog.Logger, stop func(string)) *zap.Logger {
	h := hook(stop)
	return zap.New(&bridge{log: log}, zap.WithFatalHook(h), zap.WithPanicHook(h))
}

type hook func(string)

// OnWrite implements zapcore.CheckWriteHook.
func (h hook) OnWrite(e *zapcore.CheckedEntry, fields []zapcore.Field) {
	why := e.Message
	for _, f := range fields {
		if err, ok := f.Interface.(error); ok && f.Key == "error" {
			why += ": " + err.Error()
		}
	}
	h(why)
	runtime.Goexit()
}

// level is how loud a line of etcd's is for us. Its warnings repeat every few
// seconds for as long as a member is away, which the keep-alives say once.
func level(l zapcore.Level) slog.Level {
	if l >= zapcore.ErrorLevel {
		return slog.LevelWarn
	}
	return slog.LevelDebug
}

// Enabled implements zapcore.Core: warnings and worse.
func (b *bridge) Enabled(l zapcore.Level) bool {
	return l >= zapcore.WarnLevel && b.log.Enabled(context.Background(), level(l))
}

// With implements zapcore.Core.
func (b *bridge) With(fields []zapcore.Field) zapcore.Core {
	return &bridge{b.log, append(b.fields[:len(b.fields):len(b.fields)], fields...)}
}

// Check implements zapcore.Core.
func (b *bridge) Check(e zapcore.Entry, c *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if b.Enabled(e.Level) {
		return c.AddCore(e, b)
	}
	return c
}

// Write implements zapcore.Core.
func (b *bridge) Write(e zapcore.Entry, fields []zapcore.Field) error {
	enc := zapcore.NewMapObjectEncoder()
	for _, f := range b.fields {
		f.AddTo(enc)
	}
	attrs := make([]slog.Attr, 0, len(fields)+1)
	for _, f := range fields {
		f.AddTo(enc)
	}
	for k, v := range enc.Fields {
		attrs = append(attrs, slog.Any(k, v))
	}
	b.log.LogAttrs(context.Background(), level(e.Level), "etcd: "+e.Message, slog.Attr{Key: "etcd", Value: slog.GroupValue(attrs...)})
	return nil
}

// Sync implements zapcore.Core.
func (b *bridge) Sync() error { return nil }
