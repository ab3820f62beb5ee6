package mqtt

import (
	"fmt"
	"slices"
	"time"

	"github.com/go-kratos/kratos/v2/log"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
)

// maxLogged is how much of a value a safe logger shows, in bytes.
const maxLogged = 8 << 10

// SafeLogger wraps a logger so that untrusted text cannot forge log lines or move a
// terminal's cursor. Kratos' own middleware and loggers print messages and errors
// unescaped. In each key and value, control characters, line ends, format characters
// and invalid UTF-8 are escaped as in a Go string; a value is cut after 8 KiB. Numbers,
// times and [log.Valuer] are passed on unchanged, other values as text. It does not
// remove secrets.
//
// Wrap the writing logger and add fields around it:
// log.With(SafeLogger(log.NewStdLogger(w)), "caller", log.DefaultCaller) shows the
// right caller; the other way round it would be off by one frame. It is as safe for
// concurrent use as l is. A nil l means Kratos' global logger. Messages that this
// package logs need no wrapper.
func SafeLogger(l log.Logger) log.Logger { return safeLogger{orGlobal(l)} }

type safeLogger struct{ to log.Logger }

// Log implements log.Logger. The slice stays the caller's.
func (s safeLogger) Log(level log.Level, keyvals ...any) error {
	safe := slices.Clone(keyvals)
	for i, v := range safe {
		safe[i] = safeValue(v)
	}
	return s.to.Log(level, safe...)
}

// safeValue returns numbers, times and values that are evaluated later as they are, and
// a line of text for all others.
func safeValue(v any) any {
	switch v := v.(type) {
	case nil, bool, int, int8, int16, int32, int64, uint, uint8, uint16, uint32, uint64, float32, float64,
		time.Time, time.Duration, log.Valuer:
		return v
	case string:
		return logsafe.Short(v, maxLogged)
	}
	return logsafe.Short(fmt.Sprint(v), maxLogged)
}
