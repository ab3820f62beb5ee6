package client

import "github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"

// Logger is where the log goes. A front implements it over the logger of its framework.
// An implementation passes its text through [logsafe.Message], and is called without a
// method in between, so that a "caller" field names the code that logged.
type Logger interface {
	logsafe.Logger
	// Debugf logs a detail.
	Debugf(format string, args ...any)
	// Panic logs a panic with its stack trace, which keeps its lines.
	Panic(text string, stack []byte)
}

// Silence takes nothing.
var Silence Logger = silence{} //nolint:gochecknoglobals // does not change

type silence struct{}

func (silence) Debugf(string, ...any) {}
func (silence) Infof(string, ...any)  {}
func (silence) Warnf(string, ...any)  {}
func (silence) Errorf(string, ...any) {}
func (silence) Panic(string, []byte)  {}
