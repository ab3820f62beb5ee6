package mqtttest

import "syscall"

// childAttributes puts a child into a process group of its own, so that a
// signal reaches what it started, and makes it die with the test process.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
