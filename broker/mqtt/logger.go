package mqtt

import (
	"github.com/go-kratos/kratos/v2/log"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/semconv"
)

// stackKey is the key of a stack trace, the one value of ours that has lines.
const stackKey = "stack"

// clientLog writes to a Kratos logger. Its methods call the logger at the same depth as
// the methods of Kratos' Helper, so that a "caller" field names the right line.
type clientLog struct{ to log.Logger }

var _ logsafe.Logger = clientLog{}

func newLog(l log.Logger) logsafe.Logger { return clientLog{orGlobal(l)} }

func orGlobal(l log.Logger) log.Logger {
	if l == nil {
		return log.GetLogger()
	}
	return l
}

// Debug implements logsafe.Logger.
func (l clientLog) Debug(message string, fields ...any) {
	_ = l.to.Log(log.LevelDebug, keyvals(message, fields)...)
}

// Info implements logsafe.Logger.
func (l clientLog) Info(message string, fields ...any) {
	_ = l.to.Log(log.LevelInfo, keyvals(message, fields)...)
}

// Warn implements logsafe.Logger.
func (l clientLog) Warn(message string, fields ...any) {
	_ = l.to.Log(log.LevelWarn, keyvals(message, fields)...)
}

// Error implements logsafe.Logger.
func (l clientLog) Error(message string, fields ...any) {
	_ = l.to.Log(log.LevelError, keyvals(message, fields)...)
}

// Panic implements logsafe.Logger.
func (l clientLog) Panic(message string, stack []byte, fields ...any) {
	_ = l.to.Log(log.LevelError, append(keyvals(message, fields), stackKey, string(stack))...)
}

func keyvals(message string, fields []any) []any {
	return append([]any{log.DefaultMessageKey, logsafe.Message(message)}, logsafe.Fields(fields, semconv.ErrorTypeField)...)
}
