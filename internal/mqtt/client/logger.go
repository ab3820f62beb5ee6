package client

import (
	"fmt"

	"github.com/go-kratos/kratos/v2/log"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
)

// stackKey is the key of a stack trace, the one value of ours that has lines.
const stackKey = "stack"

// How much of a long value is logged, in bytes: the topic comes first in a line
// and the cause last, and either may be as long as a stranger likes.
const (
	maxHead = 3 << 10
	maxTail = 1 << 10
)

// Log writes to a Kratos logger. Its lines nobody can forge: topics, reasons and
// errors hold text of strangers, so that everything in a value that could end the
// line or steer a terminal is escaped. Its methods call the logger as those of
// Kratos' Helper do, at the same depth, so that a "caller" is who called them.
type Log struct{ logger log.Logger }

// NewLog returns a Log that writes to l.
func NewLog(l log.Logger) *Log { return &Log{l} }

// Debugf logs a detail.
func (l *Log) Debugf(format string, args ...any) {
	_ = l.logger.Log(log.LevelDebug, log.DefaultMessageKey, line(fmt.Sprintf(format, args...)))
}

// Infof logs what is normal and worth knowing.
func (l *Log) Infof(format string, args ...any) {
	_ = l.logger.Log(log.LevelInfo, log.DefaultMessageKey, line(fmt.Sprintf(format, args...)))
}

// Warnf logs what somebody should look at.
func (l *Log) Warnf(format string, args ...any) {
	_ = l.logger.Log(log.LevelWarn, log.DefaultMessageKey, line(fmt.Sprintf(format, args...)))
}

// Errorf logs what somebody has to mend.
func (l *Log) Errorf(format string, args ...any) {
	_ = l.logger.Log(log.LevelError, log.DefaultMessageKey, line(fmt.Sprintf(format, args...)))
}

// Logf logs at a level that the caller has chosen.
func (l *Log) Logf(level log.Level, format string, args ...any) {
	_ = l.logger.Log(level, log.DefaultMessageKey, line(fmt.Sprintf(format, args...)))
}

// Panic logs a panic with its stack trace, which keeps its lines.
func (l *Log) Panic(text string, stack []byte) {
	_ = l.logger.Log(log.LevelError, log.DefaultMessageKey, line(text), stackKey, string(stack))
}

func line(s string) string {
	if len(s) <= maxHead+maxTail {
		return logsafe.Line(s)
	}
	return logsafe.Short(s, maxHead) + logsafe.Line(s[len(s)-maxTail:])
}
