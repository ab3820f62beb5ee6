package mqtt

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/semconv"
)

// slogger writes to a logger of log/slog, nil means the default one at the time. Its methods
// are called directly, so that the source of a line is the code that logged.
type slogger struct{ to *slog.Logger }

var _ logsafe.Logger = slogger{}

// Debug implements logsafe.Logger.
func (l slogger) Debug(message string, fields ...any) { l.write(slog.LevelDebug, message, fields) }

// Info implements logsafe.Logger.
func (l slogger) Info(message string, fields ...any) { l.write(slog.LevelInfo, message, fields) }

// Warn implements logsafe.Logger.
func (l slogger) Warn(message string, fields ...any) { l.write(slog.LevelWarn, message, fields) }

// Error implements logsafe.Logger.
func (l slogger) Error(message string, fields ...any) { l.write(slog.LevelError, message, fields) }

// Panic implements logsafe.Logger.
func (l slogger) Panic(message string, stack []byte, fields ...any) {
	l.write(slog.LevelError, message, fields, "stack", string(stack))
}

// write skips itself and the method that called it.
func (l slogger) write(level slog.Level, message string, fields []any, more ...any) {
	to := l.to
	if to == nil {
		to = slog.Default()
	}
	ctx := context.Background()
	if !to.Enabled(ctx, level) {
		return
	}
	var caller [1]uintptr
	runtime.Callers(3, caller[:])
	r := slog.NewRecord(time.Now(), level, logsafe.Message(message), caller[0])
	r.Add(logsafe.Values(fields, semconv.ErrorTypeField)...)
	r.Add(more...)
	_ = to.Handler().Handle(ctx, r)
}

// maxLogged is how much of a value a safe logger shows, in bytes.
const maxLogged = 8 << 10

// SafeLogger wraps a logger so that untrusted text cannot forge log lines or move a terminal's
// cursor, whatever its handler writes. In the message and in each key and value, control
// characters, line ends, format characters and invalid UTF-8 are escaped as in a Go string; a
// value is cut after 8 KiB. Numbers and times are passed on unchanged, other values as text. It
// does not remove secrets. It is as safe for concurrent use as l is. A nil l means the default
// logger; do not make the result of that the default one. Messages that this package logs need
// no wrapper.
func SafeLogger(l *slog.Logger) *slog.Logger {
	if l == nil {
		l = slog.Default()
	}
	return slog.New(safeHandler{l.Handler()})
}

type safeHandler struct{ slog.Handler }

// Handle implements slog.Handler.
func (h safeHandler) Handle(ctx context.Context, r slog.Record) error {
	safe := slog.NewRecord(r.Time, r.Level, logsafe.Short(r.Message, maxLogged), r.PC)
	r.Attrs(func(a slog.Attr) bool {
		safe.AddAttrs(safeAttr(a))
		return true
	})
	return h.Handler.Handle(ctx, safe)
}

// WithAttrs implements slog.Handler.
func (h safeHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return safeHandler{h.Handler.WithAttrs(safeAttrs(attrs))}
}

// WithGroup implements slog.Handler.
func (h safeHandler) WithGroup(name string) slog.Handler {
	return safeHandler{h.Handler.WithGroup(logsafe.Short(name, maxLogged))}
}

func safeAttrs(attrs []slog.Attr) []slog.Attr {
	safe := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		safe[i] = safeAttr(a)
	}
	return safe
}

// safeAttr returns numbers and times as they are, and a line of text for all others.
func safeAttr(a slog.Attr) slog.Attr {
	a.Key, a.Value = logsafe.Short(a.Key, maxLogged), a.Value.Resolve()
	switch a.Value.Kind() {
	case slog.KindGroup:
		a.Value = slog.GroupValue(safeAttrs(a.Value.Group())...)
	case slog.KindString:
		a.Value = slog.StringValue(logsafe.Short(a.Value.String(), maxLogged))
	case slog.KindAny:
		a.Value = slog.StringValue(logsafe.Short(fmt.Sprint(a.Value.Any()), maxLogged))
	}
	return a
}
