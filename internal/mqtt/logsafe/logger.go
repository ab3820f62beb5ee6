package logsafe

// Logger writes log lines. It escapes untrusted text, so that no text can end a
// line or control a terminal. It is safe for concurrent use.
type Logger interface {
	// Infof logs a normal event.
	Infof(format string, args ...any)
	// Warnf logs a condition that needs attention.
	Warnf(format string, args ...any)
	// Errorf logs a failure that needs a fix.
	Errorf(format string, args ...any)
}
