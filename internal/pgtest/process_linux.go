package pgtest

import "syscall"

// childAttributes puts a child into a process group of its own, gives it the
// user that it may run as, and makes it end when the test binary is killed.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Credential: credential(), Pdeathsig: syscall.SIGQUIT}
}
