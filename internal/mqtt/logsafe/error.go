package logsafe

// maxError is how much of an error's text is shown, in bytes.
const maxError = 256

// Error returns err with a text that is one short line: that of a codec may quote a
// payload. The error itself is the one that it unwraps to. err must not be nil.
func Error(err error) error { return lineError{err} }

type lineError struct{ error }

// Error returns one line.
func (e lineError) Error() string { return Short(e.error.Error(), maxError) }

// Unwrap returns the error as it was.
func (e lineError) Unwrap() error { return e.error }
