//go:build !noembedded

package server

import (
	"context"
	"log/slog"
	"slices"

	"github.com/go-kratos/kratos/v2/log"
)

// brokerLog writes the log of the in-process broker to the log of the service.
type brokerLog struct {
	log.Logger

	attrs []slog.Attr
}

// Enabled implements [slog.Handler]. Debug records, which only help developers of
// the broker, are left out.
func (brokerLog) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelInfo }

// Handle implements [slog.Handler].
func (b brokerLog) Handle(_ context.Context, r slog.Record) error {
	level := log.LevelInfo
	switch {
	case r.Level >= slog.LevelError:
		level = log.LevelError
	case r.Level >= slog.LevelWarn:
		level = log.LevelWarn
	}
	fields := []any{log.DefaultMessageKey, r.Message}
	add := func(a slog.Attr) bool { fields = append(fields, a.Key, a.Value.String()); return true }
	for _, a := range b.attrs {
		add(a)
	}
	r.Attrs(add)
	return b.Log(level, fields...)
}

// WithAttrs implements [slog.Handler].
func (b brokerLog) WithAttrs(attrs []slog.Attr) slog.Handler {
	return brokerLog{b.Logger, append(slices.Clip(b.attrs), attrs...)}
}

// WithGroup implements [slog.Handler]; the broker has no groups.
func (b brokerLog) WithGroup(string) slog.Handler { return b }
