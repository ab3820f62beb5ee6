package mqtttest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/internal/test/program"
)

// Condition is what [Eventually] waits for: a function that returns true, or one that returns
// nil. The error of the latter describes what is still wrong.
type Condition interface {
	func() bool | func() error
}

// Eventually calls cond until it holds, and ends the test with a failure if it does not within
// timeout. The message, if any, is formatted as in fmt.Sprintf. It must be called from the
// goroutine of the test.
func Eventually[C Condition](tb testing.TB, timeout time.Duration, cond C, message ...any) {
	tb.Helper()
	if err := program.Poll(timeout, check(cond)); err != nil {
		tb.Fatalf("not within %v%s: %v", timeout, describe(message), err)
	}
}

func check[C Condition](cond C) func() error {
	switch f := any(cond).(type) {
	case func() error:
		return f
	case func() bool:
		return func() error {
			if !f() {
				return errors.New("condition is false")
			}
			return nil
		}
	}
	return func() error { return fmt.Errorf("condition of type %T", cond) }
}

func describe(message []any) string {
	if len(message) == 0 {
		return ""
	}
	if format, ok := message[0].(string); ok {
		return ": " + fmt.Sprintf(format, message[1:]...)
	}
	return ": " + fmt.Sprint(message...)
}
