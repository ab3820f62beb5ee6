package mqtt

import (
	"fmt"

	"github.com/go-kratos/kratos/v2/log"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
)

// stackKey is the key of a stack trace, the one value of ours that has lines.
const stackKey = "stack"

// clientLog writes to a Kratos logger. Its methods call the logger at the same depth as
// the methods of Kratos' Helper, so that a "caller" field names the right line.
type clientLog struct{ to log.Logger }

var _ client.Logger = clientLog{}

func newLog(l log.Logger) client.Logger { return clientLog{orGlobal(l)} }

func orGlobal(l log.Logger) log.Logger {
	if l == nil {
		return log.GetLogger()
	}
	return l
}

// Debugf implements client.Logger.
func (l clientLog) Debugf(format string, args ...any) {
	_ = l.to.Log(log.LevelDebug, log.DefaultMessageKey, logsafe.Message(fmt.Sprintf(format, args...)))
}

// Infof implements client.Logger.
func (l clientLog) Infof(format string, args ...any) {
	_ = l.to.Log(log.LevelInfo, log.DefaultMessageKey, logsafe.Message(fmt.Sprintf(format, args...)))
}

// Warnf implements client.Logger.
func (l clientLog) Warnf(format string, args ...any) {
	_ = l.to.Log(log.LevelWarn, log.DefaultMessageKey, logsafe.Message(fmt.Sprintf(format, args...)))
}

// Errorf implements client.Logger.
func (l clientLog) Errorf(format string, args ...any) {
	_ = l.to.Log(log.LevelError, log.DefaultMessageKey, logsafe.Message(fmt.Sprintf(format, args...)))
}

// Panic implements client.Logger.
func (l clientLog) Panic(text string, stack []byte) {
	_ = l.to.Log(log.LevelError, log.DefaultMessageKey, logsafe.Message(text), stackKey, string(stack))
}
