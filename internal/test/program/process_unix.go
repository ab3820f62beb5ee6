//go:build unix

package program

import (
	"os"
	"syscall"
)

// The signals that brokers know.
var (
	SigTerminate os.Signal = syscall.SIGTERM
	SigPause     os.Signal = syscall.SIGSTOP
	SigResume    os.Signal = syscall.SIGCONT
	SigReload    os.Signal = syscall.SIGHUP
)

// signalGroup signals a process and its child processes.
func signalGroup(p *os.Process, sig os.Signal) error {
	return syscall.Kill(-p.Pid, sig.(syscall.Signal))
}
