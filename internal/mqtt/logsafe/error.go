package logsafe

// maxError is how many bytes of an error's text are shown.
const maxError = 256

// Error wraps err so that its text is one short line, because the error of a
// codec may quote a payload. The result unwraps to err, which must not be nil.
func Error(err error) error { return lineError{err} }

type lineError struct{ error }

// Error returns the text of the wrapped error as one short line.
func (e lineError) Error() string { return Short(e.error.Error(), maxError) }

// Unwrap returns the wrapped error.
func (e lineError) Unwrap() error { return e.error }
