//go:build !unix

package soak

import "syscall"

// No signal suspends a process here: the fault only waits.
const (
	suspendSignal  = syscall.Signal(0)
	continueSignal = syscall.Signal(0)
)
