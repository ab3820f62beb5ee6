package mqtt

import (
	"github.com/go-kratos/kratos/v2/log"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/bridge"
)

// SafeLogger wraps a logger so that text of strangers cannot forge lines of the log or
// move a terminal's cursor, whoever logs it: Kratos' own middleware and loggers print
// messages and errors as they are. In each key and value control characters, ends of
// lines, format characters and what is no UTF-8 are escaped as in a Go string; a value is
// cut after 8 KiB. Numbers, times and [log.Valuer] are handed on as they are, other values
// as text. It keeps no secrets from the log.
//
// Wrap what writes, and add fields around it: log.With(SafeLogger(log.NewStdLogger(w)),
// "caller", log.DefaultCaller) shows the caller, the other way round it would be one off.
// It is safe for concurrent use as far as l is; nil is Kratos' global logger. What this
// package logs itself needs no wrapper.
func SafeLogger(l log.Logger) log.Logger { return bridge.SafeLogger(l) }
