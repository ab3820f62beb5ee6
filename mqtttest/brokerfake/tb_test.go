package brokerfake_test

import (
	"fmt"
	"testing"
)

// failures is a testing.TB that collects what fails, for tests of assertions and for examples.
type failures struct {
	testing.TB
	found []string
}

func (*failures) Helper() {}

func (f *failures) Errorf(format string, args ...any) {
	f.found = append(f.found, fmt.Sprintf(format, args...))
}

func (f *failures) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
