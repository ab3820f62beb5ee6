package engine

import (
	"github.com/go-kratos/kratos/v2/log"

	"github.com/kratos-mqtt/kratos-mqtt/internal/printable"
)

// stackKey is the key of a stack trace, the one value of ours that has lines.
const stackKey = "stack"

// How much of a long value is logged, in bytes: the topic comes first in a line
// and the cause last, and either may be as long as a stranger likes.
const (
	maxHead = 3 << 10
	maxTail = 1 << 10
)

// SafeLogger returns a logger whose lines nobody can forge: topics, reasons and
// errors hold text of strangers, so that everything in a value that could end
// the line or steer a terminal is escaped. Stack traces keep their lines.
func SafeLogger(l log.Logger) log.Logger { return safeLogger{l} }

type safeLogger struct{ log.Logger }

// Log implements log.Logger.
func (l safeLogger) Log(level log.Level, keyvals ...any) error {
	for i := 1; i < len(keyvals); i += 2 {
		if s, ok := keyvals[i].(string); ok && keyvals[i-1] != stackKey {
			keyvals[i] = line(s)
		}
	}
	return l.Logger.Log(level, keyvals...)
}

func line(s string) string {
	if len(s) <= maxHead+maxTail {
		return printable.Line(s)
	}
	return printable.Short(s, maxHead) + printable.Line(s[len(s)-maxTail:])
}
