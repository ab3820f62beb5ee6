//go:build unix

package mqtttest

import (
	"os"
	"syscall"
)

var (
	sigTerminate os.Signal = syscall.SIGTERM
	sigPause     os.Signal = syscall.SIGSTOP
	sigResume    os.Signal = syscall.SIGCONT
	sigReload    os.Signal = syscall.SIGHUP
)

// signalGroup signals a process and its child processes.
func signalGroup(p *os.Process, sig os.Signal) error {
	return syscall.Kill(-p.Pid, sig.(syscall.Signal))
}
