package logsafe

// Logger writes lines of a log, in which nobody's text can end a line or steer a
// terminal. It is safe for concurrent use.
type Logger interface {
	// Infof logs what is normal and worth knowing.
	Infof(format string, args ...any)
	// Warnf logs what somebody should look at.
	Warnf(format string, args ...any)
	// Errorf logs what somebody has to mend.
	Errorf(format string, args ...any)
}
