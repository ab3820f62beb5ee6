package client

import "github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"

// Logger is where the log goes. A front has one over the logger of its framework:
// what it writes has to go through [logsafe.Message], and is called by no method in
// between, so that a "caller" is who logged.
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
