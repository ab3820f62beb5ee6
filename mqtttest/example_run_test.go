package mqtttest_test

import (
	"context"
	"fmt"
	"testing"
)

// exampleTB lets an example call what wants a test.
type exampleTB struct {
	testing.TB
	cleanup []func()
}

func runExample(test func(testing.TB)) {
	t := new(exampleTB)
	defer func() {
		for _, f := range t.cleanup {
			f()
		}
	}()
	test(t)
}

func (*exampleTB) Helper()                           {}
func (*exampleTB) Context() context.Context          { return context.Background() }
func (t *exampleTB) Cleanup(f func())                { t.cleanup = append([]func(){f}, t.cleanup...) }
func (*exampleTB) Fatal(args ...any)                 { panic(fmt.Sprint(args...)) }
func (*exampleTB) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
func (*exampleTB) Errorf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
