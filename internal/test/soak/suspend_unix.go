//go:build unix

package soak

import "syscall"

// The signals that suspend a process, and that continue it.
const (
	suspendSignal  = syscall.SIGSTOP
	continueSignal = syscall.SIGCONT
)
