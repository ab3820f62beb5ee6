package delivery

import (
	"errors"
	"fmt"
)

// ErrClosed is the cause of a [*DrainError] after [Scheduler.Close].
var ErrClosed = errors.New("delivery: scheduler closed")

// ErrGoexit is the error of an attempt whose handler ended its goroutine with
// runtime.Goexit, as a failing test assertion does. It counts as any error.
var ErrGoexit = errors.New("delivery: handler ended its goroutine")

// PanicError is the error of an attempt that panicked. It counts as any error:
// retried, then dead-lettered.
type PanicError struct {
	// Value is what was given to panic.
	Value any
	// Stack is the stack of the goroutine at that moment.
	Stack []byte
}

// Error implements error. It does not contain the stack.
func (e *PanicError) Error() string { return fmt.Sprintf("delivery: handler panicked: %v", e.Value) }

// Unwrap returns the panic's value if it is an error, else nil.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}
