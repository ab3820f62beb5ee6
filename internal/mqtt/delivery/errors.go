package delivery

import (
	"errors"
	"fmt"
)

// ErrClosed is the cause of a [*DrainError] after [Scheduler.Close].
var ErrClosed = errors.New("delivery: scheduler closed")

// ErrGoexit is the error of an attempt whose handler ended its goroutine with
// runtime.Goexit, as a failing test assertion does. It is treated like any
// other error.
var ErrGoexit = errors.New("delivery: handler ended its goroutine")

// ErrBatchPanicked is the error of the messages of a batch whose handler panicked,
// in the place of the [PanicError] that was reported for all of them.
var ErrBatchPanicked = errors.New("handler of a batch panicked")

// PanicError is the error of an attempt that panicked. It is treated like any
// other error: the message is retried, then dead-lettered.
type PanicError struct {
	// Value is the argument of panic.
	Value any
	// Stack is the stack trace of the panic.
	Stack []byte
}

// Error returns a text without the stack.
func (e *PanicError) Error() string { return fmt.Sprintf("delivery: handler panicked: %v", e.Value) }

// Unwrap returns the panic's value if it is an error, and nil otherwise.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}
